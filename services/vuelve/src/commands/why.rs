use std::process::ExitCode;

use clap::{Args, ValueEnum};
use runtime::config::KafkaOptions;
use vuelve::terminal::print;
use vuelve::why;

use super::Global;
use super::run::installation;

/// Tells why a customer got a message, or did not: every decision about it, the request and the outcome.
///
/// All of it is read from the topics; nothing is computed again. The id is the one in the request, the outcome and the
/// header of the e-mail. Addresses and names are not shown. Ends with 1 if nothing is known of the id.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve why 0c9e51f0a7d94bb2a01d0f6b7a3f3f4e                  Its story, the earliest first.
  vuelve why 0c9e51f0a7d94bb2a01d0f6b7a3f3f4e --customer c-42  Faster: reads only her partition.
  vuelve why 0c9e51f0a7d94bb2a01d0f6b7a3f3f4e --format json    For programs, with each record's place.")]
pub(crate) struct Why {
    /// The message.
    #[arg(value_name = "MESSAGE_ID")]
    message_id: String,
    /// Whose message it is, where that is known.
    #[arg(long, value_name = "CUSTOMER_ID")]
    customer: Option<String>,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

impl Why {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.load()?;
        let installation = installation(&config)?;
        let timeout = config.get::<KafkaOptions>().request_timeout.as_std();
        tokio::runtime::Runtime::new()?.block_on(installation.check(false, timeout, timeout))?;
        let story = why::read(&installation, &self.message_id, self.customer.as_deref(), timeout)?;
        let Some(story) = story else {
            let of = self.customer.map_or_else(String::new, |customer| format!(" of customer {customer}"));
            let prefix = &installation.cluster.prefix;
            anyhow::bail!(
                "nothing is known of a message `{}`{of} in the installation `{prefix}`: the id is mistyped, or all of it is \
                 older than what is kept ({})",
                self.message_id,
                why::retention(&installation),
            );
        };
        match self.format {
            Format::Text => print(&why::text(&story))?,
            Format::Json => print(&(serde_json::to_string_pretty(&story)? + "\n"))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
