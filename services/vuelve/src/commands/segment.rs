use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use runtime::config::KafkaOptions;
use schemas::Definition;
use vuelve::folders;
use vuelve::preview::{Size, sizes};
use vuelve::terminal::{print, tell};

use super::Global;
use super::apply::{Place, Wait, now_ms, there_is_no};
use super::run::installation;

/// Segments of customers.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve segment preview segments    How many would be in the segments of this folder?
  vuelve segment remove summer       Nobody is in it any more.")]
pub(crate) struct SegmentCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Preview(Preview),
    Remove(Remove),
}

/// Takes a segment out of force, in all its versions: whoever is in it leaves, with the cause `removed`.
///
/// Applying a folder takes nothing away that is in force, so a segment that is gone from the folder, or has another name there, is
/// in force until it is removed. Where the folder still has it, the next `vuelve apply` puts it in force again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve segment remove summer           Take it out of force.
  vuelve segment remove summer --wait    Return when every partition works by it.")]
struct Remove {
    /// The segment.
    #[arg(value_name = "SEGMENT")]
    segment: String,
    #[command(flatten)]
    wait: Wait,
}

/// Tells how many customers would be in each segment of a folder, how many would come in and go out, and names some of them.
///
/// It is what `vuelve apply` would do, judged by the customers as segmentation has them now; nothing is written. Segments that
/// are in force and that the folder does not have are told as well, since applying the folder does not take them away.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve segment preview segments                  A line for each segment.
  vuelve segment preview segments --examples 20    With twenty customers of each.
  vuelve segment preview segments --format json    One JSON object a line.")]
struct Preview {
    /// The folder of definitions.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// How many customers of each segment are named: some by chance, the same each time.
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u16).range(..=1000))]
    examples: u16,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table.
    Text,
    /// One JSON object a line.
    Json,
}

impl SegmentCommand {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Preview(preview) => preview.run(global),
            What::Remove(remove) => remove.run(global),
        }
    }
}

impl Preview {
    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.load()?;
        let definitions = folders::load(&self.directory)?;
        let installation = installation(&config)?;
        let timeout = config.get::<KafkaOptions>().request_timeout.as_std();
        tokio::runtime::Runtime::new()?.block_on(installation.check(false, timeout, timeout))?;
        let sizes = sizes(&installation, &definitions, self.examples.into(), timeout)?;
        match self.format {
            Format::Text => print(&table(&sizes))?,
            Format::Json => {
                for size in &sizes {
                    print(&(serde_json::to_string(size)? + "\n"))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Remove {
    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.load()?;
        let place = Place::reach(&config)?;
        let records: Vec<Definition> = place.in_force.without_segment(&self.segment, now_ms());
        if records.is_empty() {
            let names: Vec<_> = place.in_force.segments().map(|segment| segment.name).collect();
            return Err(there_is_no("segment", &self.segment, names.iter().map(|name| &**name)));
        }
        place.write(&records, &records, &self.wait)?;
        for journey in place.in_force.current_journeys() {
            if journey.segments().iter().any(|named| *named.name == self.segment) {
                tell(&format!("the journey `{}` names it, and hears of it no more\n", journey.name));
            }
        }
        print(&format!("{} is removed\n", self.segment))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn table(sizes: &[Size]) -> String {
    let width = sizes.iter().map(|size| size.segment.len()).max().unwrap_or_default().max("segment".len());
    let mut text =
        format!("{:width$}  {:>9}  {:>9}  {:>9}  {:>9}  for example\n", "segment", "now", "then", "enter", "leave");
    for Size { segment, now, then, enter, leave, examples } in sizes {
        let line = format!("{segment:width$}  {now:>9}  {then:>9}  {enter:>9}  {leave:>9}  {}", examples.join(" "));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
