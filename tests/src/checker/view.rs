//! Redis equals the fold of the changelogs: the states byte for byte, and who is due.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde_json::Value;
use testkit::Redis;

use super::changelogs::Fold;
use super::millis;

/// The letters of a generation's hashes; a member begins with that of its own.
const BUCKETS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const LANES: [&str; 4] = ["timer", "ready", "claimed", "held"];
const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// After its last change a cart counts as open for so long.
const CART_IDLE_MS: i64 = 30 * DAY_MS;
/// An anonymous customer is forgotten after so long.
const ANONYMOUS_IDLE_MS: i64 = 90 * DAY_MS;

/// What a view says of itself.
#[derive(Debug)]
pub(super) struct Standing {
    generation: String,
    /// It is whole, and stands for the last header of the fold.
    pub(super) is_current: bool,
}

fn name(fold: &Fold, rest: &str) -> String {
    format!("vuelve:{service}:{rest}", service = fold.service)
}

fn tag(fold: &Fold) -> String {
    format!("{{{}:{}}}", fold.service, fold.partition)
}

/// What the partition's view stands for; none where there is no view.
pub(super) fn standing(redis: &Redis, fold: &Fold) -> anyhow::Result<Option<Standing>> {
    let view = name(fold, &format!("{}:view", tag(fold)));
    let fields = redis.elements(&["HMGET", &view, "generation", "header", "pending"])?;
    let texts: Option<Vec<String>> = fields.into_iter().map(|field| String::from_utf8(field?).ok()).collect();
    let Some([generation, header, pending]) = texts.as_deref() else { return Ok(None) };
    let is_current = *header == fold.header_offset.to_string() && pending == header;
    Ok(Some(Standing { generation: generation.clone(), is_current }))
}

/// A view that stands where the fold does holds what the fold holds; returns how many states.
pub(super) fn equals(redis: &Redis, fold: &Fold, standing: &Standing) -> anyhow::Result<usize> {
    let key = |rest: &str| name(fold, &format!("{}:{}:{rest}", standing.generation, tag(fold)));
    let mut members = BTreeMap::new();
    let mut states: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for letter in BUCKETS.chars() {
        let found = redis.elements(&["HGETALL", &key(&letter.to_string())])?;
        for pair in found.chunks_exact(2) {
            let member = text(pair[0].as_ref())?;
            let own = member.strip_prefix(letter).with_context(|| format!("{member} lies in bucket {letter}"))?;
            ensure!(
                states.insert(own.to_owned(), pair[1].clone().unwrap_or_default()).is_none(),
                "{own} is there twice"
            );
            members.insert(own.to_owned(), member.clone());
        }
    }
    let difference = |own: &&String| states.get(*own) != fold.states.get(*own).map(|(bytes, _)| bytes);
    let different: Vec<&String> = fold.states.keys().chain(states.keys()).filter(difference).take(5).collect();
    ensure!(different.is_empty(), "Redis and the fold of {} states differ in {different:?}", fold.states.len());

    for (index, lane) in LANES.into_iter().enumerate() {
        let entries = redis.elements(&["ZRANGE", &key(lane), "0", "-1", "WITHSCORES"])?;
        let mut found = BTreeMap::new();
        for pair in entries.chunks_exact(2) {
            let at: f64 = text(pair[1].as_ref())?.parse()?;
            found.insert(text(pair[0].as_ref())?, at as i64);
        }
        let due = |(own, (_, record)): (&String, &(Vec<u8>, Value))| {
            Some((members[own].clone(), due(fold.service, &record["state"])[index]?))
        };
        let wanted: BTreeMap<String, i64> = fold.states.iter().filter_map(due).collect();
        let missing = wanted.iter().find(|(member, at)| found.get(*member) != Some(at));
        let unwanted = found.iter().find(|(member, at)| wanted.get(*member) != Some(at));
        ensure!(missing.is_none() && unwanted.is_none(), "{lane}: {missing:?} is missing, {unwanted:?} is too much");
    }
    Ok(states.len())
}

fn text(element: Option<&Vec<u8>>) -> anyhow::Result<String> {
    Ok(String::from_utf8(element.cloned().context("nil")?)?)
}

/// What a state waits for, by lane: derived from its schema's documentation, not from the services' code.
fn due(service: &str, state: &Value) -> [Option<i64>; 4] {
    let list = |name: &str| state[name].as_array().map_or(&[][..], Vec::as_slice).iter();
    match service {
        // A key's last hour ends.
        "ingestion" => [list("seen").next_back().and_then(|hour| millis(hour, "until")), None, None, None],
        "journeys" => {
            let waits = list("runs").filter_map(|run| millis(run, "wakes_at"));
            let memories = list("past_runs").chain(list("past_exits")).filter_map(|past| millis(past, "forget_at"));
            let carts = list("carts").filter_map(|cart| Some(millis(cart, "changed_at")? + CART_IDLE_MS));
            let is_idle = state["known"] == false && list("runs").next().is_none();
            let end = millis(state, "touched_at").filter(|_| is_idle).map(|touched| touched + ANONYMOUS_IDLE_MS);
            [waits.chain(memories).chain(carts).chain(end).min(), None, None, millis(state, "policy_seen")]
        }
        "segmentation" => {
            let any = list("seen").find(|seen| seen["kind"] == "any" && state["known"] == false);
            let end = any.and_then(|seen| Some(millis(seen, "last_at")? + ANONYMOUS_IDLE_MS));
            let cart = millis(&state["cart"], "changed_at").map(|changed| changed + CART_IDLE_MS);
            [
                millis(state, "judge_at").into_iter().chain(end).chain(cart).min(),
                None,
                None,
                millis(state, "policy_seen"),
            ]
        }
        _ => {
            let phase = |message: &Value, wanted: &str| message["phase"] == wanted;
            let since = |wanted: &'static str| {
                list("messages")
                    .filter(move |message| phase(message, wanted))
                    .filter_map(|m| millis(m, "phase_at"))
                    .min()
            };
            let expiries = list("messages").filter(|message| !phase(message, "claimed"));
            let expiries = expiries.filter_map(|message| millis(message, "expires_at"));
            let memories = list("finals").chain(list("barred")).filter_map(|past| millis(past, "forget_at"));
            [expiries.chain(since("retry")).chain(memories).min(), since("ready"), since("claimed"), None]
        }
    }
}
