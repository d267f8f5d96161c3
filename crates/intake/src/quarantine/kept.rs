//! What of a request's headers is kept: what verification needs, nothing that is a secret.
//!
//! A signature is no secret, since it is good for this one body only. A credential is, and a wrong one most of all: it
//! may open something else. So headers are kept by a list of what is known to be harmless, and never by default.

use aws_lc_rs::rand;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName};

use super::Credential;
use crate::auth;
use crate::keyring::{digest, salted};
use crate::source::Auth;

/// Headers of the known signature schemes: kept whatever the source expects, because the scheme may be what is wrong.
const SIGNED: [&str; 2] = ["webhook-id", "webhook-timestamp"];
/// Parts of names under which signatures and their times are sent.
const SIGNED_PARTS: [&str; 2] = ["signature", "timestamp"];
/// Longest value of a header that verification does not need; more tells a person nothing.
const TOLD_BYTES: usize = 256;

/// The headers to keep.
pub(crate) fn headers(auth: &Auth, headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for (name, value) in headers {
        let keep = match name {
            name if is_secret(auth, name, value.as_bytes()) => false,
            name if is_signed(auth, name) => true,
            &CONTENT_TYPE | &USER_AGENT => value.len() <= TOLD_BYTES,
            _ => false,
        };
        if keep {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

fn is_secret(auth: &Auth, name: &HeaderName, value: &[u8]) -> bool {
    match auth {
        Auth::ApiKey { header, .. } if header == name => true,
        // Some senders put their signature there; anything else in its place is a credential.
        Auth::Signature { scheme, .. } if scheme.header == name => {
            [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(name) && !scheme.could_be_signature(value)
        }
        _ => [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(name),
    }
}

fn is_signed(auth: &Auth, name: &HeaderName) -> bool {
    let by_scheme = matches!(auth, Auth::Signature { scheme, .. } if scheme.headers().any(|header| header == name));
    let text = name.as_str();
    by_scheme || SIGNED.contains(&text) || SIGNED_PARTS.iter().any(|part| text.contains(part))
}

/// What to keep of the credential that the source expects in a header, if there is one of its form.
pub(crate) fn credential(auth: &Auth, headers: &HeaderMap) -> Option<Credential> {
    let given = auth::given(auth, headers)?.ok()?;
    let mut salt = [0; 16];
    rand::fill(&mut salt).ok()?;
    Some(Credential { place: auth::place(auth)?, salt, proof: salted(&salt, &digest(&given)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SecretSource, SignatureScheme};

    const NO_ENV: &dyn Fn(&str) -> Option<String> = &|_| None;

    fn request() -> HeaderMap {
        let all = [
            ("host", "example.com"),
            ("authorization", "Bearer real-token"),
            ("cookie", "session=real"),
            ("proxy-authorization", "Basic cmVhbA=="),
            ("x-api-key", "real-key"),
            ("x-genesys-webhook-signature", "00ff"),
            ("x-hub-signature-256", "sha256=AAAA"),
            ("webhook-id", "msg-1"),
            ("webhook-timestamp", "1800000000"),
            ("x-request-timestamp", "1800000000"),
            ("content-type", "application/json"),
            ("user-agent", "sender/1"),
            ("x-amz-security-token", "real-token"),
        ];
        all.into_iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn secrets() -> [SecretSource; 1] {
        [SecretSource::value("a".to_owned())]
    }

    #[test]
    fn signatures_are_kept_and_credentials_are_not() {
        let auths = [
            Auth::signature(SignatureScheme::genesys(), secrets(), NO_ENV).unwrap(),
            Auth::api_key(HeaderName::from_static("x-api-key"), secrets(), NO_ENV).unwrap(),
            Auth::api_key(HeaderName::from_static("x-request-timestamp"), secrets(), NO_ENV).unwrap(),
            Auth::bearer(secrets(), NO_ENV).unwrap(),
            Auth::basic(secrets(), NO_ENV).unwrap(),
            Auth::Open,
        ];
        for auth in auths {
            let kept = headers(&auth, &request());
            assert!(!kept.values().any(|value| value.to_str().unwrap().contains("real")), "{auth:?}: {kept:?}");
            for name in ["x-genesys-webhook-signature", "x-hub-signature-256", "webhook-id", "webhook-timestamp"] {
                assert_eq!(kept.get(name), request().get(name), "{auth:?}");
            }
            let secret = matches!(&auth, Auth::ApiKey { header, .. } if header == "x-request-timestamp");
            assert_eq!(kept.contains_key("x-request-timestamp"), !secret);
            assert_eq!(kept.len(), if secret { 6 } else { 7 }, "{kept:?}");
        }
    }

    #[test]
    fn a_signature_in_the_place_of_a_credential_is_kept_and_a_credential_there_is_not() {
        let scheme = SignatureScheme::of_body(AUTHORIZATION, "HMAC ", crate::Encoding::Hex);
        let auth = Auth::signature(scheme, secrets(), NO_ENV).unwrap();
        assert!(!headers(&auth, &request()).contains_key(AUTHORIZATION));
        let mut signed = request();
        signed.insert(AUTHORIZATION, format!("HMAC {}", "0".repeat(64)).parse().unwrap());
        assert_eq!(headers(&auth, &signed).get(AUTHORIZATION), signed.get(AUTHORIZATION));
    }

    #[test]
    fn of_a_credential_only_a_salted_digest_is_kept() {
        let auth = Auth::bearer(secrets(), NO_ENV).unwrap();
        let (one, two) = (credential(&auth, &request()).unwrap(), credential(&auth, &request()).unwrap());
        assert_eq!(one.place, "authorization bearer");
        assert_ne!(one.proof, two.proof, "the same credential twice");
        assert_eq!(one.proof, salted(&one.salt, &digest(b"real-token")));
        let basic = Auth::basic(secrets(), NO_ENV).unwrap();
        assert_eq!(credential(&basic, &request()), None, "not of its form");
        assert_eq!(credential(&Auth::Open, &request()), None);
    }
}
