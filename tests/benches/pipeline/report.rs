//! The figures of all runs: a table to look at, and JSON to keep.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use crate::shared::options::{Options, Part};
use crate::shared::sample::Sample;
use crate::shared::spread::Spread;
use crate::shared::usage::load;

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Produce,
    Door,
    NullHandler,
    DoorSingle,
    ProduceHalf,
    DoorHalf,
    EventTransactions,
    SegmentationMemory,
    SegmentationRedis,
    Transactions,
    JourneysMemory,
    JourneysRedis,
}

impl Row {
    /// In the order in which they are run: each after its ceiling.
    pub(crate) const ALL: [Self; 12] = [
        Self::Produce,
        Self::Door,
        Self::NullHandler,
        Self::DoorSingle,
        Self::ProduceHalf,
        Self::DoorHalf,
        Self::EventTransactions,
        Self::SegmentationMemory,
        Self::SegmentationRedis,
        Self::Transactions,
        Self::JourneysMemory,
        Self::JourneysRedis,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Produce => "ceiling: plain produce",
            Self::Door => "door: batches over HTTP",
            Self::NullHandler => "ceiling: a handler that does nothing",
            Self::DoorSingle => "door: single calls over HTTP",
            Self::ProduceHalf => "ceiling: plain produce at half of that",
            Self::DoorHalf => "door: single calls at half of that",
            Self::EventTransactions => "ceiling: plain transactions of events",
            Self::SegmentationMemory => "segmentation: store in memory",
            Self::SegmentationRedis => "segmentation: store in Redis",
            Self::Transactions => "ceiling: plain transactions",
            Self::JourneysMemory => "journeys: store in memory",
            Self::JourneysRedis => "journeys: store in Redis",
        }
    }

    pub(crate) const fn part(self) -> Part {
        match self {
            Self::Produce | Self::Door => Part::Door,
            Self::NullHandler | Self::DoorSingle | Self::ProduceHalf | Self::DoorHalf => Part::Single,
            Self::EventTransactions | Self::SegmentationMemory | Self::SegmentationRedis => Part::Segmentation,
            Self::Transactions | Self::JourneysMemory | Self::JourneysRedis => Part::Journeys,
        }
    }

    /// What it is measured beside.
    const fn ceiling(self) -> Option<Self> {
        match self {
            Self::Produce | Self::NullHandler | Self::ProduceHalf | Self::EventTransactions | Self::Transactions => {
                None
            }
            Self::Door => Some(Self::Produce),
            Self::DoorSingle => Some(Self::NullHandler),
            Self::DoorHalf => Some(Self::ProduceHalf),
            Self::SegmentationMemory | Self::SegmentationRedis => Some(Self::EventTransactions),
            Self::JourneysMemory | Self::JourneysRedis => Some(Self::Transactions),
        }
    }
}

/// All runs of all rows.
#[derive(Debug)]
pub(crate) struct Report {
    options: Options,
    /// Of the machine, before anything began: what others took.
    load_before: f64,
    runs: Vec<(Row, Sample)>,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        Self { options: options.clone(), load_before: load().unwrap_or(f64::NAN), runs: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: Row, sample: Sample) {
        self.runs.push((row, sample));
    }

    /// Writes `bench/results.json` into the target directory.
    pub(crate) fn save(&self) -> anyhow::Result<PathBuf> {
        // target/release/deps/<this benchmark>
        let here = std::env::current_exe()?;
        let target = here.ancestors().nth(3).unwrap_or(Path::new("target"));
        let path = target.join("bench/results.json");
        std::fs::create_dir_all(target.join("bench"))?;
        let text = serde_json::to_string_pretty(&self.to_json())?;
        std::fs::write(&path, text + "\n").with_context(|| path.display().to_string())?;
        Ok(path)
    }

    fn samples(&self, row: Row) -> impl Iterator<Item = &Sample> {
        self.runs.iter().filter(move |(of, _)| *of == row).map(|(_, sample)| sample)
    }

    fn spread(&self, row: Row, figure: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.samples(row).filter_map(figure).collect())
    }

    /// Each run beside the ceiling of its own round.
    fn shares(&self, row: Row) -> Option<Spread> {
        let ceilings = self.samples(row.ceiling()?);
        Spread::of(self.samples(row).zip(ceilings).map(|(own, ceiling)| own.rate() / ceiling.rate()).collect())
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        Row::ALL.into_iter().filter(|row| self.samples(*row).next().is_some())
    }

    fn to_json(&self) -> Value {
        let Options { events, customers, seed, partitions, connections, batch, .. } = &self.options;
        let runs = self.options.runs();
        let row = |row: Row| {
            json!({
                "row": row.name(),
                "ceiling": row.ceiling().map(Row::name),
                "events_per_second": self.spread(row, |sample| Some(sample.rate())).map(Spread::to_json),
                "share_of_ceiling": self.shares(row).map(Spread::to_json),
                "runs": self.samples(row).map(Sample::to_json).collect::<Vec<_>>(),
            })
        };
        json!({
            "events": events, "customers": customers, "seed": seed, "partitions": partitions, "runs": runs,
            "connections": connections, "batch": batch, "cores": cores(),
            "load_before": self.load_before,
            "rows": self.rows().map(row).collect::<Vec<_>>(),
        })
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

const HEADINGS: [&str; 8] = [
    "",
    "events/s",
    "of the ceiling, %",
    "CPU s a million",
    "broker's CPU s",
    "peak MiB",
    "call p50 ms",
    "call p99 ms",
];

impl Report {
    fn cells(&self, row: Row) -> [String; 8] {
        let text = |spread: Option<Spread>, digits| spread.map_or_else(|| "–".to_owned(), |spread| spread.text(digits));
        let figure = |figure: fn(&Sample) -> Option<f64>, digits| text(self.spread(row, figure), digits);
        let percent = |spread: Spread| Spread {
            median: spread.median * 100.0,
            least: spread.least * 100.0,
            most: spread.most * 100.0,
        };
        [
            row.name().to_owned(),
            figure(|sample| Some(sample.rate()), 0),
            text(self.shares(row).map(percent), 1),
            figure(|sample| Some(sample.cpu_seconds_per_million()), 2),
            figure(|sample| Some(sample.broker_cpu_seconds_per_million()), 2),
            figure(|sample| sample.peak_bytes.map(|bytes| bytes as f64 / f64::from(1 << 20)), 0),
            figure(|sample| sample.calls.map(|calls| calls.p50_ms), 1),
            figure(|sample| sample.calls.map(|calls| calls.p99_ms), 1),
        ]
    }
}

/// Median (least–most) of the runs.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { events, customers, partitions, connections, batch, .. } = &self.options;
        let runs = self.options.runs();
        writeln!(
            f,
            "{events} events of {customers} customers, {partitions} partitions, {connections} connections of {batch} events a \
             call; {} cores, load before {:.1}; median (least–most) of {runs} runs",
            cores(),
            self.load_before
        )?;
        let mut lines = vec![HEADINGS.map(str::to_owned)];
        lines.extend(self.rows().map(|row| self.cells(row)));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
        let widths: [usize; 8] = std::array::from_fn(width);
        for line in &lines {
            let cells = line.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("  {cell:>width$}"),
            });
            writeln!(f, "{}", cells.collect::<String>().trim_end())?;
        }
        Ok(())
    }
}
