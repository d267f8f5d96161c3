//! The service of one destination: a loop that leases, lets attempts run, and settles what has ended.
//!
//! One settlement and one lease are under way at a time; what ends meanwhile goes into the next settlement. So groups
//! form under load by themselves, and an idle service settles at once. Everything runs on one task: nothing is
//! spawned for a delivery.

mod running;

use std::future::Future;
use std::sync::Arc;

use destinations::Destination;
use queue::{ConsumerId, Queue};
use tokio::sync::watch;

use self::running::Running;
use crate::attempt::Tools;
use crate::{Clock, Error, Handle, Health, Mapper, Options};

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
    /// Whether it begins paused: nothing goes out until [`Handle::resume`].
    pub paused: bool,
}

/// Delivers to one destination.
pub struct Service {
    parts: Parts,
    options: Options,
    health: Arc<Health>,
}

impl Service {
    /// Checks the options.
    pub fn new(parts: Parts, options: Options) -> Result<Self, Error> {
        options.check()?;
        let health = Arc::new(Health::new());
        Ok(Self { parts, options, health })
    }

    /// Its numbers.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Runs on a task of its own, on the present tokio runtime.
    pub fn start(self) -> Handle {
        let (stop, mut stopped) = watch::channel(false);
        let (destination, health) = (self.parts.name.clone(), self.health.clone());
        let pause = watch::Sender::new(self.parts.paused);
        let paused = pause.subscribe();
        let task = tokio::spawn(self.run(paused, async move {
            // A handle that was dropped says stop, too.
            let _ = stopped.wait_for(|stop| *stop).await;
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
        let Self { parts, options, health } = self;
        let tools = Tools {
            mapper: parts.mapper,
            destination: parts.destination,
            clock: parts.clock,
            timeout: options.timeout,
            max_payload: options.max_payload,
        };
        let queue = parts.queue;
        let running = Running::new(&*queue, parts.consumer, &parts.name, tools, &options, &health, parts.seed);
        running.run(paused, shutdown).await
    }
}
