//! What a function works with: the queue, intake, the routes, and the destinations that it has opened.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use event::Event;
use intake::direct::Direct;
use parking_lot::Mutex;
use queue::{Consumer, ConsumerId, Queue, Router, Routes, Topology};
use queue_aws::AwsQueue;

use super::environment::Environment;
use super::records;
use crate::config::{AlarmParts, ConfigError, DestinationParts, File, FunctionParts, QueueParts, QueuePlace};
use crate::router::{Table, Tables};
use crate::serve::{clock, store};

/// Where a function may write, and only until it ends. Nothing that matters is put there.
const SCRATCH: &str = "/tmp/aftercall-data";

/// All of it, made of one configuration.
pub(super) struct Wired {
    pub(super) queue: Arc<dyn Queue>,
    /// The same, as what it is.
    pub(super) table_queue: Arc<AwsQueue>,
    /// The destinations' ids in the queue, in the order of their names.
    pub(super) ids: Vec<ConsumerId>,
    /// Alarms, once they were asked for.
    alarms: Mutex<Option<Arc<AlarmParts>>>,
    pub(super) intake: Direct,
    pub(super) tables: Arc<ArcSwap<Tables>>,
    table: Arc<Table>,
    touched: Arc<Touched>,
    consumers: Vec<Consumer>,
    /// The destinations, in the order of the configuration.
    pub(super) destinations: Vec<Arc<str>>,
    /// Those that no function can deliver to.
    pub(super) local: Vec<Arc<str>>,
    /// The sources that are queues, and the names of these.
    queues: Vec<(Arc<str>, String)>,
    file: File,
    opened: Mutex<HashMap<Arc<str>, Arc<DestinationParts>>>,
}

impl Wired {
    /// Makes everything; of the queue `before` has open, if that is the same.
    pub(super) async fn open(file: File, before: Option<&Self>) -> anyhow::Result<Self> {
        let FunctionParts { intake, sources, consumers, routes, redaction } = file.function_parts()?;
        let table_queue = match before.filter(|before| before.file.queue == file.queue) {
            Some(before) => Arc::clone(&before.table_queue),
            None => Arc::new(open_table(&file.queue_options()?).await?),
        };
        let queue: Arc<dyn Queue> = Arc::<AwsQueue>::clone(&table_queue);
        let names: Vec<Arc<str>> = consumers.iter().map(|consumer| Arc::clone(&consumer.name)).collect();
        // Numbered anew each time: functions and servers on one table mean the same routes by the same numbers as long as
        // they have the same configuration.
        let table = Arc::new(Table::new(names.clone(), routes, Arc::default()));
        let touched = Arc::new(Touched { table: Arc::clone(&table), places: Mutex::default() });
        let ids = configure(&queue, &consumers, Arc::clone(&touched) as Arc<dyn Router>).await?;
        let direct = Direct::new(intake, sources, Arc::clone(&queue), clock())?;
        direct.handle().set_redaction_keys(redaction);
        let queues = file.queue_sources().into_iter().map(|(name, url)| (name, records::name_of(&url).to_owned()));
        Ok(Self {
            queue,
            table_queue,
            ids,
            alarms: Mutex::default(),
            intake: direct,
            tables: Arc::new(ArcSwap::from_pointee(Tables { present: Arc::clone(&table), before: None })),
            table,
            touched,
            consumers,
            destinations: names,
            local: file.local_destinations(),
            queues: queues.collect(),
            file,
            opened: Mutex::default(),
        })
    }

    /// The same queue, opened once more, with the ids of the destinations in their order: for whoever delivers. When it is
    /// closed it gives back what it owns, which a function that may be frozen must not keep.
    pub(super) async fn open_again(&self) -> anyhow::Result<(Arc<dyn Queue>, Vec<ConsumerId>)> {
        let queue = store::open(&self.file.queue_options()?).await?;
        let ids = configure(&queue, &self.consumers, Arc::clone(&self.table) as Arc<dyn Router>).await?;
        Ok((queue, ids))
    }

    /// The source whose messages come by this queue: the one that names it, or the only one that is a queue.
    pub(super) fn source_of(&self, queue: &str) -> Option<&Arc<str>> {
        let named = self.queues.iter().find(|(_, known)| known == queue);
        named
            .or(match &self.queues[..] {
                [only] => Some(only),
                _ => None,
            })
            .map(|(name, _)| name)
    }

    /// A destination, opened when it is needed first and kept open; `None` if there is none of this name. Blocks.
    pub(super) fn destination(&self, name: &str) -> Option<Result<Arc<DestinationParts>, ConfigError>> {
        if let Some(opened) = self.opened.lock().get(name) {
            return Some(Ok(Arc::clone(opened)));
        }
        let made = self.file.function_destination(name)?;
        Some(made.map(|parts| {
            let parts = Arc::new(parts);
            Arc::clone(self.opened.lock().entry(Arc::clone(&parts.name)).or_insert(parts))
        }))
    }

    /// Alarms, and who is told of them; none if nobody is. Made when they are asked for first, and tried again if that fails:
    /// only upkeep needs the secrets of notifiers, and what else it does must go on without them.
    pub(super) async fn alarms(&self) -> Result<Option<Arc<AlarmParts>>, String> {
        let made = self.alarms.lock().clone();
        if made.is_some() || !self.file.notifies() {
            return Ok(made);
        }
        // Secrets may be asked for.
        let file = self.file.clone();
        let parts = tokio::task::spawn_blocking(move || file.alarm_parts()).await.map_err(|error| error.to_string())?;
        let parts = Arc::new(parts.map_err(|error| error.in_a_line())?);
        *self.alarms.lock() = Some(Arc::clone(&parts));
        Ok(Some(parts))
    }

    /// How long a delivery to this destination may wait for what it is about.
    pub(super) fn patience(&self, name: &str) -> Duration {
        self.file.patience_of(name)
    }

    /// The destinations for which something was published or redriven since this was asked last.
    pub(super) fn take_touched(&self) -> Vec<Arc<str>> {
        let places = std::mem::take(&mut *self.touched.places.lock());
        let named = |place: u16| self.destinations.get(usize::from(place)).cloned();
        places.into_iter().filter_map(named).filter(|name| !self.local.contains(name)).collect()
    }
}

async fn open_table(parts: &QueueParts) -> anyhow::Result<AwsQueue> {
    match &parts.place {
        QueuePlace::Aws(place) => store::open_table(parts, place).await,
        QueuePlace::Embedded => anyhow::bail!("functions need the queue on AWS: write [queue] kind = \"aws\""),
    }
}

async fn configure(
    queue: &Arc<dyn Queue>,
    consumers: &[Consumer],
    router: Arc<dyn Router>,
) -> anyhow::Result<Vec<ConsumerId>> {
    let (queue, topology) = (Arc::clone(queue), Topology { consumers: consumers.to_vec(), router });
    let ids = tokio::task::spawn_blocking(move || queue.configure(topology)).await?;
    ids.context("setting up the destinations")
}

/// Reads a configuration, with what the environment says in place of what stands in it.
pub(super) fn configured(name: &str, text: &str, environment: &Environment) -> Result<File, ConfigError> {
    let mut file = crate::config::parse(name, text)?;
    file.data_dir = Some(SCRATCH.into());
    file.use_table(environment.table.as_deref(), environment.bodies.as_deref());
    Ok(file)
}

/// The routes, which notice where they lead.
pub(super) struct Touched {
    table: Arc<Table>,
    /// Destinations by their places.
    places: Mutex<BTreeSet<u16>>,
}

impl Router for Touched {
    fn route(&self, event: &Event) -> Routes {
        let routes = self.table.route(event);
        self.places.lock().extend(routes.iter().map(|target| target.consumer));
        routes
    }
}
