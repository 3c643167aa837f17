//! What the shared words accept, refuse and print.

use domain::{Currency, HumanDuration, Locale, LogPosition, Money, Timestamp};

#[test]
fn a_duration_is_read_as_people_write_it_and_prints_back() {
    for (text, millis) in
        [("90s", 90_000), ("1h", 3_600_000), ("2d", 172_800_000), ("1h30m", 5_400_000), ("250ms", 250)]
    {
        let duration: HumanDuration = text.parse().unwrap();
        assert_eq!(duration.as_millis(), millis, "{text}");
        assert_eq!(duration.to_string().parse::<HumanDuration>().unwrap(), duration, "{text}");
    }
}

#[test]
fn a_text_that_is_no_duration_is_refused_with_the_reason() {
    for text in ["", "1", "h", "1x", "-1h", "1h1h", "1m1h", "1.5h", "99999999999999999999d", "200000d"] {
        let error = text.parse::<HumanDuration>().unwrap_err().to_string();
        assert!(error.contains("write it like 90s"), "{text}: {error}");
    }
}

#[test]
fn amounts_are_exact_in_minor_units_whatever_way_json_writes_them() {
    let eur = Currency::parse("eur").unwrap();
    let jpy = Currency::parse("JPY").unwrap();
    for (text, currency, minor) in [
        ("19.99", eur, 1999),
        ("19.9", eur, 1990),
        ("20", eur, 2000),
        ("1.999e1", eur, 1999),
        ("-0.005", eur, -1),
        ("0.004", eur, 0),
        ("100", jpy, 100),
        ("99.5", jpy, 100),
        (".5", eur, 50),
        ("1e-60", eur, 0),
    ] {
        assert_eq!(Money::parse(text, currency).unwrap().minor, minor, "{text}");
    }
    for text in ["", ".", "1,5", "abc", "1e99", "NaN", "--1", "1.2.3"] {
        assert!(Money::parse(text, eur).is_err(), "{text}");
    }
    assert_eq!(Money { minor: -1905, currency: eur }.to_string(), "-19.05 EUR");
    assert!(Currency::parse("EURO").is_err());
}

#[test]
fn a_language_tag_gives_its_locale() {
    assert_eq!(Locale::from_tag("es-MX"), Some(Locale::Es));
    assert_eq!(Locale::from_tag("EN_us"), Some(Locale::En));
    assert_eq!(Locale::from_tag("fr"), None);
}

#[test]
fn time_saturates_at_its_ends() {
    assert_eq!(Timestamp::MAX + HumanDuration::from_hours(1), Timestamp::MAX);
    assert_eq!(Timestamp::MIN - HumanDuration::from_hours(1), Timestamp::MIN);
}

#[test]
fn a_place_is_read_as_it_is_written() {
    let place: LogPosition = "storefront.events/3@1200".parse().unwrap();
    assert_eq!(place, LogPosition { dataset: "storefront.events".to_owned(), partition: 3, offset: 1_200 });
    assert_eq!(place.to_string(), "storefront.events/3@1200");
}

#[test]
fn what_is_no_place_is_refused_with_how_to_write_it() {
    for text in ["", "storefront.events", "storefront.events/3", "/3@1", "a/-1@1", "a/1@-1", "a/1@x", "a/1@1@1"] {
        let error = text.parse::<LogPosition>().unwrap_err().to_string();
        assert!(error.contains("write it like storefront.events/3@1200"), "{error}");
    }
}
