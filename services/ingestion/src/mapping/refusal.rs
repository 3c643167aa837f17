use definitions::MappingError;

use crate::ids::MAX_ID_BYTES;

/// Why an event is not taken: it goes to the dead letters with this, and the rest of its batch goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Larger than an event may be.
    #[error("the event has {bytes} bytes; at most {} are taken (send less in its properties)", super::MAX_EVENT_BYTES)]
    TooLarge {
        /// Its size as JSON.
        bytes: usize,
    },
    /// Nested deeper than readers can follow.
    #[error("the event is nested deeper than {} levels", super::MAX_DEPTH)]
    TooDeep,
    /// A number that readers of JSON can't hold.
    #[error("the event has a number beyond 1.8e308, which readers of JSON can't hold; send it as text")]
    NumberOutOfRange,
    /// Not `{…}`.
    #[error("the event is not a JSON object")]
    NotAnObject,
    /// `type` is missing or unknown.
    #[error("the event's `type` is missing or none of track, identify, page, screen, group, alias")]
    NoKind,
    /// A track event that does not say what happened.
    #[error("the track event has no `event`: the name of what happened")]
    NoName,
    /// A name that is none.
    #[error("the event's name is longer than {MAX_ID_BYTES} bytes")]
    NameTooLong,
    /// Nobody is named.
    #[error("the event has neither a `userId` nor an `anonymousId` that names somebody; send one of them")]
    NoId,
    /// An alias that does not say who it was or who it is now.
    #[error("the alias lacks `userId` (who it is now) or `previousId` (who it was)")]
    AliasOfNobody,
    /// More than its write key may send.
    #[error(
        "the write key is a browser's, which may send track, page and screen only, nothing historical, and nothing under the name of \
         an order; use a server's"
    )]
    OutOfScope,
    /// A webhook about something that is not known here.
    #[error("nothing is known here of the webhook's topic; what it says is here, as it came")]
    UnknownTopic,
    /// A webhook that its mapping says nothing of.
    #[error("no event of the webhook's mapping wants it; `otherwise: ignore` passes over such webhooks")]
    NotWanted,
    /// A webhook that its mapping can't be applied to.
    #[error("the webhook's mapping can't be applied to it: {0}")]
    NotComputed(MappingError),
    /// A webhook through which a mapping would take too long to go.
    #[error(
        "the webhook has {count} elements in its lists, or members of an object; a mapping reads at most {}, and fewer of a \
         large webhook",
        super::webhooks::MAX_LINES
    )]
    TooManyElements {
        /// So many.
        count: usize,
    },
    /// A webhook of which an event can't hold everything.
    #[error(
        "the webhook says more than an event can hold: what has a typed field was taken if it fits, and all of it is here"
    )]
    RestTooLarge,
    /// An order of more lines than platforms allow.
    #[error("the webhook has {count} lines of an order; at most {} are taken", super::webhooks::MAX_LINES)]
    TooManyLines {
        /// So many.
        count: usize,
    },
    /// An id that can't be a key.
    #[error("`{field}` is longer than {MAX_ID_BYTES} bytes")]
    IdTooLong {
        /// Which id.
        field: &'static str,
    },
}

impl Refusal {
    /// A short word for metrics and headers.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::RestTooLarge | Self::TooManyLines { .. } | Self::TooManyElements { .. } => {
                "too_large"
            }
            Self::TooDeep => "too_deep",
            Self::NumberOutOfRange => "number_out_of_range",
            Self::NotAnObject => "not_an_object",
            Self::NoKind => "no_type",
            Self::NoName => "no_event_name",
            Self::NameTooLong => "name_too_long",
            Self::NoId => "no_id",
            Self::AliasOfNobody => "alias_of_nobody",
            Self::OutOfScope => "out_of_scope",
            Self::UnknownTopic => "unknown_topic",
            Self::NotWanted => "not_wanted",
            Self::NotComputed(_) => "not_computed",
            Self::IdTooLong { .. } => "id_too_long",
        }
    }
}
