//! The admin API: what a running server tells about itself, as JSON over HTTP on the loopback interface.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/v1/status` | [`Status`] |
//! | `GET /api/v1/dead-letters` | a page of [dead letters](dead_letters), selected by the query |
//! | `GET /api/v1/dead-letters/{id}` | one with its body as text |
//! | `GET /api/v1/dead-letters/{id}/body` | its event's exact bytes |
//! | `GET /api/v1/dead-letter-groups` | those that failed alike, together |
//! | `POST /api/v1/dead-letters/dry-run` | tries the present mapping on some; changes nothing |
//! | `POST /api/v1/dead-letters/redrive` | delivers the events of some again |
//! | `POST /api/v1/dead-letters/discard` | drops some, with a reason |
//! | `GET /api/v1/alarms` | [`Alarms`]: what is wrong, and how the notifiers are doing |
//! | `POST /api/v1/destinations/{name}/pause` | lets nothing more go out; `resume` lets it |

mod alarms;
mod dead_letters;
mod status;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;

pub use alarms::Alarms;
pub use status::{DestinationStatus, SourceStatus, Status};

/// Tells the state of the server at the time it is asked.
pub trait Tell: Send + Sync + 'static {
    /// Everything that `status` shows.
    fn status(&self) -> queue::BoxFuture<'_, Result<Status, queue::QueueError>>;

    /// The queue, for what it keeps.
    fn queue(&self) -> &dyn queue::Queue;

    /// What the present routes and mappings would send for a dead letter that was read with its body; or why they would
    /// send nothing. Takes as long as a mapping may.
    fn try_mapping(&self, letter: &queue::DeadLetter) -> Result<bytes::Bytes, String>;

    /// What is wrong, and who is told of it.
    fn alarms(&self) -> Alarms;

    /// Lets nothing more go out to a destination, or lets it again. Returns whether there is one of this name.
    fn set_paused(&self, destination: &str, paused: bool) -> bool;

    /// The time.
    fn now(&self) -> event::Timestamp;
}

/// The admin API could not be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Tokens come with a later version; until then nobody else may reach it.
    #[error("console.listen is {0}, which others can reach; the console has no tokens yet, so use a loopback address")]
    NotLoopback(SocketAddr),
    /// The address cannot be used.
    #[error("console.listen: {address}: {source}; another program may have the port, name another one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The admin API, bound but not serving yet.
#[derive(Debug)]
pub struct Console {
    listener: TcpListener,
    address: SocketAddr,
}

impl Console {
    /// Binds a loopback address; port 0 takes any free one.
    pub async fn bind(address: SocketAddr) -> Result<Self, Error> {
        if !address.ip().is_loopback() {
            return Err(Error::NotLoopback(address));
        }
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready.
    pub async fn serve(self, tell: Arc<dyn Tell>, stop: impl Future<Output = ()> + Send + 'static) {
        let app = Router::new()
            .route("/api/v1/status", get(status))
            .merge(dead_letters::routes())
            .merge(alarms::routes())
            .fallback(not_found)
            .layer(middleware::from_fn(only_local))
            .with_state(tell);
        if let Err(error) = axum::serve(self.listener, app).with_graceful_shutdown(stop).await {
            tracing::error!(%error, "the console has stopped");
        }
    }
}

async fn status(State(tell): State<Arc<dyn Tell>>) -> Response {
    match tell.status().await {
        Ok(status) => Json(status).into_response(),
        Err(error) => unavailable(&error),
    }
}

async fn only_local(headers: HeaderMap, request: Request, next: Next) -> Response {
    match is_local(&headers) {
        true => next.run(request).await,
        false => problem(StatusCode::FORBIDDEN, "the console answers only to a loopback name"),
    }
}

fn unavailable(error: &queue::QueueError) -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
}

/// A page of another site could make a browser ask us under its own name; only our own names are answered.
fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

async fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "there is nothing here; docs/api.md lists what there is")
}

/// An error as problem details (RFC 9457).
fn problem(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let body =
        serde_json::json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_name_is_not_local() {
        let ask = |host: &'static str| is_local(&HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]));
        for host in ["localhost:8081", "127.0.0.1:8081", "127.0.0.1", "[::1]:8081", "[::1]"] {
            assert!(ask(host), "{host}");
        }
        for host in ["evil.example:8081", "localhost.evil.example", ""] {
            assert!(!ask(host), "{host}");
        }
        assert!(!is_local(&HeaderMap::new()));
    }
}
