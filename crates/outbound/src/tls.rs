//! What outgoing TLS connections go by.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::Verifier;

use crate::ClientError;

/// Verifies the other side's certificate and name against the system's authorities and those in `ca_pem`.
///
/// # Errors
/// If the certificates cannot be read, or the system has no authorities.
pub fn verifying(ca_pem: Option<&[u8]>) -> Result<ClientConfig, ClientError> {
    let provider = provider();
    let verifier = match ca_pem {
        None => Verifier::new(Arc::clone(&provider)),
        Some(pem) => Verifier::new_with_extra_roots(certificates(pem)?, Arc::clone(&provider)),
    };
    let verifier = Arc::new(verifier.map_err(failed)?);
    Ok(builder(provider)?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Trusts nobody: for connections without TLS, which a machine without root certificates can make too.
///
/// # Errors
/// If the provider of cryptography lacks a version of TLS.
pub fn unused() -> Result<ClientConfig, ClientError> {
    Ok(builder(provider())?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// What every configuration begins with.
///
/// # Errors
/// If the provider of cryptography lacks a version of TLS.
pub fn builder(provider: Arc<CryptoProvider>) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, ClientError> {
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(failed)
}

/// The cryptography of all connections.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(ClientError::NoCertificate),
    }
}

fn failed(error: rustls::Error) -> ClientError {
    ClientError::Tls(error.to_string())
}
