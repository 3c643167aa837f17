use definitions::RowNames;

/// What the rows of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Orders: one row each, or one for each line of an order, the lines of an order one after another.
    Orders,
    /// Customers.
    Customers,
    /// Events of any kind.
    Events,
}

/// Columns of a line of an order, and what they are called of a product.
pub(super) const OF_A_LINE: [(&str, &str); 9] = [
    ("product_id", "product_id"),
    ("sku", "sku"),
    ("product_name", "name"),
    ("category", "category"),
    ("brand", "brand"),
    ("variant", "variant"),
    ("quantity", "quantity"),
    ("price", "price"),
    ("product_url", "url"),
];
/// What else a line has begins so.
pub(super) const LINE: &str = "item.";
/// Columns that are amounts of an order.
pub(super) const AMOUNTS: [&str; 6] = ["total", "revenue", "subtotal", "shipping", "tax", "discount"];
/// Columns that are traits of a customer, and what they are called there.
pub(super) const TRAITS: [(&str, &str); 6] = [
    ("email", "email"),
    ("phone", "phone"),
    ("first_name", "firstName"),
    ("last_name", "lastName"),
    ("locale", "locale"),
    ("time_zone", "timezone"),
];

const OF_ORDERS: [&str; 34] = [
    "order_id",
    "event",
    "customer_id",
    "anonymous_id",
    "email",
    "phone",
    "first_name",
    "last_name",
    "locale",
    "time_zone",
    "consent",
    "time",
    "currency",
    "total",
    "revenue",
    "subtotal",
    "shipping",
    "tax",
    "discount",
    "coupon",
    "affiliation",
    "cart_id",
    "checkout_id",
    "items",
    "products",
    "product_id",
    "sku",
    "product_name",
    "category",
    "brand",
    "variant",
    "quantity",
    "price",
    "product_url",
];
const OF_CUSTOMERS: [&str; 10] = [
    "customer_id",
    "anonymous_id",
    "email",
    "phone",
    "first_name",
    "last_name",
    "locale",
    "time_zone",
    "consent",
    "time",
];
const OF_EVENTS: [&str; 13] = [
    "type",
    "event",
    "name",
    "message_id",
    "customer_id",
    "anonymous_id",
    "previous_id",
    "group_id",
    "time",
    "consent",
    "properties",
    "traits",
    "context",
];

impl Kind {
    /// The columns that mean something; others become properties, or traits of customers.
    pub const fn names(self) -> RowNames {
        match self {
            Self::Orders => RowNames { fixed: &OF_ORDERS, beginnings: &[LINE, "properties.", "traits."] },
            Self::Customers => RowNames { fixed: &OF_CUSTOMERS, beginnings: &["traits."] },
            Self::Events => RowNames { fixed: &OF_EVENTS, beginnings: &["properties.", "traits.", "context."] },
        }
    }

    /// The columns of which a file has to have one of each, where no mapping says what its columns are.
    pub const fn needs(self) -> &'static [&'static [&'static str]] {
        const WHO: &[&str] = &["customer_id", "anonymous_id", "email"];
        match self {
            Self::Orders => &[&["order_id"], &["time"], WHO],
            Self::Customers => &[WHO],
            Self::Events => &[&["time"], &["customer_id", "anonymous_id"]],
        }
    }

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Customers => "customers",
            Self::Events => "events",
        }
    }
}
