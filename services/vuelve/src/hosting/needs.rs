//! What services need beside a valid configuration: keys, secrets, a mail server. Looked at before anything is bound, so that
//! all that is missing is told at once.
//!
//! Processes of an installation share one file, but not their secrets: a process is asked for what its own services need.

use std::collections::BTreeSet;
use std::sync::Arc;

use ingestion::shell::{TlsProblem, WebhookProblem, Webhooks, WriteKeyProblem, WriteKeys, load_tls};
use links::KeyRing;
use messaging::shell::{MessagingOptions, SmtpChannel};
use runtime::config::{Config, Findings, GrpcOptions, InstallationOptions, Mode};

use super::channels::SystemClock;
use super::messaging_settings;
use super::sections::{IngestionOptions, LinkOptions, Sections};

/// Something that a service needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The keys of storefronts.
    WriteKeys,
    /// The secrets of platforms that send webhooks, if any do.
    Webhooks,
    /// The certificate of the door, if it has one.
    Certificate,
    /// The certificates of lookups, if they have any.
    LookupCertificates,
    /// The keys that sign links.
    LinkKeys,
    /// The secret of address hashes.
    AddressSecret,
    /// The same, where customers are erased over gRPC: an id may be an address.
    ErasersSecret,
    /// By what messages leave.
    Mail,
}

impl Need {
    /// What the configuration names, whoever needs it.
    pub fn given(config: &Config) -> BTreeSet<Self> {
        let links: &LinkOptions = config.get();
        let given = [
            (Self::WriteKeys, !config.get::<IngestionOptions>().door.write_keys.is_empty()),
            (Self::Webhooks, !config.get::<IngestionOptions>().door.webhooks.is_empty()),
            (Self::Certificate, config.get::<IngestionOptions>().door.tls.is_given()),
            (Self::LookupCertificates, config.get::<GrpcOptions>().tls.is_given()),
            (Self::LinkKeys, links.keys_file.is_some()),
            (Self::AddressSecret, links.address_secret_file.is_some()),
            (Self::Mail, !config.get::<MessagingOptions>().smtp.from.is_empty()),
        ];
        given.into_iter().filter_map(|(need, is_given)| is_given.then_some(need)).collect()
    }

    /// Tells what is missing or wrong.
    pub fn check(self, config: &Config, findings: &mut Findings<'_>) {
        match self {
            Self::WriteKeys => write_keys(config, findings),
            Self::Webhooks => webhooks(config, findings),
            Self::Certificate => {
                if let Err(TlsProblem { option, problem }) = load_tls(&config.get::<IngestionOptions>().door.tls) {
                    findings.add(&format!("ingestion.door.tls.{option}"), problem);
                }
            }
            Self::LookupCertificates => {
                if let Err(TlsProblem { option, problem }) = config.get::<GrpcOptions>().tls.load() {
                    findings.add(&format!("grpc.tls.{option}"), problem);
                }
            }
            Self::LinkKeys => {
                if let Err(fault) = Sections::keys(config) {
                    findings.add(&fault.key, fault.problem);
                }
            }
            Self::ErasersSecret if config.get::<GrpcOptions>().privacy_token.is_none() => {}
            Self::AddressSecret | Self::ErasersSecret => {
                if let Err(fault) = Sections::address_secret(config) {
                    findings.add(&fault.key, fault.problem);
                }
            }
            Self::Mail => mail(config, findings),
        }
    }
}

fn write_keys(config: &Config, findings: &mut Findings<'_>) {
    let keys = &config.get::<IngestionOptions>().door.write_keys;
    let problems = WriteKeys::load(keys, |name| std::env::var(name).ok()).err().unwrap_or_default();
    for problem in problems {
        let told = match problem {
            WriteKeyProblem::None => {
                "none is given, so no storefront could send anything; give at least one with id, shop and key_file"
                    .to_owned()
            }
            WriteKeyProblem::Key { index, id, problem } => format!("entry {index} (`{id}`): {problem}"),
        };
        findings.add("ingestion.door.write_keys", told);
    }
}

fn webhooks(config: &Config, findings: &mut Findings<'_>) {
    let webhooks = &config.get::<IngestionOptions>().door.webhooks;
    let problems = Webhooks::load(webhooks, |name| std::env::var(name).ok()).err().unwrap_or_default();
    for WebhookProblem { index, id, problem } in problems {
        findings.add("ingestion.door.webhooks", format!("entry {index} (`{id}`): {problem}"));
    }
}

fn mail(config: &Config, findings: &mut Findings<'_>) {
    let replay = config.get::<InstallationOptions>().mode == Mode::Replay;
    if messaging_settings(config, replay).mode == messaging::Mode::Replay {
        return;
    }
    // Keys that are wrong are told by their own need; here any will do.
    let any = || KeyRing::parse("check:any key of at least so many bytes");
    let Ok(keys) = Sections::keys(config).or_else(|_| any()) else { return };
    let options: &MessagingOptions = config.get();
    let base_url = &config.get::<LinkOptions>().base_url;
    if let Err(problems) = SmtpChannel::new(options, keys, base_url, Arc::new(SystemClock)) {
        for problem in problems {
            findings.add(&problem.key, problem.problem);
        }
    }
}
