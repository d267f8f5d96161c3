//! How soon an event is at the CRM when there is little to do: from the sending of its request to its arrival.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use simulator::Latency;
use simulator::sign::{Scheme, Signer};
use tokio::net::TcpListener;

use super::Bench;
use super::report::{Line, Target};
use crate::server::{Delivery, WEBHOOK_SECRET};

/// Events per second.
const RATE: u32 = 200;
const P95_MS_MAX: f64 = 3.0;
/// Size of an event, in bytes.
const EVENT_BYTES: usize = 1_024;
/// How long the last events may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long between two looks at how many have arrived.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The member that carries when the event was sent.
const SENT: &[u8] = b"\"sentNanos\":\"";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Line>> {
    let (mut p50, mut p95, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    bench.each_round("latency", || {
        let latency = round(bench)?.summary();
        for (values, value) in [(&mut p50, latency.p50), (&mut p95, latency.p95), (&mut p99, latency.p99)] {
            values.push(value.as_secs_f64() * 1e3);
        }
        Ok(())
    })?;
    Ok(vec![
        Line::new("arrival at 200/s, p95", "ms", p95).wants(Target::AtMost(P95_MS_MAX)),
        Line::new("arrival at 200/s, p50", "ms", p50),
        Line::new("arrival at 200/s, p99", "ms", p99),
    ])
}

fn round(bench: &Bench) -> Result<Latency> {
    // Sender and CRM share a clock and a thread, both with next to nothing to do.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        let arrivals = Arc::new(Arrivals { epoch: Instant::now(), latency: Mutex::new(Latency::new()) });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening")?;
        let crm = listener.local_addr().context("asking for the address")?;
        tokio::spawn(receive(listener, Arc::clone(&arrivals)));
        let (server, intake, _place) = bench.server(Delivery::Crm(crm))?;
        let events = u64::from(RATE) * bench.duration.as_secs();
        send(intake, events, &arrivals).await?;
        let deadline = Instant::now() + PATIENCE;
        while arrivals.latency.lock().count() < events {
            ensure!(Instant::now() < deadline, "{} of {events} events arrived", arrivals.latency.lock().count());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        server.stop()?;
        let latency = arrivals.latency.lock().clone();
        ensure!(latency.count() == events, "{} events were sent, but {} arrived", events, latency.count());
        Ok(latency)
    })
}

/// What has arrived at the CRM.
struct Arrivals {
    /// Where the times in the events begin.
    epoch: Instant,
    latency: Mutex<Latency>,
}

impl Arrivals {
    fn record(&self, body: &[u8]) {
        if let Some(nanos) = sent_nanos(body) {
            let sent = self.epoch + Duration::from_nanos(nanos);
            self.latency.lock().record(sent.elapsed());
        }
    }
}

fn sent_nanos(body: &[u8]) -> Option<u64> {
    let text = body.get(memchr::memmem::find(body, SENT)? + SENT.len()..)?;
    let digits = text.get(..memchr::memchr(b'"', text)?)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

async fn receive(listener: TcpListener, arrivals: Arc<Arrivals>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let arrivals = Arc::clone(&arrivals);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| async {
                if let Ok(body) = request.into_body().collect().await {
                    arrivals.record(&body.to_bytes());
                }
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Sends events at even distances, whatever became of those before.
async fn send(intake: SocketAddr, events: u64, arrivals: &Arc<Arrivals>) -> Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let signer = Signer::new(Scheme::Genesys, WEBHOOK_SECRET)?;
    let began = tokio::time::Instant::now();
    let mut under_way = tokio::task::JoinSet::new();
    for number in 0..events {
        let due = Duration::from_secs(number) / RATE;
        tokio::time::sleep_until(began + due).await;
        let body = event(number, u64::try_from(arrivals.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX));
        let mut request =
            Request::post(format!("http://{intake}/in/genesys")).header("content-type", "application/json");
        for (name, value) in signer.headers(&body, "", 0) {
            request = request.header(name, value);
        }
        under_way.spawn(client.request(request.body(Full::new(body)).context("making a request")?));
    }
    while let Some(answered) = under_way.join_next().await {
        let answer = answered.context("a request broke off")?.context("a request failed")?;
        ensure!(answer.status().is_success(), "a request was answered {}", answer.status());
    }
    Ok(())
}

/// An event of a conversation of its own.
fn event(number: u64, sent_nanos: u64) -> Bytes {
    let mut text = format!(
        r#"{{"webhookEventId":"latency-{number}","eventType":"conversation.analysis.completed","conversationId":"c-{number}","sentNanos":"{sent_nanos}","summary":""#
    );
    let end = "\"}";
    text.extend(std::iter::repeat_n('x', EVENT_BYTES.saturating_sub(text.len() + end.len())));
    text.push_str(end);
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_carries_when_it_was_sent() {
        let body = event(7, 123_456_789);
        assert_eq!(body.len(), EVENT_BYTES);
        assert_eq!(sent_nanos(&body), Some(123_456_789));
        assert_eq!(sent_nanos(b"{}"), None);
        assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
    }
}
