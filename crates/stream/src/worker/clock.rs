//! How far time has come upstream (promise 6).
//!
//! Wanted properties:
//! - the watermark never claims more than the marks whose outputs lie behind the reader's position;
//! - what is remembered is bounded, whatever the reader's lag.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::{HumanDuration, Timestamp};

use super::partition::{Part, Progress};
use crate::service::Service;
use crate::settings::TimeMode;
use crate::topology::{Clock, Input, Partition, Topology};

/// How far behind the present the watermark stays where an input is drained: the clocks of broker and worker differ.
const DRAINED_MARGIN: HumanDuration = HumanDuration::from_millis(1000);

/// Marks that may wait for a slow reader, an upstream partition; older ones are thinned out, which only delays.
const MAX_WAITING: usize = 64;

/// One upstream partition's claim: all that it received before `time` is done, and came out below `bounds`.
#[derive(Clone, Debug)]
struct Waiting {
    time: Timestamp,
    /// By partition of the data set that is read here.
    bounds: Arc<[i64]>,
}

/// The marks that a worker has read for one of its inputs.
#[derive(Debug, Default)]
pub(super) struct MarkedClock {
    upstream: Vec<VecDeque<Waiting>>,
}

impl MarkedClock {
    pub(super) fn new(upstream_partitions: i32) -> Self {
        Self { upstream: (0..upstream_partitions).map(|_| VecDeque::new()).collect() }
    }

    /// Notes a claim of upstream partition `from`. Claims of a partition that does not exist are refused.
    pub(super) fn note(&mut self, from: Partition, time: Timestamp, bounds: &Arc<[i64]>) -> bool {
        let Some(queue) = usize::try_from(from).ok().and_then(|from| self.upstream.get_mut(from)) else { return false };
        // A new owner upstream may know less than the one before: its lower times tell nothing new.
        if queue.back().is_some_and(|last| last.time >= time) {
            return true;
        }
        if queue.len() >= MAX_WAITING {
            let mut keep = false;
            queue.retain(|_| {
                keep = !keep;
                keep
            });
        }
        queue.push_back(Waiting { time, bounds: Arc::clone(bounds) });
        true
    }

    /// Raises `reached` (by upstream partition) to what `position` of `partition` has come past.
    pub(super) fn reach(&self, partition: Partition, position: i64, reached: &mut [Timestamp]) {
        for (queue, reached) in self.upstream.iter().zip(reached) {
            let behind = queue.iter().rev().find(|waiting| {
                waiting.time > *reached
                    && usize::try_from(partition).is_ok_and(|p| waiting.bounds.get(p).is_some_and(|b| *b <= position))
            });
            if let Some(waiting) = behind {
                *reached = waiting.time;
            }
        }
    }
}

/// How far time has come on a partition: the least of its clocked inputs, and never back. With it, by input, how far the
/// marks of each upstream partition have been reached.
pub(super) fn time_of<S: Service>(
    part: &Part<S>,
    topology: &Topology,
    clocks: &[Option<MarkedClock>],
    mode: TimeMode,
    replayed_to: Timestamp,
) -> (Timestamp, Vec<Vec<Timestamp>>) {
    let progress = &part.progress;
    let mut reached = progress.reached.clone();
    let mut least: Option<Timestamp> = None;
    for (index, input) in topology.inputs.iter().enumerate() {
        let time = match input.clock {
            Clock::Unclocked => continue,
            Clock::Broker if mode == TimeMode::Replay => replayed_to,
            Clock::Broker => {
                let drained = progress.drained[index].map_or(Timestamp::MIN, |as_of| as_of - DRAINED_MARGIN);
                progress.broker_times[index].max(drained)
            }
            Clock::Marks(_) => {
                if let Some(clock) = &clocks[index] {
                    clock.reach(part.partition, progress.positions[index], &mut reached[index]);
                }
                least_of(&reached[index])
            }
        };
        least = Some(least.map_or(time, |least| least.min(time)));
    }
    // Where no input has a clock, time stands still: timers fire before records only.
    (least.map_or(progress.watermark, |time| time.max(progress.watermark)), reached)
}

/// What the header says of an input's time: what the next owner starts from.
pub(super) fn input_time(progress: &Progress, index: usize, input: Input) -> Timestamp {
    match input.clock {
        Clock::Broker => progress.broker_times[index],
        Clock::Marks(_) => least_of(&progress.reached[index]),
        Clock::Unclocked => Timestamp::MIN,
    }
}

fn least_of(times: &[Timestamp]) -> Timestamp {
    times.iter().copied().min().unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(offset: i64) -> Arc<[i64]> {
        Arc::from([offset])
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_mark_counts_only_once_the_reader_is_past_its_bound() {
        let mut clock = MarkedClock::new(1);
        assert!(clock.note(0, at(10), &bounds(5)));
        assert!(clock.note(0, at(20), &bounds(9)));
        let mut reached = vec![Timestamp::MIN];
        clock.reach(0, 4, &mut reached);
        assert_eq!(reached[0], Timestamp::MIN);
        clock.reach(0, 5, &mut reached);
        assert_eq!(reached[0], at(10));
        clock.reach(0, 100, &mut reached);
        assert_eq!(reached[0], at(20));
    }

    #[test]
    fn a_reader_that_lags_far_behind_still_advances_and_the_queue_stays_bounded() {
        let mut clock = MarkedClock::new(1);
        for n in 0..10_000 {
            clock.note(0, at(n), &bounds(n));
        }
        assert!(clock.upstream[0].len() <= MAX_WAITING);
        let mut reached = vec![Timestamp::MIN];
        clock.reach(0, 9_999, &mut reached);
        assert_eq!(reached[0], at(9_999));
    }

    #[test]
    fn a_mark_of_a_partition_that_does_not_exist_is_refused() {
        assert!(!MarkedClock::new(1).note(7, at(1), &bounds(0)));
    }
}
