//! The gRPC contract: the generated code of `vuelve/<domain>/v1/*.proto`, the only place where it is generated.
//!
//! Wanted properties:
//! - every error that leaves a service is a [`Refusal`]: one place chooses the code and the google.rpc details;
//! - a mask gives the fields that it names and no others, or the call is refused ([`ReadMask`]);
//! - a deadline that passes is `DEADLINE_EXCEEDED`, and every call of a server has one ([`DeadlineLayer`]).

mod answers;
mod deadline;
mod read_mask;
mod refusal;
mod time;

pub use answers::{
    IngestionAnswers, IngestionServer, JourneysAnswers, JourneysServer, PrivacyAnswers, PrivacyServer,
    SegmentationAnswers, SegmentationServer, has_time, ingestion_server, journeys_server, privacy_server,
    segmentation_server,
};
pub use deadline::{Deadline, DeadlineLayer, DeadlineService};
pub use http::Extensions;
pub use read_mask::{FieldMask, ReadMask};
pub use refusal::{Refusal, describe};
pub use time::{WireTime, timestamp, to_timestamp};

pub use contract::{ingestion, journeys, privacy, segmentation};

#[allow(missing_docs, unreachable_pub, clippy::pedantic, reason = "generated; the contract's words are in the .proto")]
mod contract {
    /// Ingestion: storefront events from servers.
    pub mod ingestion {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("vuelve.ingestion.v1");
        }
    }

    /// Journeys: where customers are, and why.
    pub mod journeys {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("vuelve.journeys.v1");
        }
    }

    /// Privacy: erasing customers.
    pub mod privacy {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("vuelve.privacy.v1");
        }
    }

    /// Segmentation: who customers are, and the segments that they are in.
    pub mod segmentation {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("vuelve.segmentation.v1");
        }
    }
}

/// The descriptors of every service here, encoded: what gRPC reflection answers from.
pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("vuelve.descriptors");
