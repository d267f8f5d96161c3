//! Whether a request comes from where it says: signatures over the body, or credentials in the headers.
//!
//! Credentials are checked before the body is read; so is everything about a signature that does not need the body.

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use event::Timestamp;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use zeroize::Zeroizing;

use crate::keyring::Keyring;
use crate::problem::{Reason, Refusal};
use crate::signature::{Claim, STANDARD_BASE64, SignatureFailure, SignatureScheme};
use crate::source::Auth;

/// What the headers have proved.
pub(crate) enum Proof {
    /// All that is asked for; with what the audit trail says of it.
    Complete(Arc<str>),
    /// That there is a signature to compare with the body.
    Claimed(Claim),
}

/// What the audit trail says where nothing has to be proved.
pub(crate) fn open() -> Arc<str> {
    static OPEN: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("open source"));
    Arc::clone(&OPEN)
}

/// Checks what the headers can show.
pub(crate) async fn check_headers(auth: &Auth, headers: &HeaderMap, now: Timestamp) -> Result<Proof, Refusal> {
    match auth {
        Auth::Open => Ok(Proof::Complete(open())),
        #[cfg(feature = "aws")]
        Auth::Queue(_) => Err(from_a_queue()),
        Auth::Signature { scheme, .. } => {
            scheme.claim(headers, now).map(Proof::Claimed).map_err(|failure| unsigned(scheme, &failure))
        }
        Auth::ApiKey { keyring, .. } | Auth::Bearer { keyring } | Auth::Basic { keyring } => {
            let given = given(auth, headers).unwrap_or(Err(Reason::AuthMissing));
            known_secret(auth, keyring, &given.map_err(|reason| no_credential(reason, auth))?, now).await
        }
    }
}

/// The credential in the header where the source expects one; `None` if it expects none.
pub(crate) fn given(auth: &Auth, headers: &HeaderMap) -> Option<Result<Zeroizing<Vec<u8>>, Reason>> {
    let plain = |found: Result<&[u8], Reason>| found.map(|text| Zeroizing::new(text.to_vec()));
    Some(match auth {
        Auth::Open | Auth::Signature { .. } => return None,
        #[cfg(feature = "aws")]
        Auth::Queue(_) => return None,
        Auth::ApiKey { header, .. } => plain(only(headers, header)),
        Auth::Bearer { .. } => plain(credential(headers, "bearer")),
        Auth::Basic { .. } => credential(headers, "basic")
            .and_then(|text| STANDARD_BASE64.decode(text).map(Zeroizing::new).map_err(|_| Reason::AuthMalformed)),
    })
}

/// The name of the place where [`given`] looks.
pub(crate) fn place(auth: &Auth) -> Option<String> {
    match auth {
        Auth::Open | Auth::Signature { .. } => None,
        #[cfg(feature = "aws")]
        Auth::Queue(_) => None,
        Auth::ApiKey { header, .. } => Some(header.to_string()),
        Auth::Bearer { .. } => Some("authorization bearer".to_owned()),
        Auth::Basic { .. } => Some("authorization basic".to_owned()),
    }
}

/// Reads the source's secret files again if a mismatch may cause that now. Returns whether other keys came of it, so
/// that the check is worth repeating.
pub(crate) async fn keys_changed(keyring: &Arc<Keyring>, now: Timestamp) -> bool {
    if !keyring.may_reread(now) {
        return false;
    }
    let keyring = Arc::clone(keyring);
    tokio::task::spawn_blocking(move || keyring.reread(now)).await.unwrap_or(false)
}

/// The refusal of a request whose signature is missing or wrong. Never names the expected value.
pub(crate) fn unsigned(scheme: &SignatureScheme, failure: &SignatureFailure) -> Refusal {
    let reason = match failure {
        SignatureFailure::Missing { .. } => Reason::AuthMissing,
        SignatureFailure::Repeated { .. } | SignatureFailure::Malformed { .. } => Reason::AuthMalformed,
        SignatureFailure::TooOld { .. } | SignatureFailure::TooNew { .. } => Reason::AuthTime,
        SignatureFailure::Mismatch => Reason::AuthMismatch,
    };
    let cure = match reason {
        Reason::AuthMismatch => {
            "; sign the exact bytes that are sent with HMAC-SHA256 and the secret that is configured for this source"
                .to_owned()
        }
        Reason::AuthTime => "; set the sender's clock, and sign each sending anew".to_owned(),
        _ => format!(
            "; this source expects `{}: {}` followed by the HMAC-SHA256 signature as {}",
            scheme.header,
            scheme.prefix,
            scheme.encoding.name()
        ),
    };
    Refusal::new(reason, format!("{failure}{cure}")).challenge(format!("HMAC-SHA256 header=\"{}\"", scheme.header))
}

/// The refusal of a request to a source that takes none.
#[cfg(feature = "aws")]
pub(crate) fn from_a_queue() -> Refusal {
    let detail = "this source is read from a queue of SQS, so nothing can be sent to it here; send to the queue, or to a \
                  source of kind `webhook` or `eventbridge`";
    Refusal::new(Reason::UnknownSource, detail)
}

async fn known_secret(auth: &Auth, keyring: &Arc<Keyring>, given: &[u8], now: Timestamp) -> Result<Proof, Refusal> {
    let mut known = keyring.has_secret(given, now);
    if known.is_none() && keys_changed(keyring, now).await {
        known = keyring.has_secret(given, now);
    }
    known.map(Proof::Complete).ok_or_else(|| no_credential(Reason::AuthMismatch, auth))
}

pub(crate) fn no_credential(reason: Reason, auth: &Auth) -> Refusal {
    let (place, challenge) = match auth {
        Auth::ApiKey { header, .. } => (format!("`{header}`"), format!("ApiKey header=\"{header}\"")),
        Auth::Basic { .. } => ("`Authorization: Basic`".to_owned(), "Basic realm=\"intake\"".to_owned()),
        _ => ("`Authorization: Bearer`".to_owned(), "Bearer realm=\"intake\"".to_owned()),
    };
    let detail = match reason {
        Reason::AuthMissing => format!("this source expects a secret in {place}; add it to the sender's settings"),
        Reason::AuthMalformed => format!("{place} does not have the expected form; send it once, with one secret"),
        _ => format!(
            "the secret in {place} is not one of this source; compare the sender's settings with the secret configured for the source"
        ),
    };
    Refusal::new(reason, detail).challenge(challenge)
}

/// What follows the scheme's name in `Authorization`.
fn credential<'a>(headers: &'a HeaderMap, scheme: &str) -> Result<&'a [u8], Reason> {
    let value = only(headers, &AUTHORIZATION)?;
    let (name, rest) = value.split_at_checked(scheme.len()).ok_or(Reason::AuthMalformed)?;
    match rest.strip_prefix(b" ") {
        Some(secret) if name.eq_ignore_ascii_case(scheme.as_bytes()) => Ok(secret.trim_ascii()),
        _ => Err(Reason::AuthMalformed),
    }
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a [u8], Reason> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.as_bytes()),
        (None, _) => Err(Reason::AuthMissing),
        (Some(_), Some(_)) => Err(Reason::AuthMalformed),
    }
}
