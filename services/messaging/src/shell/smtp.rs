//! The channel that sends by SMTP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::BootTime;
use lettre::Address;
use links::KeyRing;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::Instrument as _;

use super::clock::Clock;
use super::compose::Composer;
use super::connections::{Connection, Connections};
use super::conversation::{Ended, Patience, send};
use super::mail::{Sender, mail};
use super::options::{MessagingOptions, OptionProblem};
use super::pace::{Outage, Pace};
use super::telemetry::{Metrics, span, tell};
use crate::action::{Attempt, Completion, Email, Reason, Refusal, RefusalKind};

/// Sends messages by SMTP.
#[derive(Debug)]
pub struct SmtpChannel {
    composer: Arc<Composer>,
    clock: Arc<dyn Clock>,
    connections: Connections,
    patience: Patience,
    claim_deadline: Duration,
    senders: BTreeMap<String, Sender>,
    sender: Sender,
    places: usize,
    place: Semaphore,
    pace: Pace,
    outage: Outage,
    metrics: Metrics,
}

impl SmtpChannel {
    /// A channel with these settings, or all that is wrong with them. `keys` sign the unsubscribe links, which lead to
    /// the door at `base_url`. It connects when there is something to send.
    pub fn new(
        options: &MessagingOptions,
        keys: KeyRing,
        base_url: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Vec<OptionProblem>> {
        let mut problems = Vec::new();
        let smtp = &options.smtp;
        options.check_decisions(&mut problems);
        smtp.check(&mut problems);
        let composer = Composer::new(options, keys, base_url, &mut problems);
        let connections = Connections::new(smtp, &mut problems);
        let sender = sender(options, &mut problems);
        let senders = sender.iter().flat_map(|sender| shop_senders(options, sender, &mut problems)).collect();
        match sender {
            Some(sender) if problems.is_empty() => Ok(Self {
                composer: Arc::new(composer),
                clock,
                connections,
                patience: Patience { command: smtp.command_timeout.as_std(), accept: smtp.accept_timeout.as_std() },
                claim_deadline: options.claim_deadline.as_std(),
                senders,
                sender,
                places: usize::from(smtp.max_concurrent),
                place: Semaphore::new(usize::from(smtp.max_concurrent)),
                pace: Pace::new(smtp.rate_per_second),
                outage: Outage::default(),
                metrics: Metrics::new("email"),
            }),
            _ => Err(problems),
        }
    }

    /// How many messages may be under way. It is less while the server can't be reached, so that claims are not spent.
    pub fn capacity(&self) -> usize {
        self.outage.allows(self.places, Instant::now())
    }

    /// Sends a message, unless its claim is too old or the message has expired, and tells how it ended.
    pub async fn send(&self, email: Email, claimed_at: BootTime) -> Completion {
        let span = span(&email, "email");
        let attempt = self.attempt(&Arc::new(email), claimed_at).instrument(span.clone()).await;
        tell(&span, &attempt);
        self.metrics.ended(&attempt, self.clock.boot_time().since(claimed_at));
        Completion::new(self.clock.now(), attempt)
    }

    /// Says good-bye to the server on all connections that are not in use.
    pub async fn close(&self) {
        self.connections.close_all().await;
    }

    async fn attempt(&self, email: &Arc<Email>, claimed_at: BootTime) -> Attempt {
        let deadline = Instant::now() + self.claim_deadline.saturating_sub(self.clock.boot_time().since(claimed_at));
        if let Err(late) = self.in_time(email, claimed_at) {
            return late;
        }
        let composed = match self.composer.compose(email, self.clock.now()).await {
            Ok(composed) => composed,
            Err(reason) => return Attempt::RenderFailed(reason),
        };
        let sender = self.senders.get(&email.shop).unwrap_or(&self.sender);
        let message = match mail(email, &composed, sender, self.clock.now()) {
            Ok(message) => message,
            Err(reason) => return Attempt::Refused(Refusal { kind: RefusalKind::Permanent, reason }),
        };
        let Ok(Ok(_place)) = timeout_at(deadline, self.place.acquire()).await else { return Attempt::Dropped };
        match self.pace.place(Instant::now(), deadline) {
            Some(place) => sleep_until(place).await,
            None => return Attempt::Dropped,
        }
        self.deliver(email, &message, claimed_at).await
    }

    /// The claim is young and the message has not expired, or else why nothing is tried.
    fn in_time(&self, email: &Email, claimed_at: BootTime) -> Result<(), Attempt> {
        if self.clock.boot_time().since(claimed_at) >= self.claim_deadline {
            Err(Attempt::Dropped)
        } else if self.clock.now() >= email.expires_at {
            Err(Attempt::Expired)
        } else {
            Ok(())
        }
    }

    async fn deliver(&self, email: &Email, message: &lettre::Message, claimed_at: BootTime) -> Attempt {
        let bytes = message.formatted();
        let mut connection = match self.connection(self.connections.get()).await {
            Ok(connection) => connection,
            Err(reason) => return Attempt::NotConnected(reason),
        };
        loop {
            if let Err(late) = self.in_time(email, claimed_at) {
                self.connections.give_back(connection).await;
                return late;
            }
            let was_used = connection.is_used();
            let Ended { attempt, reusable, lost_at_once } =
                send(&mut connection.smtp, message.envelope(), &bytes, self.patience).await;
            if reusable {
                self.connections.give_back(connection).await;
            } else if lost_at_once && was_used {
                // The server had closed the idle connection: nothing was said of this message yet.
                connection = match self.connection(self.connections.open()).await {
                    Ok(connection) => connection,
                    Err(reason) => return Attempt::NotConnected(reason),
                };
                continue;
            }
            return attempt;
        }
    }

    async fn connection(
        &self,
        connecting: impl Future<Output = Result<Connection, Reason>>,
    ) -> Result<Connection, Reason> {
        let connection = connecting.await;
        match &connection {
            Ok(_) => self.outage.connected(),
            Err(_) => self.outage.not_connected(Instant::now()),
        }
        connection
    }
}

fn sender(options: &MessagingOptions, problems: &mut Vec<OptionProblem>) -> Option<Sender> {
    let from = address("messaging.smtp.from", &options.smtp.from, problems)?;
    let domain = options.smtp.message_id_domain.clone().unwrap_or_else(|| from.domain().to_owned());
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    if domain.is_empty() || !domain.bytes().all(fits) {
        let problem = format!("`{domain}` is not a domain in ASCII, such as mail.example.com");
        problems.push(OptionProblem::new("messaging.smtp.message_id_domain", problem));
        return None;
    }
    Some(Sender { from, reply_to: None, message_id_domain: domain })
}

fn shop_senders(
    options: &MessagingOptions,
    sender: &Sender,
    problems: &mut Vec<OptionProblem>,
) -> Vec<(String, Sender)> {
    let mut senders = Vec::new();
    for (id, shop) in &options.shops {
        let mut own = |key: &str, text: &Option<String>| {
            text.as_ref().and_then(|text| address(&format!("messaging.shops.{id}.{key}"), text, problems))
        };
        let from = own("from", &shop.from).unwrap_or_else(|| sender.from.clone());
        let reply_to = own("reply_to", &shop.reply_to);
        senders.push((id.clone(), Sender { from, reply_to, ..sender.clone() }));
    }
    senders
}

fn address(key: &str, text: &str, problems: &mut Vec<OptionProblem>) -> Option<Address> {
    let address = text.trim().parse();
    if address.is_err() {
        let problem = if text.trim().is_empty() { "the address is missing" } else { "this is not an e-mail address" };
        problems.push(OptionProblem::new(key, format!("{problem}; one such as hello@shop.example.com is expected")));
    }
    address.ok()
}
