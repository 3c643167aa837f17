//! Building a view anew beside the one in use: begin, fill in numbered portions, switch.
//!
//! Wanted property: a rebuild is switched to only if all that was filled in is still there, nobody began another, and the view
//! that it replaces is the one over which it was begun.

use ::redis::{Cmd, Connection, RedisResult};
use stream::{Partition, StateChange, StateStore as _, StoreError, StorePosition};

use super::Redis;
use super::plan::Plan;
use super::reply::{self, strange};
use super::scripts::{BEGIN, FILL, SWITCH};
use super::store::drop_garbage;
use crate::{generation_in_use, limits, rebuild_lost};

/// A portion is one script: so large that its cost is in its writes, so small that others are served in between.
const CHANGES_PER_PORTION: usize = 2_000;
const BYTES_PER_PORTION: usize = 1 << 20;
/// Portions that are sent before the first answer is read.
const PORTIONS_IN_FLIGHT: usize = 8;

/// How far a rebuild is, as its worker knows it.
pub(super) struct Progress {
    generation: String,
    /// Portions that Redis has confirmed.
    filled: u64,
    /// Portions that were sent: more than `filled` after an error, when nobody knows what arrived.
    sent: u64,
}

impl Redis {
    pub(super) fn begin(&mut self, partition: Partition, generation: &str, log: &str) -> Result<(), StoreError> {
        limits::check_generation(generation)?;
        let keys = self.known(partition).keys.clone();
        let mut call = BEGIN.call(&[keys.view(), keys.rebuild(), keys.garbage()]);
        call.arg(generation).arg(log);
        let begun = self.link.run(|connection| {
            let begun = reply::text(call.query(connection)?)?.as_deref() == Some("begun");
            drop_garbage(&keys, connection)?;
            Ok(begun)
        })?;
        if !begun {
            return Err(generation_in_use(partition, generation));
        }
        self.known(partition).rebuild = Some(Progress { generation: generation.into(), filled: 0, sent: 0 });
        Ok(())
    }

    pub(super) fn fill_in(
        &mut self,
        partition: Partition,
        generation: &str,
        changes: &[StateChange],
    ) -> Result<(), StoreError> {
        limits::check_changes(changes)?;
        self.settle(partition, generation)?;
        let mut rest = changes;
        while !rest.is_empty() {
            let mut portions = Vec::new();
            while portions.len() < PORTIONS_IN_FLIGHT && !rest.is_empty() {
                let (portion, after) = rest.split_at(portion(rest));
                portions.push(portion);
                rest = after;
            }
            self.send(partition, generation, &portions)?;
        }
        Ok(())
    }

    /// After an error nobody knows which portions arrived: asks, so that new ones are numbered rightly.
    fn settle(&mut self, partition: Partition, generation: &str) -> Result<(), StoreError> {
        let known = self.known(partition);
        let keys = known.keys.clone();
        let lost = || rebuild_lost(partition);
        let progress = known.rebuild.as_ref().filter(|rebuild| rebuild.generation == generation).ok_or_else(lost)?;
        let (filled, sent) = (progress.filled, progress.sent);
        if filled == sent {
            return Ok(());
        }
        let mut ask = ::redis::cmd("HMGET");
        ask.arg(keys.rebuild()).arg("generation").arg("filled");
        let (there, arrived): (Option<String>, Option<u64>) = self.link.run(|connection| ask.query(connection))?;
        let arrived = arrived.filter(|arrived| (filled..=sent).contains(arrived)).ok_or_else(lost)?;
        if there.as_deref() != Some(generation) {
            return Err(lost());
        }
        self.known(partition).rebuild =
            Some(Progress { generation: generation.into(), filled: arrived, sent: arrived });
        Ok(())
    }

    fn send(&mut self, partition: Partition, generation: &str, portions: &[&[StateChange]]) -> Result<(), StoreError> {
        let known = self.known(partition);
        let progress = known.rebuild.as_mut().ok_or_else(|| rebuild_lost(partition))?;
        let first = progress.filled + 1;
        progress.sent = progress.filled + portions.len() as u64;
        let keys = known.keys.clone();
        let mut pipeline = ::redis::Pipeline::with_capacity(portions.len());
        for (number, portion) in (first..).zip(portions) {
            let plan = Plan::new(portion);
            let written = plan.write(&keys, generation, vec![keys.rebuild()]);
            let mut call = FILL.call(&written.keys);
            call.arg(generation).arg(number);
            written.append(&mut call);
            pipeline.add_command(call);
        }
        let answers: Vec<String> = self.link.run(|connection| pipeline.query(connection))?;
        if answers.iter().any(|answer| answer == "lost") {
            self.known(partition).rebuild = None;
            return Err(rebuild_lost(partition));
        }
        if let Some(progress) = &mut self.known(partition).rebuild {
            progress.filled = progress.sent;
        }
        Ok(())
    }

    pub(super) fn switch_to(
        &mut self,
        partition: Partition,
        generation: &str,
        log: &str,
        header_offset: i64,
    ) -> Result<(), StoreError> {
        let position = StorePosition { generation: generation.into(), log: log.into(), header_offset };
        if self.known(partition).rebuild.is_none() {
            // The same switch again, after its end.
            let standing = self.position(partition)?;
            return if standing == Some(position) { Ok(()) } else { Err(rebuild_lost(partition)) };
        }
        self.settle(partition, generation)?;
        let known = self.known(partition);
        let keys = known.keys.clone();
        let filled = known.rebuild.as_ref().map_or(0, |rebuild| rebuild.filled);
        let mut call = SWITCH.call(&[keys.view(), keys.rebuild(), keys.garbage()]);
        call.arg(keys.layout()).arg(generation).arg(log).arg(header_offset).arg(filled);
        if !self.link.run(|connection| switched(&call, connection))? {
            self.known(partition).rebuild = None;
            return Err(rebuild_lost(partition));
        }
        self.acknowledged.note(partition, position);
        let known = self.known(partition);
        known.generation = Some(generation.into());
        known.rebuild = None;
        // What is left of the old view is only memory: if it can't be dropped now, the next rebuild does it.
        if let Err(error) = self.link.run(|connection| drop_garbage(&keys, connection)) {
            tracing::warn!(partition, %error, "the keys of the view before could not be dropped yet");
        }
        Ok(())
    }
}

fn switched(call: &Cmd, connection: &mut Connection) -> RedisResult<bool> {
    match reply::text(call.query(connection)?)?.as_deref() {
        Some("done" | "there") => Ok(true),
        Some("lost") => Ok(false),
        _ => Err(strange("switch")),
    }
}

/// How many of the changes make one portion.
fn portion(changes: &[StateChange]) -> usize {
    let mut bytes = 0;
    let fitting = changes.iter().take(CHANGES_PER_PORTION).take_while(|change| {
        bytes += change.key.len() + change.value.as_ref().map_or(0, bytes::Bytes::len);
        bytes <= BYTES_PER_PORTION
    });
    fitting.count().max(1)
}
