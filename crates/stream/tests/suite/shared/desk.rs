//! A service to try the engine with: a desk that is told short commands and keeps a log of all that it saw.
//!
//! A record's value is text, `TIME COMMAND [ARGUMENT]`, with the event time in ms:
//! `note`, `remind AT` (a timer), `chain N` (a timer a ms later, N times), `ask ID` (wants a side effect), `hold` (waits for
//! the next revision of the policy), `ignore`, `reject`, `forget` (ends the state), `echo` (an output and nothing else),
//! `stuck` (a timer that never goes), `grow BYTES`, `label NAME` and `unlabel NAME` (the state is found under it, or no longer).

use std::marker::PhantomData;
use std::sync::{Arc, LazyLock};

use domain::Timestamp;
use schemas::{AvroSchema, EncodeError, Schemas, StateContract};
use serde::{Deserialize, Serialize};
use stream::{
    Cause, ClaimId, Clock, Context, Dataset, DeadLetter, Decoded, Disposition, Due, Effects, Input, Label, Output,
    Poison, RecordRef, Service, State, Topology,
};

pub const ORDERS: &str = "test.orders";
pub const NOTES: &str = "test.notes";
pub const RULES: usize = 0;
pub const UPSTREAM: &str = "upstream.marks";
/// What a desk writes that takes no notice of its rules.
pub const PLAIN: &str = "plain";

static CHANGELOG: AvroSchema = AvroSchema::changelog("DeskChangelog", "vuelve.test", include_str!("state.avsc"));
const CHANGELOG_ID: u32 = 900;

/// Schemas that know the desk's changelog.
pub fn schemas() -> Schemas {
    static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
        let schemas = Schemas::new();
        schemas.bind("test.changelog", CHANGELOG_ID);
        schemas.learn(CHANGELOG_ID, CHANGELOG.text()).unwrap();
        schemas
    });
    SCHEMAS.clone()
}

/// What drives the desk's time.
pub trait Wiring: std::fmt::Debug + Clone + PartialEq + Send + 'static {
    fn topology() -> &'static Topology;
}

macro_rules! wiring {
    ($name:ident, $inputs:expr) => {
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name;

        impl Wiring for $name {
            fn topology() -> &'static Topology {
                static TOPOLOGY: Topology = Topology {
                    service: "desk",
                    inputs: $inputs,
                    tables: &["test.rules", "test.house_rules"],
                    outputs: &["test.told"],
                    changelog: "test.changelog",
                    marks: Some("test.marks"),
                };
                &TOPOLOGY
            }
        }
    };
}

wiring!(
    Marked,
    &[Input { dataset: ORDERS, clock: Clock::Marks(UPSTREAM) }, Input { dataset: NOTES, clock: Clock::Unclocked },]
);
wiring!(
    Brokered,
    &[Input { dataset: ORDERS, clock: Clock::Broker }, Input { dataset: NOTES, clock: Clock::Unclocked }]
);
wiring!(
    TwiceMarked,
    &[
        Input { dataset: ORDERS, clock: Clock::Marks(UPSTREAM) },
        Input { dataset: NOTES, clock: Clock::Marks(UPSTREAM) },
    ]
);
wiring!(
    TwiceBrokered,
    &[Input { dataset: ORDERS, clock: Clock::Broker }, Input { dataset: NOTES, clock: Clock::Broker }]
);
wiring!(Clockless, &[Input { dataset: ORDERS, clock: Clock::Unclocked }]);

#[derive(Debug)]
pub struct Desk<W>(PhantomData<W>);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeskState {
    pub log: Vec<String>,
    pub timers: Vec<i64>,
    pub jobs: Vec<Job>,
    pub held: Option<i64>,
    pub stuck: bool,
    pub filler: String,
    pub labels: Vec<Label>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub id: String,
    pub since: i64,
    pub claimed: bool,
}

impl StateContract for DeskState {
    const NAME: &'static str = "DeskChangelog";

    fn changelog() -> &'static AvroSchema {
        &CHANGELOG
    }
}

impl State for DeskState {
    const INDEX: u32 = 1;

    fn indexed_under(&self) -> impl Iterator<Item = &Label> {
        self.labels.iter()
    }

    fn due(&self) -> Due {
        let since = |claimed: bool| self.jobs.iter().filter(|job| job.claimed == claimed).map(|job| job.since).min();
        Due {
            timer: self.timers.iter().min().copied().map(Timestamp::from_millis),
            ready: since(false).map(Timestamp::from_millis),
            claimed: since(true).map(Timestamp::from_millis),
            held: self.held.map(Timestamp::from_millis),
        }
    }
}

/// The rules in force, by name; `poison` can't be applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules(pub Vec<String>);

#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Note,
    Remind(i64),
    Chain(i64),
    Ask(String),
    Hold,
    Ignore,
    Reject,
    /// Can't be honoured yet.
    Aside(Box<DeadLetter>),
    Forget,
    Echo,
    Stuck,
    Grow(usize),
    Label(String),
    Unlabel(String),
    /// Breaks a promise: changes the state and says that it ignored it.
    Lie,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub key: String,
    pub what: String,
    pub now: i64,
}

pub fn told(key: &str, what: &str, now: i64) -> Told {
    Told { key: key.to_owned(), what: what.to_owned(), now }
}

impl Output for Told {
    fn dataset(&self) -> Dataset {
        "test.told"
    }

    fn key(&self) -> &str {
        &self.key
    }

    fn encode(&self, _: &Schemas, buffer: &mut Vec<u8>) -> Result<bool, EncodeError> {
        buffer.extend_from_slice(self.what.as_bytes());
        Ok(true)
    }
}

impl<W: Wiring> Service for Desk<W> {
    type Policy = Rules;
    type State = DeskState;
    type Input = Command;
    type Output = Told;
    type Action = String;
    type Completion = String;

    fn topology() -> &'static Topology {
        W::topology()
    }

    fn decode(_: &Schemas, record: &RecordRef<'_>) -> Result<Decoded<Command>, Poison> {
        let poison = |detail: &str| Poison { reason: "malformed", detail: detail.to_owned() };
        let text = |bytes: Option<&[u8]>| bytes.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
        let key = text(record.key).ok_or_else(|| poison("no key"))?;
        let value = text(record.value).ok_or_else(|| poison("no text"))?;
        let mut words = value.split(' ');
        let at = words.next().and_then(|word| word.parse().ok()).ok_or_else(|| poison("no time"))?;
        let (command, argument) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let number = || argument.parse().map_err(|_| poison("no number"));
        let input = match command {
            "note" => Command::Note,
            "remind" => Command::Remind(number()?),
            "chain" => Command::Chain(number()?),
            "ask" => Command::Ask(argument.to_owned()),
            "hold" => Command::Hold,
            "ignore" => Command::Ignore,
            "reject" => Command::Reject,
            "aside" => {
                let poison = Poison { reason: "not_yet", detail: "what it asks for is not built".to_owned() };
                let input = W::topology().inputs[record.input];
                Command::Aside(Box::new(record.dead_letter(input.dataset, poison)))
            }
            "forget" => Command::Forget,
            "echo" => Command::Echo,
            "stuck" => Command::Stuck,
            "grow" => Command::Grow(number()? as usize),
            "label" => Command::Label(argument.to_owned()),
            "unlabel" => Command::Unlabel(argument.to_owned()),
            "lie" => Command::Lie,
            _ => return Err(poison("no command")),
        };
        Ok(Decoded { key: Arc::from(key), at: Timestamp::from_millis(at), input })
    }

    fn apply_table(rules: &mut Rules, _: &Schemas, record: &RecordRef<'_>) -> Result<bool, Poison> {
        let rule = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
        if rule == "poison" {
            return Err(Poison { reason: "malformed", detail: "a rule that is none".to_owned() });
        }
        let quiet = rule == "quiet";
        rules.0.retain(|known| *known != rule);
        if record.value.is_some() {
            rules.0.push(rule);
        }
        Ok(!quiet)
    }

    fn step(
        rules: &Rules,
        state: &mut DeskState,
        cause: Cause<Command, String>,
        context: &Context<'_>,
        effects: &mut Effects<Told, String>,
    ) -> Disposition {
        let now = context.now.as_millis();
        let mut tell = |state: &mut DeskState, what: String| {
            let ruled =
                rules.0.last().filter(|rule| *rule != PLAIN).map_or(String::new(), |rule| format!(" by {rule}"));
            effects.emit(Told { key: context.key.to_string(), what: format!("{what}{ruled}"), now });
            state.log.push(format!("{what} at {now}"));
            Disposition::Emitted
        };
        match cause {
            Cause::Record(command) => match command {
                Command::Note => tell(state, "noted".to_owned()),
                Command::Remind(at) => {
                    state.timers.push(at);
                    tell(state, format!("set {at}"))
                }
                Command::Chain(links) => {
                    state.filler = "c".repeat(links as usize);
                    state.timers.push(now + 1);
                    tell(state, format!("chained {links}"))
                }
                Command::Ask(id) => {
                    state.jobs.push(Job { id: id.clone(), since: now, claimed: false });
                    tell(state, format!("asked {id}"))
                }
                Command::Hold => {
                    state.held = Some(context.revision.as_millis());
                    tell(state, "held".to_owned())
                }
                Command::Ignore => Disposition::Ignored("nothing_to_do"),
                Command::Reject => {
                    // A refusal may be told without a change of the state.
                    effects.emit(told(context.key, "rejected", now));
                    Disposition::Rejected("not_allowed")
                }
                Command::Aside(letter) => effects.set_aside(*letter),
                Command::Forget => {
                    *state = DeskState::default();
                    Disposition::Emitted
                }
                Command::Echo => {
                    effects.emit(told(context.key, "echo", now));
                    Disposition::Emitted
                }
                Command::Stuck => {
                    state.stuck = true;
                    state.timers.push(now + 1);
                    Disposition::Emitted
                }
                Command::Grow(bytes) => {
                    state.filler = "x".repeat(bytes);
                    Disposition::Emitted
                }
                Command::Label(label) => {
                    if !state.labels.iter().any(|known| **known == *label) {
                        state.labels.push(Label::from(label));
                    }
                    Disposition::Emitted
                }
                Command::Unlabel(label) => {
                    state.labels.retain(|known| **known != *label);
                    Disposition::Emitted
                }
                Command::Lie => {
                    state.log.push("lied".to_owned());
                    Disposition::Ignored("nothing_to_do")
                }
            },
            Cause::Timer if state.stuck => Disposition::Ignored("stuck"),
            Cause::Timer => {
                let due = state.timers.iter().min().copied().unwrap_or_default();
                state.timers.retain(|timer| *timer != due);
                if state.filler.starts_with('c') {
                    state.filler.pop();
                    if !state.filler.is_empty() {
                        state.timers.push(due + 1);
                    }
                }
                tell(state, format!("reminded {due}"))
            }
            Cause::Claim => {
                let Some(job) = state.jobs.iter_mut().filter(|job| !job.claimed).min_by_key(|job| job.since) else {
                    return Disposition::Ignored("nothing_to_claim");
                };
                if job.id.starts_with("refuse") {
                    return Disposition::Ignored("refused");
                }
                job.claimed = true;
                let id = job.id.clone();
                effects.act(ClaimId::from(id.as_str()), format!("do {id}"));
                state.log.push(format!("claimed {id}"));
                Disposition::Emitted
            }
            Cause::Completed(claim, how) => {
                let jobs = state.jobs.len();
                state.jobs.retain(|job| job.id != *claim);
                if state.jobs.len() == jobs {
                    return Disposition::Ignored("not_claimed");
                }
                tell(state, format!("{claim} {how}"))
            }
            Cause::Abandoned => {
                let lost: Vec<Job> = state.jobs.iter().filter(|job| job.claimed).cloned().collect();
                state.jobs.retain(|job| !job.claimed);
                for job in &lost {
                    tell(state, format!("{} unknown", job.id));
                }
                Disposition::Emitted
            }
            Cause::PolicyChanged => {
                // Holds on, for the revision after this one.
                state.held = Some(context.revision.as_millis());
                tell(state, format!("told {}", context.revision.as_millis()))
            }
        }
    }
}
