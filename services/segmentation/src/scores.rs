//! What others score of her: a shop's own models and loyalty systems, and later services.
//!
//! Wanted properties:
//! - of each name the score that was made last counts, in whatever order and however often they are told; of two as of the same
//!   moment the one that is told later;
//! - one that was withdrawn is remembered as that, so that an older one that is told late does not bring it back;
//! - at most [`MAX_SCORES`] names: one more pushes out the one scored longest ago, which may be itself;
//! - nobody scores in the future: the broker's time counts then;
//! - what is scored of somebody who is not known makes nobody of it, and is kept for when she is, for as long as a visitor;
//! - no customer is named by an address: ids go where personal data may not;
//! - what was scored before she was erased is not known any more;
//! - the same with another moment is not told to others;
//! - a record that breaks the contract, or lies where its customer does not, is put aside as it came.

use definitions::is_score_name;
use domain::{Timestamp, is_personal};
use schemas::{ChangeCause, CustomerScore, MAX_HOPS, Schemas, Score};
use stream::{Context, DeadLetter, Decoded, Disposition, Key, Poison, RecordRef};

use crate::heard::{Heard, take_over};
use crate::input::{self, Input};
use crate::policy::Policy;
use crate::state::{KeptScore, MAX_SCORES, SegmentationState};
use crate::{Effects, topology};

/// The name of the score whose label is her tier.
const TIER: &str = "tier";
/// At most so many bytes of a label, and of a version.
const MAX_TEXT_BYTES: usize = 64;
/// A time before this is no time: 1990.
const EARLIEST: Timestamp = Timestamp::from_seconds(631_152_000);

/// What somebody scored.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// As it is to be kept.
    pub score: KeptScore,
    /// Hops of the record.
    pub hops: i32,
    /// The record as it came, for where it lies on another partition than its customer.
    pub misplaced: DeadLetter,
}

/// Reads a record, and makes sure that it is of whom its key names and keeps to the contract.
pub(crate) fn decode(schemas: &Schemas, record: &RecordRef<'_>, key: Key) -> Result<Decoded<Input>, Poison> {
    let value = record.value.ok_or_else(|| {
        poison("no_value", "the record has no value: a score is withdrawn by one without value and label".to_owned())
    })?;
    let told: CustomerScore = schemas.decode(value).map_err(|error| input::malformed(&error))?;
    if told.customer_id != *key {
        return Err(input::key_mismatch());
    }
    check(&told)?;
    let at = as_of(Timestamp::from_millis(told.scored_at), record.timestamp);
    let CustomerScore { name, value, label, version, hops, .. } = told;
    let score = KeptScore { name: name.into(), value, label, scored_at: at, version };
    let misplaced = record.dead_letter(topology::SCORES, foreign_partition());
    Ok(Decoded { key, at, input: Input::Scored(Box::new(Scored { score, hops, misplaced })) })
}

/// What the schema can't say.
fn check(told: &CustomerScore) -> Result<(), Poison> {
    if is_personal(&told.customer_id) {
        let detail = "customer_id is an e-mail address or a phone number: send the id under which she is known here";
        return Err(poison("personal_id", detail.to_owned()));
    }
    if !is_score_name(&told.name) {
        let detail = "name is no lower-case letter followed by at most 31 lower-case letters, digits and underscores";
        return Err(poison("bad_name", detail.to_owned()));
    }
    if told.value.is_some() && told.label.is_some() {
        let detail = "value and label are both there: a score is a number or a word, and without either withdrawn";
        return Err(poison("value_and_label", detail.to_owned()));
    }
    for (field, reason, text) in [("label", "bad_label", &told.label), ("version", "bad_version", &told.version)] {
        if text.as_ref().is_some_and(|text| text.is_empty() || text.len() > MAX_TEXT_BYTES) {
            return Err(poison(reason, format!("{field} is empty or longer than {MAX_TEXT_BYTES} bytes")));
        }
    }
    if !(0..=MAX_HOPS).contains(&told.hops) {
        return Err(poison("too_many_hops", format!("hops is not among 0 to {MAX_HOPS}")));
    }
    Ok(())
}

/// The time in force for a claimed one.
fn as_of(claimed: Timestamp, stored_at: Timestamp) -> Timestamp {
    if claimed < EARLIEST { stored_at } else { claimed.min(stored_at) }
}

fn foreign_partition() -> Poison {
    let detail = "the record lies on another partition than murmur2, Java's partitioner, gives its key";
    poison("foreign_partition", detail.to_owned())
}

const fn poison(reason: &'static str, detail: String) -> Poison {
    Poison { reason, detail }
}

/// Takes over what was scored.
pub(crate) fn receive(
    policy: &Policy,
    state: &mut SegmentationState,
    told: Scored,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let Scored { score, hops, misplaced } = told;
    // Another worker has her state: here she would be somebody else of the same id.
    if !policy.is_partition_of(context.key, misplaced.partition) {
        return effects.set_aside(misplaced);
    }
    if state.is_erased(score.scored_at.as_millis()) {
        return Disposition::Ignored("erased");
    }
    let what = format!("{} {:?} {:?}", score.name, score.value, score.label);
    let heard = Heard { cause: ChangeCause::Score, at: score.scored_at, hops, what: &what };
    let mut scores = state.scores.clone();
    if let Err(reason) = keep(&mut scores, score) {
        return Disposition::Ignored(reason);
    }
    if state.is_nobody() || told_of(&scores).eq(told_of(&state.scores)) {
        state.scores = scores;
    } else {
        take_over(policy, state, heard, context, effects, |state| {
            state.scores = scores;
            true
        });
    }
    Disposition::Emitted
}

/// Puts a score among the others, which are by name; an error where it says nothing new.
fn keep(scores: &mut Vec<KeptScore>, score: KeptScore) -> Result<(), &'static str> {
    match scores.binary_search_by(|kept| kept.name.cmp(&score.name)) {
        Ok(place) if score.scored_at < scores[place].scored_at => return Err("older"),
        Ok(place) if score == scores[place] => return Err("nothing_new"),
        Ok(place) => scores[place] = score,
        Err(place) => {
            scores.insert(place, score);
            if scores.len() > MAX_SCORES {
                // By name where moments are equal, so that the same are left in whatever order they came.
                let eldest = scores.iter().enumerate().min_by_key(|(_, kept)| (kept.scored_at, &kept.name));
                let eldest = eldest.map_or(place, |(eldest, _)| eldest);
                scores.remove(eldest);
                if eldest == place {
                    return Err("older");
                }
            }
        }
    }
    Ok(())
}

/// What others see of them.
fn told_of(scores: &[KeptScore]) -> impl Iterator<Item = (&str, Option<i64>, Option<&str>)> {
    let stands = scores.iter().filter(|kept| !kept.is_withdrawn());
    stands.map(|kept| (&*kept.name, kept.value, kept.label.as_deref()))
}

impl SegmentationState {
    /// The number that was scored last under a name.
    pub(crate) fn score(&self, name: &str) -> Option<i64> {
        self.scores.iter().find(|kept| *kept.name == *name)?.value
    }

    /// Her tier.
    pub(crate) fn tier(&self) -> Option<&str> {
        self.scores.iter().find(|kept| *kept.name == *TIER)?.label.as_deref()
    }

    /// Her scores, as others are told of them.
    pub(crate) fn told_scores(&self) -> Vec<Score> {
        let told = |(name, value, label): (&str, Option<i64>, Option<&str>)| Score {
            name: name.to_owned(),
            value,
            label: label.map(str::to_owned),
        };
        told_of(&self.scores).map(told).collect()
    }
}

impl KeptScore {
    /// Whether nothing counts under its name any more.
    pub(crate) const fn is_withdrawn(&self) -> bool {
        self.value.is_none() && self.label.is_none()
    }
}
