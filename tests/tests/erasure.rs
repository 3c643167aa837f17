//! A customer who is erased is nowhere any more, once compaction and retention are through: not a byte of her on the broker's
//! disk, in Redis, in logs, traces and exports. What comes late makes nothing of her, and nobody else is touched.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use schemas::TopicSpec;
use serde_json::{Value, json};
use testkit::{OtlpReceiver, Process, SmtpBehaviour, SmtpRule, SmtpSink, wait_until};
use tests::installation::{Installation, PARTITIONS, State, smtp_sections};

const LIMIT: Duration = Duration::from_mins(3);
/// By when a closed segment's file is unlinked.
const UNLINKED: Duration = Duration::from_secs(30);

const ANA: &str = "ana-17";
const BERTA: &str = "berta-4";
const DEVICES: [&str; 2] = ["device-of-ana-1", "device-of-ana-2"];

/// What says who Ana is: nobody else has any of these, and nothing else is called so.
const MARKERS: [&str; 7] = [
    "zoraida.ximenez@erase.example",
    "Zoraida",
    "Ximenezmarker",
    "+34600123987",
    "Calle del Marcador",
    "palabra-de-rasgo",
    "seen-while-anonymous",
];
/// Of what she did before, and is told only afterwards.
const LATE: &str = "told-only-afterwards";

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

/// The shop with its processes: the first is the door, the last segmentation.
struct Shop {
    installation: Installation,
    processes: Vec<Process>,
    collector: OtlpReceiver,
    mail: SmtpSink,
}

impl Shop {
    fn open() -> Self {
        let (mail, collector) = (SmtpSink::start().unwrap(), OtlpReceiver::start().unwrap());
        // To her every message is refused for now: hers waits.
        mail.add_rule(SmtpRule::new("zoraida*", SmtpBehaviour::RefuseTemporarily)).unwrap();
        let sections =
            smtp_sections(&mail) + "[messaging]\nclaim_deadline = \"2s\"\n[segmentation]\nerasures_every = \"1s\"\n";
        let installation = Installation::start_with("live", State::Redis, &sections).unwrap();
        let shop = Self { installation, processes: Vec::new(), collector, mail };
        // Bytes can be looked for only where they are not packed.
        shop.set_topics(&[("compression.type", "uncompressed"), ("file.delete.delay.ms", "1000")]);
        let redis = shop.installation.redis.as_ref().unwrap();
        redis.command(&["CONFIG", "SET", "rdbcompression", "no"]).unwrap();
        let settings =
            [format!("telemetry.otlp_endpoint={}", shop.collector.endpoint()), "telemetry.log_format=json".to_owned()];
        let services = ["door", "resolver", "journeys", "messaging", "segmentation"];
        let processes: Vec<Process> =
            services.iter().map(|service| shop.installation.run_with(&[service], 0, &settings).unwrap()).collect();
        shop.installation.wait_for_door(&processes[0]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("j.yaml", JOURNEY), ("m.yaml", MESSAGING), ("t.yaml", TEMPLATE), ("s.yaml", SEGMENT)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        shop.installation.command(&["apply", &folder.path().display().to_string(), "--wait"]).unwrap();
        Self { processes, ..shop }
    }

    /// Sets every topic as it was created, but for these settings.
    fn set_topics(&self, settings: &[(&str, &str)]) {
        self.set(schemas::topics("vuelve", PARTITIONS as u32).iter(), settings);
    }

    fn set<'s>(&self, specs: impl Iterator<Item = &'s TopicSpec>, settings: &[(&str, &str)]) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.installation.kafka.bootstrap_servers());
        let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
        let alter = |spec: &'s TopicSpec| {
            let own = spec.config.iter().map(|(name, value)| (*name, value.as_str()));
            let wanted: BTreeMap<&str, &str> = own.chain(settings.iter().copied()).collect();
            let start = AlterConfig::new(ResourceSpecifier::Topic(&spec.name));
            wanted.into_iter().fold(start, |config, (name, value)| config.set(name, value))
        };
        let altered: Vec<_> = specs.map(alter).collect();
        let options = AdminOptions::new();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for result in runtime.block_on(admin.alter_configs(&altered, &options)).unwrap() {
            result.unwrap();
        }
    }

    /// From now on what is old is gone within seconds, where an installation takes days.
    fn hurry(&self) {
        let specs = schemas::topics("vuelve", PARTITIONS as u32);
        let settings = [
            ("compression.type", "uncompressed"),
            ("file.delete.delay.ms", "1000"),
            ("segment.ms", "3000"),
            ("retention.ms", "12000"),
            ("max.compaction.lag.ms", "3000"),
        ];
        self.set(specs.iter().filter(|spec| spec.holds_customers()), &settings);
    }

    fn post(&self, path: &str, body: &Value) {
        self.installation.post(path, &[], &body.to_string()).unwrap();
    }

    /// What a person does: looks around on a device while nobody knows her, says who she is, does so on another device, and
    /// puts something into her cart.
    fn visit(&self, customer: &str, devices: [&str; 2], who: &Value, seen: &str) {
        let product = json!({"product_id": seen, "name": seen, "price": 12.5, "currency": "EUR", "cart_id": "c-1"});
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
    fn last(&self, dataset: &str, key: &str) -> Option<String> {
        let records = self.installation.latest_with_bytes(dataset).unwrap();
        records.into_iter().find(|record| record.key.as_deref() == Some(key)).and_then(|record| record.bytes)
    }

    /// What the operator is told of requests.
    fn requests(&self) -> Vec<Value> {
        let told = self.installation.command(&["customers", "erasures", "--format", "json"]).unwrap();
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Where on the broker's disk and in Redis any of these lies.
    fn found(&self, markers: &[&str]) -> BTreeSet<String> {
        let patterns = Patterns::of(markers);
        let mut found = BTreeSet::new();
        let mut folders = vec![self.installation.kafka.data_dir()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                // A file may be deleted while it is looked for.
                } else if let Ok(bytes) = std::fs::read(&path) {
                    found.extend(patterns.in_bytes(&bytes).map(|marker| format!("{marker} in {}", shown(&path))));
                }
            }
        }
        let redis = self.installation.redis.as_ref().unwrap().snapshot().unwrap().bytes().unwrap();
        found.extend(patterns.in_bytes(&redis).map(|marker| format!("{marker} in Redis")));
        found
    }
}

fn shown(path: &Path) -> String {
    path.iter().rev().take(2).map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" of ")
}

/// What is looked for, in each form in which it may be written.
struct Patterns(Vec<(String, Vec<u8>)>);

impl Patterns {
    fn of(markers: &[&str]) -> Self {
        let mut patterns = Vec::new();
        for marker in markers {
            let percent = |upper: bool| {
                let of = |byte: u8| match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
                    _ if upper => format!("%{byte:02X}"),
                    _ => format!("%{byte:02x}"),
                };
                marker.bytes().map(of).collect::<String>()
            };
            let mut forms = BTreeSet::from([(*marker).to_owned(), percent(true), percent(false)]);
            // In base64 it looks different at each of three places; its first and last characters depend on what is beside it.
            for before in 0..3 {
                let padded = [&vec![b'x'; before][..], marker.as_bytes()].concat();
                for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                    let text = engine.encode(&padded);
                    forms.insert(text[4.min(text.len())..text.len() - 2].to_owned());
                }
            }
            patterns.extend(forms.into_iter().map(|form| ((*marker).to_owned(), form.into_bytes())));
        }
        Self(patterns)
    }

    fn in_bytes(&self, bytes: &[u8]) -> impl Iterator<Item = &str> {
        let holds = |pattern: &Vec<u8>| {
            let first = pattern[0];
            let mut from = 0;
            while let Some(at) = bytes[from..].iter().position(|byte| *byte == first) {
                if bytes[from + at..].starts_with(pattern) {
                    return true;
                }
                from += at + 1;
            }
            false
        };
        self.0.iter().filter(move |(_, pattern)| holds(pattern)).map(|(marker, _)| marker.as_str())
    }
}

#[test]
fn an_erased_customer_is_found_nowhere_and_nobody_else_is_touched() {
    let shop = Shop::open();
    let ana = json!({
        "email": MARKERS[0], "firstName": MARKERS[1], "lastName": MARKERS[2], "phone": MARKERS[3],
        "address": {"street": MARKERS[4]}, "likes": MARKERS[5],
    });
    let berta = json!({"email": "berta@stays.example", "firstName": "Berta", "likes": "something-else"});
    shop.visit(ANA, DEVICES, &ana, MARKERS[6]);
    shop.visit(BERTA, ["device-of-berta-1", "device-of-berta-2"], &berta, "p-1");
    // What can't be read is put aside, whatever it holds.
    shop.installation.produce("storefront.received", ANA, &[], format!("broken, {}", MARKERS[0]).as_bytes()).unwrap();

    // Berta got her message, Ana's waits for another attempt; both are in a run, and in a segment.
    shop.mail.wait_for_messages(1, LIMIT).unwrap();
    let before = wait_until(LIMIT, "all that is to be erased", || {
        let told = shop.installation.command(&["customers", "data", ANA, "--out", "-"]).ok()?;
        let data: Value = serde_json::from_str(&told).unwrap();
        let states = &data["states"];
        let waits = states["messaging"][ANA]["messages"].as_array().is_some_and(|messages| messages.len() == 1);
        let runs = states["journeys"][ANA]["runs"].as_array().is_some_and(|runs| runs.len() == 1);
        let is_known = states["segmentation"][ANA]["ids"].as_array().is_some_and(|ids| ids.len() == 2);
        let letters = data["records"]["platform.deadletters"].as_array().is_some_and(|letters| letters.len() == 1);
        (waits && runs && is_known && letters).then_some(data)
    })
    .unwrap();
    // Her own copy has all of it, under each of her ids; what was put aside as the bytes that it is.
    let copy = before.to_string();
    assert!(MARKERS.iter().all(|marker| copy.contains(marker)), "{copy}");
    assert_eq!(before["ids"], json!([ANA, DEVICES[0], DEVICES[1]]));
    let letter = before["records"]["platform.deadletters"][0]["bytes"].as_str().unwrap();
    assert_eq!(STANDARD.decode(letter).unwrap(), format!("broken, {}", MARKERS[0]).as_bytes());

    // What is looked for can be found: each of it in the log, and what states hold in Redis.
    let found = shop.found(&MARKERS);
    for marker in MARKERS {
        assert!(found.iter().any(|place| place.starts_with(marker) && place.contains(".log of vuelve.")), "{marker}");
    }
    assert!(found.contains(&format!("{} in Redis", MARKERS[0])), "{found:?}");

    let untouched = ["segmentation.changelog", "journeys.changelog", "customer.profiles"];
    let of_berta = || untouched.map(|dataset| shop.last(dataset, BERTA).unwrap());
    let berta_before = of_berta();
    shop.hurry();
    shop.installation.command(&["customers", "erase", ANA, "--shop", "test", "--wait"]).unwrap();
    // Whoever sees it through is killed in the middle.
    shop.processes[4].kill9().unwrap();
    shop.processes[4].restart().unwrap();
    // It happened before, and is told now, under each id.
    let late = json!({
        "event": "Product Viewed", "userId": ANA, "anonymousId": DEVICES[0], "timestamp": "2026-01-02T03:04:05Z",
        "properties": {"product_id": LATE}, "context": {"traits": {"lastName": LATE}},
    });
    shop.post("/v1/track", &late);
    shop.post(
        "/v1/identify",
        &json!({"anonymousId": DEVICES[1], "timestamp": "2026-01-02T03:04:05Z", "traits": {"lastName": LATE}}),
    );

    let request = wait_until(LIMIT, "the receipt", || {
        let request = shop.requests().into_iter().next()?;
        (request["state"] == "done").then_some(request)
    })
    .unwrap();

    // The receipt names all her ids, and every place; it was written once.
    assert_eq!((&request["customer_id"], &request["ids"]), (&json!(ANA), &json!([ANA, DEVICES[0], DEVICES[1]])));
    let places = request["places"].as_array().unwrap();
    assert!(places.iter().all(|place| place["removed_at"].is_string()), "{places:#?}");
    let named: BTreeSet<&str> = places.iter().map(|place| place["dataset"].as_str().unwrap()).collect();
    let specs = schemas::topics("vuelve", PARTITIONS as u32);
    let holding = specs.iter().filter(|spec| spec.holds_customers()).map(|spec| spec.dataset);
    assert_eq!(named, holding.collect());
    assert!(places.iter().any(|place| place["means"] == "store"));
    let receipts = shop.installation.records("privacy.receipts").unwrap();
    let stages: Vec<_> = receipts.iter().map(|record| record.value["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["forgotten", "erased"]);

    // Not a byte of hers.
    let nothing = |markers: &[&str]| {
        let gone = wait_until(UNLINKED, "nothing of hers", || shop.found(markers).is_empty().then_some(()));
        assert!(gone.is_ok(), "{:#?}", shop.found(markers));
    };
    nothing(&MARKERS);
    nothing(&[LATE]);
    let everything: Vec<&str> = MARKERS.into_iter().chain([LATE]).collect();
    let patterns = Patterns::of(&everything);
    for process in &shop.processes {
        let log = std::fs::read(process.log_path()).unwrap();
        assert_eq!(patterns.in_bytes(&log).next(), None, "in the log of {}", process.name());
    }
    let spans = shop.collector.spans();
    assert!(spans.len() > 10, "{spans:?}");
    let spans = format!("{spans:?}");
    assert_eq!(patterns.in_bytes(spans.as_bytes()).next(), None, "in traces");
    let table = shop.installation.command(&["customers", "export", "--out", "-"]).unwrap();
    assert_eq!(patterns.in_bytes(table.as_bytes()).next(), None, "{table}");

    // What came late made nothing of her; what is left names nobody.
    let after = shop.installation.command(&["customers", "data", ANA, "--out", "-"]).unwrap();
    assert_eq!(patterns.in_bytes(after.as_bytes()).next(), None, "{after}");
    let after: Value = serde_json::from_str(&after).unwrap();
    assert!(after["states"]["segmentation"][ANA]["erased_at"].is_number(), "{after:#}");
    assert_eq!(after["states"]["segmentation"][ANA]["seen"], json!([]));
    assert_eq!((&after["states"]["journeys"], &after["records"]["customer.profiles"]), (&json!({}), &Value::Null));
    assert_eq!(after["records"]["messaging.requests"], Value::Null);

    // Nobody else is touched.
    assert_eq!(of_berta(), berta_before);
    assert!(!shop.found(&["berta@stays.example"]).is_empty());
}
