//! One connection to the server, made again whenever it breaks.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request as HttpRequest, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Auth;
use crate::contact_centre::Request;

/// The largest answer that is read, in bytes: ids of 10,000 events and more.
const ANSWER_MAX: usize = 4 * 1024 * 1024;

/// What came of one attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// 200, with this body.
    Acknowledged(Bytes),
    /// A status that a repeat would not change.
    Refused(u16, Bytes),
    /// A status that asks to try again, after this time if it says so.
    Later(u16, Option<Duration>),
    /// No connection, or it broke.
    Broken,
    /// No answer in time.
    TimedOut,
}

/// A connection that is kept alive between requests.
#[derive(Default)]
pub(super) struct Connection {
    open: Option<(SocketAddr, SendRequest<Full<Bytes>>)>,
}

impl Connection {
    /// Sends the request once. The connection is kept only if it can be used again.
    pub(super) async fn attempt(
        &mut self,
        target: SocketAddr,
        auth: &Auth,
        request: &Request,
        limit: Duration,
    ) -> Attempt {
        let Ok(http) = http_request(target, auth, request) else {
            return Attempt::Refused(0, Bytes::new());
        };
        // What is taken out here is dropped, and so closed, on every way out but the last.
        let open = self.open.take();
        let answering = async {
            let mut sender = match open {
                Some((to, sender)) if to == target && !sender.is_closed() => sender,
                _ => connect(target).await?,
            };
            sender.ready().await.ok()?;
            let response = sender.send_request(http).await.ok()?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await.ok()?.to_bytes();
            Some((sender, head, body))
        };
        match timeout(limit, answering).await {
            Err(_) => Attempt::TimedOut,
            Ok(None) => Attempt::Broken,
            Ok(Some((sender, head, body))) => {
                self.open = Some((target, sender));
                judge(&head, body)
            }
        }
    }
}

async fn connect(target: SocketAddr) -> Option<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(target).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    // It ends when the sender is dropped; an error shows at the sender too.
    tokio::spawn(async move { drop(connection.await) });
    Some(sender)
}

fn http_request(target: SocketAddr, auth: &Auth, request: &Request) -> http::Result<HttpRequest<Full<Bytes>>> {
    let mut builder = HttpRequest::builder()
        .method(Method::POST)
        .uri(format!("/in/{}", request.source.name()))
        .header(header::HOST, target.to_string())
        .header(header::CONTENT_TYPE, "application/json");
    for (name, value) in auth.headers(&request.body, request.number) {
        builder = builder.header(name, value);
    }
    builder.body(Full::new(request.body.clone()))
}

fn judge(head: &http::response::Parts, body: Bytes) -> Attempt {
    match head.status {
        StatusCode::OK => Attempt::Acknowledged(body),
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let seconds = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            Attempt::Later(head.status.as_u16(), seconds.map(Duration::from_secs))
        }
        other => Attempt::Refused(other.as_u16(), body),
    }
}
