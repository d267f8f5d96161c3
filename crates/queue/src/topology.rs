//! Who consumes the log: destinations, and the router that says which event is for which.

use std::fmt;
use std::sync::Arc;

use event::Event;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// The destinations and the router of one configuration.
#[derive(Clone)]
pub struct Topology {
    /// The destinations; the router names them by their place here.
    pub consumers: Vec<Consumer>,
    /// Says which event is for which destination.
    pub router: Arc<dyn Router>,
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topology").field("consumers", &self.consumers).finish_non_exhaustive()
    }
}

/// A destination, as the queue knows it.
#[derive(Debug, Clone)]
pub struct Consumer {
    /// Its configured name; its cursor is kept under it.
    pub name: Arc<str>,
    /// Which events wait for each other.
    pub order: Order,
    /// What the later events of a conversation do when an earlier one has become a dead letter; without order, nothing.
    pub behind_dead: BehindDead,
}

/// Which events of a destination wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Those of one conversation.
    #[default]
    Conversation,
    /// None.
    None,
}

/// What the later events of a conversation do when an earlier one of it is a dead letter at the same destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BehindDead {
    /// They go on, and their leases say so.
    #[default]
    Continue,
    /// They wait until it has been redriven and is settled, or is discarded.
    Hold,
}

/// Names a destination's cursor for as long as the store exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerId(pub u16);

impl ConsumerId {
    /// No destination: notes under it are about the whole queue.
    pub const QUEUE: Self = Self(u16::MAX);
}

/// Says which destinations get an event. Pure: the same event always gets the same answer.
pub trait Router: Send + Sync {
    /// The destinations for `event`, each at most once. Empty when no route matches.
    fn route(&self, event: &Event) -> Routes;
}

impl dyn Router {
    /// [`Router::route`] for an event that is being published, which is told as a part of its story.
    pub fn route_new(&self, event: &Event) -> Routes {
        let began = spans::Moment::now();
        let routes = self.route(event);
        if let Some(began) = began
            && let Some(story) = spans::Story::of(event.id).filter(spans::Story::is_sampled)
        {
            let mut span = story.open("route", spans::Kind::Internal, began);
            span.set(spans::key::DESTINATIONS, routes.len());
            span.end();
        }
        routes
    }
}

/// The destinations of one event.
pub type Routes = SmallVec<[Target; 4]>;

/// One destination of an event, and the route that chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Place in [`Topology::consumers`].
    pub consumer: u16,
    /// A number of the router's own; comes back in the lease.
    pub route: u16,
}
