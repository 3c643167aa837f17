//! The door's own I/O: HTTP and gRPC in, the event log out.
//!
//! [`Door`] takes calls, [`router`] gives them their paths, [`serve`] the connections; [`Recorder`] is where calls over gRPC
//! come in. What it needs of its surroundings are two ports: [`EventLog`] (a producer) and [`Host`] (time and chance).

mod answer;
mod body;
mod commands;
mod credentials;
mod dead_letter;
mod door;
mod host;
mod http;
mod in_path;
mod key_source;
mod limits;
mod log;
mod message_links;
mod metrics;
mod options;
mod page;
mod preferences;
mod preferences_page;
mod rpc;
mod serve;
mod signature;
mod spool;
mod tls;
mod trace;
mod unsubscribe;
mod webhook;
mod webhook_sources;
mod write_keys;

pub use door::{Door, DoorSecrets};
pub use host::Host;
pub use http::router;
pub use log::{EventLog, LogError, LogRecord, RecordHeaders};
pub use options::{
    DoorOptions, ServerOptions, ShopHost, SpoolOptions, TlsOptions, WebhookKind, WebhookOptions, WriteKeyOptions,
};
pub use rpc::Recorder;
pub use serve::serve;
pub use signature::is_signed_as;
pub use spool::{Spool, SpoolError, SpoolState, SpooledLog};
pub use tls::{Tls, TlsProblem, load_tls};
pub use webhook_sources::{WebhookProblem, Webhooks};
pub use write_keys::{WriteKey, WriteKeyProblem, WriteKeys};
