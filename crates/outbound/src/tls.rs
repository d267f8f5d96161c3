//! What outgoing TLS connections go by.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    WantsVerifier,
};
use rustls_platform_verifier::Verifier;

use crate::ClientError;

/// Verifies the other side's certificate and name against the system's authorities and those in `ca_pem`. Who shows a
/// certificate that stands in `ca_pem` itself is believed too, if its name and times fit.
///
/// # Errors
/// If the certificates cannot be read, or the system has no authorities.
pub fn verifying(ca_pem: Option<&[u8]>) -> Result<ClientConfig, ClientError> {
    let provider = provider();
    let given = ca_pem.map(certificates).transpose()?.unwrap_or_default();
    let verifier = match ca_pem {
        None => Verifier::new(Arc::clone(&provider)),
        Some(_) => Verifier::new_with_extra_roots(given.clone(), Arc::clone(&provider)),
    };
    let verifier = Arc::new(OrGiven { verifier: verifier.map_err(failed)?, given });
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

/// Verifies, and believes a server that shows one of the certificates that were given: what `openssl req -x509` makes for a
/// server says that it is an authority, and such a one is taken from no server otherwise.
#[derive(Debug)]
struct OrGiven {
    verifier: Verifier,
    given: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for OrGiven {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.verifier.verify_server_cert(shown, intermediates, name, ocsp, now) {
            // Its times have been looked at before that, its name has not.
            Err(error) if is_an_authority(&error) && self.given.iter().any(|given| given == shown) => {
                verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, shown, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// The server shows the certificate of an authority. The type of this error is not to be had from here, its name is.
fn is_an_authority(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => format!("{:?}", other.0) == "CaUsedAsEndEntity",
        _ => false,
    }
}

fn failed(error: rustls::Error) -> ClientError {
    ClientError::Tls(error.to_string())
}
