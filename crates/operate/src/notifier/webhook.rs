//! The notice as JSON, signed as Standard Webhooks has it: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use destinations::Secret;
use event::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::NotifyError;
use crate::alarms::Notice;

/// A key that is written `whsec_` and base64.
#[derive(Debug, Clone)]
pub struct SigningKey(pub Secret);

impl SigningKey {
    /// Whether it has that form.
    ///
    /// # Errors
    /// What is wrong with it, and not what it is.
    pub fn check(&self) -> Result<(), String> {
        self.key().map(drop)
    }

    fn key(&self) -> Result<hmac::Key, String> {
        let text = self.0.get().map_err(|error| error.to_string())?;
        let encoded = text.strip_prefix("whsec_").ok_or("is not written as `whsec_` and base64")?;
        let bytes = STANDARD.decode(encoded).map_err(|_| "has no base64 after `whsec_`".to_owned())?;
        if bytes.is_empty() { Err("is empty".to_owned()) } else { Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes)) }
    }

    /// The headers that make a body authentic.
    pub(super) fn sign(&self, id: &str, body: &[u8], now: Timestamp) -> Result<HeaderMap, NotifyError> {
        let key = self.key().map_err(|problem| NotifyError::transient(format!("its secret {problem}")))?;
        let seconds = now.as_millis().div_euclid(1_000).to_string();
        let mut context = hmac::Context::with_key(&key);
        for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
            context.update(part);
        }
        let signature = format!("v1,{}", STANDARD.encode(context.sign().as_ref()));
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("webhook-id", id), ("webhook-timestamp", &seconds), ("webhook-signature", signature.as_str())]
        {
            let value = HeaderValue::from_str(value).map_err(|error| NotifyError::Permanent(error.to_string()))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(headers)
    }
}

/// The body of a request.
pub(super) fn body(notice: &Notice, instance: &str) -> Bytes {
    let text = json!({
        "type": format!("alarm.{}", notice.change.as_str()),
        "timestamp": super::written(notice.at),
        "data": { "instance": instance, "change": notice.change, "alarm": notice.alarm },
    });
    Bytes::from(text.to_string())
}
