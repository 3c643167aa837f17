//! The clickstream that replays are tested with: a real one where it is at hand, else one that is made up the same way
//! every time.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::shared_data;

/// The real one.
pub const RETAILROCKET: &str = "retailrocket_events.csv.gz";
const CUSTOMERS: u64 = 16_000;
/// 2026-01-01T00:00:00Z.
const BEGIN_SECONDS: u64 = 1_767_225_600;
const HOUR: u64 = 3_600;

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
