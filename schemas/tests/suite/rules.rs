//! The rules that every schema keeps, so that any reader of Avro can use it.

use schemas::TopicSpec;
use serde_json::Value;

/// Contracts that analysts read as they are: no records, arrays or maps within.
const FLAT: [&str; 3] = ["JourneyDecision", "MessageOutcome", "SegmentChange"];

/// Every named type and field of a schema, with the path to it.
fn walk<'a>(schema: &'a Value, path: &str, seen: &mut dyn FnMut(&str, &'a Value)) {
    seen(path, schema);
    match schema {
        Value::Array(variants) => variants.iter().for_each(|variant| walk(variant, path, seen)),
        Value::Object(members) => {
            for field in members.get("fields").and_then(Value::as_array).into_iter().flatten() {
                let path = format!("{path}.{}", field["name"].as_str().unwrap());
                seen(&path, field);
                walk(&field["type"], &path, seen);
            }
            for inner in ["items", "values"] {
                members.get(inner).into_iter().for_each(|inner| walk(inner, path, seen));
            }
        }
        _ => {}
    }
}

fn for_each_node(judge: &mut dyn FnMut(&str, &Value)) {
    for schema in schemas::schemas() {
        let value: Value = serde_json::from_str(schema.text()).unwrap();
        walk(&value, schema.name(), judge);
    }
}

fn is_field(node: &Value) -> bool {
    node.get("name").is_some() && !matches!(node["type"].as_str(), Some("record" | "enum" | "fixed"))
}

#[test]
fn everything_is_documented() {
    for_each_node(&mut |path, node| {
        if node.get("name").is_some() {
            let doc = node["doc"].as_str().unwrap_or_default();
            assert!(doc.len() > 3 && doc.ends_with('.'), "{path}: document it in a sentence, not {doc:?}");
        }
    });
}

#[test]
fn a_union_is_null_or_one_type_and_defaults_to_null() {
    for_each_node(&mut |path, node| {
        if let Value::Array(variants) = node {
            assert!(variants.len() == 2 && variants[0] == "null" && variants[1] != "null", "{path}: {variants:?}");
        }
        if is_field(node) && node["type"].is_array() {
            assert!(node.get("default").is_some_and(Value::is_null), "{path}: a union's default is null");
        }
    });
}

#[test]
fn outcomes_and_decisions_are_flat() {
    for schema in schemas::schemas().iter().filter(|schema| FLAT.contains(&schema.name())) {
        let value: Value = serde_json::from_str(schema.text()).unwrap();
        walk(&value, schema.name(), &mut |path, node| {
            let nests = ["record", "array", "map"].iter().any(|kind| node["type"] == *kind);
            assert!(!nests || path == schema.name(), "{path}: a flat record holds no records, arrays or maps");
        });
    }
}

#[test]
fn times_are_timestamp_millis_and_there_is_no_other_logical_type() {
    for_each_node(&mut |path, node| {
        if let Some(logical) = node.get("logicalType") {
            assert!(logical == "timestamp-millis" && node["type"] == "long", "{path}: {node}");
        }
        if is_field(node) {
            let name = node["name"].as_str().unwrap();
            let named_so = ["at", "time", "since", "until", "watermark"].contains(&name);
            let is_time = named_so || name.ends_with("_at") || name.ends_with("_time");
            assert!(!is_time || node["type"].to_string().contains("timestamp-millis"), "{path}: {}", node["type"]);
        }
    });
}

#[test]
fn money_is_a_long_of_minor_units_and_no_number_is_a_float_in_a_contract() {
    for spec in schemas::topics("vuelve", 1).iter().filter(|spec| spec.visibility == schemas::Visibility::Contract) {
        let Some(schema) = spec.schema else { continue };
        let value: Value = serde_json::from_str(schema.text()).unwrap();
        walk(&value, schema.name(), &mut |path, node| {
            if path.ends_with("_minor") && is_field(node) {
                assert_eq!(node["type"], serde_json::json!(["null", "long"]), "{path}");
            }
            assert!(node != "float" && node != "double" && node != "bytes", "{path}: {node}");
        });
    }
}

#[test]
fn an_enum_has_a_default_symbol() {
    for_each_node(&mut |path, node| {
        if node["type"] == "enum" {
            assert!(node["symbols"].as_array().unwrap().contains(&node["default"]), "{path}");
        }
    });
}

#[test]
fn names_are_snake_case_types_are_camel_case_and_namespaces_are_domains() {
    for_each_node(&mut |path, node| {
        let Some(name) = node.get("name").and_then(Value::as_str) else { return };
        if is_field(node) {
            assert!(
                name.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_'),
                "{path}"
            );
        } else {
            assert!(name.starts_with(|char: char| char.is_ascii_uppercase()) && !name.contains(['_', '.']), "{path}");
        }
        if let Some(namespace) = node.get("namespace").and_then(Value::as_str) {
            let domain = namespace.strip_prefix("vuelve.").unwrap_or_default();
            assert!(!domain.is_empty() && domain.chars().all(|char| char.is_ascii_lowercase()), "{path}: {namespace}");
        }
    });
    for (dataset, contract, text) in schemas::contracts() {
        let schema: Value = serde_json::from_str(text).unwrap();
        assert_eq!(schema["name"], contract);
        let domain = dataset.split('.').next().unwrap();
        let namespace = schema["namespace"].as_str().unwrap();
        assert!(namespace == format!("vuelve.{domain}") || contract == "Mark", "{contract}: {namespace}");
    }
}

#[test]
fn a_field_that_sounds_personal_is_listed_as_personal() {
    const TELLTALE: [&str; 11] = [
        "email",
        "phone",
        "first_name",
        "last_name",
        "address",
        "birthday",
        "ip",
        "user_agent",
        "traits_json",
        "context_json",
        "properties_json",
    ];
    for spec in schemas::topics("vuelve", 1) {
        for (path, _) in fields(&spec) {
            let name = path.rsplit('.').next().unwrap();
            let listed =
                spec.personal.iter().any(|personal| path == *personal || path.starts_with(&format!("{personal}.")));
            assert!(
                !TELLTALE.contains(&name) || listed,
                "{}: {path} is not listed under personal in topics.yaml",
                spec.dataset
            );
        }
    }
}

/// Every field of what a topic holds, nested ones as `record.field`.
pub(crate) fn fields(spec: &TopicSpec) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    if let Some(schema) = spec.schema {
        let value: Value = serde_json::from_str(schema.text()).unwrap();
        walk(&value, "", &mut |path, node| {
            if is_field(node) {
                found.push((path.trim_start_matches('.').to_owned(), node.clone()));
            }
        });
    }
    found
}
