//! Forwards each body to the CRM before it is answered, keeping nothing.

use std::net::SocketAddr;

use bytes::Bytes;
use event::NewEvent;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Semaphore;

/// Requests to the CRM at once, as the server has it by default.
const CONCURRENCY: usize = 50;

/// A client of the CRM.
pub(super) struct Relay {
    client: Client<HttpConnector, Full<Bytes>>,
    crm: SocketAddr,
    slots: Semaphore,
}

impl Relay {
    pub(super) fn new(crm: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(CONCURRENCY).build(connector);
        Self { client, crm, slots: Semaphore::new(CONCURRENCY) }
    }

    /// Forwards a body of one event; true when the CRM has taken it.
    pub(super) async fn forward(&self, body: Bytes, events: &[NewEvent]) -> bool {
        let Some(event) = events.first() else { return true };
        let Ok(_slot) = self.slots.acquire().await else { return false };
        let id = event.id.to_string();
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!("http://{}/events/{id}", self.crm))
            .header("content-type", "application/json")
            .header("idempotency-key", id)
            .body(Full::new(body));
        let Ok(request) = request else { return false };
        match self.client.request(request).await {
            // Read to its end, so that the connection can be used again.
            Ok(answer) => answer.status().is_success() && answer.into_body().collect().await.is_ok(),
            Err(_) => false,
        }
    }
}
