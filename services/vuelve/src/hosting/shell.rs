//! Side effects away from the worker's thread: tasks that tell how they ended.
//!
//! Wanted property: whatever was begun is told of, a panic too. A claim of which nothing is told stays claimed for as long as
//! this process lives, takes up its place, and a drain waits for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;

use domain::BootTime;
use kafka::{Act, Done, Shell};
use messaging::{Attempt, Completion, Email, Messaging};
use stream::{ClaimId, Key, Partition};
use tokio::runtime::Handle;

/// What sends a message: SMTP, the demo's mailbox.
pub trait Channel: Send + Sync + 'static {
    /// How many messages it can send at once.
    fn capacity(&self) -> usize;
    /// Sends one, unless its claim is too old by the boot-time clock.
    fn send(&self, email: Email, claimed_at: BootTime) -> Pin<Box<dyn Future<Output = Completion> + Send + '_>>;
}

/// Runs messaging's side effects as tasks.
pub struct SideEffects {
    channel: Arc<dyn Channel>,
    shares: usize,
    tokio: Handle,
    tell: mpsc::Sender<(Partition, Key, ClaimId, Completion)>,
    told: mpsc::Receiver<(Partition, Key, ClaimId, Completion)>,
}

impl SideEffects {
    /// Sends by `channel`, on the runtime of the caller, as one of so many who share it.
    pub fn new(channel: Arc<dyn Channel>, shares: usize) -> Self {
        let (tell, told) = mpsc::channel();
        Self { channel, shares, tokio: Handle::current(), tell, told }
    }
}

impl Shell<Messaging> for SideEffects {
    fn capacity(&self) -> usize {
        self.channel.capacity().div_ceil(self.shares)
    }

    fn perform(&mut self, act: Act<Messaging>) {
        let (channel, tell) = (Arc::clone(&self.channel), self.tell.clone());
        self.tokio.spawn(async move {
            // By the customer's time: the step takes the later of this and of hers.
            let at = act.action.due_at;
            let sending = tokio::spawn(async move { channel.send(act.action, act.claimed_at).await });
            // What the panic says may name the customer, and is not repeated.
            let completion = sending.await.unwrap_or_else(|_| {
                tracing::error!(claim = %act.claim, "the channel panicked: nobody knows whether this message left");
                Completion::new(at, Attempt::Uncertain("channel_panicked".to_owned()))
            });
            // The worker is gone: whoever takes over finds the claim.
            let _ = tell.send((act.partition, act.key, act.claim, completion));
        });
    }

    fn done(&mut self) -> Option<Done<Messaging>> {
        let (partition, key, claim, completion) = self.told.try_recv().ok()?;
        Some(Done { partition, key, claim, completion })
    }
}
