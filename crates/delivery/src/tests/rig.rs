//! What the tests run the service with: a clock that follows tokio's, a queue, and destinations that do as told.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use destinations::{Destination, OutgoingDelivery, Receipt, SendError};
use event::{Event, EventId, Timestamp};
use parking_lot::Mutex;
use queue::{
    BoxFuture, Consumer, ConsumerId, ConsumerStatus, DeadLetter, DeadLetterQuery, MemoryQueue, NewEvent, Order,
    Publication, Queue, Router, Routes, Stored, Target, Topology,
};
use tokio::time::Instant;

use crate::{Clock, Handle, MapError, Mapper, Options, Parts, Service};

/// Long enough for anything that happens at all, in real time.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// Tells the time by tokio's clock, which tests pause. It can be set back.
pub(super) struct TokioClock(Instant, AtomicU64);

impl TokioClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Instant::now(), AtomicU64::new(0)))
    }

    pub(super) fn set_back(&self, seconds: u64) {
        self.1.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
            .plus(self.0.elapsed())
            .minus(Duration::from_secs(self.1.load(Ordering::SeqCst)))
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(self.now().until(at)))
    }
}

/// Every event is for every destination.
struct All(u16);

impl Router for All {
    fn route(&self, _: &Event) -> Routes {
        (0..self.0).map(|consumer| Target { consumer, route: 0 }).collect()
    }
}

/// A queue, and what is needed to start services on it.
pub(super) struct Rig {
    pub(super) queue: Arc<dyn Queue>,
    pub(super) clock: Arc<TokioClock>,
    pub(super) consumers: Vec<ConsumerId>,
}

impl Rig {
    pub(super) fn new(order: Order, destinations: u16) -> Self {
        Self::on(Arc::new(MemoryQueue::default()), order, destinations)
    }

    pub(super) fn on(queue: Arc<dyn Queue>, order: Order, destinations: u16) -> Self {
        let names = (0..destinations).map(|i| format!("destination-{i}"));
        let topology = Topology {
            consumers: names
                .map(|name| Consumer { name: name.into(), order, behind_dead: queue::BehindDead::Continue })
                .collect(),
            router: Arc::new(All(destinations)),
        };
        let consumers = queue.configure(topology).unwrap();
        Self { queue, clock: TokioClock::new(), consumers }
    }

    /// Publishes events whose bodies are their numbers, spread over so many conversations.
    pub(super) async fn publish(&self, numbers: std::ops::Range<u32>, conversations: u32) {
        let event = |number: u32| NewEvent {
            id: EventId::from_identity("test", [number.to_be_bytes().as_slice()]),
            topic: "acw".into(),
            conversation: Some(format!("c-{}", number % conversations).into()),
            body: number.to_string().into(),
        };
        let publication = Publication {
            proof: Arc::from("key 1"),
            source: "calls".into(),
            received: self.clock.now(),
            events: numbers.map(event).collect(),
            content: queue::Content::Plain(|_| [0; 16]),
        };
        self.queue.publish(publication).await.unwrap();
    }

    pub(super) fn service(&self, place: usize, destination: Arc<dyn Destination>, options: Options) -> Service {
        self.mapped(place, Arc::new(as_it_is), destination, options)
    }

    pub(super) fn mapped(
        &self,
        place: usize,
        mapper: Arc<dyn Mapper>,
        destination: Arc<dyn Destination>,
        options: Options,
    ) -> Service {
        Service::new(self.parts(place, mapper, destination), options).unwrap()
    }

    fn parts(&self, place: usize, mapper: Arc<dyn Mapper>, destination: Arc<dyn Destination>) -> Parts {
        Parts {
            name: format!("destination-{place}").into(),
            consumer: self.consumers[place],
            queue: self.queue.clone(),
            mapper,
            destination,
            clock: self.clock.clone(),
            seed: 42,
            aside: None,
            paused: false,
        }
    }

    /// A service that puts aside.
    pub(super) fn aside(
        &self,
        destination: Arc<dyn Destination>,
        aside: Arc<dyn crate::PutAside>,
        options: Options,
    ) -> Service {
        let parts = Parts { aside: Some(aside), ..self.parts(0, Arc::new(as_it_is), destination) };
        Service::new(parts, options).unwrap()
    }

    pub(super) fn start(&self, destination: Arc<dyn Destination>, options: Options) -> Handle {
        self.service(0, destination, options).start()
    }

    pub(super) async fn consumer(&self, place: usize) -> ConsumerStatus {
        let status = self.queue.status(self.clock.now()).await.unwrap();
        status.consumers.into_iter().nth(place).unwrap()
    }

    pub(super) async fn dead_letters(&self) -> Vec<DeadLetter> {
        let query = DeadLetterQuery { limit: 10_000, ..Default::default() };
        self.queue.dead_letters(query).await.unwrap()
    }

    /// Waits until everything of this destination is settled.
    pub(super) async fn settled(&self, place: usize, within: Duration) {
        wait(within, || async { self.consumer(place).await.unsettled == 0 }).await;
    }
}

/// The body is the payload.
pub(super) fn as_it_is(stored: &Stored, _route: u16) -> Result<Option<Bytes>, MapError> {
    Ok(Some(stored.event.body.clone()))
}

/// Waits for a state, at most so long; looks a thousand times in it.
pub(super) async fn wait<F: Future<Output = bool>>(within: Duration, state: impl Fn() -> F) {
    let deadline = Instant::now() + within;
    while !state().await {
        assert!(Instant::now() < deadline, "the state was not reached within {within:?}");
        tokio::time::sleep((within / 1_000).max(Duration::from_millis(1))).await;
    }
}

/// One attempt that reached the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) number: u32,
    pub(super) at: Timestamp,
    pub(super) taken: bool,
}

type Script = dyn Fn(u32, usize) -> BoxFuture<'static, Result<(), SendError>> + Send + Sync;

/// Does what a script says, given the event's number and how often it came before; keeps a ledger.
pub(super) struct Scripted {
    clock: Arc<TokioClock>,
    script: Box<Script>,
    ledger: Mutex<Vec<Reached>>,
    times: Mutex<std::collections::HashMap<u32, usize>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Scripted {
    pub(super) fn new<F>(rig: &Rig, script: impl Fn(u32, usize) -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Result<(), SendError>> + Send + 'static,
    {
        Arc::new(Self {
            clock: rig.clock.clone(),
            script: Box::new(move |number, before| Box::pin(script(number, before))),
            ledger: Mutex::default(),
            times: Mutex::default(),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        })
    }

    pub(super) fn ledger(&self) -> Vec<Reached> {
        self.ledger.lock().clone()
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }

    /// The numbers that were taken, in the order in which they were.
    pub(super) fn taken(&self) -> Vec<u32> {
        self.ledger().iter().filter(|reached| reached.taken).map(|reached| reached.number).collect()
    }
}

impl Destination for Scripted {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        Box::pin(async move {
            let number: u32 = std::str::from_utf8(&delivery.payload).unwrap().parse().unwrap();
            let before = {
                let mut times = self.times.lock();
                let count = times.entry(number).or_default();
                *count += 1;
                *count - 1
            };
            let now_at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(now_at_once, Ordering::SeqCst);
            let guard = Leaving(&self.at_once);
            let result = (self.script)(number, before).await;
            drop(guard);
            let reached = Reached { number, at: self.clock.now(), taken: result.is_ok() };
            self.ledger.lock().push(reached);
            result.map(|()| Receipt::default())
        })
    }
}

/// Counts down also when the attempt is given up.
struct Leaving<'a>(&'a AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
