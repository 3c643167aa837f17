//! How an import goes, for who watches it: a bar on a terminal, else a line now and then.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::progress::Counts;
use crate::terminal::tell;

const EVERY: Duration = Duration::from_secs(5);

/// Shows it.
pub(super) struct Meter {
    bar: Option<ProgressBar>,
    began: Instant,
    told: Instant,
    /// What was done when it began: rows, and the share of all.
    from: (u64, f64),
}

impl Meter {
    /// `share` of the whole is done already.
    pub(super) fn new(counts: Counts, share: f64) -> Self {
        let now = Instant::now();
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {percent:>3} % {msg}");
            ProgressBar::new(1_000).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, began: now, told: now, from: (counts.rows, share) }
    }

    /// So much is done.
    pub(super) fn show(&mut self, counts: Counts, share: f64) {
        let now = Instant::now();
        let seconds = now.duration_since(self.began).as_secs_f64();
        let line = line(counts, self.from, share, seconds);
        if let Some(bar) = &self.bar {
            bar.set_position((share * 1_000.0) as u64);
            bar.set_message(line);
        } else if now.duration_since(self.told) >= EVERY {
            self.told = now;
            tell(&format!("import: {:.0} %, {line}\n", share * 100.0));
        }
    }

    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Rows, rate and time left.
fn line(counts: Counts, (rows_before, share_before): (u64, f64), share: f64, seconds: f64) -> String {
    let rate = (counts.rows - rows_before) as f64 / seconds.max(0.001);
    let done = share - share_before;
    let left = if done > 0.0 { seconds * (1.0 - share).max(0.0) / done } else { f64::INFINITY };
    let left = if left.is_finite() { format!(", {} left", clock(left as u64)) } else { String::new() };
    let rejected =
        if counts.rejected > 0 { format!(", {} rejected", HumanCount(counts.rejected)) } else { String::new() };
    format!("{} rows ({} a second){left}{rejected}", HumanCount(counts.rows), HumanCount(rate as u64))
}

fn clock(seconds: u64) -> String {
    format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left_are_those_since_it_was_gone_on_with() {
        let counts = Counts { rows: 30_000, rejected: 12, ..Counts::default() };
        let told = line(counts, (10_000, 0.25), 0.75, 10.0);
        assert_eq!(told, "30,000 rows (2,000 a second), 0:00:05 left, 12 rejected");
        assert_eq!(line(Counts::default(), (0, 0.0), 0.0, 0.0), "0 rows (0 a second)");
    }
}
