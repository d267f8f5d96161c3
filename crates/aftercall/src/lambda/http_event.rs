//! Requests of an HTTP API (payload version 2.0), and how they are answered.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use serde::{Deserialize, Serialize};

use super::runtime::Failure;

/// Bytes of an event that Lambda takes, and of an answer that it gives: 6 MB, as AWS counts them.
pub(super) const PAYLOAD_MAX: usize = 6 * 1024 * 1024;
/// Before the path of a source.
const SOURCES: &str = "/in/";

/// What is used of an event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpEvent<'a> {
    #[serde(borrow)]
    raw_path: Cow<'a, str>,
    #[serde(borrow, default)]
    headers: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(borrow)]
    request_context: Context<'a>,
    #[serde(borrow, default)]
    body: Option<Cow<'a, str>>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Debug, Deserialize)]
struct Context<'a> {
    #[serde(borrow)]
    http: Http<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    source_ip: IpAddr,
}

/// The request, as it was sent, and who sent it.
pub(super) fn request(event: &[u8]) -> Result<(IpAddr, Request<Bytes>), Failure> {
    let unusable = |problem: String| Failure::new("Event", problem);
    let event: HttpEvent<'_> = serde_json::from_slice(event).map_err(|error| {
        unusable(format!("this is no event of an HTTP API with payload version 2.0: {error}; set PayloadFormatVersion"))
    })?;
    let body = match event.body {
        None => Bytes::new(),
        // What was signed are the bytes that were sent, not how the event has them.
        Some(text) if event.is_base64_encoded => STANDARD
            .decode(text.as_bytes())
            .map(Bytes::from)
            .map_err(|error| unusable(format!("the event's body is no base64: {error}")))?,
        Some(text) => Bytes::from(text.into_owned().into_bytes()),
    };
    let mut request = Request::new(body);
    let method = event.request_context.http.method.as_bytes();
    *request.method_mut() = Method::from_bytes(method).map_err(|error| unusable(error.to_string()))?;
    // The stage, or the base path of an own domain, may stand in front.
    let path = &event.raw_path[event.raw_path.find(SOURCES).unwrap_or(0)..];
    *request.uri_mut() = path.parse().unwrap_or_default();
    *request.headers_mut() = headers(&event.headers);
    Ok((event.request_context.http.source_ip, request))
}

/// The headers that can be written as such; API Gateway joins several of one name with commas.
fn headers(given: &BTreeMap<Cow<'_, str>, Cow<'_, str>>) -> HeaderMap {
    let mut headers: HeaderMap = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let read = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()));
        let (Ok(name), Ok(value)) = read else { continue };
        // Names that differ in their case only are one.
        let value = match headers.get(&name).map(|known| [known.as_bytes(), &b", "[..], value.as_bytes()].concat()) {
            Some(joined) => HeaderValue::from_bytes(&joined).unwrap_or(value),
            None => value,
        };
        headers.insert(name, value);
    }
    // The body is here already, whatever was announced; and it may have been decoded.
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::EXPECT);
    headers
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HttpAnswer<'a> {
    status_code: u16,
    headers: BTreeMap<&'a str, Cow<'a, str>>,
    body: Cow<'a, str>,
    is_base64_encoded: bool,
}

/// The answer, as an HTTP API wants it.
pub(super) fn answer(answer: &Response<Bytes>) -> Result<Bytes, Failure> {
    // These are between two hops, and API Gateway makes its own.
    let hop = [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    let headers = answer.headers().iter().filter(|(name, _)| !hop.contains(name));
    let headers = headers.map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()))).collect();
    let body = String::from_utf8_lossy(answer.body());
    let answer = HttpAnswer { status_code: answer.status().as_u16(), headers, body, is_base64_encoded: false };
    serde_json::to_vec(&answer).map(Bytes::from).map_err(|error| Failure::new("Bug", error.to_string()))
}

/// The answer to an event that is larger than Lambda promises to take.
pub(super) fn too_large() -> Response<Bytes> {
    let detail = format!(
        "an event of Lambda may have {PAYLOAD_MAX} bytes, the body in it as JSON or base64, which takes a third more; send \
         smaller batches, or send to a server (`aftercall serve`) on the same table"
    );
    intake::direct::refused(intake::Reason::BodyTooLarge, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(path: &str, headers: &str, body: &str, base64: bool) -> Vec<u8> {
        format!(
            r#"{{"version":"2.0","routeKey":"POST /in/{{source}}","rawPath":"{path}","rawQueryString":"","headers":{headers},
            "requestContext":{{"accountId":"1","apiId":"a","http":{{"method":"POST","path":"{path}","protocol":"HTTP/1.1",
            "sourceIp":"198.51.100.7","userAgent":"x"}},"stage":"$default"}},"body":{body},"isBase64Encoded":{base64}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn a_request_is_what_was_sent() {
        let headers = r#"{"X-Signature":"a","x-signature":"b","content-length":"99","bad name":"x","x-b":"ü"}"#;
        let (sender, request) = request(&event("/in/genesys", headers, r#""{\"a\":\"\u00fc\"}""#, false)).unwrap();
        assert_eq!(sender.to_string(), "198.51.100.7");
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/in/genesys"));
        assert_eq!(request.headers().get("x-signature").unwrap(), "a, b");
        assert_eq!(request.headers().len(), 2, "{:?}", request.headers());
        assert_eq!(&request.body()[..], "{\"a\":\"ü\"}".as_bytes());
    }

    #[test]
    fn a_stage_or_a_base_path_in_front_does_not_matter() {
        for path in ["/in/genesys", "/prod/in/genesys", "/v1/calls/in/genesys"] {
            let (_, request) = request(&event(path, "{}", "null", false)).unwrap();
            assert_eq!(request.uri().path(), "/in/genesys");
            assert!(request.body().is_empty());
        }
        assert_eq!(super::request(&event("/health/live", "{}", "null", false)).unwrap().1.uri().path(), "/health/live");
    }

    #[test]
    fn base64_is_decoded_before_anything_else() {
        let (_, request) = request(&event("/in/a", "{}", r#""eyJhIjoxfQ==""#, true)).unwrap();
        assert_eq!(&request.body()[..], br#"{"a":1}"#);
        let failure = super::request(&event("/in/a", "{}", r#""%""#, true)).unwrap_err();
        assert!(failure.message.contains("no base64"), "{failure:?}");
        assert!(super::request(b"{}").unwrap_err().message.contains("payload version 2.0"));
    }

    #[test]
    fn an_answer_has_exactly_what_the_api_wants() {
        let mut given = Response::new(Bytes::from_static(br#"{"accepted":1}"#));
        given.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        given.headers_mut().insert("connection", HeaderValue::from_static("close"));
        let expected = r#"{"statusCode":200,"headers":{"content-type":"application/json"},"body":"{\"accepted\":1}","isBase64Encoded":false}"#;
        assert_eq!(std::str::from_utf8(&answer(&given).unwrap()).unwrap(), expected);
    }

    #[test]
    fn what_is_too_large_is_told_with_a_cure() {
        let told = too_large();
        assert_eq!(told.status(), 413);
        assert_eq!(told.headers()["content-type"], "application/problem+json");
        let told: serde_json::Value = serde_json::from_slice(told.body()).unwrap();
        assert_eq!(told["code"], "body-too-large");
        assert!(told["detail"].as_str().unwrap().contains("send smaller batches"), "{told}");
    }
}
