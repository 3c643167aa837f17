//! Segments: what they say, and what their conditions read.

use std::collections::BTreeMap;
use std::fs;

use definitions::{
    Ageing, CUSTOMER_FIELDS, Change, Definition, Definitions, EvaluationError, Expression, FieldType, Folder, Kind,
    Scope, Segment, Thresholds, changes, customer_field, load, parse_document, serialize_json,
};
use domain::HumanDuration;
use proptest::prelude::*;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::folder::{lines, one_file, read, workspace};

fn loaded(folder: &Folder) -> Definitions {
    load(folder, &|_| None).unwrap_or_else(|said| panic!("{}", lines(&said)))
}

fn segment(text: &str) -> Segment {
    match parse_document(Kind::Segment, "s", &format!("segment: s\n{text}\n")) {
        Ok(Definition::Segment(segment)) => *segment,
        other => panic!("{other:?}"),
    }
}

fn condition(text: &str) -> Expression {
    segment(&format!("enter: |\n  {text}")).enter
}

fn holds(condition: &Expression, customer: &Value) -> Result<bool, EvaluationError> {
    let mut scope = Scope::new();
    scope.set("customer", Json(customer));
    condition.evaluate(&scope)
}

/// JSON whose whole numbers are CEL's, as services give them.
struct Json<'a>(&'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_json(self.0, serializer)
    }
}

#[test]
fn a_segment_says_what_it_says() {
    let full = segment(
        "version: 3\ndescription: Buys often.\ngroup: lifecycle\npriority: 90\nenter: customer.frequency >= 10\nleave: customer.recency_days >= 180\nminimum_stay: 7d",
    );
    assert_eq!((&*full.name, full.version, full.description.as_deref()), ("s", 3, Some("Buys often.")));
    assert_eq!((full.group.as_deref(), full.priority), (Some("lifecycle"), 90));
    assert_eq!(full.enter.source(), "customer.frequency >= 10");
    assert_eq!(full.leave.as_ref().map(Expression::source), Some("customer.recency_days >= 180"));
    assert_eq!(full.minimum_stay, HumanDuration::from_hours(7 * 24));

    let least = segment("enter: customer.known");
    assert_eq!((least.version, least.description, least.group, least.priority), (1, None, None, 0));
    assert_eq!((least.leave, least.minimum_stay), (None, HumanDuration::ZERO));
}

#[test]
fn a_record_of_a_segment_is_under_its_kind_name_and_version() {
    let definitions = loaded(&one_file("segment: vip\nversion: 2\nenter: customer.known\n"));
    assert_eq!(definitions.documents[0].key(), "segment/vip/2");
    assert_eq!("segment".parse(), Ok(Kind::Segment));
    assert_eq!(definitions.segments().count(), 1);
}

#[test]
fn a_segment_may_come_to_say_something_else_without_another_version() {
    let folder = |enter: &str| one_file(&format!("segment: s\nenter: {enter}\n"));
    let (before, after) = (loaded(&folder("customer.known")), loaded(&folder("customer.has_email")));
    let found = changes(&after, &|_| Some(before.documents[0].body.clone())).unwrap();
    assert_eq!(found[0].1, Change::Meaning);
}

#[test]
fn a_folder_replaces_the_segments_of_what_it_extends_by_name() {
    let base = loaded_from("preset: base", "segment: vip\ngroup: g\npriority: 1\nenter: customer.known\n", None);
    let own = loaded_from("extends: base", "segment: vip\nenter: customer.has_email\n", Some(&base.0));
    let entered: Vec<_> = own.1.unwrap().segments().map(|segment| segment.enter.source().to_owned()).collect();
    assert_eq!(entered, ["customer.has_email"]);
    let own =
        loaded_from("extends: base", "segment: gold\ngroup: g\npriority: 1\nenter: customer.known\n", Some(&base.0));
    assert_eq!(
        own.1.unwrap_err(),
        "base/s.yaml:1:1: error: the segment `vip` has priority 1 in the group `g`, and so has `gold` in own/s.yaml:1; give one of them another `priority`: the highest of a group wins\n"
    );
}

fn loaded_from(preset: &str, text: &str, base: Option<&Folder>) -> (Folder, Result<Definitions, String>) {
    let name = if base.is_some() { "own" } else { "base" };
    let mut folder = one_file(text);
    name.clone_into(&mut folder.name);
    folder.files[0].path = format!("{name}/s.yaml");
    let mut preset = one_file(preset).files.remove(0);
    preset.path = format!("{name}/preset.yaml");
    folder.files.push(preset);
    let result = load(&folder, &|_| base.cloned()).map_err(|said| lines(&said));
    (folder, result)
}

#[test]
fn a_folder_has_at_most_two_hundred_segments() {
    let folder = |count: usize| {
        let texts: Vec<_> = (0..count).map(|index| format!("segment: s{index:03}\nenter: customer.known\n")).collect();
        one_file(&texts.join("---\n"))
    };
    assert_eq!(loaded(&folder(200)).segments().count(), 200);
    let said = lines(&load(&folder(201), &|_| None).unwrap_err());
    assert_eq!(said, "test.yaml:601:1: error: there are more than 200 segments\n");
}

#[test]
fn no_more_dates_and_turns_are_waited_for_than_a_customer_may_have() {
    let journeys = |trigger: &str, count: usize| {
        let journey = |number| format!("journey: j{number}\ntrigger: {trigger}\nsteps: [ end ]\n");
        let journeys: Vec<String> = (0..count).map(journey).collect();
        one_file(&("segment: vip\nenter: customer.known\n---\n".to_owned() + &journeys.join("---\n")))
    };
    for (trigger, what) in [
        ("{ date: customer.traits.birthday, at: \"10:00\" }", "dates that journeys wait for"),
        ("{ segment: vip, existing: 1/h }", "triggers with `existing`"),
    ] {
        assert_eq!(loaded(&journeys(trigger, 32)).journeys().count(), 32);
        let said = lines(&load(&journeys(trigger, 33), &|_| None).unwrap_err());
        assert!(said.ends_with(&format!("error: there are more than 32 {what}\n")), "{said}");
    }
}

/// What is read, as `path` (read anywhere), `path@5,6`, or `path@` (whether it is there).
fn reads(text: &str) -> Vec<String> {
    let thresholds = |thresholds: &Thresholds| match thresholds {
        Thresholds::Anywhere => String::new(),
        Thresholds::At(numbers) => {
            format!("@{}", numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(","))
        }
    };
    condition(text).reads().customer.iter().map(|(path, at)| format!("{path}{}", thresholds(at))).collect()
}

#[test]
fn a_comparison_with_a_number_may_change_its_answer_there_and_just_above() {
    for comparison in ["<", "<=", ">", ">=", "==", "!="] {
        assert_eq!(reads(&format!("customer.recency_days {comparison} 30")), ["recency_days@30,31"]);
        assert_eq!(reads(&format!("30 {comparison} customer.recency_days")), ["recency_days@30,31"]);
    }
    assert_eq!(reads("customer.recency_days > -5"), ["recency_days@-5,-4"]);
    assert_eq!(reads("customer.recency_days > -(5)"), ["recency_days@-5,-4"]);
    assert_eq!(reads("customer.recency_days > 9223372036854775807"), ["recency_days@9223372036854775807"]);
}

#[test]
fn thresholds_come_from_every_place_in_an_expression() {
    assert_eq!(
        reads(
            "!(customer.known && (customer.lead_score > 5)) || (customer.cart.idle_hours < 2 ? customer.lead_score == 9 : 3 < customer.last_7d.orders)"
        ),
        ["cart.idle_hours@2,3", "known", "last_7d.orders@3,4", "lead_score@5,6,9,10"]
    );
    assert_eq!(reads("[1, 2].exists(n, n == 1 && customer.lead_score > 5)"), ["lead_score@5,6"]);
}

#[test]
fn whether_a_field_is_there_has_no_threshold() {
    assert_eq!(reads("has(customer.recency_days)"), ["recency_days@"]);
    assert_eq!(reads("has(customer.recency_days) && customer.recency_days > 3"), ["recency_days@3,4"]);
    assert_eq!(reads("has(customer.cart.idle_hours)"), ["cart.idle_hours@"]);
}

#[test]
fn what_is_not_compared_with_a_number_may_change_its_answer_anywhere() {
    for text in [
        "customer.recency_days + 1 > 3",
        "-customer.recency_days > 3",
        "customer.recency_days > 1 + 1",
        "customer.recency_days > 3.5",
        "customer.recency_days > customer.recency_days",
        "customer.recency_days in [1, 2]",
        "double(customer.recency_days) > 3.0",
        "(true ? customer.recency_days : 0) > 3",
        "[customer.recency_days].exists(d, d > 3)",
        "{'d': customer.recency_days}.d > 3",
        "customer.recency_days > 3 && customer.recency_days % 2 == 0",
        "customer.recency_days % 2 == 0 && customer.recency_days > 3",
    ] {
        assert_eq!(reads(text), ["recency_days"], "{text}");
    }
}

#[test]
fn traits_are_read_by_their_names_and_as_a_whole_where_the_name_is_not_written() {
    assert_eq!(reads("customer.traits.plan == 'gold'"), ["traits.plan"]);
    assert_eq!(reads("customer.traits['Favourite colour'] == 'red'"), ["traits.Favourite colour"]);
    assert_eq!(reads("has(customer.traits.plan)"), ["traits.plan@"]);
    assert_eq!(reads("customer.traits.seats >= 5"), ["traits.seats@5,6"]);
    assert_eq!(reads("customer.traits.plan.seats >= 5"), ["traits.plan"]);
    assert_eq!(reads("customer.traits[customer.currency] == 1"), ["currency", "traits"]);
    assert_eq!(reads("'plan' in customer.traits"), ["traits"]);
    assert_eq!(reads("has(customer.traits)"), ["traits@"]);
    assert_eq!(reads("customer.traits.exists(name, name == 'plan')"), ["traits"]);
}

#[test]
fn scores_are_read_by_their_names_and_as_numbers() {
    assert_eq!(reads("customer.scores.churn >= 70 && customer.tier == 'gold'"), ["scores.churn@70,71", "tier"]);
    assert_eq!(reads("has(customer.scores.ltv_12m)"), ["scores.ltv_12m@"]);
    let nobody = json!({ "scores": {} });
    assert_eq!(holds(&condition("customer.scores.churn >= 70"), &nobody), Err(EvaluationError::MissingValue));
    assert_eq!(holds(&condition("has(customer.scores.churn)"), &nobody), Ok(false));
    let scored = json!({ "scores": { "churn": 80 } });
    assert_eq!(holds(&condition("customer.scores.churn >= 70"), &scored), Ok(true));
    let long = "x".repeat(33);
    for (text, said) in [
        ("customer.scores.Churn > 1", "no score is called `Churn`"),
        ("customer.scores._x > 1", "no score is called `_x`"),
        (&format!("customer.scores.{long} > 1"), "no score is called `xxx"),
        ("customer.scores.churn == 'high'", "a number can't be compared with a text"),
        (
            "customer.scores['churn'] > 1",
            "`customer.scores` is no value by itself; name one of its fields, such as `customer.scores.churn`",
        ),
        ("has(customer.scores)", "`customer.scores` is no value by itself"),
        ("customer.scores.churn", "a condition is true or false; this is neither"),
    ] {
        let found = lines(&load(&one_file(&format!("segment: s\nenter: \"{text}\"\n")), &|_| None).unwrap_err());
        assert!(found.contains(said), "{text}: {found}");
    }
}

#[test]
fn a_name_of_a_loop_hides_the_customer() {
    assert_eq!(reads("[1].exists(customer, customer > 0)"), [] as [&str; 0]);
}

#[test]
fn what_is_missing_leaves_a_condition_without_an_answer_unless_the_rest_decides() {
    let nobody = json!({ "frequency": 0, "cart": { "open": false } });
    assert_eq!(holds(&condition("customer.recency_days >= 90"), &nobody), Err(EvaluationError::MissingValue));
    assert_eq!(holds(&condition("customer.recency_days >= 90 && customer.frequency > 0"), &nobody), Ok(false));
    assert_eq!(holds(&condition("has(customer.recency_days)"), &nobody), Ok(false));
}

#[test]
fn every_path_that_is_read_leads_to_its_field() {
    for field in CUSTOMER_FIELDS.iter().filter(|field| !field.path.ends_with("<name>")) {
        assert_eq!(customer_field(field.path), Some(field));
        let text = match field.field_type {
            FieldType::Boolean => format!("customer.{}", field.path),
            FieldType::Integer => format!("customer.{} > 1", field.path),
            FieldType::Text => format!("customer.{} == 'x'", field.path),
            FieldType::Texts | FieldType::Any => format!("'x' in customer.{}", field.path),
        };
        assert_eq!(condition(&text).reads().customer.keys().map(|path| &**path).collect::<Vec<_>>(), [field.path]);
    }
    for path in ["traits", "traits.plan", "traits.a.b"] {
        assert_eq!(customer_field(path).map(|field| field.path), Some("traits.<name>"), "{path}");
    }
    assert_eq!(customer_field("scores.churn").map(|field| field.path), Some("scores.<name>"));
    for path in ["", "cart", "last_7d", "traitsx", "scores", "scoresx", "last_8d.orders"] {
        assert_eq!(customer_field(path), None, "{path}");
    }
}

#[test]
fn fields_stand_in_the_table_once() {
    let mut paths: Vec<_> = CUSTOMER_FIELDS.iter().map(|field| field.path).collect();
    let count = paths.len();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), count);
}

/// The table of `docs/segments.md`: the counters once, since each window has the same.
fn table_of_fields() -> String {
    let is_window = |path: &str| path.starts_with("last_") || path.starts_with("total.");
    let mut lines = vec!["| `customer.…` | type | says |".to_owned(), "|---|---|---|".to_owned()];
    let mut windows: Vec<&str> = Vec::new();
    for field in CUSTOMER_FIELDS {
        let mut path = field.path.to_owned();
        if is_window(field.path) {
            let (window, name) = field.path.split_once('.').expect("a window has counters");
            if windows.last() != Some(&window) {
                windows.push(window);
            }
            if windows.len() > 1 {
                continue;
            }
            path = format!("<window>.{name}");
        }
        lines.push(format!("| `{path}` | {} | {} |", field.field_type.word(), field.doc));
    }
    let names: Vec<_> = windows.iter().map(|window| format!("`{window}`")).collect();
    lines.push(format!("\n`<window>` is one of {}.\n", names.join(", ")));
    lines.join("\n")
}

#[test]
fn the_document_on_segments_lists_the_fields_that_there_are() {
    let document = fs::read_to_string(workspace().join("docs/segments.md")).unwrap();
    let table = table_of_fields();
    assert!(document.contains(&table), "docs/segments.md has to hold:\n{table}");
    let ageing: BTreeMap<_, _> = CUSTOMER_FIELDS.iter().map(|field| (field.path, field.ageing)).collect();
    assert_eq!(ageing["last_30d.orders"], Ageing::Window(30));
    assert_eq!(ageing["total.orders"], Ageing::Steady);
}

#[test]
fn the_examples_in_the_document_on_segments_are_segments_and_journeys() {
    let document = fs::read_to_string(workspace().join("docs/segments.md")).unwrap();
    let examples: Vec<&str> = document.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let (journeys, segments): (Vec<&str>, Vec<&str>) =
        examples.into_iter().partition(|example| example.starts_with("journey: "));
    assert!(!journeys.is_empty() && !segments.is_empty());
    for example in segments {
        assert!(loaded(&one_file(example)).segments().count() > 0);
    }
    // What a journey names is not in its example.
    for example in journeys {
        let name = example.lines().next().and_then(|line| line.strip_prefix("journey: ")).unwrap();
        parse_document(Kind::Journey, name, example).unwrap();
    }
}

/// The segments of the preset that would have this customer.
fn wanted_by_the_preset(customer: &Value) -> Vec<String> {
    let definitions = loaded(&read(&workspace().join("presets/basic")));
    let wanted = definitions.segments().filter(|segment| holds(&segment.enter, customer) == Ok(true));
    let mut wanted: Vec<_> = wanted
        .map(|segment| (segment.group.is_none(), segment.group.clone(), -segment.priority, segment.name.to_string()))
        .collect();
    wanted.sort();
    // Of a group, the highest priority alone.
    wanted.dedup_by(|later, first| later.1.is_some() && later.1 == first.1);
    wanted.into_iter().map(|(.., name)| name).collect()
}

fn customer(age_days: i64, inactive_days: i64, orders: i64, recency_days: Option<i64>) -> Value {
    let mut customer = json!({
        "age_days": age_days, "inactive_days": inactive_days, "frequency": orders, "monetary_minor": orders * 20_000,
        "coupon_percent": 0, "cart": { "open": false, "value_minor": 0, "items": 0 },
        "last_30d": { "email_clicks": 0 }, "last_90d": { "email_clicks": 0 },
    });
    if let Some(days) = recency_days {
        customer["recency_days"] = days.into();
    }
    customer
}

#[test]
fn the_basic_preset_knows_typical_customers() {
    for (who, segment) in [
        (customer(0, 0, 0, None), "new"),
        (customer(10, 2, 1, Some(2)), "new"),
        (customer(40, 40, 0, None), "active"),
        (customer(100, 20, 1, Some(95)), "active"),
        (customer(200, 5, 3, Some(20)), "loyal"),
        (customer(300, 90, 3, Some(90)), "at-risk"),
        (customer(900, 5, 12, Some(20)), "vip"),
        (customer(400, 120, 0, None), "dormant"),
        (customer(400, 200, 3, Some(200)), "dormant"),
        (customer(900, 400, 12, Some(400)), "lost"),
    ] {
        assert_eq!(wanted_by_the_preset(&who), [segment], "{who}");
    }
    let mut who = customer(200, 5, 3, Some(5));
    who["coupon_percent"] = 66.into();
    who["last_30d"]["email_clicks"] = 2.into();
    who["cart"] = json!({ "open": true, "value_minor": 5_000, "items": 1, "idle_hours": 30 });
    assert_eq!(wanted_by_the_preset(&who), ["loyal", "cart-abandoner", "discount-lover", "engaged-reader"]);
}

#[test]
fn the_basic_preset_groups_customers_by_their_quintiles() {
    let ranked = |recency: i64, frequency: i64, monetary: i64| {
        let mut who = customer(900, 5, 12, Some(20));
        who["rfm"] = json!({ "recency": recency, "frequency": frequency, "monetary": monetary });
        // Without the lifecycle.
        wanted_by_the_preset(&who).into_iter().filter(|segment| segment != "vip").collect::<Vec<_>>().join(" ")
    };
    for (rfm, segment) in [
        ([5, 5, 5], "champions"),
        ([4, 4, 4], "champions"),
        ([4, 4, 3], ""),
        ([2, 4, 4], "cannot-lose"),
        ([1, 4, 3], ""),
        ([5, 1, 5], "promising"),
        ([4, 2, 1], "promising"),
        ([2, 2, 5], "hibernating"),
        ([3, 3, 3], ""),
    ] {
        assert_eq!(ranked(rfm[0], rfm[1], rfm[2]), segment, "{rfm:?}");
    }
}

#[test]
fn who_enters_a_segment_of_the_preset_does_not_satisfy_its_leaving() {
    let definitions = loaded(&read(&workspace().join("presets/basic")));
    for segment in definitions.segments() {
        let Some(leave) = &segment.leave else { continue };
        for days in 0..400 {
            let mut who = customer(500, days, 12, Some(days));
            for percent in [0, 39, 40, 59, 60, 100] {
                who["coupon_percent"] = percent.into();
                for clicks in 0..4 {
                    who["last_30d"]["email_clicks"] = clicks.into();
                    who["last_90d"]["email_clicks"] = clicks.into();
                    let both = holds(&segment.enter, &who) == Ok(true) && holds(leave, &who) == Ok(true);
                    assert!(!both, "{}: {who}", segment.name);
                }
            }
        }
    }
}

/// Conditions over two numbers: comparisons, and what else may be made of them.
fn conditions() -> impl Strategy<Value = String> {
    let field = prop_oneof![Just("customer.recency_days"), Just("customer.last_7d.orders")];
    let comparison = prop_oneof![Just("<"), Just("<="), Just(">"), Just(">="), Just("=="), Just("!=")];
    // Mostly such as have thresholds: one of another kind anywhere in a condition, and it says little of them.
    let leaf = (field, comparison, -6..6_i64, 0..24_u8).prop_map(|(field, comparison, number, form)| match form {
        0 => format!("{number} {comparison} {field}"),
        1 => format!("has({field})"),
        2 => format!("{field} + 1 {comparison} {number}"),
        3 => format!("{field} in [{number}]"),
        4 => format!("{field} {comparison} customer.recency_days"),
        5 => format!("[{number}, 2].exists(n, n {comparison} {field})"),
        6 => format!("[1, 2].all(n, {field} {comparison} {number} || n == 1)"),
        _ => format!("{field} {comparison} {number}"),
    });
    leaf.prop_recursive(3, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) && ({right})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) || ({right})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a}) ? ({b}) : ({c})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) == ({right})")),
            inner.prop_map(|inner| format!("!({inner})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The postcondition of the analysis, for a field that is there and for one beside it that may be missing.
    #[test]
    fn between_neighbouring_numbers_the_answer_changes_only_at_a_threshold(
        text in conditions(),
        orders in prop::option::of(-3..4_i64),
    ) {
        let condition = condition(&text);
        let at = |days: i64| {
            let counters = orders.map_or_else(|| json!({}), |orders| json!({ "orders": orders }));
            holds(&condition, &json!({ "recency_days": days, "last_7d": counters }))
        };
        let thresholds = condition.reads().customer.get("recency_days");
        for days in -9..9 {
            let may_change = match thresholds {
                None => false,
                Some(Thresholds::Anywhere) => true,
                Some(Thresholds::At(numbers)) => numbers.contains(&(days + 1)),
            };
            prop_assert!(may_change || at(days) == at(days + 1), "{text} between {days} and {}", days + 1);
        }
    }

    #[test]
    fn no_condition_of_a_segment_breaks_the_reader(condition in "[a-z.()\\[\\]&|!=<>+*/?:, 0-9_]{0,60}") {
        let _ = load(&one_file(&format!("segment: s\nenter: |\n  customer.{condition}\n")), &|_| None);
    }
}
