//! The port, on Redis.

use ::redis::{Connection, RedisResult};
use stream::{Advance, Applied, LoadRequest, Loaded, Partition, StateChange, StateStore, StoreError, StorePosition};

use super::keys::{Keys, layout};
use super::plan::Plan;
use super::read::{Load, Reading};
use super::reply::ViewFields;
use super::scripts::{self, APPLY};
use super::{Known, Redis, read, reply};
use crate::limits;

impl StateStore for Redis {
    fn position(&mut self, partition: Partition) -> Result<Option<StorePosition>, StoreError> {
        let keys = self.known(partition).keys.clone();
        let view = self.link.run(|connection| read::view(&keys, connection))?;
        let position = view.and_then(ViewFields::standing);
        self.known(partition).generation = position.as_ref().map(|position| position.generation.clone());
        Ok(position)
    }

    fn load(&mut self, partition: Partition, request: &LoadRequest) -> Result<Option<Loaded>, StoreError> {
        limits::check_load(request)?;
        let known = self.known(partition);
        let (keys, mut generation) = (known.keys.clone(), known.generation.take());
        let loaded = self.link.run(|connection| read::ask::<Load>(&keys, &mut generation, request, connection));
        self.known(partition).generation = generation;
        loaded
    }

    fn load_all(&mut self, requests: &[(Partition, LoadRequest)]) -> Result<Vec<Option<Loaded>>, StoreError> {
        for (_, request) in requests {
            limits::check_load(request)?;
        }
        let mut readings: Vec<Reading<'_, LoadRequest>> = requests
            .iter()
            .map(|(partition, request)| {
                let Known { keys, generation, .. } = self.known(*partition);
                Reading { keys: keys.clone(), generation: generation.take(), asked: request }
            })
            .collect();
        let loaded = self.link.run(|connection| read::ask_all::<Load>(&mut readings, connection));
        for ((partition, _), reading) in requests.iter().zip(readings) {
            self.known(*partition).generation = reading.generation;
        }
        loaded
    }

    fn apply(
        &mut self,
        partition: Partition,
        expected: &StorePosition,
        header_offset: i64,
        changes: &[StateChange],
    ) -> Result<Applied, StoreError> {
        let applied = self.apply_all(&[Advance { partition, expected, header_offset, changes }])?;
        applied.into_iter().next().ok_or_else(|| StoreError::Unusable("a call had no answer".to_owned()))
    }

    fn apply_all(&mut self, advances: &[Advance<'_>]) -> Result<Vec<Applied>, StoreError> {
        let mut pipeline = ::redis::Pipeline::with_capacity(advances.len());
        for advance in advances {
            let Advance { partition, expected, header_offset, changes } = *advance;
            limits::check_apply(expected, header_offset, changes)?;
            let keys = &self.known(partition).keys;
            let plan = Plan::new(changes);
            let written = plan.write(keys, &expected.generation, vec![keys.view()]);
            let mut call = APPLY.call(&written.keys);
            call.arg(keys.layout())
                .arg(&expected.generation)
                .arg(&expected.log)
                .arg(expected.header_offset)
                .arg(header_offset);
            written.append(&mut call);
            pipeline.add_command(call);
        }
        // The answer to an attempt may be lost: the next one then finds it done.
        let layout = layout(self.options.index);
        let applied: Vec<Applied> = self.link.run(|connection| {
            let answers = scripts::pipelined(&pipeline, connection)?;
            answers.into_iter().map(|answer| applied(answer, &layout)).collect()
        })?;
        for (advance, applied) in advances.iter().zip(&applied) {
            if matches!(applied, Applied::Done | Applied::AlreadyThere) {
                let position = StorePosition { header_offset: advance.header_offset, ..advance.expected.clone() };
                self.known(advance.partition).generation = Some(position.generation.clone());
                self.acknowledged.note(advance.partition, position);
            }
        }
        Ok(applied)
    }

    fn begin_rebuild(&mut self, partition: Partition, generation: &str, log: &str) -> Result<(), StoreError> {
        self.begin(partition, generation, log)
    }

    fn fill(&mut self, partition: Partition, generation: &str, changes: &[StateChange]) -> Result<(), StoreError> {
        self.fill_in(partition, generation, changes)
    }

    fn switch(
        &mut self,
        partition: Partition,
        generation: &str,
        log: &str,
        header_offset: i64,
    ) -> Result<(), StoreError> {
        self.switch_to(partition, generation, log, header_offset)
    }

    fn release(&mut self, partition: Partition) {
        self.partitions.remove(&partition);
        self.acknowledged.forget(partition);
    }
}

fn applied(answer: ::redis::Value, layout: &str) -> RedisResult<Applied> {
    let mut answer = reply::array(answer)?.into_iter();
    let (Some(word), Some(view)) = (answer.next(), answer.next()) else { return Err(reply::strange("apply")) };
    match reply::text(word)?.as_deref() {
        Some("done") => Ok(Applied::Done),
        Some("there") => Ok(Applied::AlreadyThere),
        Some("refused") => Ok(Applied::Refused(reply::view(view, layout)?.and_then(ViewFields::standing))),
        _ => Err(reply::strange("apply")),
    }
}

/// Drops the keys of generations that are out of use. They are known by name; Redis frees their memory beside its work.
pub(super) fn drop_garbage(keys: &Keys, connection: &mut Connection) -> RedisResult<()> {
    let generations: Vec<String> = ::redis::cmd("SMEMBERS").arg(keys.garbage()).query(connection)?;
    for generation in generations {
        let labels: Vec<String> = ::redis::cmd("SMEMBERS").arg(keys.labels(&generation)).query(connection)?;
        ::redis::cmd("UNLINK").arg(keys.all(&generation, &labels)).exec(connection)?;
        ::redis::cmd("SREM").arg(keys.garbage()).arg(generation).exec(connection)?;
    }
    Ok(())
}
