//! `vuelve demo`: a shop that runs in one process, with customers, carts, reminders and a mailbox to look into.
//!
//! Wanted properties:
//! - nothing is special about it but the customers, the channel and time: the same services, over HTTP and Kafka, on the
//!   embedded broker;
//! - the shop's time goes faster than ours, until it has come to the present; it lags rather than runs ahead of what is
//!   processed;
//! - the same seed gives the same customers, who do the same.

mod chance;
mod clock;
mod pages;
mod pipeline;
mod shop;
mod simulator;
mod story;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use definitions::Definitions;
use domain::{HumanDuration, Timestamp};
use messaging::shell::{Clock as _, Mailbox, MessagingOptions, ShopOptions};
use runtime::config::Config;
use runtime::host::{Host, StopToken};
use tokio::net::TcpListener;

use self::clock::{Pace, ShopTime};
use self::pages::Pages;
use self::pipeline::{Pipeline, Stopped};
use self::simulator::{Reminder, Shop, Simulator};
use self::story::Story;
use crate::embedded::Embedded;
use crate::hosting::{Channel, Installation, Sections};
use crate::services::{self, ServiceName};
use crate::terminal::print;
use crate::{definition_topic, folders};

/// What to show.
#[derive(Clone, Debug)]
pub struct Demo {
    /// Chooses who does what.
    pub seed: u64,
    /// How many customers the shop has.
    pub customers: u32,
    /// How many times as fast as ours the shop's time goes.
    pub speed: u32,
    /// The folder of definitions; the preset `basic` without one.
    pub definitions: Option<PathBuf>,
    /// Ends by itself after so long.
    pub run_for: Option<Duration>,
    /// Ends by itself after so many messages.
    pub until_messages: Option<u64>,
}

/// The shop opens so long before the present, because events can't lie in the future.
const OPENED_BEFORE: HumanDuration = HumanDuration::from_hours(365 * 24);
/// The mailbox shows so many messages.
const KEEP_MESSAGES: usize = 1_000;
/// How long the services may take to take up the definitions.
const PATIENCE: Duration = Duration::from_mins(1);
/// The shortest step, once the shop's time has come to the present.
const AT_THE_PRESENT: Duration = Duration::from_secs(1);

impl Demo {
    /// The definitions that it runs on.
    fn load(&self) -> anyhow::Result<Definitions> {
        if let Some(folder) = &self.definitions {
            return Ok(folders::load(folder)?);
        }
        let basic = folders::built_in("basic").context("the preset `basic` is not built in")?;
        definitions::load(&basic, &folders::built_in).map_err(|wrong| folders::LoadError::Wrong(wrong).into())
    }

    /// Adds everything to a host: services, pages, and the shop. `began` is when the process started.
    pub async fn add(
        self,
        host: &mut Host,
        config: &Config,
        embedded: &Embedded,
        pages: TcpListener,
        began: Instant,
    ) -> anyhow::Result<()> {
        let definitions = self.load()?;
        let installation = Installation::of(config, "0");
        installation.create(1, Duration::from_secs(10)).await?;
        let opens_at = now() - OPENED_BEFORE;
        let time = ShopTime::starting_at(opens_at);

        let door = services::add(host, config, &installation, &[ServiceName::Ingestion], None).await?;
        let door = format!("http://{}", door.context("the door did not open")?);
        let mailbox = Arc::new(mailbox(config, &door, time.clone())?);
        // Messages are decided on as when live: the mailbox takes the place of the mail server.
        let settings = messaging::Settings::default();
        let channel = Some((settings, Arc::clone(&mailbox) as Arc<dyn Channel>));
        let rest = [ServiceName::Segmentation, ServiceName::Journeys, ServiceName::Messaging];
        services::add(host, config, &installation, &rest, channel).await?;

        let story = Arc::new(Story::default());
        let address = format!("http://{}", pages.local_addr()?);
        let shown = Pages {
            mailbox: Arc::clone(&mailbox),
            story: Arc::clone(&story),
            time: time.clone(),
            speed: self.speed,
            customers: self.customers,
            began,
        };
        host.observer("the pages", move |stop| pages::serve(pages, shown, stop));
        self.greet(&address, &door, &installation.cluster.bootstrap_servers)?;

        let write_key = embedded.write_key.clone();
        host.main("the shop", |stop| async move {
            let records = definition_topic::records(&definitions, 0);
            let offset = definition_topic::write(&installation, &records, PATIENCE).await?;
            let tokio = tokio::runtime::Handle::current();
            let run = move || {
                let services = definition_topic::followers(&records);
                definition_topic::wait_until_in_force(&installation, &services, offset, PATIENCE)?;
                let pipeline = Pipeline::open(&installation, &door, &write_key, tokio, stop.clone())?;
                let shop = Shop { seed: self.seed, customers: self.customers, opens_at };
                let simulator = Simulator::new(shop);
                let opened = Opened { demo: self, pipeline, simulator, mailbox, story, time, read: 0, began, address };
                opened.run(&stop)
            };
            tokio::task::spawn_blocking(run).await?
        });
        Ok(())
    }

    fn greet(&self, pages: &str, door: &str, kafka: &str) -> anyhow::Result<()> {
        let hour_seconds = 3_600.0 / f64::from(self.speed);
        print(&format!(
            "A shop with {} customers opens; one of its hours takes {hour_seconds:.1} s.\n  \
             status   {pages}/\n  mailbox  {pages}/mailbox\n  door     {door}  (where the shop sends its events)\n  \
             kafka    {kafka}  (the embedded broker, for kcat and others)\n\
             Ctrl-C ends it; nothing is kept.\n",
            self.customers,
        ))
    }
}

fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

fn mailbox(config: &Config, door: &str, time: ShopTime) -> anyhow::Result<Mailbox> {
    let shop = ShopOptions {
        name: Some("Demo shop".to_owned()),
        url: Some("https://shop.example.com".to_owned()),
        ..ShopOptions::default()
    };
    let mut options: MessagingOptions = config.get::<MessagingOptions>().clone();
    options.shops.entry("demo".to_owned()).or_insert(shop);
    Mailbox::new(&options, Sections::keys(config)?, door, Arc::new(time), KEEP_MESSAGES).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(lines.join("\n"))
    })
}

/// The shop while it is open.
struct Opened {
    demo: Demo,
    pipeline: Pipeline,
    simulator: Simulator,
    mailbox: Arc<Mailbox>,
    story: Arc<Story>,
    time: ShopTime,
    /// The last message that its customer has read.
    read: u64,
    began: Instant,
    address: String,
}

impl Opened {
    fn run(mut self, stop: &StopToken) -> anyhow::Result<()> {
        match self.steps(stop) {
            Err(error) if error.is::<Stopped>() => Ok(()),
            result => result,
        }
    }

    fn steps(&mut self, stop: &StopToken) -> anyhow::Result<()> {
        let pace = Pace { speed: self.demo.speed };
        while !stop.is_stopped() && !self.is_over() {
            let began = Instant::now();
            let (to, present) = (self.time.now() + pace.step(), now());
            self.step(to.min(present))?;
            let takes = if to < present { pace.step_takes() } else { AT_THE_PRESENT };
            stop.wait_timeout(takes.saturating_sub(began.elapsed()));
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.demo.run_for.is_some_and(|limit| self.began.elapsed() >= limit)
            || self.demo.until_messages.is_some_and(|limit| self.mailbox.total() >= limit)
    }

    fn step(&mut self, to: Timestamp) -> anyhow::Result<()> {
        let calls = self.simulator.calls_until(to)?;
        self.story.sent(&calls);
        self.pipeline.send(&calls)?;
        self.time.move_to(to);
        self.pipeline.advance(to)?;
        self.story.decided(self.pipeline.take_decisions());
        let mut unread = self.mailbox.messages();
        unread.retain(|message| message.number > self.read);
        // Which of two customers' messages was rendered first is chance; who reads first must not be.
        unread.sort_by(|a, b| (a.due_at, &a.message_id).cmp(&(b.due_at, &b.message_id)));
        for message in &unread {
            let (customer, journey, step) = (&message.customer_id, &message.journey, &message.step);
            self.simulator.read(Reminder { customer, journey, step, at: to });
        }
        if self.read == 0 && !unread.is_empty() {
            let seconds = self.began.elapsed().as_secs_f64();
            print(&format!("The first e-mail came {seconds:.1} s after the start: {}/mailbox/1\n", self.address))?;
        }
        self.read = self.mailbox.total();
        Ok(())
    }
}
