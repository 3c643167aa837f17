//! Events as journeys name them: `{ event: Product Added, same: cart_id }`, or the name alone; and segments that are entered
//! or left: `{ segment: vip }`, `{ segment: vip, left: true }`; and dates: `{ date: customer.traits.birthday, at: "10:00" }`.

use std::sync::Arc;

use crate::diagnostic::{Origin, Report};
use crate::fields::Fields;
use crate::journey::{DateTrigger, EventPattern, Field, SEGMENT_ENTERED, SEGMENT_LEFT, SegmentName, Trigger};
use crate::suggest;
use crate::values::{Zone, boolean, name, one_or_many, per_hour, phrase, shortened, text, time_of_day, zone};
use crate::yaml::{Content, Node};

/// The names of the Segment e-commerce specification, version 2, and those that messages give rise to.
const STANDARD: &[&str] = &[
    "Products Searched",
    "Product List Viewed",
    "Product List Filtered",
    "Promotion Viewed",
    "Promotion Clicked",
    "Product Clicked",
    "Product Viewed",
    "Product Added",
    "Product Removed",
    "Cart Viewed",
    "Checkout Started",
    "Checkout Step Viewed",
    "Checkout Step Completed",
    "Payment Info Entered",
    "Order Completed",
    "Order Updated",
    "Order Cancelled",
    "Order Refunded",
    "Coupon Entered",
    "Coupon Applied",
    "Coupon Denied",
    "Coupon Removed",
    "Product Added to Wishlist",
    "Product Removed from Wishlist",
    "Wishlist Product Added to Cart",
    "Product Shared",
    "Cart Shared",
    "Product Reviewed",
    "Email Delivered",
    "Email Opened",
    "Email Link Clicked",
    "Email Bounced",
    "Email Marked as Spam",
    "Unsubscribed",
];

/// Names of version 1, which arrive under their names of version 2.
const ALIASES: &[(&str, &str)] = &[
    ("Viewed Product Category", "Product List Viewed"),
    ("Viewed Product", "Product Viewed"),
    ("Clicked Product", "Product Clicked"),
    ("Added Product", "Product Added"),
    ("Removed Product", "Product Removed"),
    ("Completed Order", "Order Completed"),
    ("Updated Order", "Order Updated"),
    ("Viewed Promotion", "Promotion Viewed"),
    ("Clicked Promotion", "Promotion Clicked"),
];

/// The name of an event. One that looks like a slip gets a warning: a shop may have events of its own.
pub(crate) fn event_name(node: &Node, report: &mut Report<'_>) -> Option<Arc<str>> {
    let name = phrase(node, "an event's name", 200, report)?;
    if let Some((_, canonical)) = ALIASES.iter().find(|(alias, _)| *alias == &*name) {
        report.error_with_help(
            node.at,
            format!("events named `{name}` arrive under the name of version 2 of the specification"),
            format!("write `{canonical}`"),
        );
        return None;
    }
    if !STANDARD.contains(&&*name)
        && let Some(near) = suggest::nearest(&name, STANDARD.iter().copied())
    {
        let message = format!("`{}` is not an event of the e-commerce specification", shortened(&name));
        report.warning(node.at, message, format!("did you mean `{near}`?"));
    }
    Some(name)
}

/// The field named by `same` or `correlate`.
pub(crate) fn field(node: &Node, what: &str, report: &mut Report<'_>) -> Option<Field> {
    let name = text(node, what, report)?;
    let field = Field::parse(name);
    if field.is_none() {
        let message = format!("{what}: events have no field `{}` to go by", shortened(name));
        match suggest::help(name, Field::names()) {
            Some(help) => report.error_with_help(node.at, message, help),
            None => report.error(node.at, message),
        }
    }
    field
}

/// One pattern or a list of them.
pub(crate) fn patterns(node: &Node, what: &'static str, report: &mut Report<'_>) -> Vec<EventPattern> {
    let items = one_or_many(node);
    if items.is_empty() {
        report.error(node.at, format!("{what} is empty"));
    }
    items.into_iter().filter_map(|item| pattern(item, what, report)).collect()
}

fn pattern(node: &Node, what: &'static str, report: &mut Report<'_>) -> Option<EventPattern> {
    if let Content::Scalar(_) = &node.content {
        return Some(EventPattern { event: event_name(node, report)?, segment: None, same: None });
    }
    let mut fields = Fields::of(node, what, report)?.later(&["where", "outcome", "about"]);
    if fields.has("segment") {
        let of_segment = of_segment(&mut fields, report);
        fields.finish(report);
        let (event, segment) = of_segment?;
        return Some(EventPattern { event, segment: Some(segment), same: None });
    }
    let event = fields.require("event", report).and_then(|node| event_name(node, report));
    let same = fields.take("same").map(|node| field(node, "`same`", report));
    fields.finish(report);
    Some(EventPattern { event: event?, segment: None, same: same.flatten() })
}

/// `segment: vip`, and whether she leaves it.
pub(crate) fn of_segment(fields: &mut Fields<'_>, report: &mut Report<'_>) -> Option<(Arc<str>, SegmentName)> {
    let node = fields.take("segment")?;
    let segment = name(node, "a segment", report).map(|name| SegmentName { name, at: Origin(node.at) });
    let left = fields.take("left").map_or(Some(false), |node| boolean(node, "`left`", report));
    Some((if left? { SEGMENT_LEFT } else { SEGMENT_ENTERED }.into(), segment?))
}

/// What opens a run: `{ event: … }`, `{ segment: … }`, `{ date: … }`, a list of them.
pub(crate) fn triggers(node: &Node, report: &mut Report<'_>) -> Vec<Trigger> {
    let items = one_or_many(node);
    if items.is_empty() {
        report.error(node.at, "`trigger` is empty: nothing would ever open a run");
    }
    let mut triggers: Vec<Trigger> = Vec::new();
    for item in items {
        let Some(trigger) = trigger(item, report) else { continue };
        if let Some(name) = triggers.iter().find_map(|other| same(other, &trigger)) {
            report.error(item.at, format!("the trigger `{name}` stands here twice"));
        } else {
            triggers.push(trigger);
        }
    }
    triggers
}

/// What two triggers both wait for, if they do.
fn same<'t>(one: &'t Trigger, other: &Trigger) -> Option<&'t str> {
    let name = |trigger: &'t Trigger| match trigger {
        Trigger::Event(event) => &**event,
        Trigger::Entered { segment, .. } | Trigger::Left(segment) => &*segment.name,
        Trigger::Date(date) => &*date.trait_name,
    };
    let alike = match (one, other) {
        (Trigger::Entered { segment, .. }, Trigger::Entered { segment: other, .. })
        | (Trigger::Left(segment), Trigger::Left(other)) => segment.name == other.name,
        // One date has one time: two would be told apart by nothing.
        (Trigger::Date(date), Trigger::Date(other)) => date.trait_name == other.trait_name,
        _ => one == other,
    };
    alike.then(|| name(one))
}

fn trigger(node: &Node, report: &mut Report<'_>) -> Option<Trigger> {
    if let Content::Scalar(_) = &node.content {
        return event_name(node, report).map(Trigger::Event);
    }
    let mut fields = Fields::of(node, "a trigger", report)?;
    if fields.has("date") {
        let date = date(&mut fields, report);
        fields.later(&["schedule", "where"]).finish(report);
        return date.map(Trigger::Date);
    }
    if fields.has("segment") {
        let of_segment = of_segment(&mut fields, report);
        let existing = fields.take("existing");
        fields.later(&["at", "schedule", "time_zone", "where"]).finish(report);
        let (event, segment) = of_segment?;
        let is_entered = &*event == SEGMENT_ENTERED;
        if let Some(node) = existing.filter(|_| !is_entered) {
            report.error(node.at, "`existing` is for who enters a segment: who has left it is in none");
            return None;
        }
        let existing_per_hour = match existing {
            Some(node) => Some(per_hour(node, "`existing`", report)?),
            None => None,
        };
        return Some(if is_entered { Trigger::Entered { segment, existing_per_hour } } else { Trigger::Left(segment) });
    }
    let event = fields.require("event", report).and_then(|node| event_name(node, report));
    fields.later(&["left", "existing", "at", "schedule", "every", "time_zone", "where"]).finish(report);
    event.map(Trigger::Event)
}

/// `date: customer.traits.birthday`, and when on that day.
fn date(fields: &mut Fields<'_>, report: &mut Report<'_>) -> Option<DateTrigger> {
    let trait_name = fields.take("date").and_then(|node| date_of(node, report));
    let yearly = fields.take("every").map_or(Some(false), |node| match text(node, "`every`", report)? {
        "year" => Some(true),
        other => {
            let message = format!("`every`: a date comes again every `year`, not every `{}`", shortened(other));
            report.error_with_help(node.at, message, "leave it out for a date that comes once");
            None
        }
    });
    let at = fields.require("at", report).and_then(|node| time_of_day(node, "`at`", report));
    let zone = fields.take("time_zone").map_or(Some(Zone::Customer), |node| zone(node, report));
    Some(DateTrigger { trait_name: trait_name?, yearly: yearly?, at: at?, zone: zone? })
}

/// The trait that holds a date.
fn date_of(node: &Node, report: &mut Report<'_>) -> Option<Arc<str>> {
    let path = text(node, "`date`", report)?;
    let is_name = |name: &&str| {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !name.is_empty() && name.len() <= 64 && name.bytes().all(word)
    };
    let name = path.strip_prefix("customer.traits.").filter(is_name);
    if name.is_none() {
        let message = format!("`date`: `{}` is no date of a customer", shortened(path));
        report.error_with_help(node.at, message, "write it as `customer.traits.birthday`");
    }
    name.map(Into::into)
}
