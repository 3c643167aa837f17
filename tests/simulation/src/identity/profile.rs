//! Who she is, beside who she would be if she had been known from the start.
//!
//! What differs by design is left out where it is compared, and said in `services/segmentation/README.md`.

use std::collections::{BTreeMap, BTreeSet};

use domain::Timestamp;
use schemas::{EventKind, StorefrontEvent};
use segmentation::lookups::{Customer, CustomerView};
use segmentation::{Did, Policy, Segmentation, SegmentationState};
use stream::TestDriver;

use super::whose::Whose;
use super::{Told, driver, encode};
use crate::Breach;

/// What segmentation reads.
pub const EVENTS: &str = "storefront.events";
/// Whoever is in one of these stays until something else holds: whether she is depends on when her shop looked.
const WITH_MEMORY: [&str; 4] = ["vip", "active", "discount-lover", "engaged-reader"];
/// The group in which two of these are: who is in one of them may have to stay in it, and then is in no other.
const LIFECYCLE: [&str; 7] = ["vip", "loyal", "new", "active", "at-risk", "dormant", "lost"];
/// Who is in it depends on her cart.
const OF_THE_CART: &str = "cart-abandoner";

/// Segmentation alone, told of each event once, under whom it belongs to in the end, and in the order of time.
pub fn from_the_start(log: &[Told], whose: &Whose) -> TestDriver<Segmentation> {
    let mut driver = driver::<Segmentation>(Policy::default());
    for (place, owner) in &whose.in_the_end {
        let Told { at_ms, event } = &log[*place];
        let is_a_visitor = event.anonymous_id.as_ref() == Some(owner);
        let event = StorefrontEvent {
            customer_id: Some(owner.clone()),
            user_id: (!is_a_visitor).then(|| owner.clone()),
            ..event.clone()
        };
        let at = Timestamp::from_millis(*at_ms);
        driver.advance_to(at - super::MILLISECOND);
        driver.input(EVENTS, owner, &encode(EVENTS, &event), at);
    }
    driver
}

/// What is compared of a customer.
#[derive(Clone, Copy, Debug)]
pub struct Compared<'a> {
    /// Who.
    pub customer: &'a str,
    /// What is known of her; nothing where nothing is.
    pub found: Option<&'a SegmentationState>,
    /// What would be, had she been known from the start.
    pub expected: Option<&'a SegmentationState>,
    /// All that happened.
    pub log: &'a [Told],
    /// Whose it is.
    pub whose: &'a Whose,
    /// What she did was heard of in the order of its times, but for histories.
    pub in_order: bool,
}

impl Compared<'_> {
    fn events(&self) -> impl Iterator<Item = &StorefrontEvent> {
        self.whose.of(self.customer).map(|place| &self.log[place].event)
    }

    /// Whether the cart has to be the same, and when it was touched.
    fn cart_is_exact(&self) -> bool {
        let orders = || self.events().filter(|event| event.name == "Order Completed");
        // An order that is told late ends what is in the cart when it is heard of: what is added later counts by its time. Of
        // carts with names one is open, that which was touched last; and of one that was touched after an order of a device
        // that nobody knew, nobody knows what was put in when.
        self.in_order
            && !orders().any(|order| order.event_time < order.received_at || order.user_id.is_none())
            && !self.events().any(|event| event.cart_id.is_some())
    }

    /// What differs of her at a moment.
    pub fn breaches(&self, now: Timestamp) -> Vec<Breach> {
        let mut breaches = Vec::new();
        let (found, expected) = match (self.found, self.expected) {
            (Some(found), Some(expected)) => (found, expected),
            (None, None) => return breaches,
            (found, _) => {
                let detail = format!("{} is known: {}, and should not be so", self.customer, found.is_some());
                return vec![Breach::new(PROFILE, detail)];
            }
        };
        let mut same = |what: &str, found: String, expected: String| {
            if found != expected {
                let detail = format!("{}, {what}: {found}, and not {expected}", self.customer);
                breaches.push(Breach::new(PROFILE, detail));
            }
        };
        let both = |look: &dyn Fn(&SegmentationState) -> String| (look(found), look(expected));
        let (found_rows, expected_rows) = both(&|state| format!("{:?}", rows(self.customer, state, now)));
        same("in each currency", found_rows, expected_rows);
        let (found_weights, expected_weights) = both(&|state| format!("{:?}", weights(state)));
        same("favourites", found_weights, expected_weights);
        let (found_counts, expected_counts) = both(&|state| counted(view(state, now).as_ref()));
        same("counts", found_counts, expected_counts);
        let exact = self.cart_is_exact();
        let takes_out = self.events().any(|event| event.name == "Product Removed");
        if exact {
            let (found_cart, expected_cart) = both(&|state| format!("{:?}", cart(state)));
            same("cart", found_cart, expected_cart);
            // What is taken out of a cart leaves no trace of when, where nothing is left in it.
            if let (Some(cart), Some(whole)) = (&found.cart, &expected.cart)
                && !takes_out
            {
                same("cart touched", format!("{:?}", cart.changed_at), format!("{:?}", whole.changed_at));
            }
        } else if self.in_order && !self.events().any(|event| event.cart_id.is_some() || is_late(event)) {
            // A cart of hers that was touched after a device's order stays whole.
            let (held, whole) = (cart(found), cart(expected));
            let is_whole = whole.iter().all(|(thing, number)| held.get(thing).is_some_and(|held| held >= number));
            same("cart", format!("{held:?}"), if is_whole { format!("{held:?}") } else { format!("{whole:?}") });
        }
        // What her shop tells of her is nothing that she did, unless nothing else is known of her: then it is when she was first
        // heard of.
        if !self.events().any(|event| event.kind == EventKind::Identify || event.name == "Order Refunded") {
            let (found_seen, expected_seen) = both(&|state| format!("{:?}", state.seen(Did::Any)));
            same("seen", found_seen, expected_seen);
        }
        let stays = |state| memberships(state).any(|name| LIFECYCLE.contains(&name) && WITH_MEMORY.contains(&name));
        let with_lifecycle = !stays(found) && !stays(expected);
        let (found_segments, expected_segments) =
            both(&|state| format!("{:?}", segments(state, exact && !takes_out, with_lifecycle)));
        same("segments", found_segments, expected_segments);
        breaches
    }
}

/// The invariant: whenever she is recognised.
pub const PROFILE: &str = "she_is_who_she_would_be_had_she_been_known_from_the_start";

fn is_late(event: &StorefrontEvent) -> bool {
    event.event_time < event.received_at
}

fn view(state: &SegmentationState, now: Timestamp) -> Option<CustomerView> {
    Customer { as_of: now, state: state.clone() }.at(now, None)
}

fn memberships(state: &SegmentationState) -> impl Iterator<Item = &str> {
    state.memberships.iter().map(|membership| &*membership.segment)
}

fn segments(state: &SegmentationState, with_the_cart: bool, with_lifecycle: bool) -> BTreeSet<&str> {
    let depends = |name: &str| {
        WITH_MEMORY.contains(&name)
            || !with_the_cart && name == OF_THE_CART
            || !with_lifecycle && LIFECYCLE.contains(&name)
    };
    memberships(state).filter(|name| !depends(name)).collect()
}

/// What is in a cart: how many of each thing.
fn cart(state: &SegmentationState) -> BTreeMap<i64, i64> {
    let lines = state.cart.iter().flat_map(|cart| &cart.lines);
    lines.map(|line| (line.product, line.quantity)).collect()
}

/// How dear each category and brand is. Of what is told later a half-life's rounding may differ.
fn weights(state: &SegmentationState) -> BTreeMap<String, i64> {
    let favourites = state.categories.iter().chain(&state.brands);
    favourites.map(|favourite| (favourite.name.clone(), favourite.weight >> 10)).collect()
}

/// What is the same however late she was recognised.
fn counted(view: Option<&CustomerView>) -> String {
    let Some(view) = view else { return "nobody".to_owned() };
    let seen = view.seen.iter().filter(|seen| seen.kind != Did::Any);
    let mut seen: Vec<_> = seen.map(|seen| format!("{seen:?}")).collect();
    seen.sort_unstable();
    let mut spending = view.spending.clone();
    spending.sort_by(|one, other| one.currency.cmp(&other.currency));
    // Counts only: the currency of the amounts may be another where she ordered as often in two.
    let windows = view.windows.map(|window| {
        let counters = [window.page_views, window.product_views, window.cart_additions, window.checkouts];
        (counters, window.orders)
    });
    let rest = (view.frequency, view.recency_days, view.coupon_percent, view.known);
    format!("{seen:?} {spending:?} {windows:?} {rest:?}")
}

/// Of each currency, what she ordered and got back in each window.
fn rows(customer: &str, state: &SegmentationState, now: Timestamp) -> BTreeMap<String, [i64; 15]> {
    let rows = segmentation::customer_rows(customer, state, now, None).into_iter();
    rows.map(|row| (row.currency, row.windows)).collect()
}
