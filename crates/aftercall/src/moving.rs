//! `aftercall move`: moves everything from the embedded queue to the one on AWS or back, and receives events meanwhile.
//!
//! It takes the place of the server: it opens both queues, listens where the server listens, and delivers nothing. What is
//! received goes to the queue that is moved, until the rest of it is so small that intake is stopped for it. Killed at any
//! point, the same command goes on ([`queue::moving`]).

mod open;
mod progress;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use intake::Intake;
use queue::moving::{Moving, Tally, abandon};
use queue::{Queue, QueueError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use self::open::Both;
use self::progress::Progress;
use crate::cli::LogFormat;
use crate::config::{Opened, Parts};
use crate::{logging, output, serve};

/// The pause before what a queue could not do now is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Arguments of `move`.
#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// The queue that is moved
    #[arg(long, value_enum)]
    from: Store,
    /// The queue that takes over: an empty one
    #[arg(long, value_enum)]
    to: Store,
    /// The configuration file, with the table of the queue on AWS; the data directory is that of the embedded one
    #[arg(long, short, env = "AFTERCALL_CONFIG")]
    config: PathBuf,
    /// The data directory, instead of the configured one
    #[arg(long)]
    data: Option<PathBuf>,
    /// Where to receive events meanwhile, instead of the configured address
    #[arg(long)]
    listen: Option<std::net::SocketAddr>,
    /// Only count what there is to move; nothing is changed, and nothing received
    #[arg(long)]
    dry_run: bool,
    /// Receive nothing meanwhile
    #[arg(long)]
    no_intake: bool,
    /// Give up a move that is not finished, so that the server may start again where everything still is
    #[arg(long, conflicts_with = "dry_run")]
    abandon: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How to write the log
    #[arg(long, value_enum, default_value = "text")]
    log: LogFormat,
}

/// A kind of queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Store {
    /// The embedded one, in the data directory
    Sqlite,
    /// The table of DynamoDB that the configuration names
    Aws,
}

/// How a move ended.
enum End {
    Moved(Tally),
    Stopped(Tally),
}

/// Moves.
pub(crate) fn run(args: &MoveArgs) -> anyhow::Result<ExitCode> {
    if args.from == args.to {
        bail!("--from and --to are the same: one is `sqlite` and the other `aws`");
    }
    let (file, _) = serve::configuration(Some(&args.config), args.data.clone(), args.listen)?;
    let parts = file.parts(&Opened::default())?;
    logging::start(args.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let code = runtime.block_on(work(args, parts))?;
    // Reads that still hold a thread do not keep the process alive.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(code)
}

async fn work(args: &MoveArgs, mut parts: Parts) -> anyhow::Result<ExitCode> {
    let both = Both::open(args.from, &mut parts).await?;
    if args.abandon {
        let given_up = abandon(&*both.from, serve::now()).await?;
        both.close().await?;
        output::print(&format!(
            "the move to {} is given up: a server may start on {} again. What has arrived in {} is of no use; delete it\n",
            given_up.to, given_up.from, given_up.to
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.dry_run {
        let tally = Moving::count(&*both.from, &both.shared, both.window, serve::now()).await?;
        both.close().await?;
        return tell(args, &End::Moved(tally), both.to_name());
    }
    let to = both.to_name().to_owned();
    let end = move_all(args, parts, both).await?;
    tell(args, &end, &to)
}

async fn move_all(args: &MoveArgs, parts: Parts, both: Both) -> anyhow::Result<End> {
    // Before anything is begun, so that no signal is missed.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    both.refuse_other_servers().await?;
    let queues = (Arc::clone(&both.from), Arc::clone(&both.to));
    let mut moving = Moving::begin(queues, both.shared.clone(), both.the_move(), both.window).await?;
    let receiving =
        if args.no_intake || both.has_moved().await? { None } else { Some(receive(parts, &both.from).await?) };
    let progress = Progress::begin(&*both.from).await?;
    let moved = tokio::select! {
        moved = go_on(&mut moving, receiving, &progress) => Some(moved?),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    progress.end();
    let end = moved.map_or_else(|| End::Stopped(moving.tally()), End::Moved);
    drop(moving);
    both.close().await?;
    Ok(end)
}

/// Moves to the end: first with events arriving, then the rest.
async fn go_on(moving: &mut Moving, receiving: Option<Receiving>, progress: &Progress) -> anyhow::Result<Tally> {
    loop {
        match moving.step(serve::now()).await {
            Ok(true) => break,
            Ok(false) => progress.show(&moving.tally()),
            Err(error) => pause(error).await?,
        }
    }
    if let Some(receiving) = receiving {
        tracing::info!("what has arrived is moved: intake stops for the rest");
        receiving.stop().await;
    }
    loop {
        match moving.finish(serve::now()).await {
            Ok(tally) => return Ok(tally),
            Err(error) => pause(error).await?,
        }
    }
}

/// Waits before something is tried again, if that makes sense.
async fn pause(error: QueueError) -> Result<(), QueueError> {
    match error {
        QueueError::Full { .. } | QueueError::Busy { .. } | QueueError::Transient { .. } => {
            tracing::warn!(%error, "the move has to wait");
            tokio::time::sleep(PAUSE).await;
            Ok(())
        }
        error => Err(error),
    }
}

/// Intake at work.
struct Receiving {
    intake: intake::Handle,
    running: JoinHandle<()>,
}

/// Listens, and publishes to this queue.
async fn receive(parts: Parts, queue: &Arc<dyn Queue>) -> anyhow::Result<Receiving> {
    let Parts { intake, sources, redaction, quarantine, .. } = parts;
    let (receiving, intake) = Intake::bind(intake, sources, Arc::clone(queue), serve::clock())?;
    intake.set_redaction_keys(redaction);
    serve::open_quarantine(quarantine, &intake).await?;
    let running = tokio::spawn(receiving.run());
    tracing::info!(intake = %intake.address(), "events are received while everything is moved; nothing is delivered");
    Ok(Receiving { intake, running })
}

impl Receiving {
    /// Finishes the requests that are under way.
    async fn stop(self) {
        self.intake.shutdown().await;
        // One that panicked has been reported by the runtime.
        let _ = self.running.await;
    }
}

fn tell(args: &MoveArgs, end: &End, to: &str) -> anyhow::Result<ExitCode> {
    let (tally, is_moved) = match end {
        End::Moved(tally) => (tally, true),
        End::Stopped(tally) => (tally, false),
    };
    if args.json {
        let mut told = serde_json::to_value(tally)?;
        told["moved"] = (is_moved && !args.dry_run).into();
        output::print_json(&told)?;
    } else {
        output::print(&output::facts(&[
            ("events", tally.events.to_string()),
            ("deliveries to be made", tally.deliveries.to_string()),
            ("dead letters", tally.dead_letters.to_string()),
            ("settled and old, stay", tally.stay.to_string()),
            ("damaged, stay", tally.damaged.to_string()),
        ]))?;
        let next = match (args.dry_run, is_moved) {
            (true, _) => format!("so much would be moved to {to}\n"),
            (_, true) => format!("everything is in {to} now: start the server with the configuration that names it\n"),
            (_, false) => {
                "stopped: the same command goes on, and until it has finished no server may start\n".to_owned()
            }
        };
        output::print(&next)?;
    }
    Ok(match (is_moved, tally.damaged) {
        (true, 0) => ExitCode::SUCCESS,
        (true, _) => ExitCode::from(output::NO),
        (false, _) => ExitCode::from(output::FAILED),
    })
}
