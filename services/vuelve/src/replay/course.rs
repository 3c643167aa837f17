//! A replay on its way: what was sent, and how far time has come.

use std::time::Instant;

use anyhow::bail;
use domain::Timestamp;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use schemas::Quintiles;
use tokio::runtime::Handle;

use super::Replay;
use super::quiet::Watch;
use super::report::{Report, Summary};
use super::send::{self, Sender};
use super::source::{Extent, Source};
use crate::customers::Customers;
use crate::hosting::Installation;
use crate::{quintiles, written};

/// A replay that has begun. All that it does blocks.
#[derive(Debug)]
pub(super) struct Course {
    replay: Replay,
    installation: Installation,
    sender: Sender,
    source: Source,
    sent: Extent,
    watch: Watch,
    bar: ProgressBar,
    tokio: Handle,
}

impl Course {
    /// Opens the file, and begins to watch the services.
    pub(super) fn begin(
        replay: Replay,
        installation: &Installation,
        sender: Sender,
        tokio: Handle,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            source: replay.open()?,
            watch: Watch::begin(installation, replay.timeout)?,
            replay,
            installation: installation.clone(),
            sender,
            sent: Extent::default(),
            bar: progress_bar(),
            tokio,
        })
    }

    /// Sends what happened before `at`, moves time there, publishes the quintiles, and asks who the customers are then.
    pub(super) fn table(mut self, at: Timestamp) -> anyhow::Result<(Self, Quintiles, Customers)> {
        self.send(Some(at))?;
        self.move_to(at)?;
        let learnt = self.learn_quintiles(at)?;
        self.bar.set_message("asking who the customers are");
        let customers = Customers::read(&self.installation, Some(at), self.replay.timeout)?;
        if let Some(doubt) = &customers.doubt {
            bail!("the table as of {} would not be exact: {doubt}", written::time(at));
        }
        Ok((self, learnt, customers))
    }

    /// By what happened before `at`: every customer is judged by them when this returns. Too few customers have none.
    fn learn_quintiles(&self, at: Timestamp) -> anyhow::Result<Quintiles> {
        self.bar.set_message("learning quintiles");
        let (place, timeout) = (&self.installation, self.replay.timeout);
        let learnt = quintiles::learn(place, Some(at), timeout, &|| true)?;
        if quintiles::is_enough(&learnt) {
            let offset = self.tokio.block_on(quintiles::publish(place, &learnt, timeout))?;
            quintiles::wait_until_all_are_judged(place, offset, timeout)?;
        }
        Ok(learnt)
    }

    /// Sends the rest, moves time to its end, and collects the result.
    pub(super) fn finish(mut self, began: Instant) -> anyhow::Result<Report> {
        self.send(None)?;
        let until = self.replay.end(self.sent)?;
        self.move_to(until)?;
        self.watch.until_all_have_outcomes(|left| self.bar.set_message(format!("{left} messages to go")))?;
        self.watch.until_processed(|left| self.bar.set_message(format!("{left} records to go")))?;
        let summary = Summary { events: self.sent.events, until: written::time(until), ..Summary::default() };
        let summary = Summary { seconds: began.elapsed().as_secs_f64(), ..summary };
        Report::collect(&self.installation, summary, self.replay.timeout)
    }

    fn send(&mut self, end: Option<Timestamp>) -> anyhow::Result<()> {
        self.bar.set_message("");
        send::send(&mut self.source, end, &self.sender, &self.bar, &mut self.sent)?;
        self.replay.check_begun(end, self.sent, &self.source)
    }

    /// Waits until all is processed, moves time, and waits again.
    fn move_to(&mut self, to: Timestamp) -> anyhow::Result<()> {
        let bar = self.bar.clone();
        let show = |left: u64| bar.set_message(format!("{left} records to go"));
        self.watch.until_processed(show)?;
        bar.set_message("moving time");
        self.tokio.block_on(self.watch.advance(to, show))
    }
}

fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {human_pos} events sent ({per_sec}) {msg}");
    ProgressBar::no_length()
        .with_finish(ProgressFinish::AndClear)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
