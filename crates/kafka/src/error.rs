use crate::port::ClientError;

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
        source: ClientError,
    },
    /// The broker or the client refused: trying again does not help.
    #[error("{what}: {source}")]
    Refused {
        /// What was tried.
        what: String,
        /// What the client said.
        source: ClientError,
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
    /// What failed, and whether it passes.
    pub(crate) fn of(what: impl Into<String>, source: impl Into<ClientError>) -> Self {
        let (what, source) = (what.into(), source.into());
        if source.passing { Self::Unavailable { what, source } } else { Self::Refused { what, source } }
    }

    /// Whether the same may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Overloaded { .. } | Self::Store(stream::StoreError::Unavailable(_))
        ) || matches!(self, Self::Registry(error) if error.is_passing())
    }
}
