//! The one call of librdkafka that its bindings leave out, and so the one place with unsafe code.

use std::ffi::{CString, NulError};

use rdkafka::ClientContext;
use rdkafka::bindings::rd_kafka_brokers_add;
use rdkafka::client::Client;

/// Tells a client once more where its cluster is. Returns how many brokers it now knows by this list; those that it knew by
/// it before are not made anew.
///
/// # Errors
/// The list holds a NUL.
pub fn add_brokers<C: ClientContext>(client: &Client<C>, bootstrap_servers: &str) -> Result<usize, NulError> {
    let list = CString::new(bootstrap_servers)?;
    // SAFETY: the handle is alive as long as `client` is borrowed, librdkafka lets any thread make this call, and it copies
    // the list, which ends with a NUL, before it returns.
    let added = unsafe { rd_kafka_brokers_add(client.native_ptr(), list.as_ptr()) };
    Ok(usize::try_from(added).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn a_client_that_was_told_of_no_broker_finds_those_that_it_is_told_of_later() {
        let brokers = MockCluster::new(1).expect("a mock cluster");
        let client: BaseConsumer = ClientConfig::new().create().expect("a client of no cluster");
        let ask = || client.fetch_metadata(None, Duration::from_secs(5));
        assert!(client.fetch_metadata(None, Duration::from_millis(100)).is_err());
        assert_eq!(add_brokers(client.client(), &brokers.bootstrap_servers()), Ok(1));
        assert_eq!(ask().expect("an answer").brokers().len(), 1);
        assert!(add_brokers(client.client(), "a\0b").is_err());
    }
}
