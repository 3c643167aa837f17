//! What customers want of messages: some unsubscribe and subscribe again, by the link in a message, at any time; and the mailbox
//! of one does not exist.

use domain::Timestamp;
use ingestion::partition_of;
use links::{AddressHash, Secret};
use schemas::{CommandKind, MessagingCommand};

use crate::SCHEMAS;
use crate::chance::Chance;
use crate::workload::PARTITIONS;
use crate::world::{BEGIN_MS, World};

/// Those of the shop's customers who have an address and may have had enough.
const WISHING: [&str; 2] = ["customer-1", "customer-5"];
/// She has an address that does not exist.
pub const BOUNCING: &str = "customer-3";
/// Before it no time in this world lies, and after it none is long.
const MAY_BE_LATE_MS: i64 = 2 * 3_600_000;

/// A wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Whose.
    pub customer: &'static str,
    /// To be written to; else not to be.
    pub wanted: bool,
    /// In which step of time she says so.
    pub step: usize,
    /// How long that took to get here.
    pub late_ms: i64,
}

/// What addresses are hashed with.
pub fn secret() -> Option<Secret> {
    Secret::new(*b"sixteen bytes or more").ok()
}

/// The address of a customer of the shop.
pub fn address(customer: &str) -> String {
    format!("{customer}@example.com")
}

/// Its hash.
pub fn address_hash(customer: &str) -> String {
    secret().map(|secret| AddressHash::of(&secret, &address(customer)).to_string()).unwrap_or_default()
}

/// Draws some, in the order in which they come.
pub(crate) fn draw(chance: &mut Chance, steps: usize) -> Vec<Wish> {
    let mut wishes: Vec<Wish> = (0..chance.below(10))
        .map(|_| Wish {
            customer: WISHING[chance.below(WISHING.len() as u64) as usize],
            wanted: chance.below(2) == 0,
            step: chance.below(steps as u64) as usize,
            late_ms: chance.below(2) as i64 * chance.below(MAY_BE_LATE_MS as u64) as i64,
        })
        .collect();
    wishes.sort_by_key(|wish| wish.step);
    wishes
}

impl World {
    /// It arrives, and is told twice sometimes.
    pub(crate) fn wish(&mut self, wish: &Wish, number: usize) {
        let at = (self.wall_ms() - wish.late_ms).max(BEGIN_MS);
        let command = MessagingCommand {
            request_id: format!("wish-{number}"),
            kind: if wish.wanted { CommandKind::Subscribe } else { CommandKind::Unsubscribe },
            customer_id: wish.customer.to_owned(),
            address_hash: Some(address_hash(wish.customer)),
            message_id: None,
            category: None,
            shop: "shop".to_owned(),
            at: Timestamp::from_millis(at).as_millis(),
            source: "simulation".to_owned(),
        };
        let mut value = Vec::new();
        if SCHEMAS.encode("messaging.commands", &command, &mut value).is_ok() {
            self.tell(|| format!("{} wants messages: {}, as of {at}", wish.customer, wish.wanted));
            let partition = partition_of(wish.customer.as_bytes(), PARTITIONS);
            self.append("messaging.commands", partition, wish.customer.as_bytes(), &value);
        }
    }
}
