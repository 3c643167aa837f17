//! What a shop's own models score of customers: at any time, late, in advance, and some of it twice.

use ingestion::partition_of;
use schemas::CustomerScore;

use crate::SCHEMAS;
use crate::chance::Chance;
use crate::workload::{PARTITIONS, Sent};
use crate::world::{BEGIN_MS, World};

/// Who is scored: customers of the shop, of whom there may be fewer, and one whom it does not know.
const SCORED: [&str; 4] = ["customer-0", "customer-1", "customer-2", "somebody-else"];
/// What is.
const NAMES: [&str; 3] = ["churn", "points", "tier"];
/// By so much a score may be late, or made in advance.
const MAY_BE_OFF_MS: u64 = 12 * 3_600_000;

/// A score, and when it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scored {
    /// What is published.
    pub score: CustomerScore,
    /// In which step of time.
    pub step: usize,
}

/// Draws some, in the order in which they come.
pub(crate) fn draw(chance: &mut Chance, steps: &[(Vec<Sent>, i64)]) -> Vec<Scored> {
    let mut all = Vec::new();
    for number in 0..chance.below(24) {
        let step = chance.below(steps.len() as u64) as usize;
        let off = (chance.below(2) * chance.below(MAY_BE_OFF_MS)).cast_signed() * *chance.one_of(&[1, -1, -1]);
        let name = *chance.one_of(&NAMES);
        let is_withdrawn = chance.below(5) == 0;
        let value = chance.below(100).cast_signed();
        let score = CustomerScore {
            customer_id: (*chance.one_of(&SCORED)).to_owned(),
            name: name.to_owned(),
            value: (name != "tier" && !is_withdrawn).then_some(value),
            label: (name == "tier" && !is_withdrawn).then(|| format!("tier-{}", value / 34)),
            scored_at: (steps[step].1 + off).max(BEGIN_MS),
            version: Some(format!("run-{number}")),
            hops: 0,
        };
        for _ in 0..*chance.one_of(&[0, 0, 1]) {
            let again = chance.between(step as u64, steps.len() as u64) as usize;
            all.push(Scored { score: score.clone(), step: again });
        }
        all.push(Scored { score, step });
    }
    all.sort_by_key(|scored| scored.step);
    all
}

impl World {
    /// It is published.
    pub(crate) fn score(&mut self, scored: &Scored) {
        let mut value = Vec::new();
        if SCHEMAS.encode("customer.scores", &scored.score, &mut value).is_ok() {
            let key = scored.score.customer_id.as_bytes();
            self.tell(|| format!("{:?} is published", scored.score));
            self.append("customer.scores", partition_of(key, PARTITIONS), key, &value);
        }
    }
}
