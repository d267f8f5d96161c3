//! A running function: answers one invocation after the other, and keeps what it works with up to date.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use event::Timestamp;
use parking_lot::Mutex;

use super::environment::{Environment, Role};
use super::origin::Origin;
use super::runtime::{Failure, Invocation};
use super::wake::Wake;
use super::wired::{Wired, configured};
use super::{deliver, ingest, review, route, upkeep};
use crate::config::TraceOptions;
use crate::serve::{Letters, now};
use crate::traces::Traces;

/// How often secrets in files, and those that were asked for in the background, are taken over.
const SECRETS_EVERY: Duration = Duration::from_secs(10);

/// How long spans may take to be sent before a function answers. A collector that hangs costs this much once a pause.
const FLUSH_MAX: Duration = Duration::from_millis(500);
/// Time that is left for the answer.
const FLUSH_MARGIN: Duration = Duration::from_millis(250);

/// A function.
pub(super) struct Function {
    environment: Environment,
    origin: Origin,
    wired: ArcSwap<Wired>,
    looked: Mutex<Looked>,
    pub(super) wake: Wake,
    traces: Option<Traces>,
    /// The dead letters that are known already, for alarms.
    pub(super) letters: tokio::sync::Mutex<Letters>,
}

/// When it was looked for changes last.
struct Looked {
    config: Timestamp,
    /// The hash of its text.
    hash: u64,
    secrets: Timestamp,
}

impl Function {
    /// Reads the configuration and opens what it names.
    pub(super) async fn start(environment: Environment) -> anyhow::Result<Self> {
        let origin: Origin = environment.config.parse()?;
        let text = origin.read().await?;
        let file = configured(&origin.name(), &text, &environment)?;
        let traces = file.trace_options()?.map(quick).map(Traces::start).transpose()?;
        let wired = Wired::open(file, None).await?;
        let (role, destinations) = (environment.role, wired.destinations.len());
        let started = now();
        let looked = Looked { config: started, hash: queue::body_hash(text.as_bytes()), secrets: started };
        let wake = Wake::new(&environment.wake);
        tracing::info!(%role, config = origin.name(), destinations, "aftercall {} is ready", env!("CARGO_PKG_VERSION"));
        Ok(Self {
            environment,
            origin,
            wired: ArcSwap::from_pointee(wired),
            looked: Mutex::new(looked),
            wake,
            traces,
            letters: tokio::sync::Mutex::default(),
        })
    }

    /// Answers one invocation.
    pub(super) async fn answer(&self, invocation: &Invocation) -> Result<Bytes, Failure> {
        self.refresh().await;
        let wired = self.wired.load_full();
        let answer = match self.environment.role {
            Role::Ingest => ingest::answer(self, &wired, invocation).await,
            Role::Route => route::answer(self, &wired, invocation).await,
            Role::Deliver => deliver::answer(self, &wired, invocation).await,
            Role::Review => review::answer(self, &wired, invocation).await,
            Role::Upkeep => upkeep::answer(self, &wired, invocation).await,
        };
        // Behind the answer the function may be frozen, for ever.
        if let Some(traces) = &self.traces {
            traces.flush(left(invocation, FLUSH_MARGIN).min(FLUSH_MAX)).await;
        }
        answer
    }

    /// Wakes the destinations for which there is something new.
    pub(super) async fn wake_touched(&self, wired: &Wired) {
        self.wake.send(&wired.take_touched()).await;
    }

    /// Takes over secrets and a configuration that have changed. What fails leaves the old in force.
    async fn refresh(&self) {
        let now = now();
        let due = |at: Timestamp, every| now < at || at.plus(every) <= now;
        let (config_due, secrets_due) = {
            let mut looked = self.looked.lock();
            let config_due = !self.origin.is_pinned() && due(looked.config, self.environment.config_age);
            let secrets_due = due(looked.secrets, SECRETS_EVERY);
            looked.config = if config_due { now } else { looked.config };
            looked.secrets = if secrets_due { now } else { looked.secrets };
            (config_due, secrets_due)
        };
        if secrets_due {
            let intake = self.wired.load().intake.handle();
            let refreshed = tokio::task::spawn_blocking(move || {
                outbound::aws::secrets::refresh_old();
                intake.reload()
            });
            if let Ok(Err(problem)) = refreshed.await {
                tracing::error!(%problem, "changed secrets cannot be taken over");
            }
        }
        if config_due && let Err(problem) = self.reload().await {
            let problem = super::told(&problem);
            tracing::error!(problem, "the configuration cannot be taken over; the one before stays in force");
        }
    }

    async fn reload(&self) -> anyhow::Result<()> {
        let text = self.origin.read().await?;
        let hash = queue::body_hash(text.as_bytes());
        if self.looked.lock().hash == hash {
            return Ok(());
        }
        let file = configured(&self.origin.name(), &text, &self.environment)?;
        let wired = Wired::open(file, Some(&self.wired.load_full())).await?;
        self.wired.store(Arc::new(wired));
        self.looked.lock().hash = hash;
        tracing::info!(config = self.origin.name(), "the configuration has changed and is in use");
        Ok(())
    }
}

/// The collector has as long as the function waits for it: what is under way when a function is frozen is broken off.
fn quick(options: TraceOptions) -> TraceOptions {
    TraceOptions { timeout: options.timeout.min(FLUSH_MAX), ..options }
}

/// The time until an invocation has to be answered, less a `margin`.
pub(super) fn left(invocation: &Invocation, margin: Duration) -> Duration {
    now().until(invocation.deadline.minus(margin))
}
