//! The writes of a batch, in the form that `plan.lua` reads: variadic commands, one a bucket and lane, instead of one a change.
//!
//! Wanted properties:
//! - of several changes of one key the last counts, and of labels the last that tells of them;
//! - written twice, it leaves what it leaves written once.

use std::collections::HashMap;

use ::redis::{Cmd, RedisWrite, ToRedisArgs};
use foldhash::fast::RandomState;
use stream::{Lane, StateChange};

use super::keys::{BUCKETS, Keys, bucket};
use super::moves::Moves;
use crate::score;

/// A batch's writes.
pub(super) struct Plan<'a> {
    /// The changes that count, by bucket.
    sets: Vec<(u8, &'a StateChange)>,
    ends: Vec<(u8, &'a StateChange)>,
    moves: Moves<'a>,
}

/// A key as it stands in Redis: the letter of its bucket, then the key.
pub(super) struct Member<'a>(pub(super) u8, pub(super) &'a str);

impl ToRedisArgs for Member<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let mut member = [0; 128];
        let length = self.1.len() + 1;
        if length <= member.len() {
            member[0] = BUCKETS[usize::from(self.0)];
            member[1..length].copy_from_slice(self.1.as_bytes());
            out.write_arg(&member[..length]);
        } else {
            out.write_arg(&[&BUCKETS[usize::from(self.0)..=usize::from(self.0)], self.1.as_bytes()].concat());
        }
    }
}

/// One variadic command: its name, which of the call's keys, how many arguments.
struct Operation {
    command: &'static str,
    key: usize,
    arguments: usize,
}

impl<'a> Plan<'a> {
    pub(super) fn new(changes: &'a [StateChange]) -> Self {
        let mut last = HashMap::with_capacity_and_hasher(changes.len(), RandomState::default());
        for (index, change) in changes.iter().enumerate() {
            last.insert(&*change.key, index);
        }
        let (mut sets, mut ends) = (Vec::with_capacity(last.len()), Vec::new());
        for (index, change) in changes.iter().enumerate() {
            if last[&*change.key] == index {
                let side = if change.value.is_some() { &mut sets } else { &mut ends };
                side.push((bucket(&change.key), change));
            }
        }
        sets.sort_by_key(|(bucket, _)| *bucket);
        ends.sort_by_key(|(bucket, _)| *bucket);
        Self { sets, ends, moves: Moves::new(changes) }
    }

    /// The keys of the call: those given, then those that the plan writes to; and the plan's arguments, to be appended with
    /// [`Written::append`].
    pub(super) fn write(&self, keys: &Keys, generation: &str, mut call_keys: Vec<String>) -> Written<'_> {
        let mut operations = Vec::new();
        for (command, side, each) in [("HSET", &self.sets, 2), ("HDEL", &self.ends, 1)] {
            for bucket in side.chunk_by(|(left, _), (right, _)| left == right) {
                call_keys.push(keys.bucket(generation, bucket[0].0));
                operations.push(Operation { command, key: call_keys.len(), arguments: bucket.len() * each });
            }
        }
        for lane in Lane::ALL {
            call_keys.push(keys.lane(generation, lane));
            let key = call_keys.len();
            let entering = self.sets.iter().filter(|(_, change)| change.due.lane(lane).is_some()).count();
            let leaving = self.sets.len() + self.ends.len() - entering;
            if entering == 0 {
                operations.push(Operation { command: "LEAVE", key, arguments: 0 });
                continue;
            }
            operations.push(Operation { command: "ZADD", key, arguments: entering * 2 });
            if leaving > 0 {
                operations.push(Operation { command: "ZREM", key, arguments: leaving });
            }
        }
        for (command, key, arguments) in self.moves.operations(keys, generation) {
            call_keys.push(key);
            operations.push(Operation { command, key: call_keys.len(), arguments });
        }
        Written { plan: self, keys: call_keys, operations }
    }
}

/// A plan with its keys.
pub(super) struct Written<'a> {
    plan: &'a Plan<'a>,
    /// All keys of the call.
    pub(super) keys: Vec<String>,
    operations: Vec<Operation>,
}

impl Written<'_> {
    /// Appends the plan's arguments to a call.
    pub(super) fn append(&self, call: &mut Cmd) {
        let Plan { sets, ends, moves } = self.plan;
        call.arg(sets.len()).arg(ends.len()).arg(self.operations.len());
        for operation in &self.operations {
            call.arg(operation.command).arg(operation.key).arg(operation.arguments);
        }
        for (bucket, change) in sets {
            call.arg(Member(*bucket, &change.key)).arg(change.value.as_deref().unwrap_or_default());
        }
        for (bucket, change) in ends {
            call.arg(Member(*bucket, &change.key));
        }
        for lane in Lane::ALL {
            let mut leaving = Vec::new();
            let mut entering = 0;
            for (bucket, change) in sets {
                match change.due.lane(lane) {
                    Some(at) => {
                        entering += 1;
                        call.arg(score(at)).arg(Member(*bucket, &change.key));
                    }
                    None => leaving.push((*bucket, &*change.key)),
                }
            }
            if entering > 0 {
                let ended = ends.iter().map(|(bucket, change)| (*bucket, &*change.key));
                for (bucket, key) in leaving.into_iter().chain(ended) {
                    call.arg(Member(bucket, key));
                }
            }
        }
        moves.append(call);
    }
}
