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

use crate::GenesysError;
use crate::client::{request, transient};

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
    timeout: Duration,
}

impl TranscriptStream {
    /// Its size in bytes, if the store says so.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// If nothing comes in time, or the connection breaks off: what was read is then not all.
    pub async fn next(&mut self) -> Result<Option<Bytes>, GenesysError> {
        loop {
            let frame = timeout_at(Instant::now() + self.timeout, self.body.frame()).await;
            match frame.map_err(|_| transient(CALL, "it stopped coming".to_owned()))? {
                None => return Ok(None),
                Some(Err(error)) => return Err(transient(CALL, format!("it broke off: {}", root_cause(&error)))),
                // Trailers have nothing of it.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
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
    // The API itself may be on this machine; nothing that comes from the network may lead to it otherwise.
    let encrypted = url.expose().starts_with("https://");
    if !encrypted && api.starts_with("https://") {
        return Err(refused(200, "its address is not encrypted".to_owned()));
    }
    let request = request(url.expose(), None).map_err(|_| refused(200, "its address is none".to_owned()))?;
    let answer = match timeout_at(Instant::now() + timeout, http.request(request)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(transient(CALL, format!("the store cannot be reached: {}", root_cause(&error)))),
        Err(_) => return Err(transient(CALL, "the store does not answer".to_owned())),
    };
    match answer.status() {
        StatusCode::OK => {
            let length = answer.headers().get(header::CONTENT_LENGTH);
            let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
            Ok(TranscriptStream { body: answer.into_body(), length, timeout })
        }
        status if status.is_server_error() => Err(transient(CALL, format!("the store answered {}", status.as_u16()))),
        status => {
            let problem = format!("the store answered {}; ask for a new address", status.as_u16());
            Err(refused(status.as_u16(), problem))
        }
    }
}
