//! The certificate that intake shows, read again when its files change. A new one that is faulty leaves the old one in
//! force.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::error::Error;
use crate::options::TlsFiles;
use crate::stamp::Stamp;

/// The name of HTTP/2 in the TLS handshake.
pub(crate) const ALPN_HTTP2: &[u8] = b"h2";

/// The present certificate and where it came from.
pub(crate) struct Tls {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
    /// The files as they were at the last attempt to read them.
    seen: Mutex<Stamps>,
}

type Stamps = [Option<Stamp>; 2];

impl Tls {
    /// Reads the files. Blocks.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, Error> {
        let seen = stamps(&files);
        let config = ArcSwap::from_pointee(read(&files)?);
        Ok(Self { files, config, seen: Mutex::new(seen) })
    }

    /// For the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// Reads the files again if they have changed. Blocks.
    pub(crate) fn refresh(&self) {
        if *self.seen.lock() != stamps(&self.files) {
            match self.reload() {
                Ok(()) => tracing::info!(file = %self.files.certificate.display(), "a new certificate is in use"),
                Err(error) => tracing::error!("the certificate on disk cannot be used, the last one stays: {error}"),
            }
        }
    }

    /// Reads the files again, changed or not. Blocks.
    pub(crate) fn reload(&self) -> Result<(), Error> {
        // The stamps come first: a change while the files are being read makes the next look find another one.
        *self.seen.lock() = stamps(&self.files);
        self.config.store(Arc::new(read(&self.files)?));
        Ok(())
    }
}

fn stamps(files: &TlsFiles) -> Stamps {
    [&files.certificate, &files.key].map(|path| Stamp::of(path).ok())
}

fn read(files: &TlsFiles) -> Result<ServerConfig, Error> {
    let certificates = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable("the certificate", &files.certificate, error.to_string()))?;
    if certificates.is_empty() {
        let reason = "the file holds no `BEGIN CERTIFICATE`".to_owned();
        return Err(unreadable("the certificate", &files.certificate, reason));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| unreadable("the private key", &files.key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn unreadable(what: &'static str, path: &Path, reason: String) -> Error {
    Error::TlsFile { what, path: path.to_owned(), reason }
}
