//! The tasks that tell: one for each notifier, so that one that hangs delays no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use event::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::{Channel, NotifyError, Options, Outbox, Waiting, command, pagerduty, slack, webhook};
use crate::alarms::{Notice, NotifierReading};

/// The first pause after a failure.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause: an alarm is told at most so long after its notifier is back.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The longest time that a `Retry-After` keeps a notice back.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// How often a failure is logged while it lasts.
const LOG_EVERY: Duration = Duration::from_secs(300);

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// One notifier at work.
struct Notifier {
    options: Options,
    instance: Arc<str>,
    clock: Clock,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    outbox: Outbox,
    sent: u64,
    failed: u64,
    refused: u64,
    failing_since: Option<Timestamp>,
    last_sent: Option<Timestamp>,
    last_error: Option<String>,
    logged: Option<Timestamp>,
}

/// How a notifier is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotifierStatus {
    /// Its name.
    pub name: String,
    /// Notices that were taken since the start.
    pub sent: u64,
    /// Attempts that failed since the start.
    pub failed: u64,
    /// Notices that it has refused too often, or for which there was no room.
    pub lost: u64,
    /// Notices that wait.
    pub waiting: usize,
    /// Since when every attempt has failed; none while it works.
    pub failing_since: Option<Timestamp>,
    /// When it last took one.
    pub last_sent: Option<Timestamp>,
    /// What it failed with last.
    pub last_error: Option<String>,
}

impl Notifier {
    fn status(&self) -> NotifierStatus {
        let state = self.state.lock();
        NotifierStatus {
            name: self.options.name.clone(),
            sent: state.sent,
            failed: state.failed,
            lost: state.refused + state.outbox.dropped(),
            waiting: state.outbox.len(),
            failing_since: state.failing_since,
            last_sent: state.last_sent,
            last_error: state.last_error.clone(),
        }
    }

    fn push(&self, notice: Notice) {
        if self.state.lock().outbox.push(notice) {
            tracing::error!(
                notifier = self.options.name,
                "too many notices wait for a notifier; the oldest was dropped"
            );
        }
        self.changed.notify_one();
    }

    /// Tells what waits, and waits for more, until `stop` is said.
    async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let work = async {
            let mut pause = PAUSE_MIN;
            loop {
                let Some(notice) = self.state.lock().outbox.first() else {
                    self.changed.notified().await;
                    continue;
                };
                match send_once(&self.options, &notice, &self.instance, (self.clock)()).await {
                    Ok(()) => {
                        self.sent(&notice);
                        pause = PAUSE_MIN;
                    }
                    Err(error) => {
                        let wait = self.failed(&notice, &error, pause);
                        pause = (pause * 2).min(PAUSE_MAX);
                        tokio::time::sleep(wait).await;
                    }
                }
            }
        };
        tokio::select! {
            () = work => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    fn sent(&self, notice: &Notice) {
        let now = (self.clock)();
        let mut state = self.state.lock();
        state.outbox.done(notice);
        state.sent += 1;
        state.last_sent = Some(now);
        state.logged = None;
        if let Some(since) = state.failing_since.take() {
            let seconds = since.until(now).as_secs();
            tracing::info!(notifier = self.options.name, seconds, "a notifier works again");
        }
    }

    /// Takes note; returns how long to wait.
    fn failed(&self, notice: &Notice, error: &NotifyError, pause: Duration) -> Duration {
        let now = (self.clock)();
        let mut state = self.state.lock();
        state.failed += 1;
        state.failing_since.get_or_insert(now);
        state.last_error = Some(error.to_string());
        let name = &self.options.name;
        let due = state.logged.is_none_or(|logged| logged.until(now) >= LOG_EVERY);
        match error {
            // A wrong key is mended, or only one notice is refused; either way the others are told first.
            NotifyError::Permanent(_) => {
                if state.outbox.refused(notice) {
                    state.refused += 1;
                    tracing::error!(notifier = name, alarm = notice.alarm.key, %error, "a notifier refused a notice for good");
                } else if due {
                    state.logged = Some(now);
                    tracing::error!(notifier = name, alarm = notice.alarm.key, %error, "a notifier refused a notice; it is told again");
                }
                if state.outbox.is_refused() { pause } else { Duration::ZERO }
            }
            NotifyError::Transient { retry_after, .. } => {
                if due {
                    state.logged = Some(now);
                    tracing::error!(notifier = name, alarm = notice.alarm.key, %error, "a notifier failed; it is tried again");
                }
                retry_after.map_or(pause, |asked| asked.min(RETRY_AFTER_MAX).max(pause))
            }
        }
    }
}

/// Makes one attempt.
///
/// # Errors
/// When the notice was not taken; says nothing of secrets.
pub async fn send_once(options: &Options, notice: &Notice, instance: &str, now: Timestamp) -> Result<(), NotifyError> {
    let id = notice.id();
    let none = http::HeaderMap::new;
    match &options.channel {
        Channel::PagerDuty { url, routing_key } => {
            let key = routing_key.get().map_err(|error| NotifyError::transient(error.to_string()))?;
            url.post(id, pagerduty::body(notice, &key, instance), none()).await
        }
        Channel::Slack { url } => url.post(id, slack::body(notice, instance), none()).await,
        Channel::Webhook { url, key } => {
            let body = webhook::body(notice, instance);
            let headers = key.sign(&id.to_string(), &body, now)?;
            url.post(id, body, headers).await
        }
        Channel::Command(program) => command::run(program, notice, instance, options.timeout).await,
    }
}

/// All notifiers at work.
pub struct Notifiers {
    notifiers: Vec<Arc<Notifier>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
}

impl Notifiers {
    /// Starts them with what still waited when the server stopped last. `instance` names this server to people.
    pub fn start(all: Vec<Options>, waiting: &Waiting, instance: &str, clock: &Clock) -> Self {
        let stop = watch::Sender::new(false);
        let make = |options: Options| {
            let mut state = State::default();
            for notice in waiting.0.get(&options.name).into_iter().flatten() {
                state.outbox.push(notice.clone());
            }
            let (instance, clock, state) = (Arc::from(instance), Arc::clone(clock), Mutex::new(state));
            Arc::new(Notifier { options, instance, clock, state, changed: Notify::new() })
        };
        let notifiers: Vec<_> = all.into_iter().map(make).collect();
        let run = |notifier: &Arc<Notifier>| tokio::spawn(Arc::clone(notifier).run(stop.subscribe()));
        let tasks = Mutex::new(notifiers.iter().map(run).collect());
        Self { notifiers, tasks, stop }
    }

    /// Tells everyone who wants to know.
    pub fn tell(&self, notice: &Notice) {
        let wants = |notifier: &&Arc<Notifier>| notifier.options.wants(notice);
        self.notifiers.iter().filter(wants).for_each(|notifier| notifier.push(notice.clone()));
    }

    /// Tells one, whatever it wants to know. Returns whether there is one of this name.
    pub fn tell_one(&self, name: &str, notice: &Notice) -> bool {
        let found = self.notifiers.iter().find(|notifier| notifier.options.name == name);
        found.inspect(|notifier| notifier.push(notice.clone())).is_some()
    }

    /// How each is doing.
    pub fn status(&self) -> Vec<NotifierStatus> {
        self.notifiers.iter().map(|notifier| notifier.status()).collect()
    }

    /// The same, for alarms about them.
    pub fn readings(&self) -> Vec<NotifierReading> {
        let reading = |status: NotifierStatus| NotifierReading {
            name: status.name,
            failing_since: status.failing_since,
            last_error: status.last_error,
            waiting: status.waiting as u64,
        };
        self.status().into_iter().map(reading).collect()
    }

    /// What waits, to be kept.
    pub fn waiting(&self) -> Waiting {
        let waiting = |notifier: &Arc<Notifier>| (notifier.options.name.clone(), notifier.state.lock().outbox.all());
        Waiting(self.notifiers.iter().map(waiting).filter(|(_, all)| !all.is_empty()).collect::<BTreeMap<_, _>>())
    }

    /// Ends their tasks; an attempt under way is given up, and its notice still waits.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            // A task that panicked has been reported by the runtime.
            let _ = task.await;
        }
    }
}
