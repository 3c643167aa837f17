//! Reading a view: the same script for a worker's batch and for one lookup.

use ::redis::{Cmd, Connection, Pipeline, RedisResult, Value};
use stream::{LoadRequest, Loaded};

use super::keys::{BUCKETS, Keys, LAYOUT, bucket};
use super::plan::Member;
use super::reply::{self, ViewFields};
use super::scripts::{self, LOAD};
use crate::score;

/// What a load found.
pub(super) enum Found {
    /// No view of our layout.
    Nothing,
    /// A view of another generation than was asked for, or one that is half written.
    Other(ViewFields),
    /// The view, whole.
    View(Loaded),
}

/// A load of one generation, ready to be sent.
pub(super) struct Load {
    call: Cmd,
    /// For each state in the order of the answer: its place in the request.
    places: Vec<usize>,
    due: bool,
}

impl Load {
    pub(super) fn new(keys: &Keys, generation: &str, request: &LoadRequest) -> Self {
        let mut order: Vec<(u8, usize)> =
            request.keys.iter().enumerate().map(|(place, key)| (bucket(key), place)).collect();
        order.sort_unstable();
        let query = request.due.filter(|query| query.limit > 0);

        let lane = query.map_or_else(String::new, |query| keys.lane(generation, query.lane));
        let mut call_keys = vec![keys.view(), if lane.is_empty() { keys.view() } else { lane }];
        if query.is_some() {
            call_keys.extend((0..BUCKETS.len() as u8).map(|bucket| keys.bucket(generation, bucket)));
        }
        let mut groups = Vec::new();
        for group in order.chunk_by(|(left, _), (right, _)| left == right) {
            let bucket = group[0].0;
            let key = if query.is_some() {
                3 + usize::from(bucket)
            } else {
                call_keys.push(keys.bucket(generation, bucket));
                call_keys.len()
            };
            groups.push((key, group.len()));
        }

        let mut call = LOAD.call(&call_keys);
        call.arg(LAYOUT).arg(generation);
        match query {
            Some(query) => call.arg(query.limit).arg(score(query.until)).arg(&BUCKETS[..]),
            None => call.arg(0).arg(0).arg(""),
        };
        call.arg(groups.len());
        for (key, members) in groups {
            call.arg(key).arg(members);
        }
        for (bucket, place) in &order {
            call.arg(Member(*bucket, &request.keys[*place]));
        }
        Self { call, places: order.into_iter().map(|(_, place)| place).collect(), due: query.is_some() }
    }

    pub(super) fn send(&self, generation: &str, connection: &mut Connection) -> RedisResult<Found> {
        self.found(generation, self.call.query(connection)?)
    }

    /// What the answer says.
    fn found(&self, generation: &str, answer: Value) -> RedisResult<Found> {
        let mut answer = reply::array(answer)?.into_iter();
        let mut next = || answer.next().ok_or_else(|| reply::strange("load"));
        let Some(view) = reply::view(next()?)? else { return Ok(Found::Nothing) };
        if view.half_written || view.position.generation != generation {
            return Ok(Found::Other(view));
        }
        let mut places = self.places.iter();
        let mut states = vec![None; self.places.len()];
        for portion in reply::array(next()?)? {
            for value in reply::array(portion)? {
                let place = places.next().ok_or_else(|| reply::strange("states"))?;
                states[*place] = reply::bytes(value)?;
            }
        }
        if places.next().is_some() {
            return Err(reply::strange("states"));
        }
        let due = if self.due { reply::due(next()?, next()?)? } else { Vec::new() };
        Ok(Found::View(Loaded { position: view.position, states, due }))
    }
}

/// What is to be read of a partition.
pub(super) struct Reading<'r> {
    pub(super) keys: Keys,
    /// The generation that its view is known to have: a guess, and then the one found.
    pub(super) generation: Option<String>,
    pub(super) request: &'r LoadRequest,
}

/// Loads of several partitions, in their order: those whose generation is known and right in one round trip, then the others
/// each by itself. None where there is no view that may be read.
pub(super) fn load_all(readings: &mut [Reading<'_>], connection: &mut Connection) -> RedisResult<Vec<Option<Loaded>>> {
    let mut loaded: Vec<Option<Loaded>> = readings.iter().map(|_| None).collect();
    let mut pipeline = Pipeline::with_capacity(readings.len());
    let mut loads = Vec::with_capacity(readings.len());
    for (place, reading) in readings.iter().enumerate() {
        if let Some(generation) = &reading.generation {
            let load = Load::new(&reading.keys, generation, reading.request);
            pipeline.add_command(load.call.clone());
            loads.push((place, generation, load));
        }
    }
    let answers = scripts::pipelined(&pipeline, connection)?;
    for ((place, generation, load), answer) in loads.into_iter().zip(answers) {
        if let Found::View(found) = load.found(generation, answer)? {
            loaded[place] = Some(found);
        }
    }
    for (reading, loaded) in readings.iter_mut().zip(&mut loaded) {
        if loaded.is_none() {
            *loaded = load(&reading.keys, &mut reading.generation, reading.request, connection)?;
        }
    }
    Ok(loaded)
}

/// Asks what the view says of itself.
pub(super) fn view(keys: &Keys, connection: &mut Connection) -> RedisResult<Option<ViewFields>> {
    reply::view(::redis::cmd("HMGET").arg(keys.view()).arg(&reply::VIEW_FIELDS).query(connection)?)
}

/// Loads from whatever generation is in use; `known` is the guess, and then the one found.
/// None where there is no view that may be read.
pub(super) fn load(
    keys: &Keys,
    known: &mut Option<String>,
    request: &LoadRequest,
    connection: &mut Connection,
) -> RedisResult<Option<Loaded>> {
    // A view may be switched between the guess and the answer, but hardly twice.
    for _ in 0..4 {
        let generation = match known {
            Some(generation) => generation.clone(),
            None => match view(keys, connection)? {
                Some(view) => view.position.generation,
                None => return Ok(None),
            },
        };
        match Load::new(keys, &generation, request).send(&generation, connection)? {
            Found::View(loaded) => {
                *known = Some(generation);
                return Ok(Some(loaded));
            }
            Found::Nothing => {
                *known = None;
                return Ok(None);
            }
            Found::Other(view) if view.half_written => return Ok(None),
            Found::Other(view) => *known = Some(view.position.generation),
        }
    }
    Ok(None)
}
