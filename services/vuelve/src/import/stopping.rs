//! A signal ends an import between two batches: what was acknowledged is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use runtime::host::{Signal, ignores_hang_up};
use tokio::signal::unix::{SignalKind, signal};

/// Whether it is to stop.
#[derive(Clone, Debug, Default)]
pub(super) struct Stopping(Arc<AtomicU8>);

impl Stopping {
    /// Listens from now on.
    pub(super) fn listen(tokio: &tokio::runtime::Runtime) -> std::io::Result<Self> {
        let _context = tokio.enter();
        let stopping = Self::default();
        let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
        // Who started it with `nohup` wants it to outlive the terminal.
        if !ignores_hang_up() {
            kinds.push(SignalKind::hangup());
        }
        for kind in kinds {
            let (mut signals, asked) = (signal(kind)?, Arc::clone(&stopping.0));
            tokio.spawn(async move {
                while signals.recv().await.is_some() {
                    let number = kind.as_raw_value() as u8;
                    // Who asks again does not want to wait for the broker. What is kept is right at any moment.
                    if asked.swap(number, Ordering::Relaxed) != 0 {
                        std::process::exit(i32::from(number) + 128);
                    }
                }
            });
        }
        Ok(stopping)
    }

    pub(super) fn is_asked(&self) -> bool {
        self.signal().is_some()
    }

    /// By which signal.
    pub(super) fn signal(&self) -> Option<Signal> {
        let asked = self.0.load(Ordering::Relaxed);
        [Signal::Interrupt, Signal::Terminate, Signal::HangUp].into_iter().find(|signal| signal.number() == asked)
    }
}
