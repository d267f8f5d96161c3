//! What TLS connections to destinations go by.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::Verifier;

use crate::OpenError;

/// Verifies the other side's certificate and name against the system's authorities and those in `ca_pem`.
pub(crate) fn verifying(ca_pem: Option<&[u8]>) -> Result<ClientConfig, OpenError> {
    let provider = provider();
    let verifier = match ca_pem {
        None => Verifier::new(Arc::clone(&provider)),
        Some(pem) => Verifier::new_with_extra_roots(certificates(pem)?, Arc::clone(&provider)),
    };
    let verifier = Arc::new(verifier.map_err(failed)?);
    Ok(builder(provider)?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Trusts nobody: for connections without TLS, which a machine without root certificates can make too.
pub(crate) fn unused() -> Result<ClientConfig, OpenError> {
    Ok(builder(provider())?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// What every configuration begins with.
pub(crate) fn builder(provider: Arc<CryptoProvider>) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, OpenError> {
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(failed)
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(OpenError::option("ca", "holds no certificate in PEM form")),
    }
}

fn failed(error: rustls::Error) -> OpenError {
    OpenError::Client { detail: error.to_string() }
}
