//! The sender's side: the headers that make a request authentic, for `aftercall send` and for test requests.

use aws_lc_rs::hmac;
use event::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::SignatureScheme;
use crate::secret::Secret;

impl SignatureScheme {
    /// The headers to send along with `body`, the signature last.
    ///
    /// The scheme's time header gets `now` in seconds; other signed headers (`webhook-id`) get `message`, which should
    /// be the same each time the same body is sent. Characters that a header can't hold are left out of it.
    pub fn sign(&self, secret: &Secret, message: &str, body: &[u8], now: Timestamp) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = HeaderMap::new();
        for name in self.content.headers() {
            let is_time = self.timestamp.as_ref().is_some_and(|time| time.header == *name);
            let value =
                if is_time { HeaderValue::from(now.as_millis().div_euclid(1000)) } else { header_value(message) };
            headers.insert(name.clone(), value);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        let mut context = hmac::Context::with_key(&key);
        for piece in self.content.pieces(&headers, body) {
            context.update(piece);
        }
        let signature = format!("{}{}", self.prefix, self.encoding.encode(context.sign().as_ref()));
        let mut signed: Vec<_> =
            self.content.headers().filter_map(|name| Some((name.clone(), headers.get(name)?.clone()))).collect();
        signed.push((self.header.clone(), header_value(&signature)));
        signed
    }
}

fn header_value(text: &str) -> HeaderValue {
    let clean: String = text.chars().filter(|c| (' '..='~').contains(c)).collect();
    HeaderValue::from_str(&clean).unwrap_or_else(|_| HeaderValue::from_static(""))
}
