//! The sender's half of the signature schemes, written apart from the code that verifies them so that each checks the
//! other.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::SimulatorError;

/// How a webhook is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `X-Genesys-Webhook-Signature`: HMAC-SHA256 of the body, in lower-case hexadecimal.
    Genesys,
    /// `X-Hub-Signature-256`: `sha256=` and the HMAC-SHA256 of the body in base64, as Genesys Open Messaging sends it.
    OpenMessaging,
    /// `webhook-id`, `webhook-timestamp` (seconds of Unix time) and `webhook-signature`: `v1,` and the HMAC-SHA256 of
    /// `id.timestamp.body` in base64. The secret is written `whsec_` and base64.
    StandardWebhooks,
}

/// Signs bodies with one secret. Cheap to clone.
#[derive(Clone)]
pub struct Signer {
    scheme: Scheme,
    key: Arc<hmac::Key>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// A header's name in lower case, and its value.
pub type Header = (&'static str, String);

/// What a standard webhook prefixes its secret with.
const STANDARD_SECRET_PREFIX: &str = "whsec_";

impl Signer {
    /// A signer for this scheme.
    ///
    /// # Errors
    /// If the secret is empty, or is not `whsec_` and base64 where the scheme asks for that.
    pub fn new(scheme: Scheme, secret: &str) -> Result<Self, SimulatorError> {
        let refuse = |cure| SimulatorError::setting("secret", cure);
        let bytes = match scheme {
            Scheme::Genesys | Scheme::OpenMessaging => secret.as_bytes().to_vec(),
            Scheme::StandardWebhooks => {
                let encoded = secret
                    .strip_prefix(STANDARD_SECRET_PREFIX)
                    .ok_or_else(|| refuse("a standard-webhooks secret starts with `whsec_`"))?;
                STANDARD.decode(encoded).map_err(|_| refuse("what follows `whsec_` must be base64 with padding"))?
            }
        };
        if bytes.is_empty() {
            return Err(refuse("an empty secret signs nothing: give one of 32 random bytes or more"));
        }
        Ok(Self { scheme, key: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes)) })
    }

    /// The headers that prove that `body` comes from who knows the secret.
    ///
    /// `message_id` and `now` (seconds of Unix time) matter to [`Scheme::StandardWebhooks`] only.
    pub fn headers(&self, body: &[u8], message_id: &str, now: i64) -> Vec<Header> {
        match self.scheme {
            Scheme::Genesys => vec![("x-genesys-webhook-signature", hex::encode(self.tag_of(&[body])))],
            Scheme::OpenMessaging => {
                vec![("x-hub-signature-256", format!("sha256={}", STANDARD.encode(self.tag_of(&[body]))))]
            }
            Scheme::StandardWebhooks => {
                let timestamp = now.to_string();
                let tag = self.tag_of(&[message_id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
                vec![
                    ("webhook-id", message_id.to_owned()),
                    ("webhook-timestamp", timestamp),
                    ("webhook-signature", format!("v1,{}", STANDARD.encode(tag))),
                ]
            }
        }
    }

    /// HMAC-SHA256 of the parts, one after the other.
    pub(crate) fn tag_of(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(part);
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected values come from an unrelated implementation, for example:
    // printf '%s' '{"text":"Grüß Gott"}' | openssl dgst -sha256 -hmac Sommerregen
    const BODY: &[u8] = "{\"text\":\"Grüß Gott\"}".as_bytes();

    #[test]
    fn genesys_is_bare_hexadecimal() {
        let signer = Signer::new(Scheme::Genesys, "Sommerregen").unwrap();
        assert_eq!(
            signer.headers(BODY, "", 0),
            [(
                "x-genesys-webhook-signature",
                "47d2403f6875418b9bef85f477d58862e0b5f6a76575592af3ead994ff57646a".to_owned()
            )]
        );
    }

    #[test]
    fn open_messaging_is_prefixed_base64() {
        let signer = Signer::new(Scheme::OpenMessaging, "Sommerregen").unwrap();
        assert_eq!(
            signer.headers(BODY, "", 0),
            [("x-hub-signature-256", "sha256=R9JAP2h1QYub74X0d9WIYuC19qdldVkq8+rZlP9XZGo=".to_owned())]
        );
    }

    #[test]
    fn standard_webhooks_sign_id_and_time_too() {
        let signer = Signer::new(Scheme::StandardWebhooks, "whsec_U29tbWVycmVnZW4=").unwrap();
        assert_eq!(
            signer.headers(BODY, "msg_42", 1_772_442_000),
            [
                ("webhook-id", "msg_42".to_owned()),
                ("webhook-timestamp", "1772442000".to_owned()),
                ("webhook-signature", "v1,xEb4fso7ftx1pwiFjDpbLxPUYlQgKl4/u+vvazDMxqU=".to_owned()),
            ]
        );
    }

    #[test]
    fn useless_secrets_are_refused_without_being_shown() {
        for (scheme, secret) in [
            (Scheme::Genesys, ""),
            (Scheme::OpenMessaging, ""),
            (Scheme::StandardWebhooks, "whsec_"),
            (Scheme::StandardWebhooks, "Sommerregen"),
            (Scheme::StandardWebhooks, "whsec_?!"),
        ] {
            let error = Signer::new(scheme, secret).unwrap_err().to_string();
            assert!(error.starts_with("secret: ") && !error.contains("Sommer") && !error.contains('?'), "{error}");
        }
        let shown = format!("{:?}", Signer::new(Scheme::Genesys, "Sommerregen").unwrap());
        assert!(!shown.contains("Sommer"), "{shown}");
    }
}
