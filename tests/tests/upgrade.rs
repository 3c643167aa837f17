//! Old and new workers beside each other.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testkit::{Process, python, wait_until};
use tests::added;
use tests::installation::{Installation, State, topic};
use tests::newer::newer;

const LIMIT: Duration = Duration::from_mins(1);
const CHANGELOG: &str = "journeys.changelog";
const HEADER: &str = "\0";

#[test]
fn a_header_that_a_newer_worker_wrote_is_read_by_the_next_owner() {
    let installation = Installation::start("live", State::Memory).unwrap();
    let services = installation.run_each(&["door", "resolver", "journeys", "segmentation"], 0..1).unwrap();
    let journeys = &services[2];
    installation.wait_for_door(&services[0]).unwrap();
    installation.post("/v1/track", &[], &added("ana")).unwrap();
    let partition = wait_until(LIMIT, "the state of a customer", || {
        let changelog = installation.raw_records(CHANGELOG).ok()?;
        changelog.iter().find(|record| record.key.as_deref() == Some("ana")).map(|record| record.partition)
    })
    .unwrap();
    assert!(journeys.term(LIMIT).unwrap().success());

    let changelog = installation.raw_records(CHANGELOG).unwrap();
    let is_header = |record: &&testkit::clients::TopicRecord| {
        record.partition == partition && record.key.as_deref() == Some(HEADER)
    };
    let last = changelog.iter().rfind(is_header).unwrap();
    let value = STANDARD.decode(last.value.as_str().unwrap()).unwrap();
    let value = newer(&installation, CHANGELOG, &value).unwrap();
    write_header(&installation, partition, &STANDARD.encode(value));
    journeys.restart().unwrap();
    journeys.wait_for_log(&format!("taken over partition={partition}"), LIMIT).unwrap();
}

/// Its key is a zero byte, which no command line takes.
const WRITE_HEADER: &str = "\
import base64, sys
from confluent_kafka import Producer
servers, topic, partition, value = sys.argv[1:]
producer = Producer({'bootstrap.servers': servers})
headers = [('vuelve-writer', b'vuelve.journeys.0')]
producer.produce(topic, key=b'\\0', value=base64.b64decode(value), partition=int(partition), headers=headers)
sys.exit(producer.flush(30))
";

fn write_header(installation: &Installation, partition: i32, value: &str) {
    let script = Process::spec("write_header.py", python().unwrap()).args(["-c", WRITE_HEADER]);
    let script = script.arg(installation.kafka.bootstrap_servers()).arg(topic(CHANGELOG));
    script.args([&partition.to_string(), value]).start().unwrap().wait_for_success(LIMIT).unwrap();
}
