//! What goes wrong in a run, drawn by its seed before it begins: so a fault can be left out to see whether it mattered.

use std::collections::BTreeSet;

use crate::chance::Chance;
use crate::world::{Directive, MS, Micros, SECOND, World};

/// What the network does to a message, in parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// It is lost.
    pub lost_ppm: u32,
    /// It takes long.
    pub slow_ppm: u32,
    /// How long at most.
    pub slowest: Micros,
    /// The markers of a transaction land within so long, one by one.
    pub marker_delay_ms: i64,
    /// A call of the store fails: before it took place, after it did, or midway.
    pub store_ppm: u32,
    /// A request arrives twice, the second time late, where the protocol allows that.
    pub twice_ppm: u32,
    /// The end of a transaction is under way for seconds.
    pub late_end_ppm: u32,
    /// The broker refuses a request of a transaction, which then has to be aborted.
    pub refused_ppm: u32,
}

/// A point in the work of a process: what strikes it there finds it between two steps that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// It begins a transaction.
    Begins,
    /// All was written but the offsets.
    Offsets,
    /// All was written but the end of the transaction.
    Ends,
    /// The end was sent, and is held back on its way.
    EndSent,
    /// The transaction is committed, and the store does not know of it yet.
    Applying,
    /// The store knows, and the worker has not heard of it.
    Applied,
    /// It is about to rebuild a view.
    Rebuilds,
    /// A view is being rebuilt.
    Filling,
    /// Its client has heard that the group rebalances, and is about to join again.
    Rejoins,
    /// It is about to answer what the group asked.
    Answers,
}

const POINTS: [Point; 10] = [
    Point::Begins,
    Point::Offsets,
    Point::Ends,
    Point::EndSent,
    Point::Applying,
    Point::Applied,
    Point::Rebuilds,
    Point::Filling,
    Point::Rejoins,
    Point::Answers,
];

/// Where it matters most that a process stands still for longer than its session: it goes on in a group that has done without
/// it, with a view, or a membership, that is another's by now. As often as each of them needs to be met.
const OVERTAKEN_AT: [Point; 8] = [
    Point::Rebuilds,
    Point::Rebuilds,
    Point::Rebuilds,
    Point::Filling,
    Point::Rejoins,
    Point::Rejoins,
    Point::Answers,
    Point::Answers,
];

/// What happens to a process at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// It is killed, and started again after so long.
    Kill(Micros),
    /// It is not scheduled for so long.
    Freeze(Micros),
}

/// Who keeps a group's or a transaction's book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinator {
    /// Of groups.
    Groups,
    /// Of transactions.
    Transactions,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A process is killed.
    Kill {
        /// Which.
        process: usize,
        /// Started again after so long.
        back_after: Micros,
    },
    /// A process is asked to stop.
    Stop {
        /// Which.
        process: usize,
        /// Started again after so long.
        back_after: Micros,
    },
    /// A process is not scheduled for so long.
    Freeze {
        /// Which.
        process: usize,
        /// How long.
        lasts: Micros,
    },
    /// A process is struck when it comes to a point the next time.
    Strike {
        /// Which.
        process: usize,
        /// Where.
        point: Point,
        /// How.
        blow: Blow,
    },
    /// A coordinator moves: for so long it is not found, or loads its book.
    CoordinatorMoves {
        /// Which.
        coordinator: Coordinator,
        /// How long.
        lasts: Micros,
    },
    /// The broker, and with it the coordinator, answers nobody for so long.
    BrokerAway {
        /// How long.
        lasts: Micros,
    },
    /// A machine's wall clock is set.
    Clock {
        /// Of which process.
        process: usize,
        /// By how much it is off from then on.
        offset_ms: i64,
    },
    /// A service's store is emptied.
    StoreEmptied {
        /// Of which service.
        service: usize,
    },
    /// A service's store falls back to a copy from so long before.
    StoreRolledBack {
        /// Of which service.
        service: usize,
        /// How much earlier the copy was taken.
        copied_before: Micros,
    },
    /// A service's store answers nobody for so long.
    StoreAway {
        /// Of which service.
        service: usize,
        /// How long.
        lasts: Micros,
    },
    /// A service's store takes nothing for so long: its memory is full.
    StoreFull {
        /// Of which service.
        service: usize,
        /// How long.
        lasts: Micros,
    },
}

/// What goes wrong, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// All the time.
    pub network: Network,
    /// Changelogs are compacted, and forget what has ended soon. Wall clocks then differ by little: by them a worker judges
    /// the age of a view.
    pub compacts: bool,
    /// At a time.
    pub faults: Vec<(Micros, Fault)>,
}

/// A process is missed by nobody if it is back after so long.
const BACK_SOON: Micros = 100 * MS;

/// The services, in the order of their numbers in a fault.
pub const SERVICES: [&str; 4] = ["ingestion", "segmentation", "journeys", "messaging"];

impl Plan {
    /// Draws one for so many processes; faults come within `lasts`.
    pub fn draw(chance: &mut Chance, processes: usize, lasts: Micros) -> Self {
        let network = Network {
            lost_ppm: *chance.one_of(&[0, 0, 1_000, 10_000]),
            slow_ppm: *chance.one_of(&[0, 2_000, 20_000]),
            slowest: *chance.one_of(&[300 * MS, 2 * SECOND, 7 * SECOND]),
            marker_delay_ms: *chance.one_of(&[0, 5, 100, 900, 900]),
            store_ppm: *chance.one_of(&[0, 0, 3_000, 20_000]),
            twice_ppm: *chance.one_of(&[0, 20_000, 100_000]),
            late_end_ppm: *chance.one_of(&[0, 0, 5_000, 40_000]),
            refused_ppm: *chance.one_of(&[0, 0, 2_000, 20_000]),
        };
        let compacts = chance.below(2) == 0;
        let count = chance.below(20);
        let mut faults: Vec<(Micros, Fault)> =
            (0..count).map(|_| (chance.between(SECOND / 2, lasts), Fault::draw(chance, processes, compacts))).collect();
        faults.sort_by_key(|(at, _)| *at);
        Self { network, compacts, faults }
    }

    /// Puts the faults into the world, but those with these numbers.
    pub fn begin(&self, world: &mut World, dropped: &BTreeSet<usize>) {
        for (number, (at, fault)) in self.faults.iter().enumerate() {
            if dropped.contains(&number) {
                continue;
            }
            let fault = *fault;
            if let Fault::StoreRolledBack { service, copied_before } = fault {
                let at = at.saturating_sub(copied_before);
                world.after(at, move |world| world.store(service).copy());
            }
            world.after(*at, move |world| fault.strike(number, world));
        }
    }
}

impl Fault {
    fn draw(chance: &mut Chance, processes: usize, compacts: bool) -> Self {
        let process = chance.below(processes as u64) as usize;
        let service = chance.below(SERVICES.len() as u64) as usize;
        if compacts && chance.below(12) == 0 {
            // A copy from before customers were forgotten, of which the changelog does not tell any more.
            return Self::StoreRolledBack { service, copied_before: chance.between(6 * SECOND, 24 * SECOND) };
        }
        match chance.below(38) {
            26..=37 => {
                let lasts = chance.between(4 * SECOND, 10 * SECOND);
                Self::Strike { process, point: *chance.one_of(&OVERTAKEN_AT), blow: Blow::Freeze(lasts) }
            }
            16..=23 => {
                let lasts = chance.between(2 * SECOND, 12 * SECOND);
                let blow = if chance.below(2) == 0 { Blow::Kill(lasts) } else { Blow::Freeze(lasts) };
                Self::Strike { process, point: *chance.one_of(&POINTS), blow }
            }
            24 | 25 => {
                let coordinator = *chance.one_of(&[Coordinator::Groups, Coordinator::Transactions]);
                Self::CoordinatorMoves { coordinator, lasts: chance.between(50 * MS, 4 * SECOND) }
            }
            0..=3 => Self::Kill { process, back_after: chance.between(50 * MS, 6 * SECOND) },
            4 => Self::Stop { process, back_after: chance.between(50 * MS, 6 * SECOND) },
            5..=7 => Self::Freeze { process, lasts: chance.between(200 * MS, 12 * SECOND) },
            8 | 9 => Self::BrokerAway { lasts: chance.between(100 * MS, 8 * SECOND) },
            10 => {
                let off = chance.between(0, 96) as i64 - 48;
                Self::Clock { process, offset_ms: if compacts { off * 18 } else { off * 3_600_000 } }
            }
            11 | 12 => Self::StoreEmptied { service },
            13 => Self::StoreRolledBack { service, copied_before: chance.between(100 * MS, 30 * SECOND) },
            14 => Self::StoreAway { service, lasts: chance.between(100 * MS, 6 * SECOND) },
            _ => Self::StoreFull { service, lasts: chance.between(100 * MS, 3 * SECOND) },
        }
    }

    /// Its kind, in words of its own.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "kills",
            Self::Stop { .. } => "stops",
            Self::Freeze { .. } => "freezes",
            Self::Strike { blow: Blow::Kill(_), .. } => "kills at a point",
            Self::Strike { blow: Blow::Freeze(_), .. } => "freezes at a point",
            Self::CoordinatorMoves { .. } => "coordinators moved",
            Self::BrokerAway { .. } => "brokers away",
            Self::Clock { .. } => "clocks set",
            Self::StoreEmptied { .. } => "stores emptied",
            Self::StoreRolledBack { .. } => "stores rolled back",
            Self::StoreAway { .. } => "stores away",
            Self::StoreFull { .. } => "stores full",
        }
    }

    fn strike(self, number: usize, world: &mut World) {
        world.tell(|| format!("FAULT {number}: {self:?}"));
        let now = world.now;
        match self {
            Self::Kill { process, back_after } => world.directives.push_back(Directive::Kill(process, back_after)),
            Self::Stop { process, back_after } => world.directives.push_back(Directive::Stop(process, back_after)),
            Self::Freeze { process, lasts } => world.machines[process].paused_until = now + lasts,
            Self::Strike { process, point, blow } => {
                world.machines[process].armed = Some((point, blow));
                world.leads_to(process, point);
            }
            Self::CoordinatorMoves { coordinator, lasts } => world.moves(coordinator, lasts),
            Self::BrokerAway { lasts } => world.broker_away_until = now + lasts,
            Self::Clock { process, offset_ms } => world.machines[process].clock_offset_ms = offset_ms,
            Self::StoreEmptied { service } => world.store(service).empty(),
            Self::StoreRolledBack { service, .. } => world.store(service).roll_back(),
            Self::StoreAway { service, lasts } => world.store(service).away_until = now + lasts,
            Self::StoreFull { service, lasts } => world.store(service).full_until = now + lasts,
        }
    }
}

impl World {
    /// Sees to it that a process comes to a point to which its work alone seldom leads.
    fn leads_to(&mut self, process: usize, point: Point) {
        let own = self.machines[process].service;
        match point {
            Point::Rebuilds | Point::Filling => self.store(own).empty(),
            Point::Rejoins | Point::Answers => {
                // Whoever comes back joins anew, and the group assigns everything anew.
                let mut others = self.machines.iter().enumerate();
                let other = others.find(|(id, machine)| *id != process && machine.service == own);
                self.directives.extend(other.map(|(id, _)| Directive::Kill(id, BACK_SOON)));
            }
            _ => {}
        }
    }

    fn store(&mut self, service: usize) -> &mut crate::redis::Redis {
        self.redis.entry(SERVICES[service]).or_default()
    }
}
