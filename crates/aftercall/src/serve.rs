//! `aftercall serve`: wires the parts together, runs them, and stops them in the order in which events flow.

mod alarms;
mod archive;
mod console_only;
mod destinations;
mod files;
mod left;
mod origin;
mod quarantine;
mod reload;
mod standing;
pub(crate) mod store;
mod transcripts;
mod trial;
mod wiring;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use event::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

#[cfg(feature = "lambda")]
pub(crate) use self::alarms::{Letters, log as log_notice};
use self::origin::{Look, Origin};
pub(crate) use self::quarantine::open as open_quarantine;
use self::reload::Trigger;
pub(crate) use self::reload::configure;
#[cfg(feature = "aws")]
pub(crate) use self::store::client;
pub(crate) use self::trial::Trial;
pub(crate) use self::wiring::Server;

use crate::cli::ServeArgs;
use crate::config::{File, Opened, Parts};
use crate::logging;

/// How often upkeep is done when there is nothing more to do at once.
const UPKEEP_EVERY: Duration = Duration::from_secs(60);

/// Serves until it is told to stop.
pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let origin =
        Origin { path: args.config.clone(), data: args.data.clone(), listen: args.listen, console: args.console };
    // Before it is read, so that a change is not missed.
    let seen = origin.look();
    let (file, trial, hash) = prepared(&origin)?;
    if args.check_config {
        file.check()?;
        crate::output::print("the configuration is good\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.console_only {
        logging::start(args.log);
        return console_only::run(&file);
    }
    let mut parts = file.parts(&Opened::default())?;
    let config = Config { origin, seen, file, hash };
    logging::start(args.log);
    parts.intake.limits.connections = files::connections(parts.intake.limits.connections);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(serve(parts, config, trial))?;
    // Reads that still hold a thread do not keep the process alive.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(ExitCode::SUCCESS)
}

/// The configuration of the file, or the built-in one for trying things out.
pub(crate) fn configuration(
    path: Option<&std::path::Path>,
    data: Option<PathBuf>,
    listen: Option<std::net::SocketAddr>,
) -> anyhow::Result<(File, Option<Trial>)> {
    let origin = Origin { path: path.map(Into::into), data, listen, console: None };
    prepared(&origin).map(|(file, trial, _)| (file, trial))
}

/// The same, and the hash of its text.
fn prepared(origin: &Origin) -> anyhow::Result<(File, Option<Trial>, Option<String>)> {
    let (file, hash) = origin.read();
    let mut file = file?;
    let trial = match origin.path {
        Some(_) => None,
        None => Some(Trial::prepare(&mut file)?),
    };
    Ok((file, trial, hash))
}

/// The configuration that the server is started with, and where it comes from.
pub(crate) struct Config {
    origin: Origin,
    /// The file before it was read.
    seen: Option<Look>,
    file: File,
    hash: Option<String>,
}

async fn serve(parts: Parts, config: Config, trial: Option<Trial>) -> anyhow::Result<()> {
    // Before anything else, so that no signal is missed.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let dir = parts.queue.dir.clone();
    let server = Server::start(parts, config).await?;
    tracing::info!(
        intake = %server.intake_url(),
        console = %server.console_address(),
        data = %dir.display(),
        "aftercall {} is ready",
        env!("CARGO_PKG_VERSION")
    );
    if let Some(trial) = trial {
        crate::output::print(&trial.greeting(&server.intake_url(), &dir))?;
    }
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => {
                tracing::info!("SIGHUP: the configuration is read anew");
                // What is wrong is in the log and in the status.
                drop(tokio::spawn(Arc::clone(server.live()).reload(Trigger::Signal)));
            }
        }
    }
    tracing::info!("stopping: requests and deliveries under way are finished first; a second signal stops at once");
    tokio::select! {
        stopped = server.stop() => stopped,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// The machine's time.
pub(crate) fn now() -> Timestamp {
    Timestamp::default().plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// The machine's time, for those who are given a clock.
pub(crate) fn clock() -> intake::Clock {
    Arc::new(now)
}
