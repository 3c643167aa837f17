use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use domain::{Currency, HumanDuration};
use links::Target;
use serde::Deserialize;

use crate::mapping::Scope;

/// The door's settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DoorOptions {
    /// Where it listens (default `127.0.0.1:8080`).
    pub listen: String,
    /// Where servers send events over gRPC; without it, they don't. The other settings are those of `[grpc]`, but for its
    /// token: callers say a write key.
    pub grpc_listen: Option<SocketAddr>,
    /// The write keys that storefronts use; at least one.
    pub write_keys: Vec<WriteKeyOptions>,
    /// Who sends webhooks.
    pub webhooks: Vec<WebhookOptions>,
    /// How often the files of the write keys, of the webhooks' secrets and mappings and of the certificate are looked at
    /// (default `10s`).
    pub keys_reload_interval: HumanDuration,
    /// How long a call waits for the broker before it is answered 503 (default `5s`).
    pub append_deadline: HumanDuration,
    /// How long a client may take to send its body (default `15s`).
    pub body_timeout: HumanDuration,
    /// How many calls are worked on at once, once their bodies are there; more are answered 503 at once (default 256).
    pub max_calls: usize,
    /// How many bodies are read at once; more are answered 503 at once (default 2048). Fewer than connections, so that
    /// storefronts leave some to people who unsubscribe.
    pub max_bodies: usize,
    /// How many bytes the bodies that are being read have together; one for which there is no room is answered 503 (default
    /// 128 MiB). At least as much as one body may have.
    pub max_body_bytes: usize,
    /// How many people are unsubscribed at once, or say what they want to get, beside the calls; more are asked to try again
    /// (default 64).
    pub max_unsubscribes: usize,
    /// How many clicks and opens are stored at once, beside the calls; of more it is lost that they happened, and people are
    /// sent on all the same (default 256).
    pub max_message_links: usize,
    /// The shop's own hosts (default none): who follows a link of a message to one of them comes there with a token in the
    /// address by which she is recognised, as the customer that the message went to.
    pub identify_on_hosts: Vec<ShopHost>,
    /// Where calls are kept on disk while the broker is away; without a directory they are answered 503.
    pub spool: SpoolOptions,
    /// The certificate that it shows; without one it speaks plain HTTP, for a proxy before it.
    pub tls: TlsOptions,
    /// The server under it.
    pub server: ServerOptions,
}

/// A host of the shop's own as it stands in addresses, with its port if it has one: `shop.example.com`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ShopHost(String);

impl ShopHost {
    /// Whether an address is on it, and on nothing below it.
    pub fn is_of(&self, target: &Target) -> bool {
        target.authority().eq_ignore_ascii_case(&self.0)
    }
}

impl TryFrom<String> for ShopHost {
    type Error = &'static str;

    fn try_from(host: String) -> Result<Self, Self::Error> {
        let letters = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'.' | b':' | b'[' | b']');
        let is_a_host = host.bytes().all(letters) && format!("https://{host}/").parse::<Target>().is_ok();
        if is_a_host {
            Ok(Self(host))
        } else {
            Err("must be a host such as `shop.example.com`, without scheme and path")
        }
    }
}

/// The certificate of a door. Both files are PEM, and are looked at every `keys_reload_interval`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsOptions {
    /// The certificate, and behind it those that lead to one that clients know.
    pub certificate_file: Option<PathBuf>,
    /// Its private key.
    pub key_file: Option<PathBuf>,
}

impl TlsOptions {
    /// Whether either file is named.
    pub fn is_given(&self) -> bool {
        self.certificate_file.is_some() || self.key_file.is_some()
    }
}

/// The spool of a door.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolOptions {
    /// A directory of this door alone, on a disk that outlives the process. Without it there is no spool.
    pub directory: Option<PathBuf>,
    /// How many bytes it holds at most; beyond them calls are answered 503 (default 1 GiB).
    pub max_bytes: u64,
    /// How long the broker is waited for before a call goes into the spool (default `1s`).
    pub after: HumanDuration,
}

/// The limits of the HTTP server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerOptions {
    /// How many connections are open at once; more wait to be accepted (default 4096).
    pub max_connections: usize,
    /// How long a client may take to send a request's head, and an idle connection is kept (default `30s`).
    pub head_timeout: HumanDuration,
    /// How long calls under way may take to end once the server is to stop (default `20s`).
    pub drain_timeout: HumanDuration,
}

/// One write key: what a storefront proves itself by, and what that stands for. Exactly one of `key_file` and `key_env` is
/// given: other people read the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteKeyOptions {
    /// Names the key in events, logs and metrics (the key itself appears nowhere).
    pub id: String,
    /// The shop whose events come with it.
    pub shop: String,
    /// The currency of amounts that name none (default `USD`).
    #[serde(default = "us_dollars")]
    pub currency: Currency,
    /// A file that holds the key and nothing else; or several, each on a line of its own, which are all in force: so a new key
    /// is put beside the old one, and the old one taken out once no storefront sends it any more. What the file holds is looked
    /// at every `keys_reload_interval`.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// An environment variable that holds the same.
    #[serde(default)]
    pub key_env: Option<String>,
    /// What may be sent with it (default `server`).
    #[serde(default)]
    pub scope: Scope,
    /// How many events a second may come with it, through each door; more are answered 429. Without it: any number.
    #[serde(default)]
    pub events_per_second: Option<NonZeroU32>,
    /// How many events may come at once above that rate, after a rest (default 2500, or a second's worth if that is more).
    #[serde(default)]
    pub burst_events: Option<NonZeroU32>,
    /// How many events a day may come with it, through each door. What is used of it comes back evenly over the day.
    #[serde(default)]
    pub events_per_day: Option<NonZeroU32>,
}

/// Who sends webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookKind {
    /// Shopify.
    Shopify,
    /// WooCommerce.
    WooCommerce,
    /// Anybody else: a mapping says how they are signed and what they become.
    Mapping,
}

/// Somebody who sends webhooks, to `/webhooks/{id}`. Exactly one of `secret_file` and `secret_env` is given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookOptions {
    /// A part of its path, and its name in events, logs and metrics.
    pub id: String,
    /// Who it is: `shopify`, `woocommerce`, or `mapping` for anybody else.
    pub kind: WebhookKind,
    /// The file of the mapping (YAML), for that kind alone. It is looked at every `keys_reload_interval`.
    #[serde(default)]
    pub mapping_file: Option<PathBuf>,
    /// The shop whose events come by it.
    pub shop: String,
    /// The currency of amounts that name none (default `USD`).
    #[serde(default = "us_dollars")]
    pub currency: Currency,
    /// A file that holds the secret that signs, or several, each on a line of its own, which are all in force. What the file
    /// holds is looked at every `keys_reload_interval`.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// An environment variable that holds the same.
    #[serde(default)]
    pub secret_env: Option<String>,
}

impl Default for DoorOptions {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            grpc_listen: None,
            write_keys: Vec::new(),
            webhooks: Vec::new(),
            keys_reload_interval: HumanDuration::from_millis(10_000),
            append_deadline: HumanDuration::from_millis(5_000),
            body_timeout: HumanDuration::from_millis(15_000),
            max_calls: 256,
            max_bodies: 2_048,
            max_body_bytes: 128 << 20,
            max_unsubscribes: 64,
            max_message_links: 256,
            identify_on_hosts: Vec::new(),
            spool: SpoolOptions::default(),
            tls: TlsOptions::default(),
            server: ServerOptions::default(),
        }
    }
}

impl Default for SpoolOptions {
    fn default() -> Self {
        Self { directory: None, max_bytes: 1 << 30, after: HumanDuration::from_millis(1_000) }
    }
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_connections: 4_096,
            head_timeout: HumanDuration::from_millis(30_000),
            drain_timeout: HumanDuration::from_millis(20_000),
        }
    }
}

fn us_dollars() -> Currency {
    Currency::parse("USD").expect("USD is a currency code")
}
