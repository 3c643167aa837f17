//! The figures of all runs: a table to look at, and JSON to keep.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use crate::shared::options::Options;
use crate::shared::spread::Spread;
use crate::shared::usage::load;

/// What a figure ought to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// It explains others.
    None,
}

impl Goal {
    /// By how much of the goal a figure misses it, in percent; none where it does not.
    fn missed_by_percent(self, value: f64) -> Option<f64> {
        let (missed, goal) = match self {
            Self::AtLeast(goal) => (goal - value, goal),
            Self::AtMost(goal) => (value - goal, goal),
            Self::None => return None,
        };
        (missed > 0.0).then(|| missed * 100.0 / goal)
    }
}

/// One figure of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) digits: usize,
    pub(crate) goal: Goal,
}

/// A figure without a goal.
pub(crate) fn figure(name: &'static str, value: f64, digits: usize) -> Figure {
    Figure { name, value, digits, goal: Goal::None }
}

impl Figure {
    pub(crate) fn at_least(self, goal: f64) -> Self {
        Self { goal: Goal::AtLeast(goal), ..self }
    }

    pub(crate) fn at_most(self, goal: f64) -> Self {
        Self { goal: Goal::AtMost(goal), ..self }
    }
}

struct Line {
    row: String,
    /// Of the first run: what the others have, too.
    figure: Figure,
    values: Vec<f64>,
}

/// All runs of all rows.
pub(crate) struct Report {
    options: Options,
    /// Of the machine, before anything began: what others took.
    load_before: f64,
    lines: Vec<Line>,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        Self { options: options.clone(), load_before: load().unwrap_or(f64::NAN), lines: Vec::new() }
    }

    /// The figures of one run of a row.
    pub(crate) fn add(&mut self, row: &str, figures: &[Figure]) {
        for figure in figures {
            let known = self.lines.iter_mut().find(|line| line.row == row && line.figure.name == figure.name);
            match known {
                Some(line) => line.values.push(figure.value),
                None => {
                    self.lines.push(Line { row: row.to_owned(), figure: *figure, values: vec![figure.value] });
                }
            }
        }
    }

    /// Writes `bench/engine.json` into the target directory.
    pub(crate) fn save(&self) -> anyhow::Result<PathBuf> {
        // target/release/deps/<this benchmark>
        let here = std::env::current_exe()?;
        let target = here.ancestors().nth(3).unwrap_or(Path::new("target"));
        let path = target.join("bench/engine.json");
        std::fs::create_dir_all(target.join("bench"))?;
        let text = serde_json::to_string_pretty(&self.to_json())?;
        std::fs::write(&path, text + "\n").with_context(|| path.display().to_string())?;
        Ok(path)
    }

    fn to_json(&self) -> Value {
        let Options { events, customers, seed, partitions, full, .. } = &self.options;
        let line = |line: &Line| {
            json!({
                "row": line.row, "figure": line.figure.name, "runs": line.values,
                "spread": Spread::of(line.values.clone()).map(Spread::to_json),
                "goal": match line.figure.goal {
                    Goal::AtLeast(goal) => json!({ "at_least": goal }),
                    Goal::AtMost(goal) => json!({ "at_most": goal }),
                    Goal::None => Value::Null,
                },
                "missed_by_percent": line.missed_by_percent(),
            })
        };
        json!({
            "events": events, "customers": customers, "seed": seed, "partitions": partitions, "runs": self.options.runs(), "full": full,
            "cores": cores(), "load_before": self.load_before,
            "figures": self.lines.iter().map(line).collect::<Vec<_>>(),
        })
    }
}

impl Line {
    fn missed_by_percent(&self) -> Option<f64> {
        Spread::of(self.values.clone()).and_then(|spread| self.figure.goal.missed_by_percent(spread.median))
    }

    fn cells(&self, is_first: bool) -> [String; 4] {
        let digits = self.figure.digits;
        let value = Spread::of(self.values.clone()).map_or_else(
            || "–".to_owned(),
            |spread| match self.values.len() {
                1 => format!("{:.digits$}", spread.median),
                _ => spread.text(digits),
            },
        );
        let goal = match (self.figure.goal, self.missed_by_percent()) {
            (Goal::None, _) => String::new(),
            (Goal::AtLeast(goal), None) => format!("≥ {goal:.digits$}: met"),
            (Goal::AtMost(goal), None) => format!("≤ {goal:.digits$}: met"),
            (Goal::AtLeast(goal), Some(missed)) => format!("≥ {goal:.digits$}: missed by {missed:.0} %"),
            (Goal::AtMost(goal), Some(missed)) => format!("≤ {goal:.digits$}: missed by {missed:.0} %"),
        };
        let row = if is_first { self.row.clone() } else { String::new() };
        [row, self.figure.name.to_owned(), value, goal]
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

/// Median (least–most) of the runs, each figure with its goal.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { events, customers, partitions, full, .. } = &self.options;
        writeln!(
            f,
            "{events} events of {customers} customers, {partitions} partitions{}; {} cores, load before {:.1}; median (least–most) of \
             {} runs",
            if *full { ", the large figures" } else { "" },
            cores(),
            self.load_before,
            self.options.runs()
        )?;
        let begins = |index: usize| index == 0 || self.lines[index - 1].row != self.lines[index].row;
        let rows: Vec<[String; 4]> =
            self.lines.iter().enumerate().map(|(index, line)| line.cells(begins(index))).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: [usize; 4] = std::array::from_fn(width);
        for row in &rows {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  "));
            writeln!(f, "{}", cells.collect::<String>().trim_end())?;
        }
        Ok(())
    }
}
