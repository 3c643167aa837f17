//! Texts that nobody would write in earnest: they are refused, quickly, and never break anything.

use std::fmt::Write as _;

use definitions::{Kind, load, parse_document};
use proptest::prelude::*;

use crate::folder::{lines, one_file};

fn refused(text: &str) -> String {
    let said = load(&one_file(text), &|_| None).expect_err("it is refused");
    lines(&said)
}

#[test]
fn a_text_that_unfolds_without_end_is_refused() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (last, next) in [("a", "b"), ("b", "c"), ("c", "d")] {
        writeln!(text, "{next}: &{next} [*{last}, *{last}, *{last}, *{last}, *{last}, *{last}]").unwrap();
    }
    let said = refused(&text);
    assert!(said.contains("anchors") && said.contains("aliases"), "{said}");
}

#[test]
fn a_text_that_is_too_deep_or_too_large_is_refused() {
    assert!(refused(&"[".repeat(5_000)).contains("test.yaml:1:"));
    assert!(refused(&format!("a: {}", "[".repeat(60) + &"]".repeat(60))).contains("levels deep"));
    assert!(refused(&"x".repeat(2 << 20)).contains("larger than"));
    assert!(refused(&format!("a: [{}]", "x,".repeat(60_000))).contains("more than"));
}

#[test]
fn a_condition_that_is_too_deep_or_too_long_is_refused() {
    let journey = |condition: &str| {
        format!("journey: j\ntrigger: Product Added\nsteps:\n  - when: \"{condition}\"\n    then: [ end ]\n")
    };
    assert!(refused(&journey(&("(".repeat(500) + "true" + &")".repeat(500)))).contains("test.yaml:4:"));
    assert!(refused(&journey(&"true && ".repeat(1_000))).contains("at most 2000 bytes"));
    let loops = "[1].exists(a, [1].exists(b, [1].exists(c, a == b && b == c)))";
    assert!(refused(&journey(loops)).contains("nested more than 2 deep"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_the_reader(text in "[a-z:\\-\\[\\]{}#&*!|>'\"%@` \n\t0-9]{0,200}") {
        let _ = load(&one_file(&text), &|_| None);
        let _ = parse_document(Kind::Journey, "j", &text);
    }

    #[test]
    fn no_condition_breaks_the_reader(condition in "[a-z.()\\[\\]&|!=<>+*/?:, 0-9]{0,60}") {
        let text = format!("journey: j\ntrigger: Product Added\nsteps:\n  - when: |\n      {condition}\n    then: [ end ]\n");
        let _ = load(&one_file(&text), &|_| None);
    }

    /// One character changed in a good text: it is read, or something is said with a place inside the text.
    #[test]
    fn a_slip_in_a_good_text_is_read_or_told_with_its_place(at in 0..800_usize, with in "[a-z:{}\\[\\] \n-]") {
        let good = "journey: cart\nversion: 1\ntrigger: { event: Product Added }\ncorrelate: cart_id\nexit: [ { event: Order Completed, same: cart_id } ]\nreentry: { after: 7d }\nholdout: 10%\nsteps:\n  - wait: 1h\n    restart_on: [ { event: Product Added, same: cart_id } ]\n  - message: { as: first, template: t, category: cart }\n  - when: \"run.first.clicked\"\n    then: [ end ]\n---\ntemplate: t\nen: { subject: Hello, body: <mjml></mjml> }\n---\nmessaging: default\ncategories: { cart: {} }\n---\nsegment: vip\ngroup: g\npriority: 9\nenter: \"customer.frequency >= 10\"\nleave: \"customer.recency_days > 9\"\nminimum_stay: 7d\n";
        let mut text: Vec<char> = good.chars().collect();
        let at = at % text.len();
        text[at] = with.chars().next().unwrap();
        let text: String = text.into_iter().collect();
        if let Err(said) = load(&one_file(&text), &|_| None) {
            prop_assert!(!said.is_empty());
            let lines = text.lines().count();
            for diagnostic in said {
                prop_assert!((1..=lines + 1).contains(&diagnostic.line), "{diagnostic}");
                prop_assert!(diagnostic.column >= 1, "{diagnostic}");
            }
        }
    }
}
