use std::process::ExitCode;

use clap::{Args, Subcommand};
use kafka::Topics;
use runtime::config::KafkaOptions;
use vuelve::terminal::print;

use super::Global;
use super::run::installation;

/// The topics of an installation: what there should be, and what there is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve topics create                    Create what is missing, and register the schemas.
  vuelve topics create --replication 3    On a cluster of three brokers or more.
  vuelve topics list                      What there should be, and what there is.")]
pub(crate) struct TopicsCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Creates the topics that are missing and registers the schemas. Changes nothing that exists.
    Create {
        /// Replicas of each topic.
        #[arg(long, default_value_t = 1)]
        replication: i32,
    },
    /// Lists all topics: partitions, cleanup, owner, whether others may rely on them.
    List,
}

impl TopicsCommand {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.load()?;
        let installation = installation(&config)?;
        let timeout = config.get::<KafkaOptions>().request_timeout.as_std();
        match self.what {
            What::Create { replication } => {
                let tokio = tokio::runtime::Runtime::new()?;
                let created = tokio.block_on(installation.create(replication, timeout))?;
                for name in &created {
                    print(&format!("created {name}\n"))?;
                }
                print(&format!("{} topics created; all schemas are registered\n", created.len()))?;
            }
            What::List => {
                for state in Topics::new(&installation.cluster, timeout).list()? {
                    let found = state.partitions.map_or_else(|| "missing".to_owned(), |count| count.to_string());
                    let spec = state.spec;
                    print(&format!(
                        "{:<44} {found:>8} partitions  {:<8} {:<10} {:?}: {}\n",
                        spec.name,
                        format!("{:?}", spec.cleanup).to_lowercase(),
                        spec.owner,
                        spec.visibility,
                        spec.about,
                    ))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
