//! What delivery itself costs: `cargo bench -p delivery`.
//!
//! * own: a queue and a destination that are ready at once, on one thread; so the time is delivery's alone
//! * http: the `http` destination to a sink in the same process, with and without delivery around it
//! * idle: at 200 events a second, the time from publishing to the call of the destination

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use delivery::{Error, MapError, Options, Parts, Service, SystemClock};
use destinations::http::HttpDestination;
use destinations::{Destination, OutgoingDelivery, Receipt, SendError};
use event::{Event, EventId, Timestamp};
use futures::stream::{self, StreamExt as _};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Response, server::conn::http1};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use queue::{
    BoxFuture, By, Consumer, ConsumerId, DeadLetter, DeadLetterGroup, DeadLetterId, DeadLetterQuery, Erased, Erasure,
    Fingerprint, Lease, LeaseToken, Maintained, MemoryQueue, NewEvent, Order, Publication, Published, Queue,
    QueueError, QueueStatus, RedriveOutcome, Rejection, Review, ReviewState, Router, Routes, Seq, Settle, Stored,
    Target, Topology,
};
use tokio::sync::Notify;

type AnyError = Box<dyn std::error::Error>;

fn main() -> Result<(), AnyError> {
    let mut out = io::stdout();
    for round in 1..=3 {
        writeln!(out, "round {round}")?;
        let own = own_cost(300_000)?;
        writeln!(out, "  own     {:6.2} µs a delivery", micros(own, 300_000))?;
        let (took, cpu) = http(60_000, false)?;
        let rate = 60_000.0 / took.as_secs_f64();
        writeln!(out, "  client  {rate:6.0} requests/s, {:5.1} µs CPU with the sink", micros(cpu, 60_000))?;
        let (took, cpu) = http(60_000, true)?;
        let rate = 60_000.0 / took.as_secs_f64();
        writeln!(out, "  http    {rate:6.0} deliveries/s, {:5.1} µs CPU with the sink", micros(cpu, 60_000))?;
        let waits = idle(400)?;
        let at = |share: usize| waits[(waits.len() - 1) * share / 100];
        writeln!(out, "  idle    p50 {:?}, p95 {:?}, max {:?}", at(50), at(95), at(100))?;
    }
    Ok(())
}

fn micros(time: Duration, count: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(count)
}

/// Processor time of this process so far, in steps of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn service(queue: Arc<dyn Queue>, consumer: ConsumerId, destination: Arc<dyn Destination>) -> Result<Service, Error> {
    let parts = Parts {
        name: "bench".into(),
        consumer,
        queue,
        mapper: Arc::new(|stored: &Stored, _: u16| Ok::<_, MapError>(Some(stored.event.body.clone()))),
        destination,
        clock: Arc::new(SystemClock),
        seed: 1,
        aside: None,
        paused: false,
    };
    Service::new(parts, Options::default())
}

fn own_cost(count: u64) -> Result<Duration, AnyError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let queue = Supply::new(count);
        let start = Instant::now();
        service(queue.clone(), ConsumerId(0), Arc::new(Instantly))?.run(never_paused(), queue.done.notified()).await?;
        Ok(start.elapsed())
    })
}

fn http(count: u64, with_delivery: bool) -> Result<(Duration, Duration), AnyError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let url = format!("http://{}/calls/{{conversation}}", sink().await?);
        let destination = HttpDestination::open(destinations::http::Options::new(url.parse()?))?;
        let queue = Supply::new(count);
        let (start, cpu_before) = (Instant::now(), cpu());
        if with_delivery {
            let service = service(queue.clone(), ConsumerId(0), Arc::new(destination))?;
            let done = queue.clone();
            tokio::spawn(service.run(never_paused(), async move { done.done.notified().await })).await??;
        } else {
            let event = queue.event.clone();
            let sends = stream::iter(0..count).for_each_concurrent(50, move |_| {
                let (event, destination) = (event.event.clone(), destination.clone());
                async move {
                    let delivery = OutgoingDelivery {
                        event: event.id,
                        source: event.source,
                        topic: event.topic,
                        conversation: event.conversation,
                        received: event.received,
                        behind_dead: false,
                        payload: event.body,
                        replayed: false,
                        trace: None,
                    };
                    let _ = destination.send(delivery).await;
                }
            });
            tokio::spawn(sends).await?;
        }
        Ok((start.elapsed(), cpu() - cpu_before))
    })
}

async fn sink() -> io::Result<std::net::SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) });
            tokio::spawn(http1::Builder::new().pipeline_flush(true).serve_connection(TokioIo::new(stream), answer));
        }
    });
    Ok(address)
}

/// Publishes 200 events a second and gives the sorted times until the destination was called.
fn idle(count: u32) -> Result<Vec<Duration>, AnyError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let queue = Arc::new(MemoryQueue::default());
        let consumer =
            Consumer { name: "bench".into(), order: Order::Conversation, behind_dead: queue::BehindDead::Continue };
        let ids = queue.configure(Topology { consumers: vec![consumer], router: Arc::new(Only) })?;
        let arrivals = Arc::new(Arrivals { start: Instant::now(), waits: Mutex::default() });
        let handle = service(queue.clone(), ids[0], arrivals.clone())?.start();
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        for number in 0..count {
            ticks.tick().await;
            let sent = arrivals.start.elapsed().as_nanos().to_string();
            let event = NewEvent {
                id: EventId::from_identity("bench", [number.to_be_bytes().as_slice()]),
                topic: "acw".into(),
                conversation: Some(number.to_string().into()),
                body: sent.into(),
            };
            let publication = Publication {
                proof: Arc::from("key 1"),
                source: "bench".into(),
                received: Timestamp::default(),
                events: vec![event],
                content: queue::Content::Plain(|_| [0; 16]),
            };
            queue.publish(publication).await?;
        }
        while handle.health().snapshot().delivered < u64::from(count) {
            ticks.tick().await;
        }
        let mut waits = std::mem::take(&mut *arrivals.waits.lock());
        waits.sort_unstable();
        Ok(waits)
    })
}

struct Only;

impl Router for Only {
    fn route(&self, _: &Event) -> Routes {
        [Target { consumer: 0, route: 0 }].into_iter().collect()
    }
}

struct Instantly;

impl Destination for Instantly {
    fn send(&self, _: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        Box::pin(async {
            tokio::task::yield_now().await;
            Ok(Receipt::default())
        })
    }
}

/// Keeps how long after its publication each event came.
struct Arrivals {
    start: Instant,
    waits: Mutex<Vec<Duration>>,
}

impl Destination for Arrivals {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        let now = self.start.elapsed();
        let sent = std::str::from_utf8(&delivery.payload).ok().and_then(|text| text.parse().ok());
        self.waits.lock().push(now.saturating_sub(Duration::from_nanos(sent.unwrap_or_default())));
        Box::pin(std::future::ready(Ok(Receipt::default())))
    }
}

/// A queue that has so many events, all the same, and costs nothing itself.
struct Supply {
    event: Arc<Stored>,
    leased: AtomicU64,
    settled: AtomicU64,
    count: u64,
    done: Notify,
}

impl Supply {
    fn new(count: u64) -> Arc<Self> {
        let event = Event {
            id: EventId::from_bytes([7; 16]),
            source: "bench".into(),
            topic: "acw".into(),
            conversation: Some("c-1".into()),
            received: Timestamp::default(),
            conflict_of: None,
            body: vec![b'1'; 1024].into(),
        };
        Arc::new(Self {
            event: Arc::new(Stored::new(Seq(1), event)),
            leased: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            count,
            done: Notify::new(),
        })
    }
}

fn unused<T: Send + 'static>() -> BoxFuture<'static, Result<T, QueueError>> {
    Box::pin(std::future::ready(Err(QueueError::Closed)))
}

impl Queue for Supply {
    fn lease(&self, consumer: ConsumerId, max: usize, now: Timestamp) -> BoxFuture<'_, Result<Vec<Lease>, QueueError>> {
        let before = self.leased.load(Ordering::Relaxed);
        let after = self.count.min(before + max as u64);
        self.leased.store(after, Ordering::Relaxed);
        let lease = |seq| Lease {
            token: LeaseToken { consumer, seq: Seq(seq), generation: 1 },
            stored: self.event.clone(),
            route: 0,
            attempts: queue::Attempts::default(),
            behind_dead: false,
            until: now,
        };
        Box::pin(std::future::ready(Ok((before..after).map(lease).collect())))
    }

    fn settle(&self, settlements: Vec<Settle>, _: Timestamp) -> BoxFuture<'_, Result<(), QueueError>> {
        let settled = self.settled.fetch_add(settlements.len() as u64, Ordering::Relaxed);
        if settled + settlements.len() as u64 == self.count {
            self.done.notify_one();
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn changed(&self, _: ConsumerId) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn next_due(&self, _: ConsumerId) -> Option<Timestamp> {
        None
    }

    fn configure(&self, _: Topology) -> Result<Vec<ConsumerId>, QueueError> {
        Ok(vec![ConsumerId(0)])
    }

    fn publish(&self, _: Publication) -> BoxFuture<'_, Result<Vec<Published>, QueueError>> {
        unused()
    }

    fn reject(&self, _: Rejection) -> BoxFuture<'_, Result<DeadLetterId, QueueError>> {
        unused()
    }

    fn dead_letters(&self, _: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>> {
        unused()
    }

    fn dead_letter_groups(&self, _: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetterGroup>, QueueError>> {
        unused()
    }

    fn redrive(&self, _: Vec<DeadLetterId>, _: By) -> BoxFuture<'_, Result<Vec<RedriveOutcome>, QueueError>> {
        unused()
    }

    fn discard(&self, _: Vec<DeadLetterId>, _: By) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>> {
        unused()
    }

    fn edit(&self, _: DeadLetterId, _: Option<Bytes>, _: By) -> BoxFuture<'_, Result<bool, QueueError>> {
        unused()
    }

    fn erase(&self, _: Erasure) -> BoxFuture<'_, Result<Erased, QueueError>> {
        unused()
    }

    fn set_review(&self, _: Fingerprint, _: ReviewState, _: By) -> BoxFuture<'_, Result<Review, QueueError>> {
        unused()
    }

    fn reviews(&self) -> BoxFuture<'_, Result<Vec<Review>, QueueError>> {
        unused()
    }

    fn dead_letter(&self, _: DeadLetterId) -> BoxFuture<'_, Result<Option<DeadLetter>, QueueError>> {
        unused()
    }

    fn event(&self, _: EventId) -> BoxFuture<'_, Result<Option<Stored>, QueueError>> {
        unused()
    }

    fn remember(&self, _: ConsumerId, _: Option<Bytes>) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn remembered(&self, _: ConsumerId) -> BoxFuture<'_, Result<Option<Bytes>, QueueError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn note(&self, _: Vec<audit::Entry>) -> BoxFuture<'_, Result<(), QueueError>> {
        unused()
    }

    fn audit(&self, _: u64, _: usize) -> BoxFuture<'_, Result<queue::AuditPage, QueueError>> {
        unused()
    }

    fn trace(&self, _: audit::Subject) -> BoxFuture<'_, Result<Vec<audit::Entry>, QueueError>> {
        unused()
    }

    fn unmatched(&self, _: queue::UnmatchedQuery) -> BoxFuture<'_, Result<queue::UnmatchedPage, QueueError>> {
        unused()
    }

    fn unmatched_groups(&self, _: queue::UnmatchedQuery) -> BoxFuture<'_, Result<queue::UnmatchedGroups, QueueError>> {
        unused()
    }

    fn read_log(&self, _: queue::Seq, _: usize, _: usize) -> BoxFuture<'_, Result<queue::LogPage, QueueError>> {
        unused()
    }

    fn erasures(&self) -> u64 {
        0
    }

    fn keep_from(&self, _: Option<queue::Seq>) {}

    fn replay(&self, _: queue::ReplayPiece, _: Timestamp) -> BoxFuture<'_, Result<queue::Replay, QueueError>> {
        unused()
    }

    fn replays(&self, _: Option<String>) -> BoxFuture<'_, Result<Vec<queue::Replay>, QueueError>> {
        unused()
    }

    fn status(&self, _: Timestamp) -> BoxFuture<'_, Result<QueueStatus, QueueError>> {
        unused()
    }

    fn maintain(&self, _: Timestamp) -> BoxFuture<'_, Result<Maintained, QueueError>> {
        unused()
    }

    fn poisoned(&self) -> Option<String> {
        None
    }

    fn close(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// For services that nobody pauses.
fn never_paused() -> tokio::sync::watch::Receiver<bool> {
    tokio::sync::watch::channel(false).1
}
