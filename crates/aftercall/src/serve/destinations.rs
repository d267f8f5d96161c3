//! The services of the destinations, as they are now: started, followed by others after a reload, stopped.

use std::sync::Arc;

use arc_swap::ArcSwap;
use archive::Archive;
use delivery::{Health, PutAside, Service, Switch, SystemClock};
use destinations::Destination;
use queue::{ConsumerId, Queue};
use rand::RngExt;

use super::archive::Aside;
use crate::config::{DestinationParts, OnOutage, Setting};
use crate::router::{RouteMapper, Tables};

/// What others see of a destination.
pub(crate) struct View {
    pub(crate) name: String,
    pub(crate) health: Arc<Health>,
    pub(crate) switch: Switch,
}

/// All destinations in force, for those who look.
pub(crate) type Views = Arc<ArcSwap<Vec<View>>>;

/// A destination with its service, and what another service can be made of.
pub(crate) struct Running {
    pub(crate) name: Arc<str>,
    pub(crate) setting: Setting,
    destination: Arc<dyn Destination>,
    delivery: delivery::Options,
    consumer: ConsumerId,
    handle: delivery::Handle,
}

/// What every service needs.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) tables: Arc<ArcSwap<Tables>>,
    pub(crate) archive: Option<Arc<Archive>>,
}

impl Running {
    /// Starts a service.
    pub(crate) fn start(
        parts: DestinationParts,
        consumer: ConsumerId,
        paused: bool,
        shared: &Shared,
    ) -> Result<Self, delivery::Error> {
        let DestinationParts { name, delivery, destination, setting, .. } = parts;
        let aside = aside(&setting, shared);
        let handle = start(&name, &delivery, &destination, consumer, paused, aside, shared)?;
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
        let paused = self.handle.is_paused();
        let aside = aside(&self.setting, shared);
        let handle = start(&self.name, &self.delivery, &self.destination, self.consumer, paused, aside, shared)?;
        Ok(Self { handle, ..self })
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.handle.is_paused()
    }

    /// What it has opened, for whoever follows it.
    pub(crate) fn opened(&self) -> (Arc<str>, Setting, Arc<dyn Destination>) {
        (Arc::clone(&self.name), self.setting.clone(), Arc::clone(&self.destination))
    }

    pub(crate) fn view(&self) -> View {
        View { name: self.name.to_string(), health: Arc::clone(self.handle.health()), switch: self.handle.switch() }
    }
}

/// Who takes its deliveries while it is down, if they are not to wait.
fn aside(setting: &Setting, shared: &Shared) -> Option<Arc<dyn PutAside>> {
    let archive = shared.archive.as_ref().filter(|_| setting.table.on_outage == OnOutage::Archive)?;
    Some(Arc::new(Aside(Arc::clone(archive))))
}

fn start(
    name: &Arc<str>,
    options: &delivery::Options,
    destination: &Arc<dyn Destination>,
    consumer: ConsumerId,
    paused: bool,
    aside: Option<Arc<dyn PutAside>>,
    shared: &Shared,
) -> Result<delivery::Handle, delivery::Error> {
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
    Ok(Service::new(made, options.clone())?.start())
}
