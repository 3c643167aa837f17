//! What people ask of messaging by a link.

use axum::http::HeaderMap;
use schemas::MessagingCommand;
use tracing::Instrument;

use super::answer::Refused;
use super::door::{Door, send_span};
use super::log::{EventLog, LogRecord};
use super::trace;
use crate::COMMANDS;

/// Stores a command.
pub(crate) async fn store<L: EventLog>(
    door: &Door<L>,
    command: &MessagingCommand,
    headers: &HeaderMap,
) -> Result<(), Refused> {
    let mut value = Vec::new();
    door.schemas.encode(COMMANDS, command, &mut value).map_err(|error| {
        tracing::error!(%error, "a command does not fit its schema");
        Refused::Unstorable
    })?;
    let span = send_span(COMMANDS, 1);
    let trace = trace::carried_on(&span, headers, door.host.as_ref());
    let record = LogRecord {
        dataset: COMMANDS,
        key: Some(command.customer_id.clone()),
        value: value.into(),
        headers: trace.headers(),
    };
    door.append(COMMANDS, vec![record]).instrument(span).await
}
