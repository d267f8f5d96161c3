//! `aftercall serve`: wires the parts together, runs them, and stops them in the order in which events flow.

mod alarms;
mod quarantine;
mod trial;
mod wiring;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use event::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use self::trial::Trial;
pub(crate) use self::wiring::Server;

use crate::cli::ServeArgs;
use crate::config::{self, File, Parts};
use crate::logging;

/// How often upkeep is done when there is nothing more to do at once.
const UPKEEP_EVERY: Duration = Duration::from_secs(60);

/// Serves until it is told to stop.
pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let (mut file, trial) = configuration(args.config.as_deref(), args.data.clone(), args.listen)?;
    file.console.listen = args.console.or(file.console.listen);
    if args.check_config {
        file.check()?;
        crate::output::print("the configuration is good\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let parts = file.parts()?;
    logging::start(args.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(serve(parts, trial))?;
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
    let mut file = match path {
        Some(path) => config::read(path)?,
        None => File::default(),
    };
    file.data_dir = data.or(file.data_dir);
    file.intake.listen = listen.or(file.intake.listen);
    let trial = match path {
        Some(_) => None,
        None => Some(Trial::prepare(&mut file)?),
    };
    Ok((file, trial))
}

async fn serve(parts: Parts, trial: Option<Trial>) -> anyhow::Result<()> {
    // Before anything else, so that no signal is missed.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let dir = parts.queue.dir.clone();
    let server = Server::start(parts).await?;
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
                tracing::warn!("SIGHUP: the configuration is read at the start only; restart to use a changed one");
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
