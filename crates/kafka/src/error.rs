use rdkafka::error::KafkaError;

/// Why the work with Kafka failed.
#[derive(Debug, thiserror::Error)]
pub enum KafkaFailure {
    /// The broker can't be reached, or did not answer in time: try again.
    #[error("{what}: the broker did not answer")]
    Unavailable {
        /// What was tried.
        what: String,
        /// What the client said.
        #[source]
        source: KafkaError,
    },
    /// The broker or the client refused: trying again does not help.
    #[error("{what}: {source}")]
    Refused {
        /// What was tried.
        what: String,
        /// What the client said.
        source: KafkaError,
    },
    /// The client's own buffer is full, because more was appended than the broker has acknowledged: come again in a moment.
    #[error("{what}: too much waits for the broker")]
    Overloaded {
        /// What was tried.
        what: String,
    },
    /// The producer has failed for good: only a new one can write.
    #[error("the producer can write nothing more: {0}")]
    ProducerFailed(String),
    /// The installation is not as it has to be; says what to do.
    #[error("{0}")]
    Installation(String),
    /// Another process runs under the same slot, and has taken over.
    #[error("another process runs {service} in slot {slot}: give each instance a slot of its own (installation.slot)")]
    SlotTaken {
        /// The service.
        service: &'static str,
        /// The slot that both have.
        slot: String,
    },
    /// The schema registry.
    #[error(transparent)]
    Registry(#[from] crate::RegistryError),
    /// The state store.
    #[error(transparent)]
    Store(#[from] stream::StoreError),
    /// A value does not fit its schema.
    #[error(transparent)]
    Encode(#[from] schemas::EncodeError),
}

impl KafkaFailure {
    /// Sorts what a client call said into what can be tried again and what can't. A cluster has many ways to be busy with
    /// itself (elections, restarts, moves), so what is not known to be for good is taken to pass; so is a partition that
    /// nobody knows, as a broker that starts anew says of those that are not led yet.
    pub(crate) fn of(what: impl Into<String>, source: KafkaError) -> Self {
        use rdkafka::types::RDKafkaErrorCode as Code;
        let for_good = matches!(
            source.rdkafka_error_code(),
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
        let what = what.into();
        if for_good { Self::Refused { what, source } } else { Self::Unavailable { what, source } }
    }

    /// Whether the same may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Overloaded { .. } | Self::Store(stream::StoreError::Unavailable(_))
        ) || matches!(self, Self::Registry(error) if error.is_passing())
    }
}
