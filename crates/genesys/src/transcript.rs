//! Transcripts: an address that is a credential, and the text behind it as a stream.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use outbound::{HttpClient, root_cause};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::GenesysError;
use crate::client::{request, transient};
use crate::options::is_here;

/// How errors name the request; its address is nobody's business.
const CALL: &str = "GET of a transcript";

/// An address that gives whoever has it the transcript, for about an hour. Shown nowhere; not to be stored.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct PresignedUrl(String);

impl PresignedUrl {
    /// The address itself. Not for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PresignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresignedUrl(..)")
    }
}

/// A transcript that is being read. It is never held in memory as a whole.
#[derive(Debug)]
pub struct TranscriptStream {
    body: Incoming,
    length: Option<u64>,
    media_type: Option<String>,
    encoded: bool,
    came: u64,
    timeout: Duration,
}

impl TranscriptStream {
    /// Its size in bytes, if the store says so.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Its media type, without parameters and in lower case, if the store says so.
    pub fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    /// Whether it is compressed, or encoded otherwise, on its way and at the store.
    pub fn is_encoded(&self) -> bool {
        self.encoded
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// If nothing comes in time, the connection breaks off, or less came than the store said: what was read is then not
    /// all.
    pub async fn next(&mut self) -> Result<Option<Bytes>, GenesysError> {
        loop {
            let frame = timeout_at(Instant::now() + self.timeout, self.body.frame()).await;
            match frame.map_err(|_| transient(CALL, "it stopped coming".to_owned()))? {
                None => match self.length {
                    Some(length) if length != self.came => {
                        return Err(transient(CALL, format!("{} of {length} bytes came", self.came)));
                    }
                    _ => return Ok(None),
                },
                Some(Err(error)) => return Err(transient(CALL, format!("it broke off: {}", root_cause(&error)))),
                // Trailers have nothing of it.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.came += data.len() as u64;
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

/// Asks for what is behind the address, without a token.
pub(crate) async fn open(
    http: &HttpClient,
    api: &str,
    url: &PresignedUrl,
    timeout: Duration,
) -> Result<TranscriptStream, GenesysError> {
    let refused = |status: u16, problem: String| GenesysError::Refused {
        call: CALL.to_owned(),
        status,
        code: String::new(),
        problem,
        correlation: None,
    };
    // The API itself may be on this machine, in a test; nothing that comes from the network may lead there otherwise.
    if !may_be_asked(url.expose(), api) {
        return Err(refused(200, "its address is not encrypted, so nobody is asked".to_owned()));
    }
    let request = request(url.expose(), None).map_err(|_| refused(200, "its address is none".to_owned()))?;
    let answer = match timeout_at(Instant::now() + timeout, http.request(request)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(transient(CALL, format!("the store cannot be reached: {}", root_cause(&error)))),
        Err(_) => return Err(transient(CALL, "the store does not answer".to_owned())),
    };
    match answer.status() {
        StatusCode::OK => {
            let said = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
            let length = said(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
            let media_type = said(header::CONTENT_TYPE).and_then(|text| text.split(';').next());
            let media_type = media_type.map(|text| text.trim().to_ascii_lowercase());
            let encoded = said(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
            Ok(TranscriptStream { body: answer.into_body(), length, media_type, encoded, came: 0, timeout })
        }
        status if status.is_server_error() => Err(transient(CALL, format!("the store answered {}", status.as_u16()))),
        status => {
            let problem = format!("the store answered {}; ask for a new address", status.as_u16());
            Err(refused(status.as_u16(), problem))
        }
    }
}

/// Whether what the platform names may be asked: what is encrypted, and this machine if the platform is on it too.
fn may_be_asked(url: &str, api: &str) -> bool {
    let Ok(url) = url.parse::<Url>() else { return false };
    match url.scheme() {
        "https" => true,
        "http" => api.starts_with("http://") && is_here(&url),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_encrypted_is_asked_or_what_is_on_this_machine_like_the_platform() {
        let (there, here) = ("https://api.mypurecloud.de", "http://127.0.0.1:9");
        for (url, from_there, from_here) in [
            ("https://s3.example.com/a?sig=1", true, true),
            ("http://127.0.0.1:7/a", false, true),
            ("http://[::1]:7/a", false, true),
            ("http://169.254.169.254/latest", false, false),
            ("http://127.0.0.1.example.com/", false, false),
            ("http://127.0.0.1@example.com/", false, false),
            ("file:///etc/passwd", false, false),
            ("//example.com", false, false),
            ("", false, false),
        ] {
            assert_eq!((may_be_asked(url, there), may_be_asked(url, here)), (from_there, from_here), "{url}");
        }
    }
}
