//! The clickstream that replays are tested with: a real one where it is at hand, else one that is made up the same way
//! every time.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::expected::{CartRecovery, Click, cart_recovery_of, clicks};
use crate::shared_data;

/// The real one.
pub const RETAILROCKET: &str = "retailrocket_events.csv.gz";
const CUSTOMERS: u64 = 16_000;
/// 2026-01-01T00:00:00Z.
const BEGIN_SECONDS: u64 = 1_767_225_600;
const HOUR: u64 = 3_600;
/// They have four and a half events each, and as many are the hot one's.
const AWKWARD_CUSTOMERS: u64 = 1_500;

/// What is sent, and what has to come of it.
#[derive(Debug)]
pub struct Stream {
    /// The file.
    pub file: PathBuf,
    /// How it is written.
    pub format: &'static str,
    /// How many events it has, those that come twice counted twice.
    pub events: usize,
    /// The message ids of each customer, each once, in the order in which they are first sent.
    pub sent: BTreeMap<String, Vec<String>>,
    /// What a batch computation makes of it.
    pub expected: CartRecovery,
}

impl Stream {
    /// One in so many customers of the recorded clickstream; `folder` holds it.
    pub fn plain(folder: &Path, one_in: u64) -> anyhow::Result<Self> {
        let mut clicks = clicks(&clickstream(folder)?)?;
        clicks.retain(|click| click.customer.bytes().map(u64::from).sum::<u64>().is_multiple_of(one_in));
        Self::recorded(folder, &clicks)
    }

    /// The whole of it, and every click by so many customers instead of one.
    pub fn many(folder: &Path, times: usize) -> anyhow::Result<Self> {
        let clicks = clicks(&clickstream(folder)?)?;
        let copies = |click: &Click| {
            let click = click.clone();
            (0..times).map(move |copy| Click { customer: format!("{}-{copy}", click.customer), ..click.clone() })
        };
        Self::recorded(folder, &clicks.iter().flat_map(copies).collect::<Vec<_>>())
    }

    fn recorded(folder: &Path, clicks: &[Click]) -> anyhow::Result<Self> {
        let file = folder.join("plain.csv.gz");
        let mut lines = GzEncoder::new(std::fs::File::create(&file)?, Compression::fast());
        writeln!(lines, "customer_id,product_id,unix_seconds,event")?;
        for Click { customer, product, seconds, event } in clicks {
            writeln!(lines, "{customer},{product},{seconds},{event}")?;
        }
        lines.finish()?;
        // The replay names an event by its line; the first has the names of the fields.
        let named = clicks.iter().enumerate();
        let named = named.map(|(index, click)| (click.customer.as_str(), format!("replay-{}", index + 2)));
        let (sent, expected) = (by_customer(named), cart_recovery_of(clicks));
        Ok(Self { file, format: "retailrocket", events: clicks.len(), sent, expected })
    }

    /// One of an awkward shape: half of all events are one customer's, one in twenty comes twice, and of some customers one
    /// in ten comes a day late, of others a day early.
    pub fn awkward(folder: &Path) -> anyhow::Result<Self> {
        let clicks = awkward();
        let file = folder.join("awkward.jsonl.gz");
        let mut lines = GzEncoder::new(std::fs::File::create(&file)?, Compression::fast());
        let mut again = VecDeque::new();
        let mut events = 0;
        for (index, click) in clicks.iter().enumerate() {
            let line = call(index, click);
            writeln!(lines, "{line}")?;
            events += 1;
            if draw(index as u64, 20) == 0 {
                again.push_back((index + draw(index as u64 + 1, 2_000) as usize, line));
            }
            while again.front().is_some_and(|(at, _)| *at <= index) {
                let (_, line) = again.pop_front().context("nothing comes again")?;
                writeln!(lines, "{line}")?;
                events += 1;
            }
        }
        lines.finish()?;
        let named =
            clicks.iter().enumerate().map(|(index, click)| (click.customer.as_str(), format!("awkward-{index}")));
        let (sent, expected) = (by_customer(named), cart_recovery_of(&clicks));
        Ok(Self { file, format: "segment-jsonl", events, sent, expected })
    }
}

fn by_customer<'c>(named: impl Iterator<Item = (&'c str, String)>) -> BTreeMap<String, Vec<String>> {
    let mut sent: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (customer, id) in named {
        sent.entry(customer.to_owned()).or_default().push(id);
    }
    sent
}

const HOT: &str = "hot";
const DAY: i64 = 24 * HOUR as i64;

/// In the order of sending. Between two events of others lies one of the hot customer, two minutes after her last.
fn awkward() -> Vec<Click> {
    let mut clicks = Vec::new();
    let mut drawn = 1_000_000;
    let mut below = |limit: u64| {
        drawn += 1;
        draw(drawn, limit)
    };
    for customer in 0..AWKWARD_CUSTOMERS {
        let mut at = (BEGIN_SECONDS + below(30 * 24 * HOUR)) as i64;
        // Never both of one customer: then nothing is more than a day behind her time.
        let shift = [-DAY, DAY, 0][below(3) as usize];
        for _ in 0..2 + below(6) {
            let event = ["view", "view", "cart", "cart", "buy"][below(5) as usize];
            let seconds = if below(10) == 0 { at + shift } else { at };
            let product = below(500).to_string();
            clicks.push(Click { customer: format!("c{customer}"), product, seconds, event: event.into() });
            let hot_at = BEGIN_SECONDS as i64 + 60 * clicks.len() as i64;
            let seconds = if below(10) == 0 { hot_at - DAY } else { hot_at };
            let event = if below(50) > 0 { "view" } else { ["cart", "buy"][below(2) as usize] };
            clicks.push(Click { customer: HOT.into(), product: below(500).to_string(), seconds, event: event.into() });
            let within = [HOUR, 24 * HOUR, 72 * HOUR][below(3) as usize];
            at += 1 + below(within) as i64;
        }
    }
    clicks
}

/// The event as the Segment API takes it.
fn call(index: usize, click: &Click) -> String {
    let Click { customer, product, seconds, event } = click;
    let name = match event.as_str() {
        "view" => "Product Viewed",
        "cart" => "Product Added",
        _ => "Order Completed",
    };
    let at = jiff::Timestamp::from_second(*seconds).map_or_else(|_| String::new(), |at| at.to_string());
    serde_json::json!({
        "type": "track", "event": name, "userId": customer, "messageId": format!("awkward-{index}"), "timestamp": at,
        "properties": { "product_id": product },
        "context": { "traits": { "email": format!("customer-{customer}@example.com") } },
    })
    .to_string()
}

/// A clickstream as `customer_id,product_id,unix_seconds,event` lines, gzipped; `folder` holds it if it is made up.
pub fn clickstream(folder: &Path) -> anyhow::Result<PathBuf> {
    match shared_data(RETAILROCKET) {
        Some(file) => Ok(file),
        None => made_up(folder),
    }
}

/// Customers who look, put into the cart, and buy soon, late or never.
fn made_up(folder: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join("clickstream.csv.gz");
    let file = std::fs::File::create(&path).with_context(|| path.display().to_string())?;
    let mut lines = GzEncoder::new(file, Compression::fast());
    writeln!(lines, "customer_id,product_id,unix_seconds,event")?;
    let mut drawn = 0;
    let mut below = |limit: u64| {
        drawn += 1;
        draw(drawn, limit)
    };
    for customer in 1..=CUSTOMERS {
        let mut at = BEGIN_SECONDS + below(30 * 24 * HOUR);
        for _ in 0..=below(3) {
            writeln!(lines, "{customer},{},{at},view", below(500))?;
            at += 1 + below(HOUR / 2);
            if below(3) == 0 {
                writeln!(lines, "{customer},{},{at},cart", below(500))?;
                // Within the hour, within the day, within three days, later.
                let within = [HOUR, 24 * HOUR, 72 * HOUR, 200 * HOUR][below(4) as usize];
                at += 1 + below(within);
                if below(2) == 0 {
                    writeln!(lines, "{customer},{},{at},buy", below(500))?;
                    at += 1 + below(96 * HOUR);
                }
            }
        }
    }
    lines.finish()?;
    Ok(path)
}

/// A draw from 0 to below `limit` that is the same in every run (the mixing of `SplitMix64`; Steele et al., OOPSLA 2014).
pub fn draw(number: u64, limit: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % limit
}
