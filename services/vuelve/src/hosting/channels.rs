//! By what messages leave: SMTP, the demo's mailbox, or nothing in a replay.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use domain::{BootTime, Timestamp};
use messaging::shell::{Clock, Mailbox, MessagingOptions, SmtpChannel};
use messaging::{Attempt, Completion, Email};
use runtime::config::Config;
use runtime::host::Host;

use super::{Channel, LinkOptions, Sections};

type Sending<'a> = Pin<Box<dyn Future<Output = Completion> + Send + 'a>>;

impl Channel for SmtpChannel {
    fn capacity(&self) -> usize {
        Self::capacity(self)
    }

    fn send(&self, email: Email, claimed_at: BootTime) -> Sending<'_> {
        Box::pin(Self::send(self, email, claimed_at))
    }
}

impl Channel for Mailbox {
    fn capacity(&self) -> usize {
        Self::capacity(self)
    }

    fn send(&self, email: Email, claimed_at: BootTime) -> Sending<'_> {
        Box::pin(Self::send(self, email, claimed_at))
    }
}

/// In a replay nothing leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoChannel;

impl Channel for NoChannel {
    fn capacity(&self) -> usize {
        0
    }

    fn send(&self, email: Email, _claimed_at: BootTime) -> Sending<'_> {
        let at = email.due_at;
        Box::pin(async move { Completion::new(at, Attempt::Dropped) })
    }
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn boot_time(&self) -> BootTime {
        kafka::boot_time()
    }
}

/// How messaging decides, as the configuration says.
pub fn messaging_settings(config: &Config, replay: bool) -> messaging::Settings {
    let options: &MessagingOptions = config.get();
    let mode = match (replay, options.replay_sends) {
        (false, _) => messaging::Mode::Live,
        (true, false) => messaging::Mode::Replay,
        (true, true) => messaging::Mode::SendingReplay,
    };
    messaging::Settings { mode, ..options.decisions.clone() }
}

/// By what messages leave, as the configuration says.
pub fn channel(host: &mut Host, config: &Config, settings: &messaging::Settings) -> anyhow::Result<Arc<dyn Channel>> {
    if settings.mode == messaging::Mode::Replay {
        return Ok(Arc::new(NoChannel));
    }
    let options: &MessagingOptions = config.get();
    let base_url = &config.get::<LinkOptions>().base_url;
    match SmtpChannel::new(options, Sections::keys(config)?, base_url, Arc::new(SystemClock)) {
        Ok(channel) => {
            let channel = Arc::new(channel);
            let closing = Arc::clone(&channel);
            host.observer("mail connections", move |stop| async move {
                stop.stopped().await;
                closing.close().await;
                Ok(())
            });
            Ok(channel)
        }
        Err(problems) => {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            anyhow::bail!(lines.join("\n"))
        }
    }
}
