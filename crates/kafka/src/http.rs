//! How this process speaks HTTP to what lies beside the log: the registry, a door.

use std::time::Duration;

/// A client that gives a call up after `timeout`, follows no redirect, and takes every status for an answer. In a build with
/// TLS it trusts the system's authorities (or those in the file that `SSL_CERT_FILE` names).
pub fn http_client(timeout: Duration) -> ureq::Agent {
    let config =
        ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false).max_redirects(0);
    #[cfg(feature = "https")]
    let config = config.tls_config(trust());
    config.build().new_agent()
}

/// rustls with ring, and the system's authorities.
#[cfg(feature = "https")]
fn trust() -> ureq::tls::TlsConfig {
    use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate of the system's authorities can't be read");
    }
    let authorities = found.certs.iter().map(|certificate| Certificate::from_der(certificate.as_ref()).to_owned());
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::from(authorities))
        .build()
}
