//! Dead letters in Kafka Connect's words: key and value untouched, the reason in the headers.

use stream::DeadLetter;

use crate::admin::ReadRecord;
use crate::append::{Header, NewRecord};
use crate::clients::Cluster;

const PREFIX: &str = "__connect.errors.";

/// The data set of dead letters.
pub(crate) const DATASET: &str = "platform.deadletters";

/// The headers of a dead letter.
pub(crate) fn headers(cluster: &Cluster, service: &str, letter: &DeadLetter) -> Vec<Header> {
    let header = |name: &str, value: String| Header { name: format!("{PREFIX}{name}"), value: value.into_bytes() };
    vec![
        header("topic", cluster.topic(letter.dataset)),
        header("partition", letter.partition.to_string()),
        header("offset", letter.offset.to_string()),
        header("stage", "VALUE_CONVERTER".to_owned()),
        header("class.name", service.to_owned()),
        header("exception.class.name", letter.poison.reason.to_owned()),
        header("exception.message", letter.poison.detail.clone()),
    ]
}

/// The record that puts a dead letter back where it came from, on the partition of its key; none where the letter does
/// not say where that was.
pub fn redrive_record(letter: &ReadRecord) -> Option<NewRecord> {
    let topic = letter.headers.iter().find(|header| header.name == format!("{PREFIX}topic"))?;
    Some(NewRecord {
        topic: String::from_utf8(topic.value.clone()).ok()?,
        partition: None,
        key: letter.key.clone(),
        value: letter.value.clone(),
        headers: letter.headers.iter().filter(|header| !header.name.starts_with(PREFIX)).cloned().collect(),
    })
}
