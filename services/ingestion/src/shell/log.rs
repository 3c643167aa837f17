//! The port to the event log: what the door needs of a producer.

use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use stream::Dataset;

/// Names and values; the records of a call share them.
pub type RecordHeaders = Arc<[(Cow<'static, str>, Bytes)]>;

/// A record to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Where it goes; the log knows the data set's topic.
    pub dataset: Dataset,
    /// Its key; none lets the log choose the partition.
    pub key: Option<String>,
    /// Its value, encoded.
    pub value: Bytes,
    /// Its headers.
    pub headers: RecordHeaders,
}

/// Why records were not appended, as far as the caller can do something about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The broker can't be reached, or does not acknowledge: the same call may go through later.
    #[error("the event log can't be reached")]
    Unavailable,
    /// More is under way than may be: the same call may go through in a moment.
    #[error("the event log has too much under way")]
    Overloaded,
    /// It will never take these records.
    #[error("the event log refuses the records: {0}")]
    Refused(String),
}

/// An append-only log, such as Kafka by an idempotent producer with `acks=all`.
pub trait EventLog: Send + Sync + 'static {
    /// Appends the records, and returns when all of them are stored for good. An error means that some may be missing:
    /// the sender repeats them all, and the resolver drops those that came twice.
    ///
    /// The future may be dropped before it is ready (the deadline of a call); what was handed over may be stored all the same.
    fn append(&self, records: Vec<LogRecord>) -> impl Future<Output = Result<(), LogError>> + Send;
}
