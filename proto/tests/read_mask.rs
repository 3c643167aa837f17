//! Masks: what they name is given, and nothing else.

use proto::segmentation::v1::{Cart, Customer, LeadScore, LeadScoreFactor, Membership, Score};
use proto::{ReadMask, Refusal, timestamp};

const CUSTOMER: &str = "vuelve.segmentation.v1.Customer";

fn customer() -> Customer {
    Customer {
        customer_id: "ana".into(),
        as_of: Some(timestamp(-1)),
        known: true,
        consent_marketing: Some(false),
        age_days: Some(300),
        cart: Some(Cart { cart_id: "cart-1".into(), value_minor: -1, items: 2, ..Cart::default() }),
        favourite_brands: vec!["Acme".into(), String::new()],
        lead_score: Some(LeadScore { value: 12, factors: vec![LeadScoreFactor { name: "intent".into(), points: 12 }] }),
        segments: vec![Membership { segment: "vip".into(), version: 3, since: Some(timestamp(1)) }],
        scores: vec![Score {
            name: "churn".into(),
            value: Some(80),
            scored_at: Some(timestamp(1)),
            ..Score::default()
        }],
        tier: "gold".into(),
        lifecycle: "vip".into(),
        ..Customer::default()
    }
}

fn mask(paths: &[&str]) -> Result<ReadMask, Refusal> {
    let mask = prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
    ReadMask::new(Some(&mask), CUSTOMER, &["customer_id"])
}

#[test]
fn without_a_mask_and_with_a_star_everything_is_given() {
    let none = ReadMask::new(None, CUSTOMER, &["customer_id"]).unwrap();
    for mask in [none, mask(&[]).unwrap(), mask(&["*"]).unwrap(), mask(&["known", "*"]).unwrap()] {
        assert_eq!(mask.keep(customer()), customer());
    }
}

#[test]
fn a_mask_gives_what_it_names_at_whatever_depth_and_what_is_always_given() {
    let id = || Customer { customer_id: "ana".into(), ..Customer::default() };
    let full = customer();
    let segments = Customer { segments: full.segments.clone(), ..id() };
    assert_eq!(mask(&["segments"]).unwrap().keep(customer()), segments);
    let scored =
        Customer { scores: full.scores.clone(), tier: full.tier.clone(), lifecycle: full.lifecycle.clone(), ..id() };
    assert_eq!(mask(&["scores", "tier", "lifecycle"]).unwrap().keep(customer()), scored);
    let value = Cart { value_minor: -1, ..Cart::default() };
    assert_eq!(mask(&["cart.value_minor"]).unwrap().keep(customer()), Customer { cart: Some(value), ..id() });
    // The whole and a part of it are the whole, in either order.
    for paths in [["cart", "cart.items"], ["cart.items", "cart"]] {
        assert_eq!(mask(&paths).unwrap().keep(customer()), Customer { cart: full.cart.clone(), ..id() });
    }
    let several = ["favourite_brands", "lead_score.factors", "age_days", "consent_marketing"];
    let score = LeadScore { value: 0, ..full.lead_score.clone().unwrap() };
    let expected = Customer {
        favourite_brands: full.favourite_brands,
        lead_score: Some(score),
        age_days: full.age_days,
        consent_marketing: full.consent_marketing,
        ..id()
    };
    assert_eq!(mask(&several).unwrap().keep(customer()), expected);
    // What is absent stays absent.
    assert_eq!(mask(&["last_7d", "currency"]).unwrap().keep(customer()), id());
}

#[test]
fn a_path_that_names_nothing_is_refused_and_named() {
    for (path, problem) in [
        ("segment", "read_mask: `segment`: there is no field `segment` in vuelve.segmentation.v1.Customer"),
        ("cart.colour", "read_mask: `cart.colour`: there is no field `colour` in vuelve.segmentation.v1.Cart"),
        ("segments.since", "read_mask: `segments.since` goes into a list: `segments` is given as a whole"),
        ("known.x", "read_mask: `known.x`: nothing is in `known`"),
        ("", "read_mask: ``: there is no field `` in vuelve.segmentation.v1.Customer"),
        ("cart.", "read_mask: `cart.`: there is no field `` in vuelve.segmentation.v1.Cart"),
    ] {
        assert_eq!(mask(&["known", path]).unwrap_err().to_string(), problem);
        // Also beside what wants everything.
        assert!(mask(&["*", path]).is_err(), "{path}");
    }
    assert!(mask(&["cart", "cart.colour"]).is_err());
}

#[test]
fn a_mask_may_name_every_field_that_the_contract_has() {
    for path in ["as_of", "evaluated_at", "traits_json", "seen", "spending", "last_365d.email_clicks", "total"] {
        assert!(mask(&[path]).is_ok(), "{path}");
    }
    assert!(mask(&["as_of.seconds"]).is_ok(), "of messages of others, too");
}
