//! One poll after the other, and what becomes of the messages.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::sleep;

use super::options::PUBLISH_PAUSE_MAX;
use super::outage::Outage;
use super::pollers::Stop;
use super::queue::{Message, Queue};
use crate::direct::receive_message;
use crate::options::BUSY_RETRY;
use crate::problem::{Reason, Refusal};
use crate::server::Shared;
use crate::source::ServedSource;

/// Reads a queue until it is stopped.
pub(super) struct Receiver {
    pub(super) shared: Arc<Shared>,
    pub(super) source: Arc<str>,
    pub(super) queue: Arc<Queue>,
    pub(super) outage: Arc<Outage>,
    pub(super) stop: watch::Receiver<Stop>,
}

/// Why publishing the messages of an answer ended early.
enum Ended {
    /// The server stops, or the source is not configured any more.
    Stopped,
    /// A fault in Aftercall at this message.
    Fault,
}

impl Receiver {
    pub(super) async fn run(mut self) {
        while *self.stop.borrow_and_update() == Stop::No {
            let received = {
                let mut stop = self.stop.clone();
                tokio::select! {
                    received = self.queue.receive() => received,
                    // What this poll would have brought comes to others when its visibility timeout is over. A poller that
                    // gives way to another one waits for its answer.
                    _ = stop.wait_for(|stop| *stop == Stop::Now) => return,
                }
            };
            match received {
                Ok(messages) => {
                    self.outage.over(&self.source);
                    if !messages.is_empty() {
                        self.take(messages).await;
                    }
                }
                Err(trouble) => {
                    let pause = self.outage.failed(&self.source, &trouble);
                    self.pause(pause).await;
                }
            }
        }
    }

    /// Waits, but not beyond a stop. Whether it is to go on.
    async fn pause(&self, time: Duration) -> bool {
        let mut stop = self.stop.clone();
        tokio::time::timeout(time, stop.wait_for(|stop| *stop != Stop::No)).await.is_err()
    }

    /// Publishes messages and deletes them, and keeps them from others meanwhile.
    async fn take(&self, messages: Vec<Message>) {
        let held = Mutex::new(messages.iter().map(|message| message.receipt.clone()).collect::<Vec<_>>());
        tokio::select! {
            () = self.publish_all(messages, &held) => {}
            () = self.keep(&held) => {}
        }
    }

    /// Extends the visibility timeout of what is held, for ever.
    async fn keep(&self, held: &Mutex<Vec<String>>) {
        loop {
            sleep(self.queue.visibility() / 3).await;
            let receipts = held.lock().clone();
            if let Err(problem) = self.queue.keep(&receipts, self.queue.visibility()).await {
                tracing::debug!(source = &*self.source, "messages may be handed out again while they wait: {problem}");
            }
        }
    }

    async fn publish_all(&self, messages: Vec<Message>, held: &Mutex<Vec<String>>) {
        let mut durable = Vec::new();
        for message in messages {
            match self.publish(&message, &mut durable, held).await {
                Ok(()) => durable.push(message.receipt),
                Err(ended) => {
                    self.delete(&mut durable, held).await;
                    let rest = held.lock().clone();
                    // One with a fault is not given back at once: it would come again at once. The others of this answer
                    // may belong behind it.
                    if matches!(ended, Ended::Stopped) {
                        let _ = self.queue.keep(&rest, Duration::ZERO).await;
                    }
                    return;
                }
            }
        }
        self.delete(&mut durable, held).await;
    }

    /// Publishes a message, however often that has to be tried. What is durable before it does not wait with it.
    async fn publish(
        &self,
        message: &Message,
        durable: &mut Vec<String>,
        held: &Mutex<Vec<String>>,
    ) -> Result<(), Ended> {
        let body = Bytes::from(message.body.clone());
        let mut pause = BUSY_RETRY;
        loop {
            let Some(served) = self.shared.sources.load().get(&self.source).cloned() else {
                return Err(Ended::Stopped);
            };
            served.counters.request();
            let Err(refusal) = self.try_publish(&served, &body).await else { return Ok(()) };
            let nowhere = std::net::IpAddr::from([0, 0, 0, 0]);
            served.counters.refused(&refusal, &self.source, nowhere, (self.shared.clock)());
            if refusal.reason == Reason::Internal {
                return Err(Ended::Fault);
            }
            self.delete(durable, held).await;
            if !self.pause(pause.min(refusal.retry_after.unwrap_or(pause))).await && self.stops() {
                return Err(Ended::Stopped);
            }
            pause = (pause * 2).min(PUBLISH_PAUSE_MAX);
        }
    }

    fn stops(&self) -> bool {
        *self.stop.borrow() != Stop::No
    }

    async fn try_publish(&self, served: &Arc<ServedSource>, body: &Bytes) -> Result<(), Refusal> {
        receive_message(&self.shared, served, Arc::from(self.queue.proof()), body).await
    }

    /// Deletes what is durable.
    async fn delete(&self, durable: &mut Vec<String>, held: &Mutex<Vec<String>>) {
        if durable.is_empty() {
            return;
        }
        let done = std::mem::take(durable);
        let deleted = self.queue.delete(done.clone()).await;
        held.lock().retain(|receipt| !done.contains(receipt));
        if let Err((left, problem)) = deleted {
            tracing::warn!(
                source = &*self.source,
                left,
                "messages whose events are durable could not be deleted: {problem}; they come again and are recognised"
            );
        }
    }
}
