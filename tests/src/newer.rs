//! What a program of tomorrow writes, as far as readers of today can tell.

use anyhow::Context;
use serde_json::{Value, json};

use crate::installation::{Installation, topic};

/// A framed value of a dataset as a newer writer would write it: with one optional field more, null, under the id that the
/// registry gives that schema.
pub fn newer(installation: &Installation, dataset: &str, framed: &[u8]) -> anyhow::Result<Vec<u8>> {
    let versions = format!("{}/subjects/{}-value/versions", installation.registry.url(), topic(dataset));
    let latest: Value = ureq::get(format!("{versions}/latest")).call()?.body_mut().read_json()?;
    let mut schema: Value = serde_json::from_str(latest["schema"].as_str().context("no schema")?)?;
    let field = json!({ "name": "of_tomorrow", "type": ["null", "string"], "default": null });
    schema["fields"].as_array_mut().context("no record")?.push(field);
    let body = json!({ "schema": schema.to_string() });
    let registered: Value = ureq::post(versions).send_json(body)?.body_mut().read_json()?;
    let id = u32::try_from(registered["id"].as_u64().context("no id")?)?;
    // A zero byte and the id; at the end, the new field: null.
    Ok([&[0], &id.to_be_bytes()[..], framed.get(5..).context("no frame")?, &[0]].concat())
}
