//! Event names: the Segment e-commerce specification v2, and the names of v1 for the same things.

/// The names of version 2.
const NAMES: [&str; 30] = [
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
    "Experiment Viewed",
    "Unsubscribed",
];

/// The names of version 1, and what they are called now.
const OLD_NAMES: [(&str, &str); 9] = [
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

/// The canonical name of a track event: the specification's where it is one of its names in whatever capitals, or one of version 1;
/// a name of the shop's own stays as it is.
pub(crate) fn canonical(name: &str) -> &str {
    let renamed = OLD_NAMES.iter().find(|(old, _)| old.eq_ignore_ascii_case(name)).map(|(_, new)| *new);
    renamed.or_else(|| NAMES.iter().copied().find(|known| known.eq_ignore_ascii_case(name))).unwrap_or(name)
}

/// Whether an event is about one product, which version 1 then calls `id`.
pub(crate) fn is_about_a_product(canonical: &str) -> bool {
    matches!(
        canonical,
        "Product Clicked"
            | "Product Viewed"
            | "Product Added"
            | "Product Removed"
            | "Product Shared"
            | "Product Reviewed"
    )
}

/// Whether an event tells of an order: that it was placed, or what became of it.
pub(crate) fn is_an_order(canonical: &str) -> bool {
    matches!(canonical, "Order Completed" | "Order Updated" | "Order Cancelled" | "Order Refunded")
}

/// Whether an event is about an order or a checkout.
pub(crate) fn is_about_an_order(canonical: &str) -> bool {
    canonical.starts_with("Order ") || canonical.starts_with("Checkout ") || canonical == "Payment Info Entered"
}
