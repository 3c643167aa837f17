//! A channel with a defect.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::BootTime;
use messaging::{Attempt, Completion, Email};
use schemas::{MessageOutcome, Outcome};
use vuelve::hosting::Channel;

use crate::shop::{Shop, track};

const JOURNEY: &str = "
journey: cart-recovery
version: 1
trigger: { event: Product Added }
holdout: 0%
steps:
  - message: { as: first, template: cart-reminder-1, channel: email, category: cart }
";

/// Has one place, and panics at its first message.
#[derive(Default)]
struct PanicsOnce {
    panicked: AtomicBool,
}

impl Channel for PanicsOnce {
    fn capacity(&self) -> usize {
        1
    }

    fn send(&self, email: Email, _claimed_at: BootTime) -> Pin<Box<dyn Future<Output = Completion> + Send + '_>> {
        Box::pin(async move {
            assert!(self.panicked.swap(true, Ordering::Relaxed), "this message is too much");
            Completion::new(email.due_at, Attempt::Sent)
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_panics_leaves_the_message_unknown_its_place_free_and_the_process_able_to_drain() {
    let shop = Shop::open_with(JOURNEY, Arc::new(PanicsOnce::default())).await;
    for customer in ["ana", "bea"] {
        shop.post("/v1/track", track(customer, "Product Added")).await;
    }
    let ended = async |shop: &Shop| {
        let outcomes = shop.all::<MessageOutcome>("messaging.outcomes").await;
        (outcomes.len() == 2).then_some(outcomes)
    };
    let outcomes = shop.until("both outcomes", ended).await;
    let mut ended: Vec<_> = outcomes.iter().map(|outcome| (outcome.outcome, outcome.reason.as_deref())).collect();
    ended.sort_by_key(|(outcome, _)| *outcome != Outcome::Unknown);
    assert_eq!(ended, [(Outcome::Unknown, Some("channel_panicked")), (Outcome::Sent, None)]);
    shop.close().await;
}
