use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use definitions::{MAX_MAPPING_BYTES, Mapping, parse_mapping};
use domain::{Currency, Timestamp};
use ingestion::mapping::webhooks::{self, MAX_WEBHOOK_BYTES, Meaning, Sender, Webhook};
use ingestion::mapping::{self, Envelope, Refusal, Scope, Source};
use ingestion::shell::is_signed_as;
use links::Secret;
use runtime::config::{ByteSize, MAX_SECRET_SIZE, read_text};
use vuelve::terminal::{print, tell};

/// Mappings: what webhooks of your own systems become.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve mapping test examples/webhooks/point-of-sale.yaml --payload examples/webhooks/point-of-sale.json")]
pub(crate) struct MappingCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Test(Test),
}

/// Tells what a webhook would become by a mapping, without a door, Kafka or a network.
///
/// Writes each event as the door would store it, one JSON object a line. Ids that are addresses are hashed with another key
/// than the door's. Ends with 1 if the mapping is wrong, if any event would be refused, or if the signature is not right.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve mapping test pos.yaml                        Is what I wrote a mapping?
  vuelve mapping test pos.yaml --payload sale.json    What does this webhook become?
  vuelve mapping test pos.yaml --payload sale.json --header 'X-Signature: 3f1c…' --secret-file secret
                                                      Is it signed as the mapping says, too?")]
struct Test {
    /// The mapping (YAML).
    #[arg(value_name = "MAPPING")]
    mapping: PathBuf,
    /// The body of a webhook, as it came.
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
    /// A header that came with it; can be repeated.
    #[arg(long, value_name = "NAME: VALUE", requires = "payload")]
    header: Vec<String>,
    /// The secret: then the signature is looked at, too, but not how old it is.
    #[arg(long, value_name = "FILE", requires = "payload")]
    secret_file: Option<PathBuf>,
    /// The currency of amounts that name none.
    #[arg(long, value_name = "CODE", default_value = "USD", value_parser = super::currency)]
    currency: Currency,
}

impl MappingCommand {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let What::Test(test) = self.what;
        test.run()
    }
}

impl Test {
    fn run(self) -> anyhow::Result<ExitCode> {
        let name = self.mapping.display().to_string();
        let mapping = match parse_mapping(&name, &text(&self.mapping, ByteSize::from_bytes(MAX_MAPPING_BYTES as u64))?)
        {
            Ok(mapping) => mapping,
            Err(wrong) => {
                for wrong in wrong {
                    tell(&format!("{wrong}\n"));
                }
                return Ok(ExitCode::FAILURE);
            }
        };
        let Some(payload) = &self.payload else {
            tell(&format!(
                "{name}: the mapping `{}` is well; --payload FILE shows what becomes of a webhook\n",
                mapping.name
            ));
            return Ok(ExitCode::SUCCESS);
        };
        let body = text(payload, ByteSize::from_bytes(MAX_WEBHOOK_BYTES as u64))?;
        let headers = self.headers()?;
        if let Some(file) = &self.secret_file
            && !is_signed(&mapping, file, &headers, &body)?
        {
            tell(&format!("{}: it is not signed with this secret in the way that {name} says\n", payload.display()));
            return Ok(ExitCode::FAILURE);
        }
        self.tell_events(&mapping, &headers, &body).with_context(|| payload.display().to_string())
    }

    /// The headers, their names in lower case.
    fn headers(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let split = |header: &String| {
            let (name, value) = header.split_once(':').with_context(|| format!("--header: `{header}` has no colon"))?;
            Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        };
        self.header.iter().map(split).collect()
    }

    fn tell_events(
        &self,
        mapping: &Mapping,
        headers: &BTreeMap<String, String>,
        body: &str,
    ) -> anyhow::Result<ExitCode> {
        let now = Timestamp::from_millis(jiff::Timestamp::now().as_millisecond());
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let sender = Sender::Mapping { mapping, source: "test", headers: &headers, now };
        let webhook = Webhook { sender, topic: &mapping.name, id: None, shop: "test", currency: self.currency };
        let body = mapping::mend_surrogates(body);
        let events = match webhook.read(webhook.payload(&body)?) {
            Ok(Meaning::Events(events)) => events,
            Ok(_) => {
                tell("no event of the mapping wants it; it would be passed over\n");
                return Ok(ExitCode::SUCCESS);
            }
            Err(refusal) => {
                tell(&format!("it would go to the dead letters: {refusal}\n"));
                return Ok(ExitCode::FAILURE);
            }
        };
        let secret = Secret::new(*b"the key of nobody, for tests alone").context("the key of tests")?;
        let envelope = Envelope {
            received_at: now,
            source: Source { id: "test", shop: "test", currency: self.currency, scope: Scope::Server },
            traceparent: None,
            address_secret: &secret,
            random: 0,
        };
        let call = webhooks::call(&events);
        let mut code = ExitCode::SUCCESS;
        for index in 0..events.len() {
            match mapping::map(&call, index, &envelope) {
                Ok(mut event) => {
                    if webhooks::cut_rest(&mut event) {
                        tell(&format!("event {index} would lose what has no typed field: {}\n", Refusal::RestTooLarge));
                        code = ExitCode::FAILURE;
                    }
                    print(&format!("{}\n", serde_json::to_string(&event)?))?;
                }
                Err(refusal) => {
                    tell(&format!("event {index} would go to the dead letters: {refusal}\n"));
                    code = ExitCode::FAILURE;
                }
            }
        }
        Ok(code)
    }
}

fn is_signed(
    mapping: &Mapping,
    secret_file: &Path,
    headers: &BTreeMap<String, String>,
    body: &str,
) -> anyhow::Result<bool> {
    // Each line is one, as for the door.
    for secret in text(secret_file, MAX_SECRET_SIZE)?.lines().map(str::trim).filter(|secret| !secret.is_empty()) {
        let signed = is_signed_as(&mapping.signature, secret, headers, body.as_bytes());
        if signed.map_err(|problem| anyhow::anyhow!("{}: {problem}", secret_file.display()))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn text(path: &Path, most: ByteSize) -> anyhow::Result<String> {
    read_text(path, most).map_err(|problem| anyhow::anyhow!("{} {problem}", path.display()))
}
