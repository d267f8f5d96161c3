//! Many attempts as one, at a destination that makes the outcomes of events itself ([`destinations::TakesOutcomes`]): one
//! future, one call and one limit of time for all of them. Each has an end of its own.
//!
//! What the destination cannot make an outcome of, or what it panics at, is tried one by one: so a bug is the failure of
//! the event alone that it is about.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use destinations::Took;
use event::Timestamp;
use futures::FutureExt as _;
use futures::future::join_all;
use queue::{Lease, LeaseToken};

use crate::attempt::{Ended, Sent, Tools, over, refused, run, suspect};
use crate::decide::Tried;
use crate::traced::Traced;

/// How many times longer than its event an outcome can be, as JSON: of an element that a list should not have, which takes two
/// bytes, the path is told.
const GROWTH_MAX: usize = 32;
/// How long an outcome is of which the event says nothing, at most.
const FRAME_BYTES: usize = 4_096;

/// Attempts under way together. Their tokens can be had without it, should it have to be given up.
pub(crate) struct Group {
    pub(crate) tokens: Vec<LeaseToken>,
    running: Pin<Box<dyn Future<Output = Vec<Ended>> + Send>>,
}

impl Group {
    pub(crate) fn new(tools: &Arc<Tools>, leases: Vec<Lease>, now: Timestamp, last_success: Option<Timestamp>) -> Self {
        let tokens = leases.iter().map(|lease| lease.token).collect();
        Self { tokens, running: Box::pin(attempt(Arc::clone(tools), leases, now, last_success)) }
    }
}

impl Future for Group {
    type Output = Vec<Ended>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<Ended>> {
        self.running.as_mut().poll(cx)
    }
}

/// Takes those out of `leases` that can be tried together.
pub(crate) fn together(tools: &Tools, leases: &mut Vec<Lease>) -> Vec<Lease> {
    if tools.destination.outcomes().is_none() {
        return Vec::new();
    }
    // What cannot become longer than `max_payload` need not be measured.
    let most = tools.max_payload.saturating_sub(FRAME_BYTES) / GROWTH_MAX;
    // Most have the same route as the one before.
    let mut last = None;
    let mut is_outcome = |route: u16| match last {
        Some((known, is)) if known == route => is,
        _ => {
            let is = tools.mapper.is_outcome(route);
            last = Some((route, is));
            is
        }
    };
    let is_one = |lease: &mut Lease| {
        let body = &lease.stored.event.body;
        !lease.stored.event.is_erased() && body.len() <= most && is_outcome(lease.route)
    };
    leases.extract_if(.., is_one).collect()
}

async fn attempt(
    tools: Arc<Tools>,
    leases: Vec<Lease>,
    began: Timestamp,
    last_success: Option<Timestamp>,
) -> Vec<Ended> {
    let traced: Vec<_> = leases.iter().map(|lease| Traced::begin(lease, &tools.name)).collect();
    let together = leases.len();
    let events = leases.iter().map(|lease| lease.stored.event.clone()).collect();
    let taking = async {
        match tools.destination.outcomes() {
            Some(outcomes) => outcomes.take(events).await,
            None => Vec::new(),
        }
    };
    let taken = tokio::time::timeout(tools.timeout, AssertUnwindSafe(taking).catch_unwind()).await;
    let is_late = taken.is_err();
    let mut results = taken.ok().and_then(Result::ok).unwrap_or_default().into_iter();
    let ended = tools.clock.now();
    let (mut over_now, mut alone) = (Vec::with_capacity(leases.len()), Vec::new());
    let mut version: Option<(u16, Option<Arc<str>>)> = None;
    for (lease, traced) in leases.into_iter().zip(traced) {
        let result = match results.next() {
            Some(Ok(Took::Taken { unrecognised })) => {
                if unrecognised {
                    tools.mapper.unrecognised(&lease.stored);
                }
                Ok(Sent::Delivered(None))
            }
            Some(Err(error)) => Err(refused(error)),
            None if is_late => Err(tools.late()),
            Some(Ok(Took::Unmade)) | None => {
                alone.push(lease);
                continue;
            }
        };
        if let Some(traced) = traced {
            traced.shared(together, &result);
        }
        let mapping = match &version {
            Some((route, version)) if *route == lease.route => version.clone(),
            _ => tools.mapper.version(lease.route),
        };
        version.replace((lease.route, mapping.clone()));
        let tried = Tried { before: lease.attempts, began, ended, last_success };
        over_now.push(over(lease.token, suspect(&lease.stored), tried, mapping, result));
    }
    over_now.extend(join_all(alone.into_iter().map(|lease| run(Arc::clone(&tools), lease, began, last_success))).await);
    over_now
}
