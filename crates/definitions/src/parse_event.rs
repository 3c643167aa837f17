//! Events as journeys name them: `{ event: Product Added, same: cart_id }`, or the name alone; and segments that are entered
//! or left: `{ segment: vip }`, `{ segment: vip, left: true }`.

use std::sync::Arc;

use crate::diagnostic::{Origin, Report};
use crate::fields::{Fields, LATER};
use crate::journey::{EventPattern, Field, SEGMENT_ENTERED, SEGMENT_LEFT, SegmentName, Trigger};
use crate::suggest;
use crate::values::{boolean, name, one_or_many, phrase, shortened, text};
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

/// What opens a run: `{ event: … }`, `{ segment: … }`, a list of them.
pub(crate) fn triggers(node: &Node, report: &mut Report<'_>) -> Vec<Trigger> {
    let items = one_or_many(node);
    if items.is_empty() {
        report.error(node.at, "`trigger` is empty: nothing would ever open a run");
    }
    let mut triggers: Vec<Trigger> = Vec::new();
    for item in items {
        let Some(trigger) = trigger(item, report) else { continue };
        if triggers.contains(&trigger) {
            let name = trigger.segment.map_or(trigger.event, |segment| segment.name);
            report.error(item.at, format!("the trigger `{name}` stands here twice"));
        } else {
            triggers.push(trigger);
        }
    }
    triggers
}

fn trigger(node: &Node, report: &mut Report<'_>) -> Option<Trigger> {
    if let Content::Scalar(_) = &node.content {
        return Some(Trigger { event: event_name(node, report)?, segment: None });
    }
    let mut fields = Fields::of(node, "a trigger", report)?;
    if fields.has("date") {
        report.error_with_help(node.at, format!("a trigger by `date` {LATER}"), "use `event: …` or `segment: …`");
        return None;
    }
    if fields.has("segment") {
        let of_segment = of_segment(&mut fields, report);
        fields.later(&["existing", "at", "schedule", "time_zone", "where"]).finish(report);
        let (event, segment) = of_segment?;
        return Some(Trigger { event, segment: Some(segment) });
    }
    let event = fields.require("event", report).and_then(|node| event_name(node, report));
    fields.later(&["left", "existing", "at", "schedule", "every", "time_zone", "where"]).finish(report);
    Some(Trigger { event: event?, segment: None })
}
