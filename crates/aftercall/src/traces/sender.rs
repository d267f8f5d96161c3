//! Sends spans in batches, one at a time. A batch that the collector does not take for a reason that passes is tried again
//! after a pause, a few times; meanwhile the others wait, as many as there is room for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::SpanExporter as _;
use spans::Span;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::Numbers;
use super::client::Answers;
use super::told::told;
use crate::config::TraceOptions;

/// How often a batch is tried.
const TRIES: u32 = 5;
/// The pause after the first failure; each is twice the one before.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause: a collector that is back gets spans soon.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Statuses of what passes, as OTLP has them: <https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes>
const PASSING: [u16; 4] = [429, 502, 503, 504];

pub(super) struct Sender {
    pub(super) exporter: SpanExporter,
    pub(super) answers: Answers,
    pub(super) spans: mpsc::Receiver<Span>,
    pub(super) flushes: mpsc::Receiver<oneshot::Sender<()>>,
    pub(super) numbers: Arc<Numbers>,
    pub(super) options: TraceOptions,
}

/// What is to be sent next, and when.
#[derive(Default)]
struct Batch {
    spans: Vec<Span>,
    tries: u32,
    /// When the oldest came, or when it may be tried again.
    due: Option<Instant>,
    /// The failures in a row, of whatever batches.
    failures: u32,
}

impl Batch {
    /// It is not to be tried before its time.
    fn is_paused(&self) -> bool {
        self.failures > 0 && self.due.is_some_and(|due| due > Instant::now())
    }
}

impl Sender {
    /// Sends until nobody can ask for it any more. Spans come for as long as the process lives.
    pub(super) async fn run(mut self) {
        let mut batch = Batch::default();
        loop {
            let room = self.options.batch_max - batch.spans.len();
            let due = batch.due.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                flush = self.flushes.recv() => {
                    let Some(done) = flush else { return };
                    self.flush(&mut batch).await;
                    // Whoever has asked may have stopped waiting.
                    let _ = done.send(());
                }
                () = sleep_until(due), if batch.due.is_some() => self.send(&mut batch).await,
                came = self.spans.recv_many(&mut batch.spans, room), if room > 0 && !batch.is_paused() => {
                    if came == 0 {
                        return;
                    }
                    batch.due.get_or_insert_with(|| Instant::now() + self.options.delay);
                    if batch.spans.len() == self.options.batch_max {
                        self.send(&mut batch).await;
                    }
                }
            }
        }
    }

    /// Sends what waits, unless the collector does not take anything now.
    async fn flush(&mut self, batch: &mut Batch) {
        while !batch.is_paused() {
            while batch.spans.len() < self.options.batch_max
                && let Ok(span) = self.spans.try_recv()
            {
                batch.spans.push(span);
            }
            if batch.spans.is_empty() {
                return;
            }
            self.send(batch).await;
        }
    }

    async fn send(&self, batch: &mut Batch) {
        let count = batch.spans.len() as u64;
        if count == 0 {
            batch.due = None;
            return;
        }
        let sent = self.exporter.export(batch.spans.iter().map(told).collect()).await;
        let Err(error) = sent else {
            self.numbers.exported.fetch_add(count, Ordering::Relaxed);
            if batch.failures > 0 {
                tracing::info!("the collector of traces takes them again");
            }
            *batch = Batch::default();
            return;
        };
        let status = self.answers.latest();
        if batch.failures == 0 {
            tracing::warn!(
                endpoint = self.options.endpoint, status, problem = %error,
                "traces cannot be exported; nothing waits for that, and those for which there is no room are dropped"
            );
        }
        (batch.failures, batch.tries) = (batch.failures.saturating_add(1), batch.tries + 1);
        let passes = status.is_none_or(|status| PASSING.contains(&status));
        if !passes || batch.tries >= TRIES {
            self.numbers.dropped_refused.fetch_add(count, Ordering::Relaxed);
            (batch.spans, batch.tries) = (Vec::new(), 0);
        }
        let pause = PAUSE.saturating_mul(1 << (batch.failures - 1).min(5)).min(PAUSE_MAX);
        batch.due = Some(Instant::now() + pause);
    }
}
