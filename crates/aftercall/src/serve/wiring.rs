//! The running server: who is made of what, who is stopped before whom.
//!
//! Stopping follows the way of an event: intake finishes the requests it has, then the deliveries under way end, then
//! the queue is closed. What is not finished by then is on disk and goes on at the next start.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use bytes::Bytes;
use console::{
    ConfigStatus, Console, DestinationStatus, EraseAt, ErasedAt, Keeps, KeptAt, NotMapped, Reloaded, RouteVerdict,
    SourceStatus, Status, TokenFile, Unusable,
};
use event::Timestamp;
use intake::Intake;
use parking_lot::Mutex;
use queue::{BoxFuture, DeadLetter, NotRedriven, Queue, QueueError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::alarms::{Watch, Watched};
use super::destinations::{Running, Shared, View, Views};
use super::reload::{Live, State, Trigger, configure, look_after, note};
use super::standing::Standing;
use super::store::{self, DataDir};
use super::{Config, UPKEEP_EVERY, clock, now};
use crate::config::{Parts, Started};
use crate::router::{Table, Tables};
use crate::traces::Traces;

/// How long a stop waits for the last spans to be sent.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Everything that runs.
pub(crate) struct Server {
    live: Arc<Live>,
    tls: bool,
    console: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    traces: Option<Traces>,
    _data_dir: DataDir,
}

impl Server {
    /// Opens the queue, starts the services, and listens; ready when it returns.
    pub(crate) async fn start(parts: Parts, config: Config) -> anyhow::Result<Self> {
        let Parts {
            queue,
            quarantine,
            intake,
            console,
            sources,
            destinations,
            routes,
            alarms,
            archive,
            redaction,
            platform,
            traces,
        } = parts;
        let traces = traces.map(Traces::start).transpose()?;
        let dir = queue.dir.clone();
        let times = queue.queue.times;
        let (lease_time, longest_wait) = (times.lease, times.longest_wait);
        let mut started = Started { lease_time, longest_wait, ..Started::default() };
        started.note(&config.file);
        let data_dir = DataDir::take(&queue)?;
        let queue = store::open(&queue).await?;
        let archive = super::archive::open(archive, &dir, &queue).await?;
        let names = destinations.iter().map(|parts| Arc::clone(&parts.name)).collect();
        let table = Arc::new(Table::new(names, routes, Arc::default()));
        let ids = configure(&queue, &destinations, &table).await.map_err(anyhow::Error::msg)?;
        let tables = Arc::new(ArcSwap::from_pointee(Tables { present: table, before: None }));
        let kept = dir.clone();
        let standing = Arc::new(tokio::task::spawn_blocking(move || Standing::load(kept)).await?);
        standing.keep_only(&destinations.iter().map(|parts| Arc::clone(&parts.name)).collect::<Vec<_>>());
        let shared =
            Shared { queue: Arc::clone(&queue), tables, standing: Arc::clone(&standing), archive: archive.clone() };
        // Whoever can fail for want of an address comes before anything runs.
        let tls = intake.tls.is_some();
        let (receiving, intake) = Intake::bind(intake, sources, Arc::clone(&queue), clock())?;
        intake.set_redaction_keys(redaction);
        let console = Console::bind(console, TokenFile::in_dir(&dir), now()).await?;
        super::quarantine::open(quarantine, &intake).await?;
        let start = |(parts, id)| Running::start(parts, id, false, &shared);
        let services = destinations.into_iter().zip(ids).map(start).collect::<Result<Vec<_>, _>>()?;
        let stop = watch::Sender::new(false);
        let console_address = console.address();
        let views: Views = Arc::new(ArcSwap::from_pointee(services.iter().map(Running::view).collect()));
        let data = dir.clone();
        let watched = Watched {
            dir,
            queue: Arc::clone(&queue),
            intake: intake.clone(),
            destinations: Arc::clone(&views),
            standing: Arc::clone(&standing),
            archive: archive.clone(),
        };
        let watch = Watch::start(watched, alarms, console_address).await?;
        let Config { origin, seen, file, hash } = config;
        let begun =
            format!("version {}, configuration {}", env!("CARGO_PKG_VERSION"), hash.as_deref().unwrap_or("built in"));
        note(&*queue, "start", "server", begun).await;
        let watches_file = origin.path.is_some();
        let live = Arc::new(Live {
            origin,
            shared,
            data,
            left: Mutex::default(),
            intake: intake.clone(),
            views,
            watch: Arc::clone(&watch),
            state: tokio::sync::Mutex::new(State { file, started, services, platform, closed: false }),
            config: Mutex::new(ConfigStatus { loaded_at: now().as_millis(), hash, error: None }),
            refused: Mutex::default(),
        });
        live.look_for_left(live.views.load().iter().map(|view| view.name.clone()).collect()).await;
        let tell = Arc::new(Teller { live: Arc::clone(&live), started: now() });
        let mut tasks = vec![
            tokio::spawn(receiving.run()),
            tokio::spawn(console.serve(tell, stopped(&stop))),
            tokio::spawn(upkeep(Arc::clone(&queue), stopped(&stop))),
            tokio::spawn(super::quarantine::tend(intake, stopped(&stop))),
            tokio::spawn(watch.run(stopped(&stop))),
            tokio::spawn(standing.tend(Arc::clone(&live.views), stopped(&stop))),
            tokio::spawn(super::transcripts::tend(Arc::clone(&live.views), stopped(&stop))),
        ];
        if let Some(archive) = archive {
            tasks.push(tokio::spawn(super::archive::run(archive, Arc::clone(&live.shared.queue), stopped(&stop))));
        }
        if watches_file {
            tasks.push(tokio::spawn(look_after(Arc::clone(&live), seen, stopped(&stop))));
        }
        Ok(Self { live, tls, console: console_address, stop, tasks, traces, _data_dir: data_dir })
    }

    /// What can be changed while it runs.
    pub(crate) fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Where events are received.
    pub(crate) fn intake_url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.live.intake.address())
    }

    /// Where the status can be asked for.
    pub(crate) fn console_address(&self) -> SocketAddr {
        self.console
    }

    /// Finishes what is under way, a reload too, and closes the queue.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.live.intake.shutdown().await;
        let mut state = self.live.state.lock().await;
        state.closed = true;
        state.services.iter().for_each(Running::stop);
        for running in &mut state.services {
            running.ended().await;
        }
        drop(state);
        self.stop.send_replace(true);
        for task in self.tasks {
            // A task that panicked has been reported by the runtime.
            let _ = task.await;
        }
        let closed = self.live.shared.queue.close().await.context("closing the queue");
        if let Some(traces) = self.traces {
            traces.flush(LAST_SPANS).await;
        }
        closed
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
    live: Arc<Live>,
    started: Timestamp,
}

impl console::Tell for Teller {
    fn queue(&self) -> &dyn Queue {
        &*self.live.shared.queue
    }

    fn intake(&self) -> &intake::Handle {
        &self.live.intake
    }

    fn alarms(&self) -> console::Alarms {
        self.live.watch.tell()
    }

    fn set_paused(&self, destination: &str, paused: bool, by: &str) -> Option<bool> {
        self.live.watch.set_paused(destination, paused, by)
    }

    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, String>> {
        Box::pin(Arc::clone(&self.live).reload(Trigger::Asked))
    }

    fn now(&self) -> Timestamp {
        now()
    }

    fn archive(&self) -> Option<&archive::Archive> {
        self.live.shared.archive.as_deref()
    }

    fn transcripts(&self) -> Vec<(String, transcripts::Transcripts)> {
        let views = self.live.views.load();
        views.iter().filter_map(|view| Some((view.name.clone(), view.fetching()?.opened()?))).collect()
    }

    fn erasing(&self) -> Vec<String> {
        let views = self.live.views.load();
        views.iter().filter(|view| view.destination().erases()).map(|view| view.name.clone()).collect()
    }

    fn erase_at(&self, asked: EraseAt) -> BoxFuture<'_, Option<Result<ErasedAt, String>>> {
        Box::pin(async move {
            let EraseAt { destination, conversation, dry_run, cursor } = asked;
            let found = {
                let views = self.live.views.load();
                views.iter().find(|view| view.name == destination).map(|view| Arc::clone(view.destination()))?
            };
            match found.erase(destinations::Erasure { conversation, dry_run, cursor }).await {
                Ok(erased) => erased.map(|erased| Ok(told(erased))),
                Err(error) => Some(Err(error.message)),
            }
        })
    }

    fn try_event(&self, destination: &str, event: &event::Event) -> Option<Result<(), String>> {
        let tried = self.live.shared.tables.load().try_on(destination, event)?;
        Some(tried.map(drop).map_err(|error| error.message))
    }

    fn try_mapping(&self, letter: &DeadLetter) -> Result<Bytes, NotMapped> {
        let destination = letter.destination.as_deref().unwrap_or_default();
        let event = letter.to_event().ok_or(NotMapped::Never(NotRedriven::NoEvent))?;
        let tried = self.live.shared.tables.load().try_on(destination, &event);
        let tried = tried.ok_or_else(|| NotMapped::Never(NotRedriven::NotRouted(destination.to_owned())))?;
        tried.map_err(|error| NotMapped::Fails(error.message))
    }

    fn mapping_version(&self, letter: &DeadLetter) -> Option<String> {
        let destination = letter.destination.as_deref()?;
        self.live.shared.tables.load().version(destination, &letter.to_event()?)
    }

    fn explain(&self, event: &event::Event) -> Vec<RouteVerdict> {
        self.live.shared.tables.load().present.explain(event)
    }

    fn status(&self) -> BoxFuture<'_, Result<Status, QueueError>> {
        Box::pin(async {
            let (now, intake) = (now(), &self.live.intake);
            let queue = self.live.shared.queue.status(now).await?;
            let source = |counts: intake::SourceCounts| SourceStatus {
                name: counts.source.clone(),
                counters: serde_json::to_value(&counts).unwrap_or_default(),
            };
            let destination = |view: &View| DestinationStatus {
                name: view.name.clone(),
                health: view.health.snapshot(),
                paused: self.live.shared.standing.paused(&view.name),
                unusable: view.trouble().map(|trouble| Unusable { since: trouble.since, problem: trouble.problem }),
                keeps: view.destination().standing().map(|standing| Keeps {
                    rows: standing.rows,
                    bytes: standing.bytes,
                    problem: standing.problem,
                }),
            };
            Ok(Status {
                version: env!("CARGO_PKG_VERSION"),
                started_at: self.started.as_millis(),
                now: now.as_millis(),
                ready: intake.not_ready().is_none(),
                config: self.live.config.lock().clone(),
                queue,
                sources: intake.counts().into_iter().map(source).collect(),
                quarantine: intake.quarantine().map(|quarantine| quarantine.status()),
                destinations: self.live.views.load().iter().map(destination).collect(),
                left: self.live.left.lock().clone(),
                alarms: self.live.watch.tell(),
                archive: self.archive().map(archive::Archive::status),
                traces: spans::counts(),
                unrecognised: self.live.shared.tables.load().present.unrecognised().counts(),
            })
        })
    }
}

fn told(erased: destinations::Erased) -> ErasedAt {
    let destinations::Erased { waiting, rows, files, bytes, looked, kept, next } = erased;
    let kept = kept.into_iter().map(|kept| KeptAt { name: kept.name, rows: kept.rows, why: kept.why });
    ErasedAt { waiting, rows, files, bytes, looked, kept: kept.collect(), next }
}
