//! Row T1: timers. What a core fires (`engine`), what the index of one customer weighs (`index`), and how late they are told
//! by a live worker (`lateness`).

mod engine;
mod index;
mod lateness;

pub(crate) use index::hold;
pub(crate) use lateness::WAIT_MS;

use crate::report::Report;
use crate::shared::installation::Parts;
use crate::shared::options::Options;

/// All of it, as often as is asked for.
pub(crate) fn timers(parts: &Parts, options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let customers = options.many_customers();
    // A young broker is slow.
    lateness::figures(parts, options, 0)?;
    for run in 1..=options.runs() {
        eprintln!("{} of {}: T1: {customers} timers in the engine", run, options.runs());
        report.add("T1 engine, store in memory", &engine::figures(customers)?);
        report.add("T1 index", &index::figures(parts, customers.min(1_000_000))?);
        eprintln!("{} of {}: T1: timers of a live worker", run, options.runs());
        report.add("T1 live", &lateness::figures(parts, options, run)?);
    }
    Ok(())
}
