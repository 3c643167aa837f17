//! The certificate that the door shows.

use certificates::TlsFiles;
pub use certificates::{Tls, TlsProblem};

use super::options::TlsOptions;

/// Reads the certificate and its key; nothing where the options name neither.
pub fn load_tls(options: &TlsOptions) -> Result<Option<Tls>, TlsProblem> {
    let TlsOptions { certificate_file, key_file } = options.clone();
    Tls::load(TlsFiles { certificate_file, key_file, client_ca_file: None }, b"http/1.1")
}
