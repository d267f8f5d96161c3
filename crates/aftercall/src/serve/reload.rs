//! A configuration taken over while the server runs: as a whole, or not at all.
//!
//! Everything that can fail is made and checked first. Then the services of destinations that have changed or are gone
//! end, with all attempts under way, so nothing is sent twice; the queue gets its new routes and destinations in one step
//! of its writer; and the new services begin where the old ones ended. If the queue cannot take it over, the old services
//! go on. Destinations that have not changed notice nothing. A crash in the middle leaves nothing behind but the cursor
//! of a new destination.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use audit::{Entry, What};
use console::{ConfigChange, ConfigChanged, ConfigStatus, Reloaded};
use parking_lot::Mutex;
use queue::{Consumer, ConsumerId, Queue, Topology};

use super::alarms::Watch;
use super::destinations::{Running, Shared, Views};
use super::now;
use super::origin::{Look, Origin};
use crate::config::{DestinationParts, File, Opened, Parts, Platform, Started, needs_restart};
use crate::router::{Table, Tables};

/// How often the file is looked at; a change is taken over when two looks in a row see the same.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Who wants the configuration to be read anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// SIGHUP.
    Signal,
    /// The file has changed.
    File,
    /// The admin API.
    Asked,
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signal => "SIGHUP",
            Self::File => "the file has changed",
            Self::Asked => "asked by the admin API",
        })
    }
}

/// Notes in the audit trail what the server itself has done.
pub(crate) async fn note(queue: &dyn Queue, action: &str, subject: &str, detail: String) {
    let what =
        What::Done { by: "aftercall".into(), action: action.into(), subject: subject.into(), detail: detail.into() };
    if let Err(error) = queue.note(vec![Entry { at: now(), what }]).await {
        tracing::error!(action, subject, %error, "this is missing from the audit trail");
    }
}

/// The configuration in force, and the hand on everything that a reload changes.
pub(crate) struct Live {
    pub(crate) origin: Origin,
    pub(crate) shared: Shared,
    /// The data directory.
    pub(crate) data: PathBuf,
    pub(crate) intake: intake::Handle,
    pub(crate) views: Views,
    pub(crate) watch: Arc<Watch>,
    pub(crate) state: tokio::sync::Mutex<State>,
    pub(crate) config: Mutex<ConfigStatus>,
    /// What destinations that are no longer configured have left.
    pub(crate) left: Mutex<Vec<console::Left>>,
    /// The last content that was refused, and why.
    pub(crate) refused: Mutex<Option<(Option<String>, String)>>,
}

/// What one reload at a time works on.
pub(crate) struct State {
    pub(crate) file: File,
    pub(crate) started: Started,
    pub(crate) services: Vec<Running>,
    /// The platform that is asked, and whose budget is shared.
    pub(crate) platform: Option<Platform>,
    /// The server is stopping.
    pub(crate) closed: bool,
}

impl Live {
    /// Reads the configuration anew and takes it over. Goes on to its end although nobody waits for it any more.
    ///
    /// # Errors
    /// Why it was refused; then everything is as before.
    pub(crate) async fn reload(self: Arc<Self>, trigger: Trigger) -> Result<Reloaded, String> {
        let working = tokio::spawn(async move { self.one_after_the_other(trigger).await });
        working.await.unwrap_or_else(|error| Err(format!("the reload ended early: {error}")))
    }

    async fn one_after_the_other(&self, trigger: Trigger) -> Result<Reloaded, String> {
        let mut state = self.state.lock().await;
        if state.closed {
            return Err("the server is stopping".to_owned());
        }
        let opened = Opened::by(state.services.iter().map(Running::opened), state.platform.clone());
        let origin = self.origin.clone();
        let read = move || {
            let (file, hash) = origin.read();
            let made = file.and_then(|file| file.parts(&opened).map(|parts| (file, parts)));
            (made.map_err(|error| error.in_a_line()), hash)
        };
        let (made, hash) = match self.origin.path {
            Some(_) => tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?,
            None => (Err("the server runs without a configuration file; start it with --config".to_owned()), None),
        };
        let taken = match made {
            Ok((file, parts)) => self.take_over(&mut state, file, parts).await,
            Err(problem) => Err(problem),
        };
        match taken {
            Ok(changes) => {
                let reloaded = self.succeeded(trigger, changes, hash);
                if !reloaded.changes.is_empty() {
                    let keys: Vec<_> = reloaded.changes.iter().map(|change| change.key.as_str()).collect();
                    let hash = reloaded.hash.as_deref().unwrap_or("unknown");
                    let detail = format!("{trigger}; {}; hash {hash}", keys.join(", "));
                    note(&*self.shared.queue, "take over", "configuration", detail).await;
                }
                Ok(reloaded)
            }
            Err(problem) => Err(self.failed(problem, hash)),
        }
    }

    fn succeeded(&self, trigger: Trigger, changes: Vec<ConfigChange>, hash: Option<String>) -> Reloaded {
        let loaded_at = now().as_millis();
        *self.config.lock() = ConfigStatus { loaded_at, hash: hash.clone(), error: None };
        self.watch.set_refused(None);
        let mended = self.refused.lock().take().is_some();
        if !changes.is_empty() {
            let changed: Vec<_> = changes.iter().map(|change| change.key.as_str()).collect();
            tracing::info!(changed = changed.join(", "), "the configuration was read anew and is in force");
        } else if mended || trigger != Trigger::File {
            tracing::info!("the configuration was read anew; it is the one in force");
        }
        Reloaded { loaded_at, hash, changes }
    }

    /// Takes note of what was refused; the same is logged once.
    fn failed(&self, problem: String, hash: Option<String>) -> String {
        self.config.lock().error = Some(problem.clone());
        // Without a file nothing is refused that somebody could mend.
        self.watch.set_refused(self.origin.path.as_ref().map(|_| problem.clone()));
        let known = self.refused.lock().replace((hash.clone(), problem.clone()));
        if known != Some((hash, problem.clone())) {
            tracing::error!(
                problem,
                "the changed configuration is refused, and the one before stays in force; mend the file, it is read again by \
                 itself"
            );
        }
        problem
    }

    async fn take_over(&self, state: &mut State, file: File, parts: Parts) -> Result<Vec<ConfigChange>, String> {
        let fixed = needs_restart(&state.file, &file, &state.started);
        if !fixed.is_empty() {
            return Err(format!(
                "{} cannot change while the server runs; restart it to use the file, or take the change back",
                fixed.join(", ")
            ));
        }
        self.intake.check_sources(&parts.sources).map_err(|error| error.to_string())?;
        let keys = self.intake.redaction_keys();
        let rekeyed = keys != parts.redaction;
        let changes = changes(state, &file, &parts, rekeyed);
        if !changes.is_empty() {
            self.replace_destinations(state, &file, parts.destinations, parts.routes).await?;
            if rekeyed || redacts_anew(&state.file, &file) {
                tracing::warn!(
                    "what sources redact, or with which key, has changed: an event of before that is sent again within \
                     queue.dedupe_window is kept as a conflict if that changes what is stored of it"
                );
            }
            if rekeyed || state.file.sources != file.sources {
                self.intake.set_redaction_keys(parts.redaction);
                // Checked before.
                self.intake.set_sources(parts.sources).map_err(|error| error.to_string())?;
            }
            let told_anew = state.file.notifiers != file.notifiers || state.file.instance() != file.instance();
            let sources: Vec<_> = file.sources.keys().cloned().collect();
            self.watch.replace(parts.alarms, told_anew, &sources).await;
        }
        state.started.note(&file);
        state.file = file;
        state.platform = parts.platform;
        Ok(changes)
    }

    /// The routes and destinations, together.
    async fn replace_destinations(
        &self,
        state: &mut State,
        file: &File,
        wanted: Vec<DestinationParts>,
        routes: Vec<crate::config::RouteParts>,
    ) -> Result<(), String> {
        let stays = |running: &Running| {
            wanted.iter().any(|parts| parts.name == running.name && parts.setting == running.setting)
        };
        if state.file.routes == file.routes && wanted.len() == state.services.len() && state.services.iter().all(stays)
        {
            return Ok(());
        }
        let old = self.shared.tables.load_full();
        let table = Arc::new(old.present.next(wanted.iter().map(|parts| Arc::clone(&parts.name)).collect(), routes));
        let (staying, mut ending): (Vec<_>, Vec<_>) = std::mem::take(&mut state.services).into_iter().partition(stays);
        ending.iter().for_each(Running::finish);
        for running in &mut ending {
            running.ended().await;
        }
        // Before the queue routes with the new table: whoever maps must know the numbers of both.
        self.shared
            .tables
            .store(Arc::new(Tables { present: Arc::clone(&table), before: Some(Arc::clone(&old.present)) }));
        match configure(&self.shared.queue, &wanted, &table).await {
            Ok(ids) => {
                let names: Vec<_> = wanted.iter().map(|parts| Arc::clone(&parts.name)).collect();
                self.shared.standing.keep_only(&names);
                state.services = self.started(staying, wanted, &ids);
                self.views.store(Arc::new(state.services.iter().map(Running::view).collect()));
                self.look_for_left(names.iter().map(|name| name.to_string()).collect()).await;
                Ok(())
            }
            Err(problem) => {
                self.shared.tables.store(Arc::new(Tables { present: Arc::clone(&old.present), before: Some(table) }));
                let again = ending.into_iter().filter_map(|running| noted(running.start_again(&self.shared)));
                state.services = staying.into_iter().chain(again).collect();
                self.views.store(Arc::new(state.services.iter().map(Running::view).collect()));
                Err(problem)
            }
        }
    }

    /// Looks anew for what destinations that are no longer configured have left.
    pub(crate) async fn look_for_left(&self, destinations: Vec<String>) {
        let data = self.data.clone();
        let look = move || {
            let names: Vec<_> = destinations.iter().map(String::as_str).collect();
            super::left::look(&data, &names)
        };
        // Its panic has been reported by the runtime.
        *self.left.lock() = tokio::task::spawn_blocking(look).await.unwrap_or_default();
    }

    /// Those that stay, and services for all others; in the order of the configuration.
    fn started(&self, staying: Vec<Running>, wanted: Vec<DestinationParts>, ids: &[ConsumerId]) -> Vec<Running> {
        let mut staying: HashMap<_, _> =
            staying.into_iter().map(|running| (Arc::clone(&running.name), running)).collect();
        let start = |(parts, id): (DestinationParts, &ConsumerId)| {
            staying.remove(&parts.name).or_else(|| noted(Running::start(parts, *id, true, &self.shared)))
        };
        wanted.into_iter().zip(ids).filter_map(start).collect()
    }
}

/// A service cannot be started for bad options only, and those were checked.
fn noted(started: Result<Running, delivery::Error>) -> Option<Running> {
    started.inspect_err(|error| tracing::error!(%error, "a destination has no service; restart the server")).ok()
}

/// Gives the queue destinations and routes. It waits for its writer, so it has a thread of its own meanwhile.
pub(crate) async fn configure(
    queue: &Arc<dyn Queue>,
    destinations: &[DestinationParts],
    table: &Arc<Table>,
) -> Result<Vec<ConsumerId>, String> {
    let consumer =
        |d: &DestinationParts| Consumer { name: Arc::clone(&d.name), order: d.order, behind_dead: d.behind_dead };
    configure_as(queue, destinations.iter().map(consumer).collect(), table).await
}

/// The same, for whoever has no services.
pub(crate) async fn configure_as(
    queue: &Arc<dyn Queue>,
    consumers: Vec<Consumer>,
    table: &Arc<Table>,
) -> Result<Vec<ConsumerId>, String> {
    let topology = Topology { consumers, router: Arc::clone(table) as Arc<dyn queue::Router> };
    let queue = Arc::clone(queue);
    let configured = tokio::task::spawn_blocking(move || queue.configure(topology)).await;
    let failed = |error: &dyn std::fmt::Display| format!("setting up the destinations: {error}");
    configured.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

/// What differs.
fn changes(state: &State, file: &File, parts: &Parts, rekeyed: bool) -> Vec<ConfigChange> {
    let mut changes = Vec::new();
    let (old, new) = (&state.file.sources, &file.sources);
    differences("sources", old.keys(), new.keys(), |name| old.get(name) == new.get(name), &mut changes);
    let same = |name: &String| {
        let setting = parts.destinations.iter().find(|parts| *parts.name == **name).map(|parts| &parts.setting);
        state.services.iter().any(|running| *running.name == **name && Some(&running.setting) == setting)
    };
    let (old, new) = (&state.file.destinations, &file.destinations);
    differences("destinations", old.keys(), new.keys(), same, &mut changes);
    let (old, new) = (&state.file.notifiers, &file.notifiers);
    differences("notifiers", old.keys(), new.keys(), |name| old.get(name) == new.get(name), &mut changes);
    let mut whole = |key: &str, differs: bool| {
        if differs {
            changes.push(ConfigChange { key: key.to_owned(), change: ConfigChanged::Changed });
        }
    };
    whole("redaction", rekeyed || state.file.redaction != file.redaction);
    whole("genesys", state.file.genesys != file.genesys);
    whole("routes", state.file.routes != file.routes);
    whole("alarms", state.file.alarms != file.alarms);
    changes
}

/// Whether a source that stays redacts otherwise than before.
fn redacts_anew(old: &File, new: &File) -> bool {
    let both = new.sources.iter().filter_map(|(name, table)| Some((table, old.sources.get(name)?)));
    both.into_iter().any(|(new, old)| new.redact != old.redact)
}

fn differences<'a>(
    table: &str,
    old: impl Iterator<Item = &'a String> + Clone,
    new: impl Iterator<Item = &'a String> + Clone,
    same: impl Fn(&String) -> bool,
    changes: &mut Vec<ConfigChange>,
) {
    let mut add = |name: &str, change| changes.push(ConfigChange { key: format!("{table}.{name}"), change });
    let known: std::collections::HashSet<_> = old.clone().collect();
    let wanted: std::collections::HashSet<_> = new.clone().collect();
    new.clone().filter(|name| !known.contains(name)).for_each(|name| add(name, ConfigChanged::Added));
    new.filter(|name| known.contains(name) && !same(name)).for_each(|name| add(name, ConfigChanged::Changed));
    old.filter(|name| !wanted.contains(name)).for_each(|name| add(name, ConfigChanged::Removed));
}

/// Looks at the file until `stop` is ready, and takes over what has changed since it was `seen`.
pub(crate) async fn look_after(live: Arc<Live>, mut seen: Option<Look>, stop: impl Future<Output = ()>) {
    let work = async {
        let mut before = seen;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let origin = live.origin.clone();
            let Ok(look) = tokio::task::spawn_blocking(move || origin.look()).await else { continue };
            // What is just being written is left until it stays the same.
            if look != seen && look == before {
                seen = look;
                // What is wrong is in the log and in the status.
                let _ = Arc::clone(&live).reload(Trigger::File).await;
            }
            before = look;
        }
    };
    tokio::select! {
        () = work => {}
        () = stop => {}
    }
}
