//! Alarms at work: takes a reading every few seconds, lets `operate` decide, does what the configuration wants done, and
//! tells the notifiers.
//!
//! A reading is cheap: counts that the server has anyway, one event a destination, and the dead letters that are new. It
//! has a time limit, so a disk that hangs is found and does not stop the alarms. What alarms must remember is saved
//! before the next reading; a crash before that opens the same alarm again, under the same key.

mod letters;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use console::Alarms;
use delivery::BreakerState;
use operate::alarms::{
    Breaker, Change, DestinationReading, Notice, Options, Reading, Severity, SourceReading, State, TopicReading,
};
use operate::notifier::Notifiers;
use operate::store::Kept;
use queue::{ConsumerStatus, Queue, QueueError};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) use self::letters::Letters;
use super::destinations::{View, Views};
use super::now;
use super::standing::Standing;
use crate::config::{Action, AlarmParts};

/// A part of a reading that takes longer is left out of it.
const READING_LIMIT: Duration = Duration::from_secs(10);
/// A commit that takes longer is looked at again by the next reading.
const PROBE_LIMIT: Duration = Duration::from_secs(1);
/// What was learnt is saved at least so often.
const SAVE_EVERY: Duration = Duration::from_secs(300);
/// Refusals that speak of a wrong secret, or of somebody who has none.
const AUTH: &str = "auth-";

/// What the alarms watch.
pub(crate) struct Watched {
    pub(crate) dir: PathBuf,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) intake: intake::Handle,
    pub(crate) destinations: Views,
    pub(crate) standing: Arc<Standing>,
    pub(crate) archive: Option<Arc<archive::Archive>>,
}

/// The alarms of a running server.
pub(crate) struct Watch {
    watched: Watched,
    /// What commands in texts need besides, to reach this server.
    ask: Option<String>,
    settings: ArcSwap<Settings>,
    /// Held while something is told, so that nothing is told to those that are being replaced.
    notifiers: Mutex<Arc<Notifiers>>,
    state: Mutex<State>,
    /// Why the file of the configuration is not in force, if so.
    refused: Mutex<Option<String>>,
    saving: Mutex<()>,
}

/// What a reload changes.
struct Settings {
    options: Options,
    every: Duration,
    actions: Vec<Action>,
}

impl Watch {
    /// Starts the notifiers, with what was not told before the last stop. `console` is where this server is asked.
    pub(crate) async fn start(
        watched: Watched,
        parts: AlarmParts,
        console: std::net::SocketAddr,
    ) -> anyhow::Result<Arc<Self>> {
        let AlarmParts { options, every, instance, notifiers, actions } = parts;
        let usual = std::net::SocketAddr::from(([127, 0, 0, 1], 8081));
        let ask = (console != usual).then(|| format!(" --console {console}"));
        let settings = Settings { options: asking(options, ask.as_ref()), every, actions };
        let dir = watched.dir.clone();
        let mut kept = tokio::task::spawn_blocking(move || Kept::load(&dir)).await?;
        let sources: Vec<_> = watched.intake.counts().into_iter().map(|counts| counts.source).collect();
        kept.state.keep_sources(&sources);
        let clock: operate::notifier::Clock = Arc::new(now);
        let notifiers = Notifiers::start(notifiers, &kept.waiting, &instance, &clock);
        Ok(Arc::new(Self {
            watched,
            ask,
            settings: ArcSwap::from_pointee(settings),
            notifiers: Mutex::new(Arc::new(notifiers)),
            state: Mutex::new(kept.state),
            refused: Mutex::default(),
            saving: Mutex::default(),
        }))
    }

    /// What is wrong now, and how the notifiers are doing.
    pub(crate) fn tell(&self) -> Alarms {
        Alarms { open: self.state().open(), notifiers: self.notifiers().status() }
    }

    /// Goes by other settings from the next reading on. Notifiers are replaced if `told_anew`; what waits for one waits for
    /// the new one of its name.
    pub(crate) async fn replace(&self, parts: AlarmParts, told_anew: bool, sources: &[String]) {
        let AlarmParts { options, every, instance, notifiers, actions } = parts;
        let options = asking(options, self.ask.as_ref());
        self.settings.store(Arc::new(Settings { options, every, actions }));
        self.state().keep_sources(sources);
        if told_anew {
            let old = Arc::clone(&self.notifiers());
            old.stop().await;
            let clock: operate::notifier::Clock = Arc::new(now);
            let mut present = self.notifiers();
            *present = Arc::new(Notifiers::start(notifiers, &old.waiting(), &instance, &clock));
        }
    }

    /// Why the file of the configuration is not in force; none if it is.
    pub(crate) fn set_refused(&self, problem: Option<String>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// Lets nothing more go out to a destination, or lets it again; also after a restart. Returns whether that was otherwise
    /// before; `None` if there is no such destination.
    pub(crate) fn set_paused(&self, destination: &str, paused: bool, by: &str) -> Option<bool> {
        let views = self.watched.destinations.load();
        let view = views.iter().find(|view| view.name == destination)?;
        view.switch.set_paused(paused);
        let paused = paused.then(|| console::Paused { since: now(), by: by.to_owned() });
        Some(self.watched.standing.set_paused(destination, paused))
    }

    /// Watches until `stop` is ready.
    pub(crate) async fn run(self: Arc<Self>, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = self.watch() => {}
            () = stop => {}
        }
        let notifiers = Arc::clone(&self.notifiers());
        notifiers.stop().await;
        self.save().await;
    }

    async fn watch(self: &Arc<Self>) {
        let (mut letters, mut probe) = (Letters::default(), Probe::default());
        let (mut saved, mut saved_waiting) = (Instant::now(), usize::MAX);
        loop {
            let reading = self.reading(&mut letters, &mut probe).await;
            let settings = self.settings.load_full();
            let notices = self.state().step(&reading, &settings.options, now());
            let new = !notices.is_empty();
            for mut notice in notices {
                log(&notice);
                self.act(&mut notice);
                self.notifiers().tell(&notice);
            }
            let waiting = self.notifiers().status().iter().map(|status| status.waiting).sum();
            if new || waiting != saved_waiting || saved.elapsed() >= SAVE_EVERY {
                self.save().await;
                (saved, saved_waiting) = (Instant::now(), waiting);
            }
            tokio::time::sleep(settings.every).await;
        }
    }

    /// Does what the configuration wants done when an alarm opens, and says so in its notice.
    fn act(&self, notice: &mut Notice) {
        if notice.change != Change::Opened {
            return;
        }
        let settings = self.settings.load();
        for action in &settings.actions {
            let subject = notice.alarm.subject.clone();
            let about = action.destination.as_ref().is_none_or(|name| *name == subject);
            if action.on != notice.alarm.kind || !about {
                continue;
            }
            if action.pause && self.set_paused(&subject, true, &format!("alarm {}", notice.alarm.key)).is_some() {
                tracing::error!(destination = subject, alarm = notice.alarm.key, "an alarm paused a destination");
                notice.alarm.todo.retain(|step| !step.starts_with(operate::alarms::BY_ITSELF));
                notice.alarm.detail.push_str(" It was paused, as [[alarms.actions]] has it.");
                notice.alarm.todo.push(format!("to go on: aftercall resume {subject}{}", settings.options.ask));
            }
            if let Some(name) = &action.call {
                self.notifiers().tell_one(name, notice);
            }
        }
    }

    fn archive_failing(&self) -> Option<(event::Timestamp, String)> {
        let status = self.watched.archive.as_ref()?.status();
        status.failing_since.zip(status.error)
    }

    async fn reading(&self, letters: &mut Letters, probe: &mut Probe) -> Reading {
        let Watched { dir, queue, intake, destinations, .. } = &self.watched;
        let new_letters = within_limit(letters.read_new(&**queue)).await;
        let status = within_limit(queue.status(now())).await;
        let groups = match (new_letters, &status) {
            (Some(Ok(())), Some(Ok(status))) => letters.settle(status),
            _ => None,
        };
        let reviews = within_limit(queue.reviews()).await.and_then(Result::ok);
        let groups = groups.zip(reviews).map(|(mut groups, reviews)| {
            queue::apply_reviews(&mut groups, &reviews);
            groups
        });
        let status = status.and_then(Result::ok);
        let consumers = status.map(|status| status.consumers).unwrap_or_default();
        let commit = probe.look(queue).await;
        // Last, since what is full in the meantime is full.
        let dir = dir.clone();
        let free = within_limit(tokio::task::spawn_blocking(move || free_bytes(&dir))).await;
        let counts = intake.counts();
        let queue_full = queue_full(&counts);
        Reading {
            stopped: queue.poisoned(),
            groups,
            destinations: destinations.load().iter().map(|view| destination(view, &consumers)).collect(),
            sources: counts.into_iter().filter(|counts| !counts.source.is_empty()).map(source).collect(),
            disk_free: free.and_then(Result::ok).flatten(),
            commit,
            queue_full,
            quarantine_closed: intake.quarantine().and_then(|quarantine| quarantine.status().closed),
            notifiers: self.notifiers().readings(),
            archive_failing: self.archive_failing(),
            configuration_refused: self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Saves what is to be remembered. One save that was given up may still be writing when the next begins, so they wait
    /// for each other, and each takes what there is when its turn comes.
    async fn save(self: &Arc<Self>) {
        let watch = Arc::clone(self);
        let saving = tokio::task::spawn_blocking(move || {
            let _turn = watch.saving.lock().unwrap_or_else(PoisonError::into_inner);
            Kept::new(watch.state().clone(), watch.notifiers().waiting()).save(&watch.watched.dir)
        });
        match saving.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "alarms cannot be saved; after a restart they would be told again")
            }
            Err(error) => tracing::error!(%error, "saving alarms ended early"),
        }
    }

    fn notifiers(&self) -> MutexGuard<'_, Arc<Notifiers>> {
        self.notifiers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The commands in texts name this server.
fn asking(mut options: Options, ask: Option<&String>) -> Options {
    options.ask = ask.cloned().unwrap_or(options.ask);
    options
}

async fn within_limit<T>(work: impl Future<Output = T>) -> Option<T> {
    timeout(READING_LIMIT, work).await.ok()
}

/// Measures how long the writer takes for a commit that changes nothing, behind those that are under way; what a sender
/// waits. With a full disk it waits until there is room, and a reading must not wait for that.
#[derive(Default)]
struct Probe {
    under_way: Option<(Instant, JoinHandle<Result<(), QueueError>>)>,
}

impl Probe {
    /// How long the last one took, or has taken so far; `None` if it failed.
    async fn look(&mut self, queue: &Arc<dyn Queue>) -> Option<Duration> {
        let (begun, asked) = self.under_way.get_or_insert_with(|| {
            let queue = Arc::clone(queue);
            (Instant::now(), tokio::spawn(async move { queue.settle(Vec::new(), now()).await }))
        });
        let begun = *begun;
        let Ok(answered) = timeout(PROBE_LIMIT, asked).await else { return Some(begun.elapsed()) };
        self.under_way = None;
        matches!(answered, Ok(Ok(()))).then(|| begun.elapsed())
    }
}

/// Requests that the queue had no room for, since start.
fn queue_full(counts: &[intake::SourceCounts]) -> u64 {
    let full = intake::Reason::QueueFull.code();
    counts.iter().flat_map(|source| &source.refused).filter(|(code, _)| *code == full).map(|(_, count)| count).sum()
}

fn free_bytes(dir: &std::path::Path) -> Option<u64> {
    let stat = nix::sys::statvfs::statvfs(dir).ok()?;
    #[expect(clippy::useless_conversion, reason = "their width differs between systems")]
    Some(u64::from(stat.blocks_available()).saturating_mul(u64::from(stat.fragment_size())))
}

fn destination(view: &View, consumers: &[ConsumerStatus]) -> DestinationReading {
    let consumer = consumers.iter().find(|consumer| consumer.configured && consumer.name == view.name);
    let health = view.health.snapshot();
    // A transcript is late only when it should have been given up.
    let patience = view.fetching().map(|fetching| fetching.give_up()).unwrap_or_default();
    let gate = health.gate;
    // One that is paused is not probed, so nobody would find out that nothing is left to probe with.
    let is_over = gate.is_some_and(|gate| gate.paused) && consumer.is_some_and(|consumer| consumer.unsettled == 0);
    let breaker = match gate.map(|gate| (gate.breaker.state, gate.breaker.since)) {
        _ if is_over => Breaker::Closed,
        Some((BreakerState::Open | BreakerState::HalfOpen, Some(since))) => Breaker::Open(since),
        // Not before its service has read where it stood.
        None => Breaker::Unknown,
        // In the ramp deliveries go out again, and it ends only when there are enough of them.
        _ => Breaker::Closed,
    };
    DestinationReading {
        name: view.name.clone(),
        unusable: view.trouble().map(|trouble| (trouble.since, trouble.problem)),
        oldest: consumer.and_then(|consumer| consumer.oldest_unsettled).map(|oldest| oldest.plus(patience)),
        waiting: consumer.map_or(0, |consumer| consumer.unsettled),
        held: consumer.map_or(0, |consumer| consumer.held),
        put_aside: consumer.map_or(0, |consumer| consumer.put_aside),
        breaker,
        paused: gate.is_some_and(|gate| gate.paused),
        limited: gate.and_then(|gate| gate.rate_opens),
        last_error: health.last_error.map(|error| error.message),
    }
}

fn source(counts: intake::SourceCounts) -> SourceReading {
    let refused = counts.refused.iter().filter(|(code, _)| code.starts_with(AUTH)).map(|(_, count)| count).sum();
    let topic = |topic: intake::TopicCounts| TopicReading {
        topic: topic.topic.to_string(),
        accepted: topic.accepted,
        last: Some(topic.last),
    };
    SourceReading { name: counts.source, refused, topics: counts.topics.into_iter().map(topic).collect() }
}

/// Logs what is told.
pub(crate) fn log(notice: &Notice) {
    let alarm = &notice.alarm;
    let (key, summary) = (&alarm.key, &alarm.summary);
    let change = notice.change.as_str();
    match alarm.severity {
        _ if notice.change == Change::Resolved => tracing::info!(alarm = key, "alarm {change}: {summary}"),
        Severity::Info => tracing::info!(alarm = key, "alarm {change}: {summary}"),
        Severity::Warning => tracing::warn!(alarm = key, "alarm {change}: {summary}"),
        Severity::Error | Severity::Critical => tracing::error!(alarm = key, "alarm {change}: {summary}"),
    }
}
