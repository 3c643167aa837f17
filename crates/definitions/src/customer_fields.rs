//! What segments read of a customer: all fields, in one table. Conditions are checked by it, documents are held to it, and
//! whoever builds the customer for an expression gives her these fields and no others.

/// A field of `customer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CustomerField {
    /// Where it is, below `customer`: `cart.open`. One of a name that the shop gives ends with `<name>`.
    pub path: &'static str,
    /// What its values are.
    pub field_type: FieldType,
    /// How time alone changes it.
    pub ageing: Ageing,
    /// What it says, in a sentence.
    pub doc: &'static str,
}

/// What the values of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// True or false.
    Boolean,
    /// A whole number.
    Integer,
    /// A text.
    Text,
    /// A list of texts.
    Texts,
    /// Any JSON: whatever the shop sends.
    Any,
}

impl FieldType {
    /// Its word in documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Boolean => "bool",
            Self::Integer => "int",
            Self::Text => "text",
            Self::Texts => "list of text",
            Self::Any => "any",
        }
    }
}

/// How time alone changes a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ageing {
    /// Not at all: only events change it.
    Steady,
    /// It grows by one with each whole day.
    Days,
    /// It grows by one with each whole hour.
    Hours,
    /// It counts what happened in that many days, and falls as the oldest of them is left behind.
    Window(u16),
    /// It falls as the lead score does.
    Score,
    /// It falls by one or more as days go by.
    Quintile,
}

const fn field(path: &'static str, field_type: FieldType, ageing: Ageing, doc: &'static str) -> CustomerField {
    CustomerField { path, field_type, ageing, doc }
}

const fn count(path: &'static str, ageing: Ageing, doc: &'static str) -> CustomerField {
    field(path, FieldType::Integer, ageing, doc)
}

/// The fields that stand by themselves, and then the counters of each window.
macro_rules! fields_and_counters {
    ([$($field:expr),+ $(,)?] $($window:literal: $ageing:expr),+ $(,)?) => {
        &[
            $($field,)+
            $(
                count(concat!($window, ".page_views"), $ageing, "Pages and screens that she saw."),
                count(concat!($window, ".product_views"), $ageing, "Products that she looked at."),
                count(concat!($window, ".cart_additions"), $ageing, "Times that she put something into a cart."),
                count(concat!($window, ".checkouts"), $ageing, "Checkouts that she began."),
                count(concat!($window, ".orders"), $ageing, "Orders."),
                count(concat!($window, ".spent_minor"), $ageing, "What she ordered for, in minor units of her currency."),
                count(concat!($window, ".refunded_minor"), $ageing, "What she got back, in minor units of her currency."),
                count(concat!($window, ".email_opens"), $ageing, "E-mails opened."),
                count(concat!($window, ".email_clicks"), $ageing, "Links clicked in e-mails."),
            )+
        ]
    };
}

use Ageing::{Days, Hours, Quintile, Score, Steady, Window};
use FieldType::{Any, Boolean, Integer, Text, Texts};

/// Every field of `customer` that a segment may read.
#[rustfmt::skip]
pub static CUSTOMER_FIELDS: &[CustomerField] = fields_and_counters![
    [
        field("known", Boolean, Steady, "Whether she has a user id, or a device that is linked to one."),
        field("age_days", Integer, Days, "Whole days since she was first seen."),
        field("inactive_days", Integer, Days, "Whole days since she was last seen."),
        field("recency_days", Integer, Days, "Whole days since her last order; missing without an order."),
        field("frequency", Integer, Steady, "Her orders."),
        field("monetary_minor", Integer, Steady, "Her orders less refunds and cancellations, in minor units of her currency."),
        field("average_order_minor", Integer, Steady, "What she orders for at a time, in minor units of her currency; missing without an order."),
        field("currency", Text, Steady, "The currency that she ordered in most often; missing without an order."),
        field("coupon_percent", Integer, Steady, "The share of her orders with a coupon, 0 to 100."),
        field("rfm.recency", Integer, Quintile, "Her quintile by days since her last order, 1 to 5: 5 is the fifth of the customers who ordered last; missing without an order, and before boundaries are published."),
        field("rfm.frequency", Integer, Steady, "Her quintile by orders, 1 to 5: 5 is the fifth who order most often; missing like `rfm.recency`."),
        field("rfm.monetary", Integer, Steady, "Her quintile by orders less refunds, among those of her currency, 1 to 5: 5 is the fifth who buy for most; missing like `rfm.recency`, and in a currency in which fewer than five buy."),
        field("lead_score", Integer, Score, "How promising she is just now, 0 to 100: the sum of five factors."),
        field("tier", Text, Steady, "Her tier: the label of the score of that name; missing without one."),
        field("scores.<name>", Integer, Steady, "What others scored of her last under that name: a whole number, of a probability in percent; missing without one."),
        field("favourite_categories", Texts, Steady, "The categories that she likes, at most five, the dearest first."),
        field("favourite_brands", Texts, Steady, "The brands that she likes, at most five, the dearest first."),
        field("consent_marketing", Boolean, Steady, "Whether she agreed to hear from the shop; missing while she has not said."),
        field("has_email", Boolean, Steady, "Whether she has an e-mail address."),
        field("has_phone", Boolean, Steady, "Whether she has a phone number."),
        field("reachable.email", Boolean, Steady, "Whether she has an e-mail address that messaging writes to: nobody unsubscribed it, and it did not bounce."),
        field("cart.open", Boolean, Steady, "Whether she has an open cart."),
        field("cart.value_minor", Integer, Steady, "What is in it, in minor units."),
        field("cart.items", Integer, Steady, "How many things are in it."),
        field("cart.idle_hours", Integer, Hours, "Whole hours since it was last changed; missing without an open cart."),
        field("traits.<name>", Any, Steady, "What the shop says of her under that name."),
    ]
    "last_1d": Window(1),
    "last_7d": Window(7),
    "last_30d": Window(30),
    "last_90d": Window(90),
    "last_365d": Window(365),
    "total": Steady,
];

/// The group of the fields whose names the shop gives.
pub(crate) const TRAITS: &str = "traits";
/// The group of the fields whose names those give who score customers.
pub(crate) const SCORES: &str = "scores";
/// At most so many bytes of a score's name.
const MAX_SCORE_NAME_BYTES: usize = 32;

/// Whether a score may be called so: a lower-case letter, then lower-case letters, digits and underscores, 32 in all.
pub fn is_score_name(name: &str) -> bool {
    let is_of_names = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.len() <= MAX_SCORE_NAME_BYTES
        && name.bytes().all(is_of_names)
}

/// The field at a path that an expression reads ([`crate::Reads::customer`]): `cart.open`, `scores.churn`, `traits.plan`, or
/// `traits` for all of them.
pub fn customer_field(path: &str) -> Option<&'static CustomerField> {
    let named = |group: &&str| path.strip_prefix(group).is_some_and(|rest| rest.starts_with('.'));
    let group = if path == TRAITS { Some(TRAITS) } else { [TRAITS, SCORES].into_iter().find(named) };
    let group_of = |field: &CustomerField| field.path.split_once('.').map(|(group, _)| group);
    let is_it = |field: &&CustomerField| group.map_or(field.path == path, |group| group_of(field) == Some(group));
    CUSTOMER_FIELDS.iter().find(is_it)
}

/// The groups of fields: `cart`, `last_7d`.
fn groups() -> impl Iterator<Item = &'static str> {
    CUSTOMER_FIELDS.iter().filter_map(|field| field.path.split_once('.').map(|(group, _)| group))
}

/// The group of that name.
pub(crate) fn customer_group(name: &str) -> Option<&'static str> {
    groups().find(|group| *group == name)
}

/// The names that may follow `customer`, or `customer.<group>`.
pub(crate) fn names_in(group: Option<&str>) -> Vec<&'static str> {
    let mut names: Vec<&str> = match group {
        None => CUSTOMER_FIELDS.iter().filter_map(|field| field.path.split('.').next()).collect(),
        Some(group) => {
            let in_groups = CUSTOMER_FIELDS.iter().filter_map(|field| field.path.split_once('.'));
            in_groups.filter(|(of, _)| *of == group).map(|(_, name)| name).collect()
        }
    };
    names.dedup();
    names
}

/// A field of that name in another group: who writes `customer.orders` means `customer.total.orders`.
pub(crate) fn elsewhere(name: &str) -> Option<&'static str> {
    let paths = CUSTOMER_FIELDS.iter().rev().map(|field| field.path);
    paths.into_iter().find(|path| path.rsplit('.').next() == Some(name))
}
