//! What senders are told when the queue cannot store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use event::{EventId, Timestamp};
use parking_lot::Mutex;
use queue::*;

use crate::client::Client;
use crate::server::{event, options, run, signed, sources};

/// A queue that stores nothing and fails as it is told.
struct Failing(Mutex<QueueError>);

impl Failing {
    fn fail<T: Send + 'static>(&self) -> BoxFuture<'_, Result<T, QueueError>> {
        let error = self.0.lock().clone();
        Box::pin(async move { Err(error) })
    }
}

impl Queue for Failing {
    fn publish(&self, _: Publication) -> BoxFuture<'_, Result<Vec<Published>, QueueError>> {
        self.fail()
    }
    fn reject(&self, _: Rejection) -> BoxFuture<'_, Result<DeadLetterId, QueueError>> {
        self.fail()
    }
    fn configure(&self, _: Topology) -> Result<Vec<ConsumerId>, QueueError> {
        Err(QueueError::Closed)
    }
    fn lease(&self, _: ConsumerId, _: usize, _: Timestamp) -> BoxFuture<'_, Result<Vec<Lease>, QueueError>> {
        self.fail()
    }
    fn changed(&self, _: ConsumerId) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
    fn next_due(&self, _: ConsumerId) -> Option<Timestamp> {
        None
    }
    fn settle(&self, _: Vec<Settle>, _: Timestamp) -> BoxFuture<'_, Result<(), QueueError>> {
        self.fail()
    }
    fn dead_letters(&self, _: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>> {
        self.fail()
    }
    fn dead_letter_groups(&self, _: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetterGroup>, QueueError>> {
        self.fail()
    }

    fn redrive(&self, _: Vec<DeadLetterId>, _: By) -> BoxFuture<'_, Result<Vec<RedriveOutcome>, QueueError>> {
        self.fail()
    }

    fn discard(&self, _: Vec<DeadLetterId>, _: By) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>> {
        self.fail()
    }

    fn edit(&self, _: DeadLetterId, _: Option<Bytes>, _: By) -> BoxFuture<'_, Result<bool, QueueError>> {
        self.fail()
    }

    fn erase(&self, _: Erasure) -> BoxFuture<'_, Result<Erased, QueueError>> {
        self.fail()
    }

    fn set_review(&self, _: Fingerprint, _: ReviewState, _: By) -> BoxFuture<'_, Result<Review, QueueError>> {
        self.fail()
    }

    fn reviews(&self) -> BoxFuture<'_, Result<Vec<Review>, QueueError>> {
        self.fail()
    }

    fn dead_letter(&self, _: DeadLetterId) -> BoxFuture<'_, Result<Option<DeadLetter>, QueueError>> {
        self.fail()
    }
    fn event(&self, _: EventId) -> BoxFuture<'_, Result<Option<Stored>, QueueError>> {
        self.fail()
    }
    fn remember(&self, _: ConsumerId, _: Option<Bytes>) -> BoxFuture<'_, Result<(), QueueError>> {
        self.fail()
    }
    fn remembered(&self, _: ConsumerId) -> BoxFuture<'_, Result<Option<Bytes>, QueueError>> {
        self.fail()
    }
    fn note(&self, _: Vec<audit::Entry>) -> BoxFuture<'_, Result<(), QueueError>> {
        self.fail()
    }

    fn audit(&self, _: u64, _: usize) -> BoxFuture<'_, Result<queue::AuditPage, QueueError>> {
        self.fail()
    }

    fn trace(&self, _: audit::Subject) -> BoxFuture<'_, Result<Vec<audit::Entry>, QueueError>> {
        self.fail()
    }

    fn unmatched(&self, _: UnmatchedQuery) -> BoxFuture<'_, Result<UnmatchedPage, QueueError>> {
        self.fail()
    }

    fn unmatched_groups(&self, _: UnmatchedQuery) -> BoxFuture<'_, Result<UnmatchedGroups, QueueError>> {
        self.fail()
    }

    fn read_log(&self, _: Seq, _: usize, _: usize) -> BoxFuture<'_, Result<LogPage, QueueError>> {
        self.fail()
    }

    fn erasures(&self) -> u64 {
        0
    }

    fn keep_from(&self, _: Option<Seq>) {}

    fn replay(&self, _: ReplayPiece, _: Timestamp) -> BoxFuture<'_, Result<Replay, QueueError>> {
        self.fail()
    }

    fn replays(&self, _: Option<String>) -> BoxFuture<'_, Result<Vec<Replay>, QueueError>> {
        self.fail()
    }

    fn status(&self, _: Timestamp) -> BoxFuture<'_, Result<QueueStatus, QueueError>> {
        self.fail()
    }
    fn maintain(&self, _: Timestamp) -> BoxFuture<'_, Result<Maintained, QueueError>> {
        self.fail()
    }
    fn poisoned(&self) -> Option<String> {
        match &*self.0.lock() {
            QueueError::Poisoned { reason } => Some(reason.clone()),
            _ => None,
        }
    }
    fn close(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        self.fail()
    }
}

#[tokio::test]
async fn a_queue_that_cannot_store_is_a_503_with_a_time() {
    let queue = Arc::new(Failing(Mutex::new(QueueError::Closed)));
    let server = run(options(), sources(), Arc::clone(&queue) as Arc<dyn Queue>);
    let mut client = Client::connect(server.address()).await;
    let secret_detail = "/var/lib/aftercall: No space left on device".to_owned();
    for (error, status, code, wait) in [
        (
            QueueError::Full { detail: secret_detail.clone(), retry_after: Duration::from_millis(9500) },
            503,
            "queue-full",
            "10",
        ),
        (QueueError::Busy { retry_after: Duration::from_millis(20) }, 503, "queue-busy", "1"),
        (QueueError::Transient { detail: secret_detail.clone() }, 503, "queue-busy", "1"),
        (QueueError::Poisoned { reason: secret_detail.clone() }, 503, "queue-stopped", "30"),
        (QueueError::Damaged { detail: secret_detail.clone() }, 503, "queue-stopped", "30"),
        (QueueError::Closed, 503, "queue-stopped", "30"),
        (QueueError::Invalid(secret_detail.clone()), 500, "internal", ""),
    ] {
        *queue.0.lock() = error.clone();
        for body in [event("1"), "{".to_owned()] {
            client.send(signed(&body)).await;
            let answer = client.answer().await;
            assert_eq!((answer.status, answer.code().as_str()), (status, code), "{error:?}");
            assert_eq!(answer.headers.get("retry-after").map_or("", |text| text), wait, "{error:?}");
            assert!(!answer.body.contains("/var"), "{error:?}");
        }
    }
}

#[tokio::test]
async fn health_tells_life_from_readiness() {
    let queue = Arc::new(Failing(Mutex::new(QueueError::Closed)));
    let server = run(options(), sources(), Arc::clone(&queue) as Arc<dyn Queue>);
    let mut client = Client::connect(server.address()).await;
    let mut get = async |path: &str| {
        client.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n")).await;
        client.answer().await
    };
    assert_eq!(get("/health/ready").await.json()["status"], "ready");
    *queue.0.lock() = QueueError::Poisoned { reason: "fsync failed".to_owned() };
    let answer = get("/health/ready").await;
    assert_eq!((answer.status, &answer.json()["reason"]), (503, &"the queue has stopped: fsync failed".into()));
    let live = get("/health/live").await;
    assert_eq!((live.status, &live.json()["status"]), (200, &"live".into()));
}
