//! What the client says, in our words.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::port::{ClientError, ErrorKind};

impl From<KafkaError> for ClientError {
    fn from(error: KafkaError) -> Self {
        let kind = match &error {
            KafkaError::Transaction(inner) => ErrorKind::Transaction {
                fatal: inner.is_fatal(),
                requires_abort: inner.txn_requires_abort(),
                retriable: inner.is_retriable(),
            },
            KafkaError::MessageProduction(Code::QueueFull) => ErrorKind::BufferFull,
            other => match other.rdkafka_error_code() {
                Some(Code::PollExceeded) => ErrorKind::PollExceeded,
                Some(Code::AutoOffsetReset) => ErrorKind::NoSuchOffset,
                Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::InvalidRecord) => {
                    ErrorKind::BadRecord
                }
                _ => ErrorKind::Other,
            },
        };
        Self { passing: passes(&error), text: error.to_string(), kind }
    }
}

/// Sorts what a client call said into what can be tried again and what can't. A cluster has many ways to be busy with
/// itself (elections, restarts, moves), so what is not known to be for good is taken to pass; so is a partition that
/// nobody knows, as a broker that starts anew says of those that are not led yet.
fn passes(error: &KafkaError) -> bool {
    let for_good = matches!(
        error.rdkafka_error_code(),
        None | Some(
            Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::UnsupportedSASLMechanism
                | Code::ClusterAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::TopicAuthorizationFailed
                | Code::TransactionalIdAuthorizationFailed
                | Code::UnknownTopic
                | Code::TopicAlreadyExists
                | Code::InvalidTopic
                | Code::InvalidPartitions
                | Code::InvalidReplicationFactor
                | Code::InvalidReplicaAssignment
                | Code::InvalidConfig
                | Code::InvalidRequest
                | Code::InvalidArgument
                | Code::InvalidRecord
                | Code::InvalidMessageSize
                | Code::MessageSizeTooLarge
                | Code::InvalidSessionTimeout
                | Code::InvalidTransactionTimeout
                | Code::InvalidGroupId
                | Code::InconsistentGroupProtocol
                | Code::PolicyViolation
                | Code::UnsupportedVersion
                | Code::UnsupportedFeature
                | Code::UnsupportedForMessageFormat
                | Code::NotImplemented
                | Code::SSL
                | Code::CriticalSystemResource
                | Code::Fatal
        )
    );
    !for_good
}
