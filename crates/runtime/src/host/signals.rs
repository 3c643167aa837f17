use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::sync::mpsc;

/// A signal that asks a process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: an orchestrator.
    Terminate,
    /// SIGINT: a person at the keyboard.
    Interrupt,
    /// SIGHUP: the terminal was closed.
    HangUp,
}

impl Signal {
    /// Its number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Terminate => 15,
            Self::Interrupt => 2,
            Self::HangUp => 1,
        }
    }

    /// What a process that it ended tells the shell.
    pub const fn exit_code(self) -> u8 {
        128 + self.number()
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::HangUp => "SIGHUP",
        }
    }
}

/// The signals that a host listens to.
#[derive(Debug)]
pub struct Signals {
    receiver: mpsc::Receiver<Signal>,
}

impl Signals {
    /// Those of this process. From now on they do not end it by themselves.
    pub fn of_this_process() -> std::io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // Who started it with `nohup` wants it to outlive the terminal.
        let mut hang_up = if ignores_hang_up() { None } else { Some(signal(SignalKind::hangup())?) };
        let (sender, signals) = Self::by_hand();
        tokio::spawn(async move {
            loop {
                let signal = tokio::select! {
                    Some(()) = terminate.recv() => Signal::Terminate,
                    Some(()) = interrupt.recv() => Signal::Interrupt,
                    Some(()) = next(hang_up.as_mut()) => Signal::HangUp,
                    else => return,
                };
                if sender.send(signal).await.is_err() {
                    return;
                }
            }
        });
        Ok(signals)
    }

    /// Signals that somebody else in the process gives: tests, and what runs a host within something larger.
    pub fn by_hand() -> (mpsc::Sender<Signal>, Self) {
        let (sender, receiver) = mpsc::channel(4);
        (sender, Self { receiver })
    }

    /// The next one; never returns if nobody can give one any more.
    pub(crate) async fn next(&mut self) -> Signal {
        match self.receiver.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

async fn next(signals: Option<&mut Stream>) -> Option<()> {
    match signals {
        Some(signals) => signals.recv().await,
        None => None,
    }
}

/// Whether whoever started the process had SIGHUP ignored, as the kernel has it: bit 0 of `SigIgn`. To be asked before anybody
/// listens to it.
pub fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
