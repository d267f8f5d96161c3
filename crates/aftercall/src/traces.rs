//! Traces, exported by OTLP (HTTP, protobuf) to a collector of OpenTelemetry.
//!
//! Spans wait in a queue of bounded length, and one task sends them in batches. While the collector is down nobody waits for
//! it: a batch is tried again after growing pauses, and what has no room meanwhile is dropped and counted. A crash loses the
//! spans that wait.
//!
//! The queue is our own, and not the one of OpenTelemetry's SDK, so that what is dropped is counted in `/metrics`, and a
//! function can have everything sent before it answers, or not wait where that cannot be.

mod client;
mod sender;
mod told;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use spans::{Collect, Counts, Span, TraceId};
use tokio::sync::{mpsc, oneshot};

use self::client::Client;
use self::sender::Sender;
use crate::config::TraceOptions;

/// What the program is called among others, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` say it.
const SERVICE: &str = "aftercall";
/// Flushes that are asked for and not begun.
const FLUSHES: usize = 8;

/// Spans are being taken and sent.
pub(crate) struct Traces {
    flush: mpsc::Sender<oneshot::Sender<()>>,
}

impl Traces {
    /// Takes all spans of this process from now on. Connects to nothing yet.
    ///
    /// # Errors
    /// If there can be no requests to the collector.
    pub(crate) fn start(options: TraceOptions) -> anyhow::Result<Self> {
        let (waiting, spans) = mpsc::channel(options.waiting_max);
        let (flush, flushes) = mpsc::channel(FLUSHES);
        let numbers = Arc::new(Numbers::default());
        let client = Client::new(&options).context("traces.ca")?;
        let answers = client.answers();
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(options.endpoint.as_str())
            .with_timeout(options.timeout)
            // It would hold a thread while it waits. See `sender`.
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .context("traces.endpoint")?;
        exporter.set_resource(&resource());
        let threshold = threshold(options.ratio);
        if spans::collect(Box::new(Collector { waiting, threshold, numbers: Arc::clone(&numbers) })) {
            tracing::info!(endpoint = options.endpoint, ratio = options.ratio, "traces are exported");
        }
        tokio::spawn(Sender { exporter, answers, spans, flushes, numbers, options }.run());
        Ok(Self { flush })
    }

    /// Ready when what waited has been sent, or cannot be sent now, or after this time.
    pub(crate) async fn flush(&self, within: Duration) {
        let (done, told) = oneshot::channel();
        if self.flush.try_send(done).is_ok() {
            // However it went: what was not sent still waits.
            let _ = tokio::time::timeout(within, told).await;
        }
    }
}

/// Who tells.
fn resource() -> Resource {
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let detected = Resource::builder().build();
    let named = detected.get(&"service.name".into()).map(|name| name.to_string());
    let named = named.filter(|name| !name.starts_with("unknown_service"));
    let builder = Resource::builder().with_attribute(version);
    builder.with_service_name(named.unwrap_or_else(|| SERVICE.to_owned())).build()
}

/// Takes spans, and never waits.
struct Collector {
    waiting: mpsc::Sender<Span>,
    /// Traces from here on are wanted.
    threshold: u64,
    numbers: Arc<Numbers>,
}

/// What became of spans.
#[derive(Default)]
struct Numbers {
    exported: AtomicU64,
    dropped_full: AtomicU64,
    dropped_refused: AtomicU64,
}

impl Collect for Collector {
    fn samples(&self, trace: TraceId) -> bool {
        // The last 7 bytes, as OpenTelemetry's ProbabilitySampler has it: in those before, an event's id is a UUID's form.
        let random = trace[9..].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        random >= self.threshold
    }

    fn take(&self, span: Span) {
        if self.waiting.try_send(span).is_err() {
            self.numbers.dropped_full.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counts(&self) -> Counts {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let Numbers { exported, dropped_full, dropped_refused } = &*self.numbers;
        Counts { exported: read(exported), dropped_full: read(dropped_full), dropped_refused: read(dropped_refused) }
    }
}

/// Where the last 56 bits of a trace's id have to be at least, for this share of traces.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 2^56 is a number that fits")]
fn threshold(ratio: f64) -> u64 {
    ((1.0 - ratio) * (1_u64 << 56) as f64) as u64
}

#[cfg(test)]
mod tests {
    use event::EventId;

    use super::*;

    #[test]
    fn a_share_of_events_is_told_of() {
        let numbers = Arc::<Numbers>::default();
        let told = |ratio: f64| {
            let (waiting, _spans) = mpsc::channel(1);
            let collector = Collector { waiting, threshold: threshold(ratio), numbers: Arc::clone(&numbers) };
            let ids = (0..1_000_u32).map(|n| EventId::from_identity("test", [n.to_be_bytes().as_slice()]));
            ids.filter(|id| collector.samples(*id.as_bytes())).count()
        };
        assert_eq!((told(0.0), told(1.0)), (0, 1_000));
        assert!((400..600).contains(&told(0.5)), "{}", told(0.5));
    }
}
