//! One attempt: makes the payload, sends it within the timeout, and turns whatever goes wrong into a failure. A panic
//! in the mapping or the destination is caught: it is the failure of this event alone.

use std::any::Any;
use std::future::Future;
use std::hash::{Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use destinations::{Destination, ErrorClass, OutgoingDelivery, SendError};
use event::{Timestamp, shortened};
use futures::FutureExt as _;
use queue::{Failure, FailureClass, Lease, LeaseToken, Stage, Stored};
use spans::Place;

use crate::decide::{Failed, Tried};
use crate::traced::{Delivering, Traced};
use crate::{Clock, MapError, Mapper, complaint};

/// Longest text of a panic or mapping error that is kept, in bytes.
const MESSAGE_LIMIT: usize = 512;

/// What attempts need; shared by all of a destination.
pub(crate) struct Tools {
    /// The destination's name.
    pub(crate) name: Arc<str>,
    pub(crate) mapper: Arc<dyn Mapper>,
    pub(crate) destination: Arc<dyn Destination>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timeout: Duration,
    pub(crate) max_payload: usize,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) token: LeaseToken,
    /// Names the conversation, or the event if it has none.
    pub(crate) suspect: u64,
    pub(crate) tried: Tried,
    /// The version of the mapping.
    pub(crate) mapping: Option<Arc<str>>,
    pub(crate) result: Result<Sent, Failed>,
}

/// An attempt that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The destination took it, with this status if it speaks HTTP.
    Delivered(Option<u16>),
    /// The mapping had nothing to deliver.
    Nothing,
}

/// An attempt under way. Its token can be had without it, should it have to be given up.
pub(crate) struct Attempt {
    pub(crate) token: LeaseToken,
    running: Pin<Box<dyn Future<Output = Ended> + Send>>,
}

impl Attempt {
    pub(crate) fn new(tools: &Arc<Tools>, lease: Lease, now: Timestamp, last_success: Option<Timestamp>) -> Self {
        Self { token: lease.token, running: Box::pin(run(tools.clone(), lease, now, last_success)) }
    }
}

impl Future for Attempt {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        self.running.as_mut().poll(cx)
    }
}

pub(crate) async fn run(tools: Arc<Tools>, lease: Lease, began: Timestamp, last_success: Option<Timestamp>) -> Ended {
    let traced = Traced::begin(&lease, &tools.name);
    let Lease { token, stored, route, attempts: before, behind_dead, .. } = lease;
    let suspect = suspect(&stored);
    let mapped = if stored.event.is_erased() { Ok(None) } else { tools.map(&stored, route) };
    if let Some(traced) = &traced {
        traced.mapped(tools.mapper.version(route).as_deref(), mapped.as_ref().err().map(|failed| &**failed));
    }
    let result = match mapped {
        Err(failed) => Err(*failed),
        Ok(None) => Ok(Sent::Nothing),
        Ok(Some(payload)) => {
            let sending = traced.as_ref().and_then(Traced::sending);
            let result = tools.send(stored, payload, behind_dead, sending.as_ref().map(Delivering::place)).await;
            if let Some(sending) = sending {
                sending.ended(&result);
            }
            result
        }
    };
    let tried = Tried { before, began, ended: tools.clock.now(), last_success };
    over(token, suspect, tried, tools.mapper.version(route), result)
}

/// An attempt is over.
pub(crate) fn over(
    token: LeaseToken,
    suspect: u64,
    tried: Tried,
    mapping: Option<Arc<str>>,
    mut result: Result<Sent, Failed>,
) -> Ended {
    if let Err(failed) = &mut result {
        failed.failure.mapping = mapping.as_deref().map(str::to_owned);
        failed.failure.latency_ms = u32::try_from(tried.began.until(tried.ended).as_millis()).unwrap_or(u32::MAX);
    }
    Ended { token, suspect, tried, mapping, result }
}

/// Tells conversations apart; two with the same number would only count as one.
pub(crate) fn suspect(stored: &Stored) -> u64 {
    match &stored.event.conversation {
        Some(conversation) => {
            let mut hasher = std::hash::DefaultHasher::new();
            conversation.hash(&mut hasher);
            hasher.finish()
        }
        None => stored.seq.0,
    }
}

impl Tools {
    fn map(&self, stored: &Stored, route: u16) -> Result<Option<Bytes>, Box<Failed>> {
        match catch_unwind(AssertUnwindSafe(|| self.mapper.map(stored, route))) {
            Ok(Ok(Some(payload))) if payload.len() > self.max_payload => {
                let (size, limit) = (payload.len(), self.max_payload);
                let message = format!("the payload has {size} bytes, and at most {limit} are sent (`max_payload`)");
                Err(Box::new(failed(Stage::Map, FailureClass::Permanent, message)))
            }
            Ok(Ok(payload)) => Ok(payload),
            Ok(Err(MapError { message, path })) => {
                let mut failed = failed(Stage::Map, FailureClass::Permanent, message);
                failed.failure.path = path;
                Err(Box::new(failed))
            }
            Err(panic) => Err(Box::new(caught(Stage::Map, &*panic))),
        }
    }

    /// Holds the event no longer than until the payload is on its way: the two may share nothing.
    async fn send(
        &self,
        stored: Arc<Stored>,
        payload: Bytes,
        behind_dead: bool,
        trace: Option<Place>,
    ) -> Result<Sent, Failed> {
        let delivery = OutgoingDelivery {
            event: stored.event.id,
            source: stored.event.source.clone(),
            topic: stored.event.topic.clone(),
            conversation: stored.event.conversation.clone(),
            received: stored.event.received,
            behind_dead,
            payload,
            replayed: stored.is_replayed(),
            trace,
        };
        drop(stored);
        let sending = async { self.destination.send(delivery).await };
        let sending = AssertUnwindSafe(sending).catch_unwind();
        match tokio::time::timeout(self.timeout, sending).await {
            Ok(Ok(Ok(receipt))) => Ok(Sent::Delivered(receipt.status)),
            Ok(Ok(Err(error))) => Err(refused(error)),
            Ok(Err(panic)) => Err(caught(Stage::Deliver, &*panic)),
            Err(_) => Err(self.late()),
        }
    }

    /// There was no answer in time.
    pub(crate) fn late(&self) -> Failed {
        let message = format!("no answer within {} s", self.timeout.as_secs_f32());
        Failed { overloaded: true, ..failed(Stage::Deliver, FailureClass::Transient, message) }
    }
}

fn failed(stage: Stage, class: FailureClass, message: String) -> Failed {
    let failure = Failure::new(stage, class, shortened(&message, MESSAGE_LIMIT));
    Failed { failure, retry_after: None, overloaded: false, patience: None }
}

pub(crate) fn refused(error: SendError) -> Failed {
    let (class, patience) = match error.class {
        ErrorClass::Transient => (FailureClass::Transient, None),
        ErrorClass::Permanent => (FailureClass::Permanent, None),
        ErrorClass::NotYet(patience) => (FailureClass::Transient, Some(*patience)),
    };
    let mut failed = failed(Stage::Deliver, class, error.message);
    failed.failure.status = error.status;
    failed.overloaded = matches!(error.status, Some(429 | 503));
    failed.failure.path = error.excerpt.as_deref().and_then(complaint::place);
    failed.failure.excerpt = error.excerpt;
    failed.retry_after = error.retry_after;
    failed.patience = patience;
    failed
}

fn caught(stage: Stage, panic: &(dyn Any + Send)) -> Failed {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let message = format!("a bug, caught: {}", text.unwrap_or("a panic without a text"));
    failed(stage, FailureClass::Bug, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_knows_the_field_that_the_destination_complains_about() {
        let answer = r#"[{"message":"Email: invalid","errorCode":"INVALID_EMAIL_ADDRESS","fields":["Email"]}]"#;
        let error = SendError { excerpt: Some(answer.to_owned()), ..SendError::permanent("answered 400") };
        let failure = refused(error).failure;
        assert_eq!((failure.path.as_deref(), failure.excerpt.as_deref()), (Some("/Email"), Some(answer)));
        assert_eq!(refused(SendError::permanent("answered 400")).failure.path, None);
    }

    #[test]
    fn a_text_that_is_cut_says_so() {
        let long = failed(Stage::Map, FailureClass::Permanent, "mend the sender ".repeat(100)).failure.message;
        assert!(long.len() <= MESSAGE_LIMIT && long.ends_with('…'), "{long}");
    }
}
