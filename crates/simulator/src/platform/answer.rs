//! Answers, and requests as far as they were read.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::transcript::TranscriptBody;

/// The body of an answer.
pub(crate) type Body = http_body_util::Either<Full<Bytes>, TranscriptBody>;

/// A request with its whole body.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    /// The only value of a header, or why there is none to be had.
    pub(crate) fn header(&self, name: &HeaderName) -> Result<Option<&str>, String> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(Some).map_err(|_| format!("`{name}` is no text")),
            (Some(_), Some(_)) => Err(format!("`{name}` is there twice")),
        }
    }
}

/// An answer with a JSON body.
pub(crate) fn json_answer(status: u16, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::Left(Full::from(body.to_string())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer without a body.
pub(crate) fn empty_answer(status: u16) -> Response<Body> {
    let mut response = Response::new(Body::Left(Full::default()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// An error as the API has it.
pub(crate) fn api_error(status: u16, code: &str, message: &str, context: &str) -> Response<Body> {
    let body = json!({
        "message": message, "code": code, "status": status, "contextId": context, "details": [], "errors": [],
    });
    json_answer(status, &body)
}

/// Adds a header; the values are numbers and ids.
pub(crate) fn set(response: &mut Response<Body>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

/// Reads a request's body, up to a limit.
pub(crate) async fn read(
    request: http::Request<hyper::body::Incoming>,
    limit: usize,
) -> Result<Asked, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let body = http_body_util::Limited::new(body, limit).collect().await?.to_bytes();
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
    Ok(Asked { method: head.method, path, query, headers: head.headers, body })
}
