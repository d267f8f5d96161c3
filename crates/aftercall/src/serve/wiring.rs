//! The running server: who is made of what, who is stopped before whom.
//!
//! Stopping follows the way of an event: intake finishes the requests it has, then the deliveries under way end, then
//! the queue is closed. What is not finished by then is on disk and goes on at the next start.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use console::{Console, DestinationStatus, SourceStatus, Status, TokenFile};
use delivery::{Health, Mapper as _, Service, SystemClock};
use event::Timestamp;
use intake::Intake;
use queue::{BoxFuture, Consumer, DeadLetter, NotRedriven, Queue, QueueError, Router as _, Seq, Stored, Topology};
use queue_sqlite::SqliteQueue;
use rand::RngExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::alarms::{Watch, Watched};
use super::{UPKEEP_EVERY, clock, now};
use crate::config::Parts;
use crate::router::{self, Table};

/// Everything that runs.
pub(crate) struct Server {
    queue: Arc<dyn Queue>,
    intake: intake::Handle,
    tls: bool,
    services: Vec<delivery::Handle>,
    console: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Opens the queue, starts the services, and listens; ready when it returns.
    pub(crate) async fn start(parts: Parts) -> anyhow::Result<Self> {
        let Parts { queue, quarantine, intake, console, sources, destinations, routes, alarms } = parts;
        let dir = queue.dir.clone();
        let opened = tokio::task::spawn_blocking(move || SqliteQueue::open(&queue)).await?;
        let queue: Arc<dyn Queue> =
            Arc::new(opened.with_context(|| format!("opening the queue in {}", dir.display()))?);
        let table = router::table(routes);
        let consumers = destinations.iter().map(|d| Consumer { name: Arc::clone(&d.name), order: d.order }).collect();
        let topology = Topology { consumers, router: Arc::clone(&table) as Arc<dyn queue::Router> };
        let ids = queue.configure(topology).context("setting up the destinations")?;
        // Whoever can fail for want of an address comes before anything runs.
        let tls = intake.tls.is_some();
        let (receiving, intake) = Intake::bind(intake, sources, Arc::clone(&queue), clock())?;
        let console = Console::bind(console, TokenFile::in_dir(&dir), now()).await?;
        super::quarantine::open(quarantine, &intake).await?;
        let mut services = Vec::with_capacity(destinations.len());
        for (parts, consumer) in destinations.into_iter().zip(ids) {
            let made = delivery::Parts {
                name: parts.name,
                consumer,
                queue: Arc::clone(&queue),
                mapper: Arc::clone(&table) as Arc<dyn delivery::Mapper>,
                destination: parts.destination,
                clock: Arc::new(SystemClock),
                seed: rand::rng().random(),
                paused: false,
            };
            services.push(Service::new(made, parts.delivery)?.start());
        }
        let stop = watch::Sender::new(false);
        let console_address = console.address();
        let health: Vec<_> = services.iter().map(|s| (s.destination().to_string(), Arc::clone(s.health()))).collect();
        let watched = Watched {
            dir,
            queue: Arc::clone(&queue),
            intake: intake.clone(),
            destinations: health.clone(),
            switches: services.iter().map(delivery::Handle::switch).collect(),
        };
        let watch = Watch::start(watched, alarms, console_address).await?;
        let tell = Arc::new(Teller {
            queue: Arc::clone(&queue),
            intake: intake.clone(),
            destinations: health,
            watch: Arc::clone(&watch),
            table,
            started: now(),
        });
        let tasks = vec![
            tokio::spawn(receiving.run()),
            tokio::spawn(console.serve(tell, stopped(&stop))),
            tokio::spawn(upkeep(Arc::clone(&queue), stopped(&stop))),
            tokio::spawn(super::quarantine::tend(intake.clone(), stopped(&stop))),
            tokio::spawn(watch.run(stopped(&stop))),
        ];
        Ok(Self { queue, intake, tls, services, console: console_address, stop, tasks })
    }

    /// Where events are received.
    pub(crate) fn intake_url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.intake.address())
    }

    /// Where the status can be asked for.
    pub(crate) fn console_address(&self) -> SocketAddr {
        self.console
    }

    /// Finishes what is under way, and closes the queue.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.intake.shutdown().await;
        self.services.iter().for_each(delivery::Handle::stop);
        for service in &mut self.services {
            if let Err(error) = service.ended().await {
                tracing::error!(destination = %service.destination(), %error, "a destination's service ended with an error");
            }
        }
        self.stop.send_replace(true);
        for task in self.tasks {
            // A task that panicked has been reported by the runtime.
            let _ = task.await;
        }
        self.queue.close().await.context("closing the queue")
    }
}

/// Ready when `stop` is said.
fn stopped(stop: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + use<> {
    let mut stopped = stop.subscribe();
    async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    }
}

/// Drops what is older than retention, a piece at a time.
async fn upkeep(queue: Arc<dyn Queue>, stop: impl Future<Output = ()>) {
    let work = async {
        loop {
            match queue.maintain(now()).await {
                Ok(done) => {
                    if done.expired > 0 {
                        tracing::error!(
                            deliveries = done.expired,
                            "deliveries reached the end of retention undelivered and became dead letters"
                        );
                    }
                    if done.more {
                        continue;
                    }
                }
                Err(QueueError::Closed) => return,
                Err(error) => tracing::warn!(%error, "upkeep has to wait"),
            }
            tokio::time::sleep(UPKEEP_EVERY).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = stop => {}
    }
}

/// Tells the console.
struct Teller {
    queue: Arc<dyn Queue>,
    intake: intake::Handle,
    destinations: Vec<(String, Arc<Health>)>,
    watch: Arc<Watch>,
    table: Arc<Table>,
    started: Timestamp,
}

impl console::Tell for Teller {
    fn queue(&self) -> &dyn Queue {
        &*self.queue
    }

    fn intake(&self) -> &intake::Handle {
        &self.intake
    }

    fn alarms(&self) -> console::Alarms {
        self.watch.tell()
    }

    fn set_paused(&self, destination: &str, paused: bool) -> bool {
        self.watch.set_paused(destination, paused)
    }

    fn now(&self) -> Timestamp {
        now()
    }

    fn try_mapping(&self, letter: &DeadLetter) -> Result<Bytes, String> {
        let destination = letter.destination.as_deref().unwrap_or_default();
        let event = letter.to_event().ok_or_else(|| NotRedriven::NoEvent.to_string())?;
        let to = |target: &&queue::Target| {
            self.destinations.get(usize::from(target.consumer)).is_some_and(|(name, _)| name == destination)
        };
        let routes = self.table.route(&event);
        let target = routes.iter().find(to);
        let target = target.ok_or_else(|| NotRedriven::NotRouted(destination.to_owned()).to_string())?;
        match self.table.map(&Stored::new(Seq(0), event), target.route) {
            Ok(payload) => Ok(payload.unwrap_or_default()),
            Err(error) => Err(error.0),
        }
    }

    fn status(&self) -> BoxFuture<'_, Result<Status, QueueError>> {
        Box::pin(async {
            let now = now();
            let queue = self.queue.status(now).await?;
            let source = |counts: intake::SourceCounts| SourceStatus {
                name: counts.source.clone(),
                counters: serde_json::to_value(&counts).unwrap_or_default(),
            };
            let destination = |(name, health): &(String, Arc<Health>)| DestinationStatus {
                name: name.clone(),
                health: health.snapshot(),
            };
            Ok(Status {
                version: env!("CARGO_PKG_VERSION"),
                started_at: self.started.as_millis(),
                now: now.as_millis(),
                ready: self.intake.not_ready().is_none(),
                queue,
                sources: self.intake.counts().into_iter().map(source).collect(),
                quarantine: self.intake.quarantine().map(|quarantine| quarantine.status()),
                destinations: self.destinations.iter().map(destination).collect(),
                alarms: self.watch.tell(),
            })
        })
    }
}
