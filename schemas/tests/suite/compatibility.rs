//! What may follow a past version, and what may not.

use schemas::compatibility::{Incompatible, check_full_transitive};

const V1: &str = r#"{"type": "record", "name": "Gift", "namespace": "vuelve.test", "fields": [
    {"name": "id", "type": "string"},
    {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["other", "card"], "default": "other"}},
    {"name": "note", "type": ["null", "string"], "default": null},
    {"name": "count", "type": "int", "default": 1},
    {"name": "parts", "type": {"type": "array", "items": {"type": "record", "name": "Part", "fields": [
        {"name": "sku", "type": "string"}]}}}
]}"#;

/// V1 with one piece of its text replaced.
fn with(from: &str, to: &str) -> String {
    assert!(V1.contains(from), "{from}");
    V1.replacen(from, to, 1)
}

fn reasons(new: &str, olds: &[&str]) -> String {
    match check_full_transitive(new, olds) {
        Ok(()) => String::new(),
        Err(breaches) => breaches.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn the_same_schema_and_an_optional_field_more_may_follow() {
    assert_eq!(reasons(V1, &[]), "");
    assert_eq!(reasons(V1, &[V1]), "");
    let top = with(
        r#"{"name": "note""#,
        r#"{"name": "colour", "type": ["null", "string"], "default": null}, {"name": "note""#,
    );
    assert_eq!(reasons(&top, &[V1]), "");
    let nested = with(
        r#"{"name": "sku", "type": "string"}"#,
        r#"{"name": "sku", "type": "string"}, {"name": "size", "type": ["null", "long"], "default": null}"#,
    );
    assert_eq!(reasons(&nested, &[V1, &nested]), "");
}

#[test]
fn a_symbol_more_may_follow_where_the_enum_has_a_default() {
    assert_eq!(reasons(&with(r#""card"]"#, r#""card", "voucher"]"#), &[V1]), "");
}

#[test]
fn what_breaks_a_reader_or_drops_data_may_not_follow() {
    let cases = [
        (r#"{"name": "id", "type": "string"},"#, "", "Gift.id differs from past version 1: a field may not be removed"),
        (r#"{"name": "note", "type": ["null", "string"], "default": null},"#, "", "a field may not be removed"),
        (r#""name": "id""#, r#""name": "ident""#, "a field may not be removed"),
        (
            r#"{"name": "id", "type": "string"},"#,
            r#"{"name": "id", "type": "string"}, {"name": "more", "type": "string"},"#,
            "a new field is",
        ),
        (
            r#"{"name": "id", "type": "string"},"#,
            r#"{"name": "id", "type": "string"}, {"name": "more", "type": "string", "default": ""},"#,
            "a new field is",
        ),
        (
            r#"["null", "string"], "default": null"#,
            r#"["null", "string", "long"], "default": null"#,
            "a union may not grow",
        ),
        (r#""type": "int""#, r#""type": "long""#, "a type may not change"),
        (
            r#"{"name": "sku", "type": "string"}"#,
            r#"{"name": "sku", "type": "bytes"}"#,
            "Part.sku differs from past version 1: a type may not change",
        ),
        (r#""default": 1"#, r#""default": 2"#, "a default may not change"),
        (r#""default": "other""#, r#""default": "card""#, "an enum's default may not change"),
        (r#""symbols": ["other", "card"]"#, r#""symbols": ["other"]"#, "a symbol may not be removed"),
        (r#""name": "Gift""#, r#""name": "Present""#, "a record keeps its name"),
        (r#""namespace": "vuelve.test""#, r#""namespace": "vuelve.other""#, "a record keeps its name"),
    ];
    for (from, to, reason) in cases {
        let said = reasons(&with(from, to), &[V1]);
        assert!(said.contains(reason), "{from} → {to}: {said:?}");
    }
}

#[test]
fn every_past_version_is_judged_not_only_the_last() {
    let v2 = with(r#""type": "int""#, r#""type": "long""#);
    let said = check_full_transitive(&v2, &[V1, &v2]).unwrap_err();
    assert!(said.iter().any(|breach| matches!(breach, Incompatible::Changed { version: 1, .. })));
    assert!(!said.iter().any(|breach| matches!(breach, Incompatible::Changed { version: 2, .. })));
}

#[test]
fn a_text_that_is_no_schema_is_named() {
    assert!(reasons("{", &[V1]).starts_with("the new schema is not an Avro schema: "));
    assert!(reasons(V1, &[V1, "nonsense"]).starts_with("past version 2 is not an Avro schema: "));
}
