//! The certificates that a server shows and asks for, read anew without a restart.
//!
//! Wanted properties:
//! - whatever is wrong with a file is told by its option and its name, and what was in force before stays in force;
//! - a server that asks its clients for certificates lets nobody in who has none of its authority's.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
pub use tokio_rustls::TlsAcceptor;

/// More than any chain of certificates has.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where the certificates of a server lie, all in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate that is shown, and behind it those that lead to one that clients know.
    pub certificate_file: Option<PathBuf>,
    /// Its private key.
    pub key_file: Option<PathBuf>,
    /// The authorities one of which has to have signed a client's certificate; without them no client is asked for one.
    pub client_ca_file: Option<PathBuf>,
}

impl TlsFiles {
    /// Whether any file is named.
    pub fn is_given(&self) -> bool {
        self.certificate_file.is_some() || self.key_file.is_some() || self.client_ca_file.is_some()
    }
}

/// TLS with the certificates in force.
pub struct Tls {
    files: TlsFiles,
    protocol: &'static [u8],
    in_force: RwLock<InForce>,
}

struct InForce {
    read: Contents,
    acceptor: TlsAcceptor,
}

/// What the files hold.
#[derive(PartialEq, Eq)]
struct Contents {
    certificates: Vec<u8>,
    key: Vec<u8>,
    client_authorities: Option<Vec<u8>>,
}

/// What is wrong with a certificate or its key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tls.{option}: {problem}")]
pub struct TlsProblem {
    /// The option that names the file.
    pub option: &'static str,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl Tls {
    /// Reads the files, for a server that speaks this protocol (its name in ALPN); nothing where none is named.
    pub fn load(files: TlsFiles, protocol: &'static [u8]) -> Result<Option<Self>, TlsProblem> {
        if !files.is_given() {
            return Ok(None);
        }
        let in_force = RwLock::new(accept(&files, read(&files)?, protocol)?);
        Ok(Some(Self { files, protocol, in_force }))
    }

    /// Reads the files anew; returns whether they are others than before. Where something is wrong with them, what was in
    /// force stays.
    pub fn reload(&self) -> Result<bool, TlsProblem> {
        let contents = read(&self.files)?;
        if self.in_force.read().read == contents {
            return Ok(false);
        }
        *self.in_force.write() = accept(&self.files, contents, self.protocol)?;
        Ok(true)
    }

    /// For the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.in_force.read().acceptor.clone()
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

fn read(files: &TlsFiles) -> Result<Contents, TlsProblem> {
    let read = |option, file: Option<&Path>| {
        let failed = |problem| TlsProblem { option, problem };
        let file = file.ok_or_else(|| failed("a certificate and its key are given together, or neither".to_owned()))?;
        let mut bytes = Vec::new();
        File::open(file)
            .and_then(|opened| opened.take(MAX_FILE_BYTES).read_to_end(&mut bytes))
            .map_err(|error| failed(format!("{} can't be read: {error}", file.display())))?;
        if bytes.len() as u64 == MAX_FILE_BYTES {
            return Err(failed(format!("{} has a MiB or more: it is no certificate or key", file.display())));
        }
        Ok(bytes)
    };
    Ok(Contents {
        certificates: read("certificate_file", files.certificate_file.as_deref())?,
        key: read("key_file", files.key_file.as_deref())?,
        client_authorities: files
            .client_ca_file
            .as_deref()
            .map(|file| read("client_ca_file", Some(file)))
            .transpose()?,
    })
}

fn accept(files: &TlsFiles, read: Contents, protocol: &[u8]) -> Result<InForce, TlsProblem> {
    let wrong = |option, file: &Option<PathBuf>, problem: &dyn std::fmt::Display| {
        let file = file.as_deref().unwrap_or(Path::new("")).display();
        TlsProblem { option, problem: format!("{file}: {problem}") }
    };
    let chain = certificates(&read.certificates)
        .map_err(|problem| wrong("certificate_file", &files.certificate_file, &problem))?;
    let private = PrivateKeyDer::from_pem_slice(&read.key)
        .map_err(|error| wrong("key_file", &files.key_file, &format!("it holds no private key in PEM: {error}")))?;
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let unusable = |error: rustls::Error| {
        wrong("certificate_file", &files.certificate_file, &format!("it and its key can't be used: {error}"))
    };
    let config = config.map_err(unusable)?;
    let config = match &read.client_authorities {
        None => config.with_no_client_auth(),
        Some(authorities) => {
            let wrong = |problem: &dyn std::fmt::Display| wrong("client_ca_file", &files.client_ca_file, problem);
            let mut roots = RootCertStore::empty();
            for authority in certificates(authorities).map_err(|problem| wrong(&problem))? {
                roots.add(authority).map_err(|error| wrong(&format!("it can't be used: {error}")))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            config.with_client_cert_verifier(verifier.map_err(|error| wrong(&format!("it can't be used: {error}")))?)
        }
    };
    let mut config = config.with_single_cert(chain, private).map_err(unusable)?;
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(InForce { read, acceptor: TlsAcceptor::from(Arc::new(config)) })
}

/// At least one; else what is wrong.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("it is no PEM: {error}"))?;
    if all.is_empty() {
        return Err("it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned());
    }
    Ok(all)
}
