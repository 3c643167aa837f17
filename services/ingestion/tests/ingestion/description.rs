//! The description of the HTTP API and the door say the same. Each answer that any test here gets is held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use axum::body::Body;
use axum::http::Method;
use serde_json::Value;

use crate::support::{Answer, Fixture, request};

static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| serde_saphyr::from_str(include_str!("../../openapi.yaml")).expect("it is YAML"));

/// What this is, or what it refers to.
fn resolved(value: &'static Value) -> &'static Value {
    let place = value["$ref"].as_str().map(|place| place.trim_start_matches('#'));
    place.map_or(value, |place| DESCRIPTION.pointer(place).unwrap_or_else(|| panic!("{place} is nowhere")))
}

/// The responses of each method of each path.
pub(crate) fn described() -> BTreeMap<&'static str, BTreeMap<String, &'static Value>> {
    let methods = |item: &'static Value| {
        let fields = resolved(item).as_object().unwrap().iter().filter(|(name, _)| *name != "parameters");
        fields.map(|(method, operation)| (method.to_uppercase(), &operation["responses"])).collect()
    };
    DESCRIPTION["paths"].as_object().unwrap().iter().map(|(path, item)| (path.as_str(), methods(item))).collect()
}

/// The path of the description that this is one of.
pub(crate) fn template_of(path: &str) -> Option<&'static str> {
    let parts: Vec<_> = path.split('/').collect();
    let fits = |template: &&str| {
        let template: Vec<_> = template.split('/').collect();
        let same = |(wanted, part): (&&str, &&str)| wanted == part || (wanted.starts_with('{') && !part.is_empty());
        template.len() == parts.len() && template.iter().zip(&parts).all(same)
    };
    described().into_keys().find(fits)
}

/// Fails where a request was answered as the description does not say.
#[track_caller]
pub(crate) fn holds(method: &Method, path: &str, answer: &Answer) {
    let status = answer.status.as_u16();
    let Some(template) = template_of(path) else { return assert_eq!(status, 404, "{path} is not described") };
    let looked_up = if *method == Method::HEAD { "GET" } else { method.as_str() };
    let Some(responses) = described()[template].get(looked_up).copied() else {
        return assert_eq!(status, 405, "{method} {template} is not described");
    };
    let response = &responses[&status.to_string()];
    assert!(!response.is_null(), "{method} {template} is answered {status}, which is not described");
    let response = resolved(response);
    let header = |name: &str| answer.headers.contains_key(name);
    for (name, _) in response["headers"].as_object().into_iter().flatten() {
        assert!(header(name), "{method} {template}: {status} without {name}");
    }
    let Some(content) = response["content"].as_object() else {
        return assert!(answer.bytes.is_empty(), "{method} {template}: {status} with a body");
    };
    let kind = answer.header("content-type").split(';').next().unwrap();
    assert!(content.contains_key(kind), "{method} {template}: {status} of {kind}");
    let codes = &content[kind]["schema"]["properties"]["code"]["enum"];
    if let Some(codes) = codes.as_array().filter(|_| !answer.bytes.is_empty()) {
        assert!(codes.contains(&answer.json()["code"]), "{method} {template}: {status}: {}", answer.text);
    }
}

#[test]
fn every_path_of_the_router_is_described_and_every_described_path_is_one_of_the_routers() {
    // The router names its paths nowhere else.
    let debug = format!("{:?}", Fixture::new().router);
    let (_, paths) = debug.split_once("paths: {").unwrap();
    let (paths, _) = paths.split_once("fallback_router").unwrap();
    let paths = paths.split('"').filter(|text| text.starts_with('/') && !text.contains("__private"));
    // What stands in braces has a name only for whoever reads it.
    let nameless = |path: &str| {
        path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
    };
    assert_eq!(paths.map(nameless).collect::<BTreeSet<_>>(), described().into_keys().map(nameless).collect());
}

#[tokio::test]
async fn each_path_has_the_methods_that_are_described_and_says_which_to_who_comes_with_another() {
    let door = Fixture::new();
    for (template, methods) in described() {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"] {
            let path = template.replace(['{', '}'], "");
            let call = request(method.parse().unwrap(), &path).body(Body::empty()).unwrap();
            let answer = door.send(call).await;
            assert_eq!(answer.status == 405, !methods.contains_key(method), "{method} {template}");
            if answer.status == 405 {
                answer.is_refused(405, "wrong_method", "this path is not for this method");
                let allowed: BTreeSet<_> = answer.header("allow").split(',').map(str::to_owned).collect();
                let wanted: BTreeSet<_> = methods.keys().filter(|method| *method != "OPTIONS").cloned().collect();
                assert!(allowed.is_superset(&wanted), "{method} {template}: {allowed:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_door_serves_its_description() {
    let door = Fixture::new();
    let answer = door.send(request(Method::GET, "/openapi.yaml").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/yaml"));
    assert!(answer.text.starts_with("openapi: 3.1.0"));
}

#[tokio::test]
async fn a_path_that_is_no_utf8_is_answered_as_any_that_we_do_not_know() {
    let door = Fixture::new();
    for (method, path, status, kind) in [
        (Method::GET, "/v1/projects/%ff/settings", 401, "application/json"),
        (Method::POST, "/webhooks/%ff", 404, "application/json"),
        (Method::GET, "/u/%ff", 404, "text/html; charset=utf-8"),
        (Method::POST, "/u/%ff", 404, "text/html; charset=utf-8"),
        (Method::GET, "/p/%ff%00", 404, "text/html; charset=utf-8"),
        (Method::POST, "/p/%ff", 404, "text/html; charset=utf-8"),
        (Method::GET, "/c/%ff", 404, "text/html; charset=utf-8"),
        (Method::GET, "/o/%ff", 200, "image/gif"),
    ] {
        let answer = door.send(request(method, path).body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (status, kind), "{path}");
    }
}
