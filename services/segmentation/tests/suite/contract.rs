//! What the engine and the schemas ask of segmentation.

use definitions::{Kind, MAX_DATES, MAX_EXISTING, digest, record_key};
use schemas::conformance::check_state;
use schemas::{
    Admission, ChangelogRecord, Definition, DefinitionStatus, EventKind, MAX_VALUE_BYTES, Schemas, StorefrontEvent,
    SuppressionReason, UnreachableAddress,
};
use segmentation::{
    Bucket, Came, CartLine, Favourite, KeptScore, MAX_CART_LINES, MAX_CURRENCIES, MAX_FAVOURITES, MAX_IDS,
    MAX_NAME_BYTES, MAX_ORDERS, MAX_SCORES, MAX_TRAITS_BYTES, MAX_UNREACHABLE, Membership, Money, OpenCart, PastOrder,
    SegmentationState, Spending, Tally,
};

use crate::support::{ANA, DAY, EVENTS, HOUR, Shop, at, policy, track};

#[test]
fn the_state_fits_its_schema() {
    check_state::<SegmentationState>().unwrap();
}

/// One for whom as many dates and admissions are planned as may be, and as many admissions were withdrawn before.
fn with_much_to_come() -> SegmentationState {
    let name = |kind: &str, number: usize| format!("{kind}-{number}-").repeat(8)[..60].trim_end_matches('-').to_owned();
    let mut shop = Shop::with(&[]);
    for number in 0..20 {
        shop.apply(&format!("segment: {}\nenter: customer.known\n", name("segment", number)), 0);
    }
    let trait_name = |number| name("trait", number).replace('-', "_");
    let traits: Vec<String> = (0..MAX_DATES).map(|number| format!(r#""{}":"03-05""#, trait_name(number))).collect();
    shop.tell(StorefrontEvent {
        kind: EventKind::Identify,
        traits_json: Some(format!("{{{}}}", traits.join(","))),
        ..track("", 0)
    });
    for number in 0..MAX_DATES {
        let (journey, of) = (name("journey", number), trait_name(number));
        let trigger = format!("{{ date: customer.traits.{of}, every: year, at: \"10:00\" }}");
        let body = format!("journey: {journey}\nversion: 1\ntrigger: {trigger}\nsteps: [ end ]\n");
        let record = Definition {
            kind: "journey".to_owned(),
            name: journey.clone(),
            version: 1,
            digest: digest(&body),
            body,
            status: DefinitionStatus::Active,
            applied_at: at(0).as_millis(),
        };
        let key = record_key(Kind::Journey, &journey, 1);
        shop.driver.table(0, &key, Some(&stream::encode("platform.definitions", &record))).unwrap();
    }
    for round in 1..=3 {
        for number in 0..MAX_EXISTING {
            let admission = Admission {
                journey: name("journey", 100 * round + number),
                segment: name("segment", number % 20),
                per_hour: 1,
                members: 1,
                from: at(60).as_millis(),
                until: at(1_000 * DAY).as_millis(),
            };
            let key = format!("{}/{}", admission.journey, admission.segment);
            let value = stream::encode("customer.admissions", &admission);
            shop.driver.table(2, &key, Some(&value)).unwrap();
            if round < 3 {
                shop.driver.table(2, &key, None).unwrap();
            }
        }
    }
    let state = shop.state();
    assert_eq!(state.coming.len(), MAX_DATES + MAX_EXISTING);
    state
}

#[test]
fn the_largest_state_is_far_below_the_size_of_a_record() {
    let name = || "x".repeat(MAX_NAME_BYTES);
    let tally = Tally {
        page_views: i64::MAX,
        product_views: i64::MAX,
        cart_additions: i64::MAX,
        checkouts: i64::MAX,
        email_opens: i64::MAX,
        email_clicks: i64::MAX,
    };
    let money = |currency| Money { currency, orders: i64::MAX, spent_minor: i64::MAX, refunded_minor: i64::MAX };
    let favourite = || Favourite { name: name(), weight: i64::MAX };
    let state = SegmentationState {
        traits_json: Some("x".repeat(MAX_TRAITS_BYTES)),
        currencies: (0..=MAX_CURRENCIES)
            .map(|_| Spending {
                currency: "EUR".to_owned(),
                orders: i64::MAX,
                coupon_orders: i64::MAX,
                spent_minor: i64::MAX,
                refunded_minor: i64::MAX,
            })
            .collect(),
        // Hours of nine days, and the other days of a year; each with every currency.
        buckets: (0..9 * 24 + 357)
            .map(|hour| Bucket { hour, tally, money: (0..=MAX_CURRENCIES as i32).map(money).collect() })
            .collect(),
        orders: vec![PastOrder { order: i64::MAX, currency: 7, left_minor: i64::MAX }; MAX_ORDERS],
        cart: Some(OpenCart {
            cart_id: Some(name()),
            changed_at: at(0),
            lines: vec![CartLine { product: i64::MAX, quantity: i64::MAX, price_minor: i64::MAX }; MAX_CART_LINES],
        }),
        categories: (0..MAX_FAVOURITES).map(|_| favourite()).collect(),
        brands: (0..MAX_FAVOURITES).map(|_| favourite()).collect(),
        // More segments than a folder may have.
        memberships: (0..200)
            .map(|_| {
                let group = Some("x".repeat(64).into());
                Membership { segment: "x".repeat(64).into(), version: i32::MAX, since: at(0), group }
            })
            .collect(),
        coming: with_much_to_come().coming,
        came: vec![Came { journey: "x".repeat(64).into(), of: "x".repeat(64).into(), day: i32::MAX }; MAX_DATES],
        time_zone: Some("x".repeat(320)),
        seen_time_zone: Some("x".repeat(320)),
        // As long as an id may be.
        ids: vec!["x".repeat(255); MAX_IDS],
        email_hash: Some("x".repeat(64)),
        unreachable: vec![
            UnreachableAddress {
                channel: "x".repeat(20),
                address_hash: "x".repeat(64),
                reason: SuppressionReason::Manual,
                since: i64::MAX,
            };
            MAX_UNREACHABLE
        ],
        scores: vec![
            KeptScore {
                name: "x".repeat(32).into(),
                value: Some(i64::MAX),
                label: Some("x".repeat(64)),
                scored_at: at(0),
                version: Some("x".repeat(64)),
            };
            MAX_SCORES
        ],
        ..SegmentationState::default()
    };
    let record = ChangelogRecord { header: None, time: Some(at(0).as_millis()), state: Some(state) };
    let mut bytes = Vec::new();
    Schemas::offline().encode("segmentation.changelog", &record, &mut bytes).unwrap();
    assert!(bytes.len() < MAX_VALUE_BYTES / 2, "{}", bytes.len());
}

#[test]
fn a_record_that_can_not_be_read_or_has_no_key_is_a_dead_letter() {
    let mut shop = Shop::with(&[]);
    shop.driver.input(EVENTS, ANA, b"\x00\x00", at(1));
    shop.driver.input(EVENTS, "", b"", at(1));
    let reasons: Vec<_> = shop.driver.dead_letters().iter().map(|letter| letter.poison.reason).collect();
    assert_eq!(reasons, ["malformed", "no_key"]);
}

#[test]
fn each_event_counts_once_also_after_an_aborted_commit_and_a_restart() {
    let mut shop = Shop::with(&[]);
    shop.tell(track("Product Viewed", 0));
    shop.driver.abort_next_commit();
    shop.tell(track("Product Viewed", HOUR));
    shop.driver.restart(policy());
    shop.tell(track("Product Viewed", 2 * HOUR));
    assert_eq!(shop.state().totals.product_views, 3);
}
