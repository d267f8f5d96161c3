//! What is told of attempts, for traces: `map`, and `deliver`, as parts of their event's story. Nothing is made unless somebody
//! takes spans.

use std::sync::Arc;

use queue::{FailureClass, Lease, Stage};
use spans::{Kind, Moment, Open, Place, Story, key};

use crate::attempt::Sent;
use crate::decide::Failed;

/// An attempt, as far as it is told of.
pub(crate) struct Traced {
    story: Story,
    began: Moment,
    source: Arc<str>,
    conversation: Option<Arc<str>>,
    destination: Arc<str>,
    attempt: usize,
}

impl Traced {
    /// An attempt that begins; none if nobody takes spans.
    pub(crate) fn begin(lease: &Lease, destination: &Arc<str>) -> Option<Self> {
        let began = Moment::now()?;
        let event = &lease.stored.event;
        Some(Self {
            story: Story::of(event.id)?,
            began,
            source: Arc::clone(&event.source),
            conversation: event.conversation.clone(),
            destination: Arc::clone(destination),
            attempt: (lease.attempts.made as usize).saturating_add(1),
        })
    }

    fn open(&self, name: &'static str, kind: Kind, began: Moment) -> Open {
        let mut span = self.story.open(name, kind, began);
        span.set_some(key::CONVERSATION, self.conversation.as_deref());
        span.set(key::SOURCE, &*self.source);
        span.set(key::DESTINATION, &*self.destination);
        span
    }

    /// The mapping has been tried; `version` says which.
    pub(crate) fn mapped(&self, version: Option<&str>, failed: Option<&Failed>) {
        let mut span = self.open("map", Kind::Internal, self.began);
        span.set_some(key::MAPPING, version);
        if let Some(failed) = failed {
            span.fail(class(failed.failure.class));
        }
        span.end();
    }

    /// The payload is about to be sent.
    pub(crate) fn sending(&self) -> Option<Delivering> {
        let mut span = self.open("deliver", Kind::Client, Moment::now()?);
        span.set(key::ATTEMPT, self.attempt);
        Some(Delivering(span))
    }

    /// An attempt together with others has ended.
    pub(crate) fn shared(&self, deliveries: usize, result: &Result<Sent, Failed>) {
        let mut span = self.open("deliver", Kind::Client, self.began);
        span.set(key::ATTEMPT, self.attempt);
        span.set(key::SHARED, deliveries);
        Delivering(span).ended(result);
    }
}

/// A payload that is on its way.
pub(crate) struct Delivering(Open);

impl Delivering {
    /// For the destination, to go on with.
    pub(crate) fn place(&self) -> Place {
        self.0.place()
    }

    /// It has been taken, or not.
    pub(crate) fn ended(self, result: &Result<Sent, Failed>) {
        let Self(mut span) = self;
        match result {
            Ok(Sent::Delivered(status)) => {
                span.set_some(key::STATUS, *status);
                span.set(key::OUTCOME, "delivered");
            }
            Ok(Sent::Nothing) => span.set(key::OUTCOME, "nothing to deliver"),
            // That the destination has not got yet what it is about is no failure.
            Err(failed) if failed.patience.is_some() => span.set(key::OUTCOME, "not yet"),
            Err(failed) => {
                span.set_some(key::STATUS, failed.failure.status);
                span.set(key::OUTCOME, if failed.failure.stage == Stage::Map { "not mapped" } else { "failed" });
                span.fail(class(failed.failure.class));
            }
        }
        span.end();
    }
}

/// What kind of failure it was. Its message may say something of the event, or of what the destination has answered.
fn class(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Transient => "transient",
        FailureClass::Permanent => "permanent",
        FailureClass::Bug => "bug",
    }
}
