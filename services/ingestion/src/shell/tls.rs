//! The certificate that the door shows, read anew without a restart.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::options::TlsOptions;

/// More than any chain of certificates has.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// TLS with the certificate in force.
pub struct Tls {
    options: TlsOptions,
    in_force: RwLock<InForce>,
}

struct InForce {
    certificates: Vec<u8>,
    key: Vec<u8>,
    acceptor: TlsAcceptor,
}

/// What is wrong with a certificate or its key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tls.{option}: {problem}")]
pub struct TlsProblem {
    /// The option that names it.
    pub option: &'static str,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl Tls {
    /// Reads the certificate and its key; nothing where the options name neither.
    pub fn load(options: &TlsOptions) -> Result<Option<Self>, TlsProblem> {
        if !options.is_given() {
            return Ok(None);
        }
        let in_force = RwLock::new(accept(read(options)?)?);
        Ok(Some(Self { options: options.clone(), in_force }))
    }

    /// Reads both files anew; returns whether they are others than before. Where something is wrong with them, what was in
    /// force stays.
    pub fn reload(&self) -> Result<bool, TlsProblem> {
        let files = read(&self.options)?;
        {
            let in_force = self.in_force.read();
            if (&in_force.certificates, &in_force.key) == (&files.0, &files.1) {
                return Ok(false);
            }
        }
        *self.in_force.write() = accept(files)?;
        Ok(true)
    }

    /// For the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.in_force.read().acceptor.clone()
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("options", &self.options).finish_non_exhaustive()
    }
}

fn read(options: &TlsOptions) -> Result<(Vec<u8>, Vec<u8>), TlsProblem> {
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
    let certificates = read("certificate_file", options.certificate_file.as_deref())?;
    Ok((certificates, read("key_file", options.key_file.as_deref())?))
}

fn accept((certificates, key): (Vec<u8>, Vec<u8>)) -> Result<InForce, TlsProblem> {
    let wrong = |option, problem: &dyn std::fmt::Display| TlsProblem { option, problem: problem.to_string() };
    let chain = CertificateDer::pem_slice_iter(&certificates).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| wrong("certificate_file", &format!("it is no PEM: {error}")))?;
    if chain.is_empty() {
        return Err(wrong("certificate_file", &"it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"));
    }
    let private = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|error| wrong("key_file", &format!("it holds no private key in PEM: {error}")))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| wrong("certificate_file", &format!("it and its key can't be used: {error}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(InForce { certificates, key, acceptor: TlsAcceptor::from(Arc::new(config)) })
}
