//! An installation that lives and dies with this process: the embedded broker and registry, state in memory.

use std::ffi::OsString;
use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context;
use devbroker::{DevBroker, DevBrokerConfig};
use runtime::config::{Config, Sources};

use crate::hosting;

/// A broker for trying and testing, and what this process's parts have to know of it.
#[derive(Debug)]
pub struct Embedded {
    /// The broker with its registry.
    pub broker: DevBroker,
    /// The configuration that points at it.
    pub config: Config,
    /// The write key that the door takes.
    pub write_key: String,
    /// Keys and secrets lie here until the process ends.
    _secrets: tempfile::TempDir,
}

impl Embedded {
    /// Starts it. `flags` (`section.key=value`) go over everything else.
    pub async fn start(memory_limit_bytes: usize, partitions: u32, flags: Vec<String>) -> anyhow::Result<Self> {
        let loopback = |port| std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, port));
        let broker = DevBroker::start(DevBrokerConfig {
            listen: loopback(0),
            registry_listen: Some(loopback(0)),
            memory_limit_bytes,
            ..DevBrokerConfig::default()
        })
        .await
        .context("the embedded broker can't be started")?;
        let ours_alone = Permissions::from_mode(0o700);
        let secrets = tempfile::Builder::new().permissions(ours_alone).tempdir();
        let secrets = secrets.context("no folder for temporary files")?;
        let secret = || format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let write_key = secret();
        let write = |name: &str, text: String| -> anyhow::Result<String> {
            let path = secrets.path().join(name);
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
            written.with_context(|| path.display().to_string())?;
            Ok(path.display().to_string())
        };
        let keys = write("link-keys", format!("k1:{}\n", secret()))?;
        let addresses = write("address-secret", secret())?;
        let write_keys = write("write-key", write_key.clone())?;
        let registry = broker.registry_url().context("the embedded registry did not start")?;
        let mut set = vec![
            format!("kafka.bootstrap_servers=[\"{}\"]", broker.bootstrap_servers()),
            format!("kafka.registry_url={registry}"),
            "kafka.session_timeout=6s".to_owned(),
            format!("installation.partitions={partitions}"),
            "store.kind=memory".to_owned(),
            format!("links.keys_file={keys}"),
            format!("links.address_secret_file={addresses}"),
            "admin.listen=127.0.0.1:0".to_owned(),
            "grpc.listen=127.0.0.1:0".to_owned(),
            "ingestion.door.listen=127.0.0.1:0".to_owned(),
            format!("ingestion.door.write_keys=[{{ id = \"demo\", shop = \"demo\", key_file = \"{write_keys}\" }}]"),
        ];
        set.extend(flags);
        // The environment is meant for services of an installation, not for one that brings its own.
        let sources = Sources {
            file: None::<&Path>.map(Path::to_path_buf),
            environment: Vec::<(OsString, OsString)>::new(),
            flags: set,
        };
        let config = hosting::layout().load(&sources).map_err(anyhow::Error::new)?;
        Ok(Self { broker, config, write_key, _secrets: secrets })
    }
}
