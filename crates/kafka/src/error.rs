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
    /// Sorts what a client call said into what can be tried again and what can't.
    pub(crate) fn of(what: impl Into<String>, source: KafkaError) -> Self {
        use rdkafka::types::RDKafkaErrorCode as Code;
        let passing = matches!(
            source.rdkafka_error_code(),
            Some(
                Code::BrokerTransportFailure
                    | Code::AllBrokersDown
                    | Code::OperationTimedOut
                    | Code::RequestTimedOut
                    | Code::MessageTimedOut
                    | Code::Resolve
                    | Code::CoordinatorLoadInProgress
                    | Code::CoordinatorNotAvailable
                    | Code::NotCoordinator
                    | Code::LeaderNotAvailable
                    | Code::NotLeaderForPartition
                    | Code::QueueFull
                    | Code::NetworkException
                    | Code::UnstableOffsetCommit
                    | Code::RebalanceInProgress
            )
        ) || matches!(&source, KafkaError::Transaction(error) if error.is_retriable());
        let what = what.into();
        if passing { Self::Unavailable { what, source } } else { Self::Refused { what, source } }
    }

    /// Whether the same may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Store(stream::StoreError::Unavailable(_)))
            || matches!(self, Self::Registry(error) if error.is_passing())
    }
}
