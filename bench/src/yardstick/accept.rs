//! The accept loop of the yardsticks, and what each request goes through: one signature, one splitting.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::hmac;
use bytes::Bytes;
use event::{NewEvent, SourceKind, SplitSettings, Splitter};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::Work;
use crate::server::WEBHOOK_SECRET;

pub(super) type Answer = Response<Full<Bytes>>;

/// Where the signature is.
const HEADER: &str = "x-genesys-webhook-signature";

/// Lets authentic bodies in, as events.
pub(super) struct Gate {
    key: hmac::Key,
    splitter: Splitter,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, WEBHOOK_SECRET.as_bytes()),
            splitter: Splitter::new(&SplitSettings::new(SourceKind::Webhook)),
        }
    }

    fn admit(&self, headers: &HeaderMap, body: &Bytes) -> Result<Vec<NewEvent>, StatusCode> {
        let mut tag = [0; 32];
        let signature = headers.get(HEADER).ok_or(StatusCode::UNAUTHORIZED)?;
        hex::decode_to_slice(signature.as_bytes(), &mut tag).map_err(|_| StatusCode::UNAUTHORIZED)?;
        hmac::verify(&self.key, body, &tag).map_err(|_| StatusCode::UNAUTHORIZED)?;
        self.splitter.split(body).map_err(|_| StatusCode::BAD_REQUEST)
    }
}

pub(super) async fn serve(listener: TcpListener, gate: Arc<Gate>, work: Arc<Work>) {
    // An accept that fails leaves the load without a connection, which shows in its report.
    while let Ok((stream, _)) = listener.accept().await {
        let (gate, work) = (Arc::clone(&gate), Arc::clone(&work));
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let service = service_fn(|request| async { Ok::<_, Infallible>(answer(&gate, &work, request).await) });
            let _ = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(gate: &Gate, work: &Work, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return empty(StatusCode::BAD_REQUEST);
    };
    let body = body.to_bytes();
    match gate.admit(&head.headers, &body) {
        Ok(events) => work.done(&body, &events).await,
        Err(status) => empty(status),
    }
}

/// The same answer as the server's.
pub(super) fn accepted(events: &[NewEvent]) -> Answer {
    let mut text = format!(r#"{{"accepted":{},"duplicates":0,"events":["#, events.len());
    for (at, event) in events.iter().enumerate() {
        // Writing to a text does not fail.
        let _ = write!(text, r#"{}"{}""#, if at == 0 { "" } else { "," }, event.id);
    }
    text.push_str("]}");
    Response::new(Full::new(text.into()))
}

pub(super) fn failed() -> Answer {
    empty(StatusCode::SERVICE_UNAVAILABLE)
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use simulator::sign::{Scheme, Signer};

    use super::*;

    #[test]
    fn only_authentic_bodies_come_in() {
        let body = Bytes::from_static(br#"{"data":[{"a":1},{"a":2}]}"#);
        let signed = Signer::new(Scheme::Genesys, WEBHOOK_SECRET).unwrap().headers(&body, "", 0);
        let mut headers = HeaderMap::new();
        let gate = Gate::new();
        assert_eq!(gate.admit(&headers, &body), Err(StatusCode::UNAUTHORIZED));
        for (name, value) in signed {
            headers.insert(name, value.parse().unwrap());
        }
        let events = gate.admit(&headers, &body).unwrap();
        assert_eq!(events.len(), 2);
        assert_eq!(gate.admit(&headers, &Bytes::from_static(b"{}")), Err(StatusCode::UNAUTHORIZED));
        assert_eq!(accepted(&events).status(), StatusCode::OK);
    }
}
