//! What a journey says. A value of these types has been checked: names resolve, waits are longer than nothing.

use std::sync::Arc;

use domain::HumanDuration;

use crate::diagnostic::Origin;
use crate::expression::Expression;
use crate::values::{Percent, TimeOfDay, Zone};

/// A journey in one of its versions.
#[derive(Clone, Debug, PartialEq)]
pub struct Journey {
    /// Its name.
    pub name: Arc<str>,
    /// Its version; runs end on the one that they began with.
    pub version: i32,
    /// What opens a run; at least one.
    pub triggers: Vec<Trigger>,
    /// What tells its runs apart; none: one run a customer.
    pub correlate: Option<Field>,
    /// What holdout and experiments are judged by.
    pub goal: Option<Goal>,
    /// The events that end a run.
    pub exits: Vec<EventPattern>,
    /// How long after a run's end until another may begin.
    pub reentry: HumanDuration,
    /// The share of customers that is held out.
    pub holdout: Percent,
    /// What happens, in order; at least one step.
    pub steps: Vec<Step>,
}

/// A field of an event by which events belong together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The cart; where an event lacks it, the customer's open cart.
    CartId,
    /// The order.
    OrderId,
    /// The checkout.
    CheckoutId,
    /// The product.
    ProductId,
    /// The stock keeping unit.
    Sku,
    /// The product's category.
    Category,
    /// A property of the event's own: `properties.<name>`.
    Property(Arc<str>),
}

/// The name of what happens when a customer enters a segment.
pub const SEGMENT_ENTERED: &str = "Segment Entered";
/// The name of what happens when she leaves one.
pub const SEGMENT_LEFT: &str = "Segment Left";

/// The name of what happens when a date of hers has come.
pub const DATE_REACHED: &str = "Date Reached";

/// What opens a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// An event of the storefront, by its canonical name.
    Event(Arc<str>),
    /// A customer enters a segment.
    Entered {
        /// Which.
        segment: SegmentName,
        /// Who is in it when the journey is applied is let in, too: so many an hour. None: nobody of them.
        existing_per_hour: Option<u32>,
    },
    /// She leaves one.
    Left(SegmentName),
    /// A date of hers has come.
    Date(DateTrigger),
}

/// A date of each customer's own.
#[derive(Clone, Debug, PartialEq)]
pub struct DateTrigger {
    /// The trait that holds it.
    pub trait_name: Arc<str>,
    /// Whether it comes again every year; else it comes once.
    pub yearly: bool,
    /// At what time of that day.
    pub at: TimeOfDay,
    /// By whose clock.
    pub zone: Zone,
}

impl Trigger {
    /// The name of the event that it is about.
    pub fn event(&self) -> &str {
        match self {
            Self::Event(event) => event,
            Self::Entered { .. } => SEGMENT_ENTERED,
            Self::Left(_) => SEGMENT_LEFT,
            Self::Date(_) => DATE_REACHED,
        }
    }

    /// The date that it is about, if it is about one.
    pub fn date(self) -> Option<DateTrigger> {
        if let Self::Date(date) = self { Some(date) } else { None }
    }

    /// The segment that it is about, if it is about one.
    pub const fn segment(&self) -> Option<&SegmentName> {
        match self {
            Self::Entered { segment, .. } | Self::Left(segment) => Some(segment),
            Self::Event(_) | Self::Date(_) => None,
        }
    }
}

/// A segment that a journey names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentName {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is named.
    pub at: Origin,
}

/// An event that a journey waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPattern {
    /// Its canonical name; [`SEGMENT_ENTERED`] or [`SEGMENT_LEFT`] where it is about a segment.
    pub event: Arc<str>,
    /// The segment that she enters or leaves; none: an event of the storefront.
    pub segment: Option<SegmentName>,
    /// The field that has to be the run's; an event that lacks it matches every run.
    pub same: Option<Field>,
}

/// What a journey is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// The event.
    pub event: Arc<str>,
    /// Within so long after the run began.
    pub within: HumanDuration,
}

/// A step and how it is called in decisions: its `as`, else its place (`3`, `5.then.1`).
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The label, unique in the journey.
    pub label: Arc<str>,
    /// What it does.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Waits.
    Wait(WaitStep),
    /// Asks for a message.
    Message(MessageStep),
    /// Takes one of two ways.
    When(WhenStep),
    /// Ends the run.
    End {
        /// Why, for the record.
        reason: Option<Arc<str>>,
    },
}

/// A wait.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitStep {
    /// Its name for `run.<as>.timed_out`.
    pub name: Option<Arc<str>>,
    /// For what.
    pub wait: Wait,
    /// Each of these events begins it anew.
    pub restart_on: Vec<EventPattern>,
}

/// What a wait waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Wait {
    /// A length of time.
    Duration(HumanDuration),
    /// The next time that a clock shows this.
    Until {
        /// The time of day.
        at: TimeOfDay,
        /// By whose clock.
        zone: Zone,
    },
    /// Something that happens.
    For {
        /// Any of these.
        what: Vec<Awaited>,
        /// How long at most.
        timeout: HumanDuration,
    },
}

/// Something that a wait waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// An event of the customer.
    Event {
        /// Which.
        pattern: EventPattern,
        /// Only one whose property `message_id` is that of this step's message.
        about: Option<Arc<str>>,
    },
    /// The outcome of a message.
    Outcome {
        /// Any of these; empty: whatever it is.
        outcomes: Vec<Arc<str>>,
        /// The step that asked for the message.
        about: Arc<str>,
    },
}

/// Asks messaging for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageStep {
    /// Its name for `run.<as>`.
    pub name: Option<Arc<str>>,
    /// The template.
    pub template: Arc<str>,
    /// The channels, in order of preference; at least one.
    pub channels: Vec<Channel>,
    /// The category, one of the messaging settings.
    pub category: Arc<str>,
    /// How long it may be put off.
    pub expires: HumanDuration,
    /// Where its template is named.
    pub template_at: Origin,
    /// Where its category is named, or else the message.
    pub category_at: Origin,
}

/// A way to reach a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// E-mail.
    Email,
    /// Push notification.
    Push,
    /// Text message.
    Sms,
    /// `WhatsApp`.
    Whatsapp,
}

/// Takes one of two ways.
#[derive(Clone, Debug, PartialEq)]
pub struct WhenStep {
    /// The condition; what has no answer counts as no.
    pub condition: Expression,
    /// If it holds.
    pub then: Vec<Step>,
    /// If it does not, or has no answer.
    pub otherwise: Vec<Step>,
}

impl Channel {
    /// All channels that a definition may name.
    pub const ALL: [Self; 4] = [Self::Email, Self::Push, Self::Sms, Self::Whatsapp];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Push => "push",
            Self::Sms => "sms",
            Self::Whatsapp => "whatsapp",
        }
    }

    /// Whether this version sends by it.
    pub const fn available(self) -> bool {
        matches!(self, Self::Email)
    }
}

impl Field {
    const NAMED: [(&'static str, Self); 6] = [
        ("cart_id", Self::CartId),
        ("order_id", Self::OrderId),
        ("checkout_id", Self::CheckoutId),
        ("product_id", Self::ProductId),
        ("sku", Self::Sku),
        ("category", Self::Category),
    ];

    /// The field of that name, or `properties.<name>`.
    pub fn parse(name: &str) -> Option<Self> {
        if let Some(property) = name.strip_prefix("properties.") {
            return (!property.is_empty() && property.len() <= 64).then(|| Self::Property(property.into()));
        }
        Self::NAMED.iter().find(|(known, _)| *known == name).map(|(_, field)| field.clone())
    }

    /// The names of the fields.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMED.iter().map(|(name, _)| *name).chain(["properties.<name>"])
    }
}

impl Journey {
    /// Every step, with those inside `then` and `else`, in the order of the text.
    pub fn all_steps(&self) -> Vec<&Step> {
        fn walk<'j>(steps: &'j [Step], found: &mut Vec<&'j Step>) {
            for step in steps {
                found.push(step);
                if let Action::When(when) = &step.action {
                    walk(&when.then, found);
                    walk(&when.otherwise, found);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.steps, &mut found);
        found
    }

    /// The segments that it names.
    pub fn segments(&self) -> Vec<&SegmentName> {
        let triggers = self.triggers.iter().filter_map(Trigger::segment);
        triggers.chain(self.patterns().into_iter().filter_map(|pattern| pattern.segment.as_ref())).collect()
    }

    /// Every event that can concern a run.
    pub fn patterns(&self) -> Vec<&EventPattern> {
        let mut patterns: Vec<&EventPattern> = self.exits.iter().collect();
        for step in self.all_steps() {
            if let Action::Wait(wait) = &step.action {
                patterns.extend(&wait.restart_on);
                if let Wait::For { what, .. } = &wait.wait {
                    patterns.extend(what.iter().filter_map(|awaited| match awaited {
                        Awaited::Event { pattern, .. } => Some(pattern),
                        Awaited::Outcome { .. } => None,
                    }));
                }
            }
        }
        patterns
    }
}
