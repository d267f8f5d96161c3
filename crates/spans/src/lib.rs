//! Spans: what was done with an event and how long it took, for whoever collects traces.
//!
//! A trace tells the story of one event. Its id is the event's id, and the span that all others of the story hang on has an
//! id made of it. So the story goes on behind a queue, in another process and after a restart, and no store keeps anything
//! for it. Ids and places are written as W3C's Trace Context has them.
//!
//! As for a log, there is one place in a process that takes spans ([`collect`]), and none unless somebody asks for it. Without
//! it nothing is made: what it costs then is one look at a variable. Whoever takes them must not wait, so a crash or a
//! collector that is down costs spans, and never an event.
//!
//! Names, ids and numbers stand in spans. Never a body, a secret, or a message that was made of one.

mod clock;
mod open;
mod place;

use std::sync::OnceLock;
use std::time::SystemTime;

pub use clock::Moment;
pub use open::{Open, Story, place, samples};
pub use place::{Place, SpanId, TraceId};

/// Links that a span has at most: a batch may have thousands of events.
pub const LINKS_MAX: usize = 32;

/// What attributes are called.
pub mod key {
    /// The event's id.
    pub const EVENT: &str = "aftercall.event.id";
    /// The conversation's id.
    pub const CONVERSATION: &str = "aftercall.conversation.id";
    /// The source that the event came in by.
    pub const SOURCE: &str = "aftercall.source";
    /// Where it is delivered to.
    pub const DESTINATION: &str = "aftercall.destination";
    /// Which attempt it is, from 1.
    pub const ATTEMPT: &str = "aftercall.attempt";
    /// How many deliveries shared the attempt.
    pub const SHARED: &str = "aftercall.attempt.deliveries";
    /// The version of the mapping.
    pub const MAPPING: &str = "aftercall.mapping.version";
    /// What became of it.
    pub const OUTCOME: &str = "aftercall.outcome";
    /// How many events there were.
    pub const EVENTS: &str = "aftercall.events";
    /// How many destinations an event has.
    pub const DESTINATIONS: &str = "aftercall.destinations";
    /// An HTTP status.
    pub const STATUS: &str = "http.response.status_code";
    /// What kind of failure it was.
    pub const ERROR: &str = "error.type";
}

/// What was done, over.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// What it is: a word.
    pub name: &'static str,
    /// Whose side it shows.
    pub kind: Kind,
    /// Its ids.
    pub place: Place,
    /// What it is a part of.
    pub parent: Option<SpanId>,
    /// What it is a part of was done by somebody else, who told of it.
    pub parent_is_remote: bool,
    /// What it has to do with in other traces.
    pub links: Vec<Place>,
    /// When it began.
    pub began: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// The kind of its failure, if it failed.
    pub failed: Option<&'static str>,
}

/// Whose side a span shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// That of who is asked.
    Server,
    /// That of who asks.
    Client,
    /// That of who takes messages.
    Consumer,
    /// None: it happened inside.
    Internal,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A name or an id.
    Text(String),
    /// A number.
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(i64::from(number))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// Takes spans. It never waits: what it has no room for it drops and counts.
pub trait Collect: Send + Sync {
    /// Whether spans of this trace are wanted: a share of all traces may be.
    fn samples(&self, trace: TraceId) -> bool;
    /// Takes one.
    fn take(&self, span: Span);
    /// What became of those that were taken.
    fn counts(&self) -> Counts;
}

/// What became of spans since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Counts {
    /// The collector has them.
    pub exported: u64,
    /// Dropped because too many were waiting.
    pub dropped_full: u64,
    /// Dropped because the collector did not take them.
    pub dropped_refused: u64,
}

static COLLECTOR: OnceLock<Box<dyn Collect>> = OnceLock::new();

/// Has all spans of this process taken from now on; false if somebody takes them already.
pub fn collect(collector: Box<dyn Collect>) -> bool {
    COLLECTOR.set(collector).is_ok()
}

/// Whether somebody takes spans.
pub fn wanted() -> bool {
    collector().is_some()
}

/// What became of spans; none if nobody takes them.
pub fn counts() -> Option<Counts> {
    collector().map(Collect::counts)
}

pub(crate) fn collector() -> Option<&'static dyn Collect> {
    COLLECTOR.get().map(|collector| &**collector)
}
