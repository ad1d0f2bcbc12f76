//! TLS to the database: which certificates are trusted.

use crate::error::{Error, Result};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::Path;
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// The connector, with the system's certificates or those of the file `ca`.
///
/// # Errors
/// [`Error::Config`] for a file without certificates.
pub fn connector(ca: Option<&Path>) -> Result<MakeRustlsConnect> {
    let mut roots = rustls::RootCertStore::empty();
    match ca {
        Some(path) => {
            let refuse = |e: String| Error::Config(format!("DATABASE_CA: {}: {e}", path.display()));
            for certificate in CertificateDer::pem_file_iter(path).map_err(|e| refuse(e.to_string()))? {
                let certificate = certificate.map_err(|e| refuse(e.to_string()))?;
                roots.add(certificate).map_err(|e| refuse(e.to_string()))?;
            }
            if roots.is_empty() {
                return Err(refuse("no certificate in it".to_owned()));
            }
        }
        // A system without certificates can still reach a database without TLS.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| Error::Config(e.to_string()))?;
    Ok(MakeRustlsConnect::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
