//! `aftercall lambda`: the program as a function of AWS Lambda, in the role that the environment names.
//!
//! Each role does a part of what a server does, with the same code, on the queue in DynamoDB: `ingest` accepts requests,
//! `route` takes messages of SQS, `deliver` delivers to the destination that it is woken for, `review` takes what `route`
//! could not, and `upkeep` does every minute what nobody is woken for. Nothing is kept but caches, so a function may be
//! frozen, thawed or killed at any moment; what a kill in its middle leaves is what it leaves of a server on the same queue.
//!
//! The truth is the queue. What goes through SQS for `deliver` only says where to look ([`wake`]), so it may be late, lost or
//! doubled without harm.

mod alarms;
mod deliver;
mod environment;
mod function;
mod http_event;
mod ingest;
mod metrics;
mod origin;
mod records;
mod review;
mod route;
mod runtime;
mod upkeep;
mod wake;
mod wired;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;

use self::environment::Environment;
use self::function::Function;
use self::runtime::{Failure, Runtime};
use crate::cli::LogFormat;
use crate::config::ConfigError;
use crate::logging;

/// How Lambda calls the program of a function.
const BOOTSTRAP: &str = "bootstrap";
/// Threads for requests besides the main one: one invocation is under way at a time, and functions of less than 1.8 GB
/// have less than one processor.
const WORKERS: usize = 1;

/// Whether the program was started by Lambda.
pub(crate) fn is_wanted() -> bool {
    let name = std::env::args_os().next();
    let is_bootstrap = name.as_deref().map(Path::new).and_then(Path::file_name).is_some_and(|name| name == BOOTSTRAP);
    is_bootstrap && std::env::var_os(runtime::ADDRESS).is_some()
}

/// Serves invocations until Lambda ends the process.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    logging::start(LogFormat::Json);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(WORKERS).enable_all().build().context("starting the runtime")?;
    runtime.block_on(serve())
}

async fn serve() -> anyhow::Result<ExitCode> {
    let mut runtime = Runtime::from_environment()?;
    let function = match start().await {
        Ok(function) => Arc::new(function),
        Err(error) => {
            let told = runtime.fail(None, &Failure::new("Init", told(&error))).await;
            told.unwrap_or_else(|problem| tracing::error!(%problem, "Lambda cannot be told that the start failed"));
            return Err(error);
        }
    };
    loop {
        let invocation = Arc::new(runtime.next().await?);
        let (own, given) = (Arc::clone(&function), Arc::clone(&invocation));
        // A task of its own: a panic is the failure of this invocation and of no other.
        let answered = tokio::spawn(async move { own.answer(&given).await }).await;
        match answered.unwrap_or_else(|_| Err(Failure::new("Bug", "the function failed by a bug; report it"))) {
            Ok(answer) => runtime.respond(&invocation.id, answer).await?,
            Err(failure) => {
                tracing::error!(request = invocation.id, problem = failure.message, "the invocation failed");
                runtime.fail(Some(&invocation.id), &failure).await?;
            }
        }
    }
}

/// What is wrong, in a line, with the cure.
fn told(error: &anyhow::Error) -> String {
    match error.downcast_ref::<ConfigError>() {
        Some(refused) => refused.in_a_line(),
        None => format!("{error:#}"),
    }
}

async fn start() -> anyhow::Result<Function> {
    Function::start(Environment::read()?).await
}
