//! What is told of requests, for traces: each is a span, and each of its events begins a story with the span `store`.
//!
//! A request that comes with a trace of its sender's (`traceparent`) goes on with that; its events have traces of their own,
//! which are linked to it both ways. Without one it is a part of the story of its first event. Nothing is made unless somebody
//! takes spans.

use std::sync::Arc;

use event::EventId;
use http::HeaderMap;
use parking_lot::Mutex;
use queue::{Publication, Published};
use spans::{Kind, LINKS_MAX, Moment, Open, Place, Story, key};

use crate::problem::{Answer, Refusal};

/// Where a sender says which of its spans the request is of: <https://www.w3.org/TR/trace-context/#traceparent-header>
const TRACE_PARENT: &str = "traceparent";

/// A request that is being served, or a message that is being taken.
pub(crate) struct Traced {
    began: Moment,
    /// What the sender said.
    sender: Option<Place>,
    found: Mutex<Found>,
}

/// What was found in it so far.
#[derive(Default)]
struct Found {
    place: Option<Place>,
    events: usize,
    /// The event, if there is one only.
    only: Option<(EventId, Option<Arc<str>>)>,
    links: Vec<Place>,
}

impl Traced {
    /// A request with these headers; none if nobody takes spans.
    pub(crate) fn request(headers: &HeaderMap) -> Option<Self> {
        let began = Moment::now()?;
        let header = headers.get(TRACE_PARENT).and_then(|value| value.to_str().ok());
        Some(Self { began, sender: header.and_then(Place::parse), found: Mutex::default() })
    }

    /// A message of a queue.
    pub(crate) fn message() -> Option<Self> {
        Some(Self { began: Moment::now()?, sender: None, found: Mutex::default() })
    }

    /// Where it stands, now that the story of one of its events is known.
    fn place(&self, story: &Story) -> Place {
        let chosen = || match self.sender {
            Some(sender) => spans::place(Some(sender.trace), sender.sampled),
            None => spans::place(Some(story.place().trace), story.is_sampled()),
        };
        *self.found.lock().place.get_or_insert_with(chosen)
    }

    fn stored(&self, event: EventId, conversation: Option<&Arc<str>>, place: Place) {
        let mut found = self.found.lock();
        found.events += 1;
        found.only = (found.events == 1).then(|| (event, conversation.cloned()));
        let own = found.place.map(|own| own.trace);
        if place.sampled && own != Some(place.trace) && found.links.len() < LINKS_MAX {
            found.links.push(place);
        }
    }

    /// A request has been answered.
    pub(crate) fn answered(self, source: &str, answer: &Answer, refusal: Option<&Refusal>) {
        let status = answer.status().as_u16();
        let mut span = self.over("request", Kind::Server, source, refusal);
        span.set(key::STATUS, status);
        span.end();
    }

    /// A message has been taken, or not.
    pub(crate) fn taken(self, source: &str, refusal: Option<&Refusal>) {
        self.over("message", Kind::Consumer, source, refusal).end();
    }

    fn over(self, name: &'static str, kind: Kind, source: &str, refusal: Option<&Refusal>) -> Open {
        let Self { began, sender, found } = self;
        let Found { place, events, only, links } = found.into_inner();
        // What a stranger says does not decide what is recorded.
        let alone = || {
            let place = spans::place(sender.map(|sender| sender.trace), false);
            Place { sampled: spans::samples(spans::place(None, false).trace), ..place }
        };
        let place = place.unwrap_or_else(alone);
        let mut span = Open::under(name, kind, began, place, sender);
        span.set(key::SOURCE, source);
        span.set(key::EVENTS, events);
        if let Some((event, conversation)) = only {
            span.set(key::EVENT, event.to_string().as_str());
            span.set_some(key::CONVERSATION, conversation.as_deref());
        }
        links.into_iter().for_each(|link| span.link(link));
        if let Some(refusal) = refusal {
            span.fail(refusal.reason.code());
        }
        span
    }
}

/// Events that are being stored.
pub(crate) struct Storing {
    began: Moment,
    source: Arc<str>,
    conversations: Vec<Option<Arc<str>>>,
}

impl Storing {
    /// Those of a publication; none if nobody takes spans.
    pub(crate) fn begin(publication: &Publication) -> Option<Self> {
        let began = Moment::now()?;
        let conversations = publication.events.iter().map(|event| event.conversation.clone()).collect();
        Some(Self { began, source: Arc::clone(&publication.source), conversations })
    }

    /// They are durable.
    pub(crate) fn end(self, published: &[Published], of: Option<&Traced>) {
        for (one, conversation) in published.iter().zip(&self.conversations) {
            let Some(story) = Story::of(one.id()) else { return };
            let within = of.map(|of| of.place(&story));
            if let Some(of) = of {
                of.stored(one.id(), conversation.as_ref(), story.place());
            }
            if !story.is_sampled() {
                continue;
            }
            let mut span = match one {
                Published::Accepted { .. } => story.begin("store", self.began, within),
                Published::Conflict { of, .. } => {
                    let mut span = story.begin("store", self.began, within);
                    span.set(key::OUTCOME, "conflict");
                    span.link(Place::of_event(*of, true));
                    span
                }
                // Its story has begun when it came first.
                Published::Duplicate { .. } => {
                    let mut span = story.open("store", Kind::Internal, self.began);
                    span.set(key::OUTCOME, "duplicate");
                    within
                        .filter(|within| within.trace != story.place().trace)
                        .into_iter()
                        .for_each(|within| span.link(within));
                    span
                }
            };
            span.set(key::SOURCE, &*self.source);
            span.set_some(key::CONVERSATION, conversation.as_deref());
            span.end();
        }
    }
}
