//! The service of row T1: every event of a customer sets her reminder anew, an order cancels it, and one that falls due is
//! told. It exists only here.

use std::sync::Arc;

use domain::Timestamp;
use schemas::{AvroSchema, Contract, EncodeError, Schemas, StateContract, StorefrontEvent};
use serde::{Deserialize, Serialize};
use stream::{
    Cause, Clock, Context, Dataset, Decoded, Disposition, Due, Effects, Input, Output, Poison, RecordRef, Service,
    State, Topology,
};

pub(crate) const CHANGELOG: &str = "reminders.changelog";
pub(crate) const REMINDED: &str = "reminders.reminded";
pub(crate) const MARKS: &str = "ingestion.marks";

static TOPOLOGY: Topology = Topology {
    service: "reminders",
    inputs: &[Input { dataset: "storefront.events", clock: Clock::Marks(MARKS) }],
    tables: &[],
    outputs: &[REMINDED],
    changelog: CHANGELOG,
    marks: None,
};

static CHANGELOG_SCHEMA: AvroSchema =
    AvroSchema::changelog("RemindersChangelog", "vuelve.bench", include_str!("reminders_state.avsc"));
static REMINDED_SCHEMA: AvroSchema = AvroSchema::record("Reminded", include_str!("reminded.avsc"));

/// The schemas of what it keeps and writes, by their data sets.
pub(crate) fn schemas() -> [(&'static str, &'static AvroSchema); 2] {
    [(CHANGELOG, &CHANGELOG_SCHEMA), (REMINDED, &REMINDED_SCHEMA)]
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RemindersState {
    pub(crate) due_at: Option<i64>,
    pub(crate) set: i64,
}

impl StateContract for RemindersState {
    const NAME: &'static str = "RemindersChangelog";

    fn changelog() -> &'static AvroSchema {
        &CHANGELOG_SCHEMA
    }
}

impl State for RemindersState {
    fn due(&self) -> Due {
        Due { timer: self.due_at.map(Timestamp::from_millis), ..Due::default() }
    }
}

/// A reminder that fell due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reminded {
    pub(crate) customer_id: String,
    pub(crate) due_at: i64,
}

impl Contract for Reminded {
    const NAME: &'static str = "Reminded";

    fn schema() -> &'static AvroSchema {
        &REMINDED_SCHEMA
    }
}

impl Output for Reminded {
    fn dataset(&self) -> Dataset {
        REMINDED
    }

    fn key(&self) -> &str {
        &self.customer_id
    }

    fn encode(&self, schemas: &Schemas, buffer: &mut Vec<u8>) -> Result<bool, EncodeError> {
        schemas.encode(REMINDED, self, buffer)?;
        Ok(true)
    }
}

/// What it reads of an event.
#[derive(Debug, Deserialize)]
struct EventView<'a> {
    #[serde(borrow)]
    customer_id: Option<&'a str>,
    name: &'a str,
    event_time: i64,
}

/// What an event does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Set,
    Cancel,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Reminders;

impl Service for Reminders {
    /// So long after the event that set it a reminder is due; milliseconds.
    type Policy = i64;
    type State = RemindersState;
    type Input = Asked;
    type Output = Reminded;
    type Action = std::convert::Infallible;
    type Completion = std::convert::Infallible;

    fn topology() -> &'static Topology {
        &TOPOLOGY
    }

    fn decode(schemas: &Schemas, record: &RecordRef<'_>) -> Result<Decoded<Asked>, Poison> {
        let poison = |detail: String| Poison { reason: "malformed", detail };
        let value = record.value.ok_or_else(|| poison("no value".to_owned()))?;
        let event: EventView<'_> =
            schemas.decode_view::<StorefrontEvent, _>(value).map_err(|error| poison(error.to_string()))?;
        let customer = event.customer_id.ok_or_else(|| poison("no customer".to_owned()))?;
        let input = if event.name == "Order Completed" { Asked::Cancel } else { Asked::Set };
        Ok(Decoded { key: Arc::from(customer), at: Timestamp::from_millis(event.event_time), input })
    }

    fn apply_table(_: &mut i64, _: &Schemas, _: &RecordRef<'_>) -> Result<bool, Poison> {
        Ok(false)
    }

    fn step(
        wait_ms: &i64,
        state: &mut RemindersState,
        cause: Cause<Asked, Self::Completion>,
        context: &Context<'_>,
        effects: &mut Effects<Reminded, Self::Action>,
    ) -> Disposition {
        match cause {
            Cause::Record(Asked::Set) => {
                state.due_at = Some(context.now.as_millis() + wait_ms);
                state.set += 1;
            }
            Cause::Record(Asked::Cancel) if state.due_at.is_none() => return Disposition::Ignored("nothing_to_cancel"),
            Cause::Record(Asked::Cancel) => state.due_at = None,
            Cause::Timer => {
                if let Some(due_at) = state.due_at.take() {
                    effects.emit(Reminded { customer_id: context.key.to_string(), due_at });
                }
            }
            _ => return Disposition::Ignored("not_asked_for"),
        }
        Disposition::Emitted
    }
}
