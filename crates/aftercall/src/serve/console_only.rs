//! `aftercall serve --console-only`: the admin API alone, on a queue that other servers or functions work on. So every
//! command can be given where none of them can be asked.
//!
//! It receives and delivers nothing, owns no destination, does no upkeep and opens no destination, and needs none of their
//! secrets. What those do is not known here: the status of sources and destinations, alarms, pauses, the quarantine, and
//! erasing from what destinations have written are the other servers'.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use console::{Alarms, ConfigStatus, Console, EraseAt, ErasedAt, NotMapped, Reloaded, RouteVerdict, Status, TokenFile};
use event::{Event, Timestamp};
use intake::Intake;
use queue::{BoxFuture, DeadLetter, NotRedriven, Queue, QueueError};
use tokio::signal::unix::{SignalKind, signal};

use super::reload::configure_as;
use super::store::{self, DataDir};
use super::{clock, now};
use crate::config::{ConsoleParts, File};
use crate::router::{Table, Tables};

/// Serves until it is told to stop.
pub(super) fn run(file: &File) -> anyhow::Result<ExitCode> {
    let parts = file.console_parts()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(serve(parts))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(parts: ConsoleParts) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let ConsoleParts { queue, listen, consumers, routes, archive } = parts;
    let _data_dir = DataDir::take(&queue)?;
    let dir = queue.dir.clone();
    let queue = store::open(&queue).await?;
    let archive = super::archive::open(archive, &dir, &queue).await?;
    let names = consumers.iter().map(|consumer| Arc::clone(&consumer.name)).collect();
    let table = Arc::new(Table::new(names, routes, Arc::default()));
    configure_as(&queue, consumers, &table).await.map_err(anyhow::Error::msg)?;
    // Nothing comes in by it: it has no source, and nobody is told its port.
    let options = intake::Options { listen: ([127, 0, 0, 1], 0).into(), spool: None, ..intake::Options::default() };
    let (receiving, intake) = Intake::bind(options, Vec::new(), Arc::clone(&queue), clock())?;
    let console = Console::bind(listen, TokenFile::in_dir(&dir), now()).await?;
    tracing::info!(
        console = %console.address(),
        "the console alone is ready: nothing is received or delivered here"
    );
    let alone = Arc::new(Alone {
        queue: Arc::clone(&queue),
        intake: intake.clone(),
        tables: Tables { present: table, before: None },
        archive,
        started: now(),
    });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let receiving = tokio::spawn(receiving.run());
    let serving = tokio::spawn(console.serve(alone, async move {
        let _ = stopped.await;
    }));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    drop(stop);
    // A task that panicked has been reported by the runtime.
    let _ = serving.await;
    intake.shutdown().await;
    let _ = receiving.await;
    queue.close().await.context("closing the queue")
}

/// Tells the console.
struct Alone {
    queue: Arc<dyn Queue>,
    intake: intake::Handle,
    tables: Tables,
    archive: Option<Arc<archive::Archive>>,
    started: Timestamp,
}

impl console::Tell for Alone {
    fn queue(&self) -> &dyn Queue {
        &*self.queue
    }

    fn intake(&self) -> &intake::Handle {
        &self.intake
    }

    fn alarms(&self) -> Alarms {
        Alarms::default()
    }

    fn set_paused(&self, _: &str, _: bool, _: &str) -> Option<bool> {
        None
    }

    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, String>> {
        let why = "this server has the console alone; restart it to read the configuration anew".to_owned();
        Box::pin(std::future::ready(Err(why)))
    }

    fn now(&self) -> Timestamp {
        now()
    }

    fn archive(&self) -> Option<&archive::Archive> {
        self.archive.as_deref()
    }

    fn transcripts(&self) -> Vec<(String, transcripts::Transcripts)> {
        Vec::new()
    }

    fn erasing(&self) -> Vec<String> {
        Vec::new()
    }

    fn erase_at(&self, _: EraseAt) -> BoxFuture<'_, Option<Result<ErasedAt, String>>> {
        Box::pin(std::future::ready(None))
    }

    fn try_event(&self, destination: &str, event: &Event) -> Option<Result<(), String>> {
        let tried = self.tables.try_on(destination, event)?;
        Some(tried.map(drop).map_err(|error| error.message))
    }

    fn try_mapping(&self, letter: &DeadLetter) -> Result<Bytes, NotMapped> {
        let destination = letter.destination.as_deref().unwrap_or_default();
        let event = letter.to_event().ok_or(NotMapped::Never(NotRedriven::NoEvent))?;
        let tried = self.tables.try_on(destination, &event);
        let tried = tried.ok_or_else(|| NotMapped::Never(NotRedriven::NotRouted(destination.to_owned())))?;
        tried.map_err(|error| NotMapped::Fails(error.message))
    }

    fn mapping_version(&self, letter: &DeadLetter) -> Option<String> {
        self.tables.version(letter.destination.as_deref()?, &letter.to_event()?)
    }

    fn explain(&self, event: &Event) -> Vec<RouteVerdict> {
        self.tables.present.explain(event)
    }

    fn status(&self) -> BoxFuture<'_, Result<Status, QueueError>> {
        Box::pin(async {
            let now = now();
            let queue = self.queue.status(now).await?;
            Ok(Status {
                version: env!("CARGO_PKG_VERSION"),
                started_at: self.started.as_millis(),
                now: now.as_millis(),
                // Nobody sends events here; what can be asked is the queue.
                ready: self.queue.poisoned().is_none(),
                config: ConfigStatus { loaded_at: self.started.as_millis(), hash: None, error: None },
                queue,
                sources: Vec::new(),
                quarantine: None,
                destinations: Vec::new(),
                left: Vec::new(),
                alarms: Alarms::default(),
                archive: self.archive.as_deref().map(archive::Archive::status),
                traces: None,
                unrecognised: Vec::new(),
            })
        })
    }
}
