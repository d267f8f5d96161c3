//! The service of one destination: a loop that leases, lets attempts run, and settles what has ended.
//!
//! One settlement and one lease are under way at a time; what ends meanwhile goes into the next settlement. So groups
//! form under load by themselves, and an idle service settles at once. Everything runs on one task: nothing is
//! spawned for a delivery.

mod putting;
mod running;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use destinations::Destination;
use queue::{ConsumerId, Queue};
use tokio::sync::watch;

use self::putting::Putting;
use self::running::{Before, Running, remembered};
use crate::attempt::Tools;
use crate::handle::Stop;
use crate::{Clock, Error, Handle, Health, Last, Mapper, Options, PutAside};

/// How long a service waits to be told what was put aside before it began. Without that nothing is lost, but what a crash
/// kept from being settled comes twice.
const LAST_LIMIT: Duration = Duration::from_secs(5);
/// What is added to the longest time of an attempt before a service that lets all of them end gives them up.
const FINISH_MARGIN: Duration = Duration::from_secs(1);

/// What a service is made of.
pub struct Parts {
    /// The destination's name, for the log.
    pub name: Arc<str>,
    /// Its cursor in the queue.
    pub consumer: ConsumerId,
    /// Where events come from.
    pub queue: Arc<dyn Queue>,
    /// Makes the payloads.
    pub mapper: Arc<dyn Mapper>,
    /// Where they go.
    pub destination: Arc<dyn Destination>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where jitter comes from; differs between processes.
    pub seed: u64,
    /// Who takes the due deliveries while the destination is down; without it they wait.
    pub aside: Option<Arc<dyn PutAside>>,
    /// Whether it begins paused: nothing goes out until [`Handle::resume`].
    pub paused: bool,
}

/// Delivers to one destination.
pub struct Service {
    parts: Parts,
    options: Options,
    health: Arc<Health>,
    day: Vec<(i64, u64)>,
    another: bool,
}

impl Service {
    /// Checks the options.
    pub fn new(parts: Parts, options: Options) -> Result<Self, Error> {
        options.check()?;
        let health = Arc::new(Health::new());
        Ok(Self { parts, options, health, day: Vec::new(), another: false })
    }

    /// With what [`Health::day`] told of it before, for the limit a day.
    #[must_use]
    pub fn counted_today(mut self, day: Vec<(i64, u64)>) -> Self {
        self.health.set_day(day.clone());
        self.day = day;
        self
    }

    /// The destination is not the one that it was when the service before this one ended: if it was down, it is probed at
    /// once.
    #[must_use]
    pub fn another_destination(self) -> Self {
        Self { another: true, ..self }
    }

    /// Its numbers.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Runs on a task of its own, on the present tokio runtime.
    pub fn start(self) -> Handle {
        let (stop, mut stopped) = watch::channel(Stop::No);
        let drain = self.options.drain;
        let finish = drain.max(self.options.timeout + FINISH_MARGIN);
        let (destination, health) = (self.parts.name.clone(), self.health.clone());
        let pause = watch::Sender::new(self.parts.paused);
        let paused = pause.subscribe();
        let task = tokio::spawn(self.run_until(paused, async move {
            // A handle that was dropped says stop, too.
            let said = stopped.wait_for(|stop| *stop != Stop::No).await;
            if said.is_ok_and(|stop| *stop == Stop::Finish) { finish } else { drain }
        }));
        Handle { destination, health, stop, pause, task }
    }

    /// Runs until `shutdown` is ready and everything under way has ended or been given back, or the queue fails. Leases
    /// nothing while `paused`.
    pub async fn run(
        self,
        paused: watch::Receiver<bool>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        let drain = self.options.drain;
        let until = async move {
            shutdown.await;
            drain
        };
        self.run_until(paused, until).await
    }

    /// Like [`Self::run`]; `shutdown` says how long the attempts under way have.
    async fn run_until(
        self,
        paused: watch::Receiver<bool>,
        shutdown: impl Future<Output = Duration> + Send,
    ) -> Result<(), Error> {
        let Self { parts, options, health, day, another } = self;
        let tools = Tools {
            name: Arc::clone(&parts.name),
            mapper: parts.mapper,
            destination: parts.destination,
            clock: parts.clock,
            timeout: options.timeout,
            max_payload: options.max_payload,
        };
        let queue = parts.queue;
        let mut running = Running::new(&*queue, parts.consumer, &parts.name, tools, &options, &health, parts.seed);
        running.restore_day(&day);
        running.restore(Before { note: remembered(&*queue, parts.consumer, &parts.name).await, another });
        let putting = match parts.aside {
            Some(aside) => {
                let last = put_aside_last(&*aside, &parts.name).await;
                Some(Putting::new(aside, &parts.name, options.timeout, last))
            }
            None => None,
        };
        running.putting(putting).run(paused, shutdown).await
    }
}

/// What was put aside before this service began.
async fn put_aside_last(aside: &dyn PutAside, destination: &Arc<str>) -> Last {
    let asked = tokio::time::timeout(LAST_LIMIT, aside.last(Arc::clone(destination))).await;
    let told = asked.unwrap_or_else(|_| Err(format!("no answer within {} s", LAST_LIMIT.as_secs())));
    let said = told.inspect_err(|error| {
        tracing::warn!(%destination, error, "what was put aside before cannot be read; if a crash came in between, it is done once more");
    });
    said.ok().flatten().unwrap_or_default()
}
