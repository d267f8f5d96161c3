//! Spans that are not over yet.

use event::EventId;

use crate::place::{span_id, trace_id};
use crate::{Collect, Kind, LINKS_MAX, Moment, Place, Span, TraceId, Value, collector, key};

/// The story of an event, as far as spans of it are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Story {
    event: EventId,
    sampled: bool,
}

impl Story {
    /// That of this event; none if nobody takes spans.
    pub fn of(event: EventId) -> Option<Self> {
        let collector = collector()?;
        Some(Self { event, sampled: collector.samples(*event.as_bytes()) })
    }

    /// Where it begins.
    pub fn place(&self) -> Place {
        Place::of_event(self.event, self.sampled)
    }

    /// Whether spans of it are wanted. If not, those that are opened are not taken, and tell others that they are not.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The span that it begins with, a part of `within` if that is of the same trace, or else linked to it.
    pub fn begin(&self, name: &'static str, began: Moment, within: Option<Place>) -> Open {
        let place = self.place();
        let mut open = Open::new(name, Kind::Internal, began, place);
        match within {
            Some(within) if within.trace == place.trace => open.span.parent = Some(within.span),
            Some(within) => open.link(within),
            None => {}
        }
        open.about(self.event)
    }

    /// A part of it.
    pub fn open(&self, name: &'static str, kind: Kind, began: Moment) -> Open {
        let root = self.place();
        let mut open = Open::new(name, kind, began, Place { span: span_id(), ..root });
        open.span.parent = Some(root.span);
        open.about(self.event)
    }
}

/// A span that is not over yet. One that is dropped is not taken.
#[derive(Debug)]
pub struct Open {
    span: Span,
    began: Moment,
}

impl Open {
    fn new(name: &'static str, kind: Kind, began: Moment, place: Place) -> Self {
        let (at, attributes) = (began.at(), Vec::with_capacity(8));
        let (parent, links) = (None, Vec::new());
        let span = Span {
            name,
            kind,
            place,
            parent,
            parent_is_remote: false,
            links,
            began: at,
            ended: at,
            attributes,
            failed: None,
        };
        Self { span, began }
    }

    /// A span that somebody else's is the parent of.
    pub fn under(name: &'static str, kind: Kind, began: Moment, place: Place, parent: Option<Place>) -> Self {
        let mut open = Self::new(name, kind, began, place);
        open.span.parent = parent.map(|parent| parent.span);
        open.span.parent_is_remote = parent.is_some();
        open
    }

    fn about(mut self, event: EventId) -> Self {
        self.span.attributes.push((key::EVENT, Value::Text(event.to_string())));
        self
    }

    /// Its place, for those who go on with it.
    pub fn place(&self) -> Place {
        self.span.place
    }

    /// Says something of it.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.span.attributes.push((key, value.into()));
    }

    /// The same, if there is something to say.
    pub fn set_some(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// It has to do with something in another trace.
    pub fn link(&mut self, place: Place) {
        if self.span.links.len() < LINKS_MAX {
            self.span.links.push(place);
        }
    }

    /// It failed in this way.
    pub fn fail(&mut self, how: &'static str) {
        self.span.failed = Some(how);
        self.set(key::ERROR, how);
    }

    /// It is over now.
    pub fn end(mut self) {
        if !self.span.place.sampled {
            return;
        }
        self.span.ended = self.began.end();
        if let Some(collector) = collector() {
            collector.take(self.span);
        }
    }
}

/// A place by chance in a trace, or in one by chance.
pub fn place(trace: Option<TraceId>, sampled: bool) -> Place {
    Place { trace: trace.unwrap_or_else(trace_id), span: span_id(), sampled }
}

/// Whether spans of a trace are wanted that no event and no sender has named.
pub fn samples(trace: TraceId) -> bool {
    collector().is_some_and(|collector: &dyn Collect| collector.samples(trace))
}
