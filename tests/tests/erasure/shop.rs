//! The shop whose customers are erased, with its processes and what can be asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use schemas::{Cleanup, TopicSpec};
use serde_json::{Value, json};
use testkit::{OtlpReceiver, Process, SmtpBehaviour, SmtpRule, SmtpSink, free_port, wait_until};
use tests::installation::{Installation, PARTITIONS, State, smtp_sections};

use crate::calls::{MAY_ERASE, MAY_LOOK};
use crate::scan::{Patterns, in_folder};

pub(crate) const LIMIT: Duration = Duration::from_mins(3);
/// By when a closed segment's file is unlinked.
pub(crate) const UNLINKED: Duration = Duration::from_secs(30);

const JOURNEY: &str = "\
journey: left-cart
version: 1
trigger: { event: Product Added }
holdout: 0%
steps:
  - message: { as: hello, template: hello, channel: email, category: transactional }
  - wait: 23h
";
const MESSAGING: &str = "\
messaging: default
categories:
  transactional: { priority: 100, consent: none }
";
const TEMPLATE: &str = "\
template: hello
version: 1
en:
  subject: 'Welcome, {{ customer.first_name }}'
  body: |
    <mjml><mj-body><mj-section><mj-column><mj-text>Hello {{ customer.first_name }}</mj-text></mj-column></mj-section></mj-body></mjml>
";
const SEGMENT: &str = r#"
segment: looked-around
version: 1
enter: "customer.total.product_views >= 1 && customer.traits.likes != ''"
"#;

/// The shop with its processes; two have segmentation, and see erasures through.
pub(crate) struct Shop {
    pub(crate) installation: Installation,
    door: Process,
    pub(crate) resolver: Process,
    others: [Process; 2],
    pub(crate) erasers: [Process; 2],
    /// Where those are asked.
    pub(crate) grpc: [u16; 2],
    pub(crate) collector: OtlpReceiver,
    pub(crate) mail: SmtpSink,
    folder: tempfile::TempDir,
}

impl Shop {
    pub(crate) fn open() -> Self {
        let (mail, collector) = (SmtpSink::start().unwrap(), OtlpReceiver::start().unwrap());
        // To her every message is refused for now: hers waits.
        mail.add_rule(SmtpRule::new("zoraida*", SmtpBehaviour::RefuseTemporarily)).unwrap();
        let sections =
            smtp_sections(&mail) + "[messaging]\nclaim_deadline = \"2s\"\n[segmentation]\nerasures_every = \"1s\"\n";
        let installation = Installation::start_with("live", State::Redis, &sections).unwrap();
        // Bytes can be looked for only where they are not packed.
        set_topics(&installation, |_| true, &UNPACKED);
        let redis = installation.redis.as_ref().unwrap();
        redis.command(&["CONFIG", "SET", "rdbcompression", "no"]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let token = |name: &str, token: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, token).unwrap();
            format!("grpc.{name}_file={}", path.display())
        };
        let tokens = [token("token", MAY_LOOK), token("privacy_token", MAY_ERASE)];
        let telemetry =
            [format!("telemetry.otlp_endpoint={}", collector.endpoint()), "telemetry.log_format=json".to_owned()];
        let run = |service: &str, slot: u32, more: &[String]| {
            installation.run_with(&[service], slot, &[&telemetry, more].concat()).unwrap()
        };
        let spool = format!("ingestion.door.spool.directory={}", folder.path().join("spool").display());
        let door = run("door", 0, &[spool, "ingestion.door.spool.after=200ms".to_owned()]);
        let resolver = run("resolver", 0, &[]);
        let others = [run("journeys", 0, &[]), run("messaging", 0, &[])];
        let grpc = [free_port().unwrap(), free_port().unwrap()];
        let eraser = |slot: u32, port: u16| {
            run("segmentation", slot, &[&[format!("grpc.listen=127.0.0.1:{port}")], &tokens[..]].concat())
        };
        let erasers = [eraser(0, grpc[0]), eraser(1, grpc[1])];
        installation.wait_for_door(&door).unwrap();
        let definitions = tempfile::tempdir().unwrap();
        for (name, text) in [("j.yaml", JOURNEY), ("m.yaml", MESSAGING), ("t.yaml", TEMPLATE), ("s.yaml", SEGMENT)] {
            std::fs::write(definitions.path().join(name), text).unwrap();
        }
        installation.command(&["apply", &definitions.path().display().to_string(), "--wait"]).unwrap();
        Self { installation, door, resolver, others, erasers, grpc, collector, mail, folder }
    }

    pub(crate) fn processes(&self) -> impl Iterator<Item = &Process> {
        [&self.door, &self.resolver].into_iter().chain(&self.others).chain(&self.erasers)
    }

    /// From now on what is old in topics that are cleaned up so is gone within seconds, where an installation takes days.
    pub(crate) fn hurry(&self, cleanup: Cleanup) {
        let settings = [
            ("segment.ms", "3000"),
            match cleanup {
                Cleanup::Delete => ("retention.ms", "12000"),
                Cleanup::Compact => ("max.compaction.lag.ms", "3000"),
            },
        ];
        let wanted = |spec: &TopicSpec| spec.holds_customers() && spec.cleanup == cleanup;
        set_topics(&self.installation, wanted, &[&UNPACKED[..], &settings].concat());
    }

    pub(crate) fn post(&self, path: &str, body: &Value) {
        self.installation.post(path, &[], &body.to_string()).unwrap();
    }

    /// What a person does: looks around on a device while nobody knows her, though a page's title greets her; says who she is, does so
    /// on another device, and puts something into her cart.
    pub(crate) fn visit(&self, customer: &str, devices: [&str; 2], who: &Value, seen: &str) {
        let product = json!({"product_id": seen, "name": seen, "price": 12.5, "currency": "EUR", "cart_id": "c-1"});
        let title = format!("Account of {}", who["firstName"].as_str().unwrap());
        self.post("/v1/page", &json!({"name": title, "anonymousId": devices[0]}));
        self.post("/v1/track", &json!({"event": "Product Viewed", "anonymousId": devices[0], "properties": product}));
        for device in devices {
            self.post("/v1/identify", &json!({"userId": customer, "anonymousId": device, "traits": who}));
        }
        let context = json!({"traits": who});
        let added = json!({
            "event": "Product Added", "userId": customer, "anonymousId": devices[0], "properties": product, "context": context,
        });
        self.post("/v1/track", &added);
    }

    /// The last record of a key in a dataset, as it is.
    pub(crate) fn last(&self, dataset: &str, key: &str) -> Option<String> {
        let records = self.installation.latest_with_bytes(dataset).unwrap();
        records.into_iter().find(|record| record.key.as_deref() == Some(key)).and_then(|record| record.bytes)
    }

    /// What the operator is told of requests.
    pub(crate) fn requests(&self) -> Vec<Value> {
        let told = self.installation.command(&["customers", "erasures", "--format", "json"]).unwrap();
        lines(&told).collect()
    }

    /// The state of each request that somebody made, by its id.
    pub(crate) fn states(&self) -> BTreeMap<String, String> {
        let of = |request: &Value, name: &str| request[name].as_str().unwrap().to_owned();
        self.requests().iter().map(|request| (of(request, "request_id"), of(request, "state"))).collect()
    }

    /// Where on the broker's disk, in the door's spool and in Redis any of these lies.
    pub(crate) fn found(&self, markers: &[&str]) -> BTreeSet<String> {
        let patterns = Patterns::of(markers);
        let mut found = in_folder(&patterns, &self.installation.kafka.data_dir());
        found.append(&mut in_folder(&patterns, &self.spool()));
        let redis = self.installation.redis.as_ref().unwrap().snapshot().unwrap().bytes().unwrap();
        found.extend(patterns.in_bytes(&redis).map(|marker| format!("{marker} in Redis")));
        found
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// Waits until one of those that run sees erasures through, and another does not; which.
    pub(crate) fn owner(&self) -> usize {
        wait_until(LIMIT, "somebody to see erasures through", || {
            let owns =
                |eraser: &&usize| self.erasers[**eraser].is_running() && has_first(&self.erasers[**eraser].log());
            match [0, 1].iter().filter(owns).collect::<Vec<_>>()[..] {
                [owner] => Some(*owner),
                _ => None,
            }
        })
        .unwrap()
    }

    /// Kills whoever sees erasures through, while the other one runs, and waits until that does.
    pub(crate) fn kill_the_owner(&self) -> usize {
        let owner = self.owner();
        let other = 1 - owner;
        assert!(self.erasers[other].is_running());
        self.erasers[owner].kill9().unwrap();
        assert_eq!(self.owner(), other);
        owner
    }

    /// Starts it again, and waits until it has taken over partitions.
    pub(crate) fn bring_back(&self, eraser: usize) {
        self.erasers[eraser].restart().unwrap();
        self.erasers[eraser].wait_for_log("\"taken over\"", LIMIT).unwrap();
    }

    /// Waits until whoever sees erasures through says that so many places or fewer are left, and some are.
    pub(crate) fn wait_until_left(&self, most: usize) {
        wait_until(LIMIT, "places to be found empty", || {
            let log = self.erasers[self.owner()].log();
            let looks = lines(&log).filter(|line| line["message"] == "erasures looked at");
            let left = looks.last()?["places_left"].as_u64()?;
            (1..=most as u64).contains(&left).then_some(())
        })
        .unwrap();
    }
}

const UNPACKED: [(&str, &str); 2] = [("compression.type", "uncompressed"), ("file.delete.delay.ms", "1000")];

/// Sets topics as they were created, but for these settings.
fn set_topics(installation: &Installation, wanted: impl Fn(&TopicSpec) -> bool, settings: &[(&str, &str)]) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", installation.kafka.bootstrap_servers());
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let specs = schemas::topics("vuelve", PARTITIONS as u32);
    let alter = |spec| alter(spec, settings);
    let altered: Vec<_> = specs.iter().filter(|spec| wanted(spec)).map(alter).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for result in runtime.block_on(admin.alter_configs(&altered, &AdminOptions::new())).unwrap() {
        result.unwrap();
    }
}

fn alter<'s>(spec: &'s TopicSpec, settings: &[(&'s str, &'s str)]) -> AlterConfig<'s> {
    let own = spec.config.iter().map(|(name, value)| (*name, value.as_str()));
    let wanted: BTreeMap<&str, &str> = own.chain(settings.iter().copied()).collect();
    let start = AlterConfig::new(ResourceSpecifier::Topic(&spec.name));
    wanted.into_iter().fold(start, |config, (name, value)| config.set(name, value))
}

/// The JSON of each line that is any.
fn lines(text: &str) -> impl Iterator<Item = Value> + '_ {
    text.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// Whether a process has partition 0 of segmentation, as its log says.
fn has_first(log: &str) -> bool {
    let mut has = false;
    for line in lines(log).filter(|line| line["service"] == "segmentation") {
        if line["message"] == "taken over" && line["partition"] == 0 {
            has = true;
        } else if line["message"] == "giving partitions back" {
            let partitions = line["partitions"].to_string();
            has &= !partitions.split(|char: char| !char.is_ascii_digit()).any(|partition| partition == "0");
        }
    }
    has
}
