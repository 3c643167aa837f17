//! Reading a view: the same scripts for a worker's batch and for lookups.

use std::vec::IntoIter;

use ::redis::{Cmd, Connection, Pipeline, RedisResult, Value};
use stream::{Lane, LoadRequest, Loaded, StorePosition};

use super::keys::{BUCKETS, Keys, bucket};
use super::plan::Member;
use super::reply::{self, ViewFields};
use super::scripts::{self, LIST, LOAD};
use crate::lookups::{Members, MembersQuery};
use crate::score;

/// A question to a view of one generation, ready to be sent.
pub(super) trait Call {
    type Asked;
    type Answer;

    fn new(keys: &Keys, generation: &str, asked: &Self::Asked) -> Self;
    fn command(&self) -> &Cmd;
    /// What the script says after it has told of the view.
    fn answer(&self, position: StorePosition, told: IntoIter<Value>) -> RedisResult<Self::Answer>;
}

/// What a call found.
enum Found<A> {
    /// No view of our layout.
    Nothing,
    /// A view of another generation than was asked for, or one that is half written.
    Other(ViewFields),
    /// The view, whole.
    View(A),
}

/// States, and who is due.
pub(super) struct Load {
    call: Cmd,
    /// For each state in the order of the answer: its place in the request.
    places: Vec<usize>,
    due: bool,
}

impl Call for Load {
    type Asked = LoadRequest;
    type Answer = Loaded;

    fn new(keys: &Keys, generation: &str, request: &LoadRequest) -> Self {
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
        call.arg(keys.layout()).arg(generation);
        match query {
            Some(query) => {
                let counted = u8::from(query.lane == Lane::Held);
                call.arg(query.limit).arg(score(query.until)).arg(counted).arg(&BUCKETS[..])
            }
            None => call.arg(0).arg(0).arg(0).arg(""),
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

    fn command(&self) -> &Cmd {
        &self.call
    }

    fn answer(&self, position: StorePosition, mut told: IntoIter<Value>) -> RedisResult<Loaded> {
        let mut next = || told.next().ok_or_else(|| reply::strange("load"));
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
        let (due, held) =
            if self.due { (reply::due(next()?, next()?)?, reply::count(&next()?)?) } else { (Vec::new(), 0) };
        Ok(Loaded { position, states, due, held })
    }
}

/// Who is under a label.
pub(super) struct List(Cmd);

impl Call for List {
    type Asked = MembersQuery;
    type Answer = Members;

    fn new(keys: &Keys, generation: &str, query: &MembersQuery) -> Self {
        let mut call = LIST.call(&[keys.view(), keys.label(generation, &query.label)]);
        let from = query.after.as_ref().map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        call.arg(keys.layout()).arg(generation).arg(from).arg(query.limit);
        Self(call)
    }

    fn command(&self) -> &Cmd {
        &self.0
    }

    fn answer(&self, position: StorePosition, mut told: IntoIter<Value>) -> RedisResult<Members> {
        let mut next = || told.next().ok_or_else(|| reply::strange("list"));
        Ok(Members { position, count: reply::count(&next()?)?, keys: reply::keys(next()?)? })
    }
}

/// What the answer to a call says.
fn found<C: Call>(call: &C, keys: &Keys, generation: &str, answer: Value) -> RedisResult<Found<C::Answer>> {
    let mut told = reply::array(answer)?.into_iter();
    let view = told.next().ok_or_else(|| reply::strange("no view"))?;
    let Some(view) = reply::view(view, keys.layout())? else { return Ok(Found::Nothing) };
    if view.half_written || view.position.generation != generation {
        return Ok(Found::Other(view));
    }
    call.answer(view.position, told).map(Found::View)
}

/// What is to be read of a partition.
pub(super) struct Reading<'r, A> {
    pub(super) keys: Keys,
    /// The generation that its view is known to have: a guess, and then the one found.
    pub(super) generation: Option<String>,
    pub(super) asked: &'r A,
}

/// Asks several partitions, in their order: those whose generation is known and right in one round trip, then the others
/// each by itself. None where there is no view that may be read.
pub(super) fn ask_all<C: Call>(
    readings: &mut [Reading<'_, C::Asked>],
    connection: &mut Connection,
) -> RedisResult<Vec<Option<C::Answer>>> {
    let mut answered: Vec<Option<C::Answer>> = readings.iter().map(|_| None).collect();
    let mut pipeline = Pipeline::with_capacity(readings.len());
    let mut calls = Vec::with_capacity(readings.len());
    for (place, reading) in readings.iter().enumerate() {
        if let Some(generation) = &reading.generation {
            let call = C::new(&reading.keys, generation, reading.asked);
            pipeline.add_command(call.command().clone());
            calls.push((place, &reading.keys, generation, call));
        }
    }
    let answers = scripts::pipelined(&pipeline, connection)?;
    for ((place, keys, generation, call), answer) in calls.into_iter().zip(answers) {
        if let Found::View(found) = found(&call, keys, generation, answer)? {
            answered[place] = Some(found);
        }
    }
    for (reading, answered) in readings.iter_mut().zip(&mut answered) {
        if answered.is_none() {
            *answered = ask::<C>(&reading.keys, &mut reading.generation, reading.asked, connection)?;
        }
    }
    Ok(answered)
}

/// Reads states of several partitions at a glance; where that does not tell, the script is asked. None where there is no view
/// that may be read.
pub(super) fn look_all(
    readings: &mut [Reading<'_, LoadRequest>],
    connection: &mut Connection,
) -> RedisResult<Vec<Option<Loaded>>> {
    let mut told: Vec<Option<Loaded>> = readings.iter().map(|_| None).collect();
    let mut said = vec![None; readings.len()];
    for _ in 0..GLANCES {
        let Some(glance) = AtAGlance::new(readings, &said, &told) else { break };
        let answers = scripts::pipelined(glance.commands(), connection)?;
        glance.tell(readings, answers, &mut said, &mut told)?;
    }
    for (reading, told) in readings.iter_mut().zip(&mut told) {
        if told.is_none() {
            *told = ask::<Load>(&reading.keys, &mut reading.generation, reading.asked, connection)?;
        }
    }
    Ok(told)
}

/// A view that went on since it was looked at last is looked at once more.
pub(super) const GLANCES: usize = 2;

/// States of several partitions in one round trip and without a script, which costs Redis a multiple: what their views say of
/// themselves, unless that is known from a moment ago, then the states, then the views again. A view that says the same before
/// and after was the same in between, as it never comes back to where it stood, but in an older copy that was put back: so the
/// states are of one moment. One that says something else tells nothing yet, but what it says is known then.
pub(super) struct AtAGlance {
    /// The readings that are looked at.
    places: Vec<usize>,
    /// In the same order; none where the generation is not known yet.
    looks: Vec<Option<Look>>,
    commands: Pipeline,
}

impl AtAGlance {
    /// At the partitions of which nothing is told yet; none where all are. `said` is, for each reading, what its view said of
    /// itself a moment ago, over this connection.
    pub(super) fn new(
        readings: &[Reading<'_, LoadRequest>],
        said: &[Option<Value>],
        told: &[Option<Loaded>],
    ) -> Option<Self> {
        let places: Vec<usize> = (0..readings.len()).filter(|place| told[*place].is_none()).collect();
        if places.is_empty() {
            return None;
        }
        let looks: Vec<Option<Look>> = places.iter().map(|place| Look::new(&readings[*place])).collect();
        let groups = looks.iter().flatten().map(|look| look.groups.len()).sum::<usize>();
        let mut commands = Pipeline::with_capacity(groups + 2 * places.len());
        for (look, place) in looks.iter().zip(&places) {
            if look.is_some() && said[*place].is_none() {
                commands.add_command(view_of(&readings[*place].keys));
            }
        }
        for (look, place) in looks.iter().zip(&places) {
            if let Some(look) = look {
                look.add_groups(&readings[*place], &mut commands);
            }
        }
        for place in &places {
            commands.add_command(view_of(&readings[*place].keys));
        }
        Some(Self { places, looks, commands })
    }

    /// What is sent.
    pub(super) const fn commands(&self) -> &Pipeline {
        &self.commands
    }

    /// Takes what the answers tell of the readings.
    pub(super) fn tell(
        self,
        readings: &mut [Reading<'_, LoadRequest>],
        mut answers: Vec<Value>,
        said: &mut [Option<Value>],
        told: &mut [Option<Loaded>],
    ) -> RedisResult<()> {
        let views = answers.split_off(answers.len().saturating_sub(self.places.len()));
        let mut answers = answers.into_iter();
        for (place, look) in self.places.iter().zip(&self.looks) {
            if look.is_some() && said[*place].is_none() {
                said[*place] = answers.next();
            }
        }
        for ((place, look), says) in self.places.into_iter().zip(self.looks).zip(views) {
            let reading = &mut readings[place];
            let groups: Vec<Value> = answers.by_ref().take(look.as_ref().map_or(0, |look| look.groups.len())).collect();
            let is_still = said[place].as_ref() == Some(&says);
            let view = reply::view(says.clone(), reading.keys.layout())?.filter(|view| !view.half_written);
            said[place] = view.is_some().then_some(says);
            let Some(view) = view else { continue };
            let is_asked_for = reading.generation.as_ref() == Some(&view.position.generation);
            match look {
                Some(look) if is_still && is_asked_for => told[place] = Some(look.loaded(view.position, groups)?),
                _ => reading.generation = Some(view.position.generation),
            }
        }
        Ok(())
    }
}

/// How a partition's states are read.
struct Look {
    /// Of each bucket that has any of the keys, how many.
    groups: Vec<(u8, usize)>,
    /// For each state in the order of the answers: its place in the request.
    places: Vec<usize>,
}

impl Look {
    /// None where the generation is not known.
    fn new(reading: &Reading<'_, LoadRequest>) -> Option<Self> {
        reading.generation.as_ref()?;
        let keys = &reading.asked.keys;
        let mut order: Vec<(u8, usize)> = keys.iter().enumerate().map(|(place, key)| (bucket(key), place)).collect();
        order.sort_unstable();
        let groups = order.chunk_by(|(left, _), (right, _)| left == right).map(|group| (group[0].0, group.len()));
        let groups = groups.collect();
        Some(Self { groups, places: order.into_iter().map(|(_, place)| place).collect() })
    }

    /// One command for each bucket.
    fn add_groups(&self, reading: &Reading<'_, LoadRequest>, commands: &mut Pipeline) {
        let generation = reading.generation.as_deref().unwrap_or_default();
        let mut places = self.places.iter();
        for (bucket, members) in &self.groups {
            let command = commands.cmd("HMGET").arg(reading.keys.bucket(generation, *bucket));
            for place in places.by_ref().take(*members) {
                command.arg(Member(*bucket, &reading.asked.keys[*place]));
            }
        }
    }

    fn loaded(&self, position: StorePosition, groups: Vec<Value>) -> RedisResult<Loaded> {
        let mut places = self.places.iter();
        let mut states = vec![None; self.places.len()];
        for group in groups {
            for value in reply::array(group)? {
                let place = places.next().ok_or_else(|| reply::strange("states"))?;
                states[*place] = reply::bytes(value)?;
            }
        }
        if places.next().is_some() {
            return Err(reply::strange("states"));
        }
        Ok(Loaded { position, states, due: Vec::new(), held: 0 })
    }
}

fn view_of(keys: &Keys) -> Cmd {
    let mut command = ::redis::cmd("HMGET");
    command.arg(keys.view()).arg(&reply::VIEW_FIELDS);
    command
}

/// Asks what the view says of itself.
pub(super) fn view(keys: &Keys, connection: &mut Connection) -> RedisResult<Option<ViewFields>> {
    reply::view(view_of(keys).query(connection)?, keys.layout())
}

/// Asks whatever generation is in use; `known` is the guess, and then the one found.
/// None where there is no view that may be read.
pub(super) fn ask<C: Call>(
    keys: &Keys,
    known: &mut Option<String>,
    asked: &C::Asked,
    connection: &mut Connection,
) -> RedisResult<Option<C::Answer>> {
    // A view may be switched between the guess and the answer, but hardly twice.
    for _ in 0..4 {
        let generation = match known {
            Some(generation) => generation.clone(),
            None => match view(keys, connection)? {
                Some(view) => view.position.generation,
                None => return Ok(None),
            },
        };
        let call = C::new(keys, &generation, asked);
        match found(&call, keys, &generation, call.command().query(connection)?)? {
            Found::View(answer) => {
                *known = Some(generation);
                return Ok(Some(answer));
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
