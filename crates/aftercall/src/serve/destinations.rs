//! The services of the destinations, as they are now: started, followed by others after a reload, stopped.

use std::sync::Arc;

use arc_swap::ArcSwap;
use archive::Archive;
use delivery::{Health, PutAside, Service, Switch, SystemClock};
use destinations::Destination;
use queue::{ConsumerId, Queue};
use rand::RngExt;

use super::archive::Aside;
use super::standing::Standing;
use crate::config::{DestinationParts, Fetching, Made, OnOutage, Setting, Trouble};
use crate::router::{RouteMapper, Tables};

/// What others see of a destination.
pub(crate) struct View {
    pub(crate) name: String,
    pub(crate) health: Arc<Health>,
    pub(crate) switch: Switch,
    made: Made,
}

impl View {
    /// Why it cannot be used at all, if so.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.made.trouble()
    }

    /// What fetches transcripts, if it does that.
    pub(crate) fn fetching(&self) -> Option<&Fetching> {
        self.made.fetching()
    }

    /// What it is delivered by, for what it keeps.
    pub(crate) fn destination(&self) -> &Arc<dyn Destination> {
        &self.made.destination
    }
}

/// All destinations in force, for those who look.
pub(crate) type Views = Arc<ArcSwap<Vec<View>>>;

/// A destination with its service, and what another service can be made of.
pub(crate) struct Running {
    pub(crate) name: Arc<str>,
    pub(crate) setting: Setting,
    destination: Made,
    delivery: delivery::Options,
    consumer: ConsumerId,
    handle: delivery::Handle,
}

/// What every service needs.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) tables: Arc<ArcSwap<Tables>>,
    pub(crate) standing: Arc<Standing>,
    pub(crate) archive: Option<Arc<Archive>>,
}

impl Running {
    /// Starts a service; `anew` if the configuration has just made it what it is.
    pub(crate) fn start(
        parts: DestinationParts,
        consumer: ConsumerId,
        anew: bool,
        shared: &Shared,
    ) -> Result<Self, delivery::Error> {
        let DestinationParts { name, delivery, destination, setting, .. } = parts;
        if let Some(fetching) = destination.fetching() {
            fetching.connect(Arc::clone(&shared.queue));
        }
        destination.tend();
        let paused = shared.standing.paused(&name).is_some();
        let day = shared.standing.day(&name);
        let begin = Begin { paused, day, anew, aside: aside(&setting, shared) };
        let handle = start(&name, &delivery, &destination.destination, consumer, begin, shared)?;
        Ok(Self { name, setting, destination, delivery, consumer, handle })
    }

    /// Tells it to let attempts under way end, and then to stop.
    pub(crate) fn finish(&self) {
        self.handle.finish();
    }

    /// Tells it to stop within its drain time.
    pub(crate) fn stop(&self) {
        self.handle.stop();
    }

    /// Waits for the end of a service that was told to stop.
    pub(crate) async fn ended(&mut self) {
        if let Err(error) = self.handle.ended().await {
            tracing::error!(destination = %self.name, %error, "a destination's service ended with an error");
        }
    }

    /// Starts another service, as this one was before it ended.
    pub(crate) fn start_again(self, shared: &Shared) -> Result<Self, delivery::Error> {
        let (paused, day) = (self.handle.is_paused(), self.handle.health().day());
        let begin = Begin { paused, day, anew: false, aside: aside(&self.setting, shared) };
        let handle = start(&self.name, &self.delivery, &self.destination.destination, self.consumer, begin, shared)?;
        Ok(Self { handle, ..self })
    }

    /// What it has opened, for whoever follows it.
    pub(crate) fn opened(&self) -> (Arc<str>, Setting, Made) {
        (Arc::clone(&self.name), self.setting.clone(), self.destination.clone())
    }

    pub(crate) fn view(&self) -> View {
        let (health, switch) = (Arc::clone(self.handle.health()), self.handle.switch());
        View { name: self.name.to_string(), health, switch, made: self.destination.clone() }
    }
}

/// Who takes its deliveries while it is down, if they are not to wait.
fn aside(setting: &Setting, shared: &Shared) -> Option<Arc<dyn PutAside>> {
    let archive = shared.archive.as_ref().filter(|_| setting.table.on_outage == OnOutage::Archive)?;
    Some(Arc::new(Aside { archive: Arc::clone(archive), queue: Arc::clone(&shared.queue) }))
}

/// How a service begins.
struct Begin {
    paused: bool,
    /// What went out today already, for a limit a day.
    day: Vec<(i64, u64)>,
    /// It may not be what it was when it was down.
    anew: bool,
    aside: Option<Arc<dyn PutAside>>,
}

fn start(
    name: &Arc<str>,
    options: &delivery::Options,
    destination: &Arc<dyn Destination>,
    consumer: ConsumerId,
    begin: Begin,
    shared: &Shared,
) -> Result<delivery::Handle, delivery::Error> {
    let Begin { paused, day, anew, aside } = begin;
    let made = delivery::Parts {
        name: Arc::clone(name),
        consumer,
        queue: Arc::clone(&shared.queue),
        mapper: Arc::new(RouteMapper { tables: Arc::clone(&shared.tables), destination: Arc::clone(name) }),
        destination: Arc::clone(destination),
        clock: Arc::new(SystemClock),
        seed: rand::rng().random(),
        aside,
        paused,
    };
    let service = Service::new(made, options.clone())?.counted_today(day);
    Ok(if anew { service.another_destination() } else { service }.start())
}
