//! The moments at which journeys let a customer in: her dates, and her turn where a journey lets in who is there already.

use definitions::{Kind, ShopTimeZones, digest, record_key};
use proptest::prelude::*;
use schemas::{Admission, CustomerEvent, Definition, DefinitionStatus, EventKind, OccasionKind, StorefrontEvent};
use segmentation::{Output, Policy};

use crate::support::{ANA, DAY, EVENTS, HOUR, Shop, at, order, secret, track};

const BIRTHDAY: &str = "journey: birthday
version: 1
trigger: { date: customer.traits.birthday, every: year, at: \"10:00\", time_zone: customer }
steps: [ end ]
";
const VIP: &str = "segment: vip\nenter: customer.frequency >= 2\n";

fn identify(traits: &str, seconds: i64) -> StorefrontEvent {
    StorefrontEvent { kind: EventKind::Identify, traits_json: Some(traits.to_owned()), ..track("", seconds) }
}

impl Shop {
    fn journey(&mut self, body: &str, version: i32, seconds: i64) {
        self.put_journey(body, version, seconds, DefinitionStatus::Active);
    }

    fn put_journey(&mut self, body: &str, version: i32, seconds: i64, status: DefinitionStatus) {
        let body = body.replace("version: 1", &format!("version: {version}"));
        let record = Definition {
            kind: "journey".to_owned(),
            name: "birthday".to_owned(),
            version,
            digest: digest(&body),
            body,
            status,
            applied_at: at(seconds).as_millis(),
        };
        let key = record_key(Kind::Journey, "birthday", version);
        self.driver.table(0, &key, Some(&stream::encode("platform.definitions", &record))).unwrap();
    }

    /// `members` are let into the journey, over so many seconds from then on.
    fn admit(&mut self, seconds: i64, span: i64) {
        let admission = Admission {
            journey: "welcome".to_owned(),
            segment: "vip".to_owned(),
            per_hour: 1,
            members: span / HOUR,
            from: at(seconds).as_millis(),
            until: at(seconds + span).as_millis(),
        };
        let value = stream::encode("customer.admissions", &admission);
        self.driver.table(2, "welcome/vip", Some(&value)).unwrap();
    }

    /// The occasions that came since the last call: whose, for which journey, when.
    fn occasions(&mut self) -> Vec<String> {
        let told = self.driver.outputs().into_iter().filter_map(|output| match output {
            Output::Event(event) => Some(*event),
            _ => None,
        });
        let words = |event: CustomerEvent| {
            let seconds = event.at / 1000 - at(0).as_millis() / 1000;
            assert!(event.event.is_none() || event.occasions.is_empty(), "what time does stands by itself");
            event.occasions.into_iter().map(move |occasion| {
                let kind = if occasion.kind == OccasionKind::Date { "date" } else { "existing" };
                format!("{} {} {} {kind} at {}", event.customer_id, occasion.journey, occasion.of, seconds)
            })
        };
        told.flat_map(words).collect()
    }
}

#[test]
fn a_date_comes_at_its_time_by_her_clock_every_year() {
    let mut shop = Shop::with(&[]);
    shop.journey(BIRTHDAY, 1, 0);
    // Ten o'clock in Madrid is eight or nine here.
    let traits = r#"{"birthday": "1990-03-05"}"#;
    let context = Some(r#"{"timezone": "Europe/Madrid"}"#.to_owned());
    shop.tell(StorefrontEvent { context_json: context, ..identify(traits, 0) });
    shop.driver.advance_to(at(3 * DAY + 9 * HOUR - 1));
    assert!(shop.occasions().is_empty());
    shop.driver.advance_to(at(3 * DAY + 9 * HOUR));
    assert_eq!(shop.occasions(), [format!("ana birthday birthday date at {}", 3 * DAY + 9 * HOUR)]);
    shop.driver.advance_to(at(2 * 365 * DAY));
    assert_eq!(shop.occasions(), [format!("ana birthday birthday date at {}", 368 * DAY + 9 * HOUR)]);
}

#[test]
fn a_journey_that_is_applied_later_finds_the_dates_that_are_known() {
    let mut shop = Shop::with(&[]);
    shop.tell(identify(r#"{"birthday": "1990-03-05"}"#, 0));
    shop.driver.advance_to(at(DAY));
    shop.journey(BIRTHDAY, 1, DAY);
    shop.driver.advance_to(at(10 * DAY));
    assert_eq!(shop.occasions(), [format!("ana birthday birthday date at {}", 3 * DAY + 10 * HOUR)]);
}

#[test]
fn what_the_shop_tells_last_counts_her_date_and_her_zone() {
    let mut shop = Shop::with(&[]);
    shop.journey(BIRTHDAY, 1, 0);
    shop.tell(identify(r#"{"birthday": "1990-03-05"}"#, 0));
    shop.tell(identify(r#"{"birthday": "1990-03-07"}"#, HOUR));
    let moved = Some(r#"{"timezone": "America/Mexico_City"}"#.to_owned());
    shop.tell(StorefrontEvent { context_json: moved, ..track("Product Viewed", 2 * HOUR) });
    shop.driver.advance_to(at(10 * DAY));
    assert_eq!(shop.occasions(), [format!("ana birthday birthday date at {}", 5 * DAY + 16 * HOUR)]);
    // And one that is taken back does not come.
    shop.tell(identify(r#"{"birthday": null}"#, 11 * DAY));
    shop.driver.advance_to(at(800 * DAY));
    assert!(shop.occasions().is_empty());
}

#[test]
fn a_date_of_a_journey_that_is_gone_or_has_another_time_now_comes_no_more() {
    let mut shop = Shop::with(&[]);
    shop.journey(BIRTHDAY, 1, 0);
    shop.tell(identify(r#"{"birthday": "1990-03-05"}"#, 0));
    shop.journey(&BIRTHDAY.replace("10:00", "18:00"), 2, HOUR);
    shop.driver.advance_to(at(10 * DAY));
    assert_eq!(shop.occasions(), [format!("ana birthday birthday date at {}", 3 * DAY + 18 * HOUR)]);
    shop.put_journey(BIRTHDAY, 2, 11 * DAY, DefinitionStatus::Deleted);
    shop.put_journey(BIRTHDAY, 1, 11 * DAY, DefinitionStatus::Deleted);
    shop.driver.advance_to(at(400 * DAY));
    assert!(shop.occasions().is_empty());
    assert!(shop.state().coming.is_empty());
}

#[test]
fn a_birthday_that_has_come_comes_no_second_time_on_that_day() {
    let mut shop = Shop::with(&[]);
    shop.journey(BIRTHDAY, 1, 0);
    let from = |zone: &str| Some(format!(r#"{{"timezone":"{zone}"}}"#));
    shop.tell(StorefrontEvent { context_json: from("Europe/Madrid"), ..identify(r#"{"birthday": "1990-03-05"}"#, 0) });
    shop.driver.advance_to(at(3 * DAY + 10 * HOUR));
    assert_eq!(shop.occasions(), [format!("ana birthday birthday date at {}", 3 * DAY + 9 * HOUR)]);
    // Ten o'clock in Mexico is still to come, and so is the evening that the next version waits for.
    shop.tell(StorefrontEvent {
        context_json: from("America/Mexico_City"),
        ..track("Product Viewed", 3 * DAY + 11 * HOUR)
    });
    shop.journey(&BIRTHDAY.replace("10:00", "18:00"), 2, 3 * DAY + 12 * HOUR);
    shop.driver.advance_to(at(20 * DAY));
    assert!(shop.occasions().is_empty());
    shop.driver.advance_to(at(400 * DAY));
    assert_eq!(shop.occasions(), [format!("ana birthday birthday date at {}", 369 * DAY)]);
    assert!(shop.state().came.len() <= 1, "what no clock can bring again is not kept");
}

#[test]
fn dates_of_a_version_that_rules_again_are_planned_from_then_on() {
    let mut shop = Shop::with(&[]);
    shop.journey(BIRTHDAY, 1, 0);
    shop.tell(identify(r#"{"birthday": "1990-03-05"}"#, 0));
    let without = "journey: birthday\nversion: 1\ntrigger: { event: Product Added }\nsteps: [ end ]\n";
    shop.journey(without, 2, HOUR);
    shop.driver.advance_to(at(11 * DAY));
    assert!(shop.occasions().is_empty());
    shop.put_journey(without, 2, 11 * DAY, DefinitionStatus::Deleted);
    // Of whom nothing was heard meanwhile: her birthday of this year is past.
    shop.driver.advance_to(at(400 * DAY));
    assert_eq!(shop.occasions(), [format!("ana birthday birthday date at {}", 368 * DAY + 10 * HOUR)]);
}

#[test]
fn a_date_that_comes_once_comes_once_whatever_happens_after_it() {
    let once = BIRTHDAY.replace("every: year, ", "").replace("time_zone: customer", "time_zone: shop");
    let mut shop = Shop::with(&[]);
    shop.journey(&once, 1, 0);
    shop.tell(identify(r#"{"birthday": "2026-03-05T00:00:00Z", "plan": "gold"}"#, 0));
    shop.driver.advance_to(at(4 * DAY));
    shop.tell(identify(r#"{"birthday": "2026-03-05"}"#, 5 * DAY));
    shop.journey(&once, 2, 6 * DAY);
    shop.driver.advance_to(at(700 * DAY));
    assert_eq!(shop.occasions(), [format!("ana birthday birthday date at {}", 3 * DAY + 10 * HOUR)]);
}

#[test]
fn a_date_survives_a_restart_and_comes_by_the_shops_clock_where_nobody_knows_hers() {
    let zones = || ShopTimeZones {
        by_shop: [("shop".to_owned(), definitions::time_zone("Asia/Tokyo").unwrap())].into(),
        ..ShopTimeZones::default()
    };
    let mut shop = Shop::with(&[]);
    shop.driver.restart(Policy::new(zones(), secret()));
    shop.journey(BIRTHDAY, 1, 0);
    shop.tell(identify(r#"{"birthday": "03-05"}"#, 0));
    shop.driver.advance_to(at(4 * DAY));
    assert_eq!(shop.occasions(), [format!("ana birthday birthday date at {}", 3 * DAY + HOUR)]);
}

#[test]
fn who_is_there_is_let_in_once_and_who_comes_later_or_has_left_is_not() {
    let mut shop = Shop::with(&["segment: vip\nenter: customer.last_7d.orders >= 2\n"]);
    for (number, customer) in ["ana", "luis", "eva"].into_iter().enumerate() {
        for order_number in 0..2 {
            let id = format!("{number}-{order_number}");
            shop.tell_of(customer, order(&id, 100, 60 * number as i64 + order_number));
        }
    }
    shop.admit(DAY, 2 * HOUR);
    // The same again, as after a restart, changes nothing.
    shop.tell_of("ana", track("Product Viewed", DAY + 1));
    // Who enters now does so by herself.
    shop.tell_of("new", order("n1", 100, DAY + 2));
    shop.tell_of("new", order("n2", 100, DAY + 3));
    shop.driver.advance_to(at(DAY + 2 * HOUR));
    let mut came = shop.occasions();
    came.sort();
    let who: Vec<&str> = came.iter().filter_map(|text| text.split(' ').next()).collect();
    assert_eq!(who, ["ana", "eva", "luis"], "{came:?}");
    assert!(came.iter().all(|text| text.contains("welcome vip existing")));
    shop.driver.advance_to(at(5 * DAY));
    assert!(shop.occasions().is_empty());

    // By the time of her turn she has left.
    let mut shop = Shop::with(&["segment: vip\nenter: customer.last_1d.orders >= 2\n"]);
    shop.tell(order("1", 100, 0));
    shop.tell(order("2", 100, 1));
    shop.admit(60, 1_000 * DAY);
    shop.driver.advance_to(at(1_100 * DAY));
    assert!(shop.occasions().is_empty());
}

#[test]
fn the_date_of_who_is_erased_does_not_come() {
    let mut shop = Shop::with(&[VIP]);
    shop.journey(BIRTHDAY, 1, 0);
    shop.tell(identify(r#"{"birthday": "1990-03-05"}"#, 0));
    shop.driver.input_traced(EVENTS, ANA, None, at(DAY), None);
    shop.driver.advance_to(at(10 * DAY));
    assert!(shop.occasions().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn those_who_are_let_in_come_one_after_the_other_as_fast_as_was_asked(hours in 1_i64..6, seed in 0_u32..1_000) {
        let mut shop = Shop::with(&[VIP]);
        let per_hour = 30;
        for number in 0..hours * per_hour {
            let customer = format!("{seed}-{number}");
            shop.tell_of(&customer, order("1", 100, 0));
            shop.tell_of(&customer, order("2", 100, 1));
        }
        shop.admit(60, hours * HOUR);
        let mut counts = Vec::new();
        for hour in 1..=hours {
            shop.driver.advance_to(at(60 + hour * HOUR));
            counts.push(shop.occasions().len() as i64);
        }
        prop_assert_eq!(counts.iter().sum::<i64>(), hours * per_hour);
        // Five standard deviations of what chance gives.
        let slack = (5.0 * (per_hour as f64).sqrt()) as i64;
        prop_assert!(counts.iter().all(|count| (count - per_hour).abs() <= slack), "{:?}", counts);
    }
}
