//! How much an event matters while not all can be taken.

use std::borrow::Cow;

use schemas::EventKind;
use serde::Deserialize;

use super::call::Call;
use super::names;

/// How much it costs the shop that an event comes late, or never: browsers do not send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// Something was looked at.
    View,
    /// Everything else, such as a cart or who somebody is.
    Change,
    /// Something was bought, or is about to be.
    Order,
}

impl Urgency {
    /// How many of `places` it may use: all are for orders, three quarters for changes, half of them for views, and one for
    /// each in any case.
    pub(crate) const fn share_of(self, places: usize) -> usize {
        match self {
            Self::View => places - places / 2,
            Self::Change => places - places / 4,
            Self::Order => places,
        }
    }
}

#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
}

/// That of the most urgent event of a call. What can't be read is no less urgent than a change: it is to be told so.
pub(crate) fn of_call(call: &Call<'_>) -> Urgency {
    let of_event = |json: &&str| {
        let Ok(peek) = serde_json::from_str::<Peek<'_>>(json) else { return Urgency::Change };
        let is_view = match call.shared.kind {
            Some(EventKind::Page | EventKind::Screen) => true,
            Some(EventKind::Track) => false,
            Some(_) => return Urgency::Change,
            None => peek.kind.as_deref().is_some_and(is_view_kind),
        };
        if is_view { Urgency::View } else { of_name(peek.event.as_deref().unwrap_or_default()) }
    };
    call.events.iter().map(of_event).max().unwrap_or(Urgency::Change)
}

fn is_view_kind(kind: &str) -> bool {
    kind.eq_ignore_ascii_case("page") || kind.eq_ignore_ascii_case("screen")
}

fn of_name(name: &str) -> Urgency {
    let name = names::canonical(name);
    if names::is_about_an_order(name) {
        Urgency::Order
    } else if [" Viewed", " Clicked", " Searched", " Filtered"].iter().any(|end| name.ends_with(end)) {
        Urgency::View
    } else {
        Urgency::Change
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by it")]
mod tests {
    use super::*;
    use crate::mapping::{CallKind, read_call};

    fn of(kind: CallKind, json: &str) -> Urgency {
        of_call(&read_call(kind, json).unwrap())
    }

    #[test]
    fn an_order_is_more_urgent_than_a_cart_and_that_than_a_view_and_a_batch_is_as_urgent_as_its_most_urgent_event() {
        let track = |event: &str| of(CallKind::Single(EventKind::Track), &format!(r#"{{"event":"{event}"}}"#));
        for order in ["Order Completed", "completed order", "Checkout Started", "Checkout Step Viewed"] {
            assert_eq!(track(order), Urgency::Order, "{order}");
        }
        for change in ["Product Added", "Unsubscribed", "My Own Thing", ""] {
            assert_eq!(track(change), Urgency::Change, "{change}");
        }
        for view in ["Product Viewed", "viewed product", "Products Searched", "Promotion Clicked"] {
            assert_eq!(track(view), Urgency::View, "{view}");
        }
        assert_eq!(of(CallKind::Single(EventKind::Page), r#"{"event":"Order Completed"}"#), Urgency::View);
        assert_eq!(of(CallKind::Single(EventKind::Identify), "{}"), Urgency::Change);
        let batch = |events: &str| of(CallKind::Batch, &format!(r#"{{"batch":[{events}]}}"#));
        let (view, order) = (r#"{"type":"PAGE"}"#, r#"{"type":"track","event":"Order Refunded"}"#);
        assert_eq!(batch(view), Urgency::View);
        assert_eq!(batch(&format!("{view},{order},{view}")), Urgency::Order);
        // What can't be read is told so rather than sent away.
        for unreadable in ["7", r#"{"type":5}"#, "{}", ""] {
            assert_eq!(batch(unreadable), Urgency::Change, "{unreadable}");
        }
    }

    #[test]
    fn each_has_a_place_at_least_and_who_is_more_urgent_no_fewer() {
        for places in 1..100 {
            let shares = [Urgency::View, Urgency::Change, Urgency::Order].map(|urgency| urgency.share_of(places));
            assert!(1 <= shares[0] && shares.is_sorted() && shares[2] == places, "{places}: {shares:?}");
        }
        assert_eq!(Urgency::View.share_of(8), 4);
        assert_eq!(Urgency::Change.share_of(8), 6);
    }
}
