//! The schema registry, over HTTP.

use devbroker::DevBrokerConfig;
use serde_json::{Value, json};

use crate::support::Broker;

struct Registry {
    _broker: Broker,
    url: String,
    agent: ureq::Agent,
}

impl Registry {
    fn start() -> Self {
        let config =
            DevBrokerConfig { registry_listen: Some(([127, 0, 0, 1], 0).into()), ..DevBrokerConfig::default() };
        let broker = Broker::with(config);
        let url = broker.registry_url();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        Self { _broker: broker, url, agent }
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let url = format!("{}{path}", self.url);
        let content_type = "application/vnd.schemaregistry.v1+json";
        let mut response = match (method, body) {
            ("POST", Some(body)) => self.agent.post(&url).content_type(content_type).send(body.to_string()),
            ("PUT", Some(body)) => self.agent.put(&url).content_type(content_type).send(body.to_string()),
            ("DELETE", _) => self.agent.delete(&url).call(),
            _ => self.agent.get(&url).call(),
        }
        .unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, None)
    }

    fn register(&self, subject: &str, schema: &Value) -> (u16, Value) {
        self.call("POST", &format!("/subjects/{subject}/versions"), Some(&json!({ "schema": schema.to_string() })))
    }
}

fn order(more: &[Value]) -> Value {
    let mut fields = vec![json!({ "name": "id", "type": "string" })];
    fields.extend(more.iter().cloned());
    json!({ "type": "record", "name": "Order", "namespace": "shop", "fields": fields })
}

fn optional(name: &str) -> Value {
    json!({ "name": name, "type": ["null", "string"], "default": null })
}

#[test]
fn a_schema_has_one_id_wherever_and_however_often_it_is_registered() {
    let registry = Registry::start();
    let first = registry.register("a-value", &order(&[]));
    assert_eq!(first, (200, json!({ "id": 1 })));
    assert_eq!(registry.register("a-value", &order(&[])), first);
    assert_eq!(registry.register("b-value", &order(&[])), first);
    assert_eq!(registry.register("a-value", &order(&[optional("note")])), (200, json!({ "id": 2 })));
    assert_eq!(registry.get("/subjects"), (200, json!(["a-value", "b-value"])));
    assert_eq!(registry.get("/subjects/a-value/versions"), (200, json!([1, 2])));
    assert_eq!(registry.get("/schemas/ids/1"), (200, json!({ "schema": order(&[]).to_string() })));
    let latest = registry.get("/subjects/a-value/versions/latest").1;
    assert_eq!((&latest["version"], &latest["id"], &latest["subject"]), (&json!(2), &json!(2), &json!("a-value")));
    let found = registry.call("POST", "/subjects/a-value", Some(&json!({ "schema": order(&[]).to_string() })));
    assert_eq!((found.0, &found.1["version"], &found.1["id"]), (200, &json!(1), &json!(1)));
}

#[test]
fn what_is_not_there_or_wrong_is_answered_with_confluents_numbers() {
    let registry = Registry::start();
    registry.register("a", &order(&[]));
    let schema = |text: &str| json!({ "schema": text });
    let other = schema(&order(&[optional("x")]).to_string());
    for (method, path, body, status, code) in [
        ("GET", "/subjects/missing/versions", None, 404, 40401),
        ("GET", "/subjects/a/versions/9", None, 404, 40402),
        ("GET", "/subjects/a/versions/nine", None, 422, 42202),
        ("GET", "/schemas/ids/99", None, 404, 40403),
        ("POST", "/subjects/missing", Some(other.clone()), 404, 40401),
        ("POST", "/subjects/a", Some(other), 404, 40403),
        ("POST", "/subjects/a/versions", Some(schema("{\"type\": \"nonsense\"}")), 422, 42201),
        ("POST", "/subjects/a/versions", Some(json!({ "no": "schema" })), 422, 42201),
        ("GET", "/config/a", None, 404, 40408),
        ("PUT", "/config/a", Some(json!({ "compatibility": "SOMETIMES" })), 422, 42203),
        ("GET", "/nowhere", None, 404, 404),
    ] {
        let (answered, body) = registry.call(method, path, body.as_ref());
        assert_eq!((answered, body["error_code"].as_u64()), (status, Some(code)), "{method} {path}: {body}");
    }
}

#[test]
fn full_transitive_takes_only_what_every_version_can_read_and_be_read_by() {
    let registry = Registry::start();
    let level = json!({ "compatibility": "FULL_TRANSITIVE" });
    assert_eq!(registry.call("PUT", "/config/a", Some(&level)), (200, level.clone()));
    assert_eq!(registry.get("/config/a"), (200, json!({ "compatibilityLevel": "FULL_TRANSITIVE" })));
    registry.register("a", &order(&[]));
    assert_eq!(registry.register("a", &order(&[optional("note")])).0, 200);
    let retyped = json!({ "name": "note", "type": ["null", "int"], "default": null });
    let wider = json!({ "name": "note", "type": ["null", "string", "int"], "default": null });
    let required = json!({ "name": "must", "type": "string" });
    for bad in [vec![optional("note"), required], vec![retyped], vec![wider]] {
        let (status, body) = registry.register("a", &order(&bad));
        assert_eq!((status, body["error_code"].as_u64()), (409, Some(409)), "{body}");
        assert!(body["message"].as_str().unwrap().contains("incompatible with an earlier schema for subject \"a\""));
        let check = json!({ "schema": order(&bad).to_string() });
        let (_, verdict) =
            registry.call("POST", "/compatibility/subjects/a/versions/latest?verbose=true", Some(&check));
        assert_eq!(verdict["is_compatible"], json!(false));
        assert!(!verdict["messages"].as_array().unwrap().is_empty());
    }
    // Compatible with the latest version, but the first one had another `note` if it had one at all: dropped fields may
    // come back only as they were, and here they do.
    assert_eq!(registry.register("a", &order(&[optional("other")])).0, 200);
    assert_eq!(registry.register("a", &order(&[optional("other"), optional("note")])).0, 200);
    let back_as_number = json!({ "name": "note", "type": ["null", "int"], "default": null });
    assert_eq!(registry.register("a", &order(&[optional("other"), back_as_number])).0, 409);
}

#[test]
fn where_a_named_type_is_defined_makes_no_difference() {
    let registry = Registry::start();
    registry.call("PUT", "/config", Some(&json!({ "compatibility": "FULL_TRANSITIVE" })));
    let money = json!({ "type": "record", "name": "Money", "fields": [{ "name": "minor", "type": "long" }] });
    let with_default = |name: &str, of: &Value| json!({ "name": name, "type": ["null", of], "default": null });
    let first = order(&[with_default("total", &money)]);
    // The definition moves to the new field; the old one refers to it.
    let second = order(&[with_default("discount", &money), with_default("total", &json!("Money"))]);
    assert_eq!(registry.register("a", &first).0, 200);
    let (status, body) = registry.register("a", &second);
    assert_eq!(status, 200, "{body}");
}

#[test]
fn a_schema_may_refer_to_one_of_another_subject() {
    let registry = Registry::start();
    let money = json!({ "type": "record", "name": "shop.Money", "fields": [{ "name": "minor", "type": "long" }] });
    registry.register("money", &money);
    let order = order(&[json!({ "name": "total", "type": "shop.Money" })]);
    let reference = json!({ "name": "shop.Money", "subject": "money", "version": 1 });
    let body = json!({ "schema": order.to_string(), "references": [reference] });
    let (status, answer) = registry.call("POST", "/subjects/a/versions", Some(&body));
    assert_eq!((status, &answer["id"]), (200, &json!(2)), "{answer}");
    assert_eq!(registry.get("/schemas/ids/2").1["references"], json!([reference]));
    assert_eq!(registry.register("alone", &order).0, 422);
}

#[test]
fn a_deleted_subject_is_gone_but_its_ids_stay_readable() {
    let registry = Registry::start();
    registry.register("a", &order(&[]));
    assert_eq!(registry.call("DELETE", "/subjects/a", None), (200, json!([1])));
    assert_eq!(registry.get("/subjects"), (200, json!([])));
    assert_eq!(registry.get("/schemas/ids/1").0, 200);
}
