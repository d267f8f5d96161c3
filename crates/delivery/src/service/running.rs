//! The state of a running service, and its loop.

mod aside;
mod ended;
mod leased;
mod outstanding;
mod remember;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use event::Timestamp;
use futures::stream::{FuturesUnordered, Stream as _, StreamExt as _};
use queue::{BoxFuture, ConsumerId, Lease, Queue, QueueError, Settle};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};

use self::outstanding::{Outstanding, release};
pub(super) use self::remember::{Before, remembered};
use super::putting::Putting;
use crate::attempt::{Attempt, Ended, Tools};
use crate::breaker::Note;
use crate::gate::Gate;
use crate::group::Group;
use crate::pause::Pause;
use crate::report::Report;
use crate::{Error, Health, NotPutAside, Options, Rest};

/// When the queue names a due time that was already past at the last lease, it cannot be leased for another reason,
/// and `changed` will tell; we look again after this time all the same.
const OVERDUE_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Running<'a> {
    queue: &'a dyn Queue,
    consumer: ConsumerId,
    name: &'a str,
    tools: Arc<Tools>,
    options: &'a Options,
    health: &'a Health,
    rng: StdRng,
    gate: Gate,
    report: Report,
    /// When the latest delivery that the destination completed began, for the retry budget. Forgotten when the clock
    /// shows an earlier time: it was set back, and would call each failure later than that success.
    last_success: Option<Timestamp>,

    attempts: FuturesUnordered<Attempt>,
    groups: FuturesUnordered<Group>,
    /// Attempts in them.
    grouped: usize,
    /// Leased, and not settled.
    outstanding: Outstanding,
    /// Ended, and not being settled yet.
    ended: Vec<Settle>,
    /// Being settled, kept in case the queue fails.
    settling: Vec<Settle>,
    settle: Option<BoxFuture<'a, Result<(), QueueError>>>,
    lease: Option<BoxFuture<'a, Result<Vec<Lease>, QueueError>>>,
    /// Where the breaker stands, as it is kept or being kept.
    kept: Option<Note>,
    remember: Option<BoxFuture<'a, Result<(), QueueError>>>,
    /// Another process has delivered; what it has left is read before this one does.
    stood_by: bool,
    recall: Option<BoxFuture<'a, Option<Note>>>,
    /// What is leased is to be put aside.
    lease_aside: bool,
    putting: Option<Putting>,
    changed: Option<BoxFuture<'a, ()>>,
    timer: Option<(Timestamp, BoxFuture<'static, ()>)>,

    /// The queue may have something to lease.
    look: bool,
    /// How many the lease under way asked for.
    asked: usize,
    last_lease: Timestamp,
    /// What [`Queue::erasures`] was then.
    erasures: u64,
    /// The queue failed in passing: neither lease nor settle meanwhile.
    queue_paused: Option<Pause>,
    stopping: Option<Stopping>,
}

/// A service on its way out.
struct Stopping {
    /// What is not over by then is given up. Goes by time that has gone by, not by the time of day, which may be set
    /// back: whoever stops a service waits for it.
    over: Pin<Box<Sleep>>,
    /// The attempts have been given up; only settlements are waited for.
    cut: bool,
}

/// What the loop wakes up for.
enum Step {
    /// The attempts under way have so long.
    Shutdown(Duration),
    Settled(Result<(), QueueError>),
    Leased(Result<Vec<Lease>, QueueError>),
    PutAside(Result<Arc<str>, NotPutAside>),
    Kept(Result<(), QueueError>),
    Recalled(Option<Note>),
    Attempts,
    Changed,
    Paused(bool),
    Time,
}

impl<'a> Running<'a> {
    pub(super) fn new(
        queue: &'a dyn Queue,
        consumer: ConsumerId,
        name: &'a str,
        tools: Tools,
        options: &'a Options,
        health: &'a Health,
        seed: u64,
    ) -> Self {
        Self {
            queue,
            consumer,
            name,
            tools: Arc::new(tools),
            options,
            health,
            rng: StdRng::seed_from_u64(seed),
            gate: Gate::new(options, false),
            report: Report::default(),
            last_success: None,
            attempts: FuturesUnordered::new(),
            groups: FuturesUnordered::new(),
            grouped: 0,
            outstanding: Outstanding::default(),
            ended: Vec::new(),
            settling: Vec::new(),
            settle: None,
            lease: None,
            kept: None,
            remember: None,
            stood_by: false,
            recall: None,
            lease_aside: false,
            putting: None,
            changed: None,
            timer: None,
            look: true,
            asked: 0,
            last_lease: Timestamp::default(),
            erasures: 0,
            queue_paused: None,
            stopping: None,
        }
    }

    /// Goes on with what was counted for the limit a day.
    pub(super) fn restore_day(&mut self, day: &[(i64, u64)]) {
        self.gate.restore_day(day);
    }

    pub(super) async fn run(
        mut self,
        paused: watch::Receiver<bool>,
        shutdown: impl Future<Output = Duration> + Send,
    ) -> Result<(), Error> {
        let mut shutdown = pin!(shutdown);
        self.gate.set_paused(*paused.borrow());
        self.show(self.tools.clock.now());
        let mut pauses = pin!(
            futures::stream::unfold(paused, |mut paused| async move {
                // Whoever could pause is gone: the service is about to be told to stop.
                paused.changed().await.ok()?;
                let now = *paused.borrow_and_update();
                Some((now, paused))
            })
            .fuse()
        );
        let mut done = Vec::new();
        loop {
            // A destination and a queue that are always ready must not keep this worker for themselves.
            tokio::task::coop::consume_budget().await;
            let now = self.tools.clock.now();
            if self.begin(now)? {
                return Ok(());
            }
            self.set_timer(now);
            self.health.set_rest(self.rest(now));
            let step = poll_fn(|cx| {
                if self.stopping.is_none()
                    && let Poll::Ready(drain) = shutdown.as_mut().poll(cx)
                {
                    return Poll::Ready(Step::Shutdown(drain));
                }
                if let Poll::Ready(Some(paused)) = pauses.as_mut().poll_next(cx) {
                    return Poll::Ready(Step::Paused(paused));
                }
                self.poll_step(cx, &mut done)
            })
            .await;
            self.act(step, &mut done)?;
        }
    }

    /// Begins what can be begun; true when the service is over.
    fn begin(&mut self, now: Timestamp) -> Result<bool, Error> {
        self.gate.notice(now);
        if self.stopping.as_ref().is_some_and(|stopping| stopping.over.is_elapsed()) {
            self.give_up()?;
        }
        if self.queue_paused.is_some_and(|pause| pause.is_over(now)) {
            self.queue_paused = None;
        }
        if self.settle.is_none() && self.queue_paused.is_none() && !self.ended.is_empty() {
            self.settling = std::mem::take(&mut self.ended);
            self.outstanding.newest(&mut self.settling);
            self.settle = Some(self.queue.settle(self.settling.clone(), now));
        }
        self.remember();
        if self.stopping.is_some() {
            let asked = self.settle.is_some() || self.lease.is_some() || self.remember.is_some();
            let idle = self.in_flight() == 0 && !asked;
            let putting = self.putting.as_ref().is_some_and(|putting| !putting.is_idle());
            return Ok(idle && !putting && self.ended.is_empty());
        }
        self.probe(now);
        let attempts = self.room(now);
        let room = if attempts > 0 { attempts } else { self.room_aside(now) };
        if self.look && room > 0 && self.lease.is_none() && self.recall.is_none() && self.queue_paused.is_none() {
            self.asked = room;
            self.lease_aside = attempts == 0;
            self.last_lease = now;
            self.erasures = self.queue.erasures();
            self.lease = Some(self.queue.lease(self.consumer, room, now));
        }
        if !self.look && self.changed.is_none() {
            self.changed = Some(self.queue.changed(self.consumer));
        }
        Ok(false)
    }

    fn room(&self, now: Timestamp) -> usize {
        let unsettled = self.ended.len() + self.settling.len();
        self.gate.room(self.in_flight(), unsettled, now)
    }

    /// Attempts under way.
    fn in_flight(&self) -> usize {
        self.attempts.len() + self.grouped
    }

    /// Sets the timer to the earliest time at which there is something to do that nothing else tells of.
    fn set_timer(&mut self, now: Timestamp) {
        let mut wake = self.queue_paused.map(|pause| pause.until());
        let mut consider = |at: Option<Timestamp>| wake = wake.into_iter().chain(at).min();
        if self.stopping.is_none() && self.lease.is_none() {
            consider(self.gate.opens(now));
            consider(self.putting.as_ref().and_then(|putting| putting.opens(now)));
            consider(self.putting.as_ref().and_then(Putting::expires));
            if !self.look && (self.room(now) > 0 || self.room_aside(now) > 0) {
                let due = self.queue.next_due(self.consumer);
                consider(due.map(|at| if at > self.last_lease { at } else { self.last_lease.plus(OVERDUE_PAUSE) }));
            }
        }
        if self.timer.as_ref().map(|(at, _)| *at) != wake {
            self.timer = wake.map(|at| (at, self.tools.clock.sleep_until(at)));
        }
    }

    /// Set when nothing is under way and nothing can be begun.
    fn rest(&self, now: Timestamp) -> Option<Rest> {
        let busy = self.in_flight() > 0
            || self.settle.is_some()
            || self.lease.is_some()
            || !self.ended.is_empty()
            || self.putting.as_ref().is_some_and(|putting| !putting.is_idle());
        let held_back = self.room(now) == 0;
        if busy || self.look && !held_back {
            return None;
        }
        Some(Rest { until: self.timer.as_ref().map(|(at, _)| *at), held_back })
    }

    fn poll_step(&mut self, cx: &mut Context<'_>, done: &mut Vec<Ended>) -> Poll<Step> {
        if let Some(result) = ready(&mut self.settle, cx) {
            return Poll::Ready(Step::Settled(result));
        }
        if let Some(result) = ready(&mut self.lease, cx) {
            return Poll::Ready(Step::Leased(result));
        }
        if let Some(result) = ready(&mut self.remember, cx) {
            return Poll::Ready(Step::Kept(result));
        }
        if let Some(note) = ready(&mut self.recall, cx) {
            return Poll::Ready(Step::Recalled(note));
        }
        if let Some(under_way) = self.putting.as_mut().and_then(Putting::under_way)
            && let Poll::Ready(result) = under_way.as_mut().poll(cx)
        {
            return Poll::Ready(Step::PutAside(result));
        }
        while let Poll::Ready(Some(ended)) = self.attempts.poll_next_unpin(cx) {
            done.push(ended);
        }
        while let Poll::Ready(Some(ended)) = self.groups.poll_next_unpin(cx) {
            self.grouped -= ended.len();
            done.extend(ended);
        }
        if !done.is_empty() {
            return Poll::Ready(Step::Attempts);
        }
        if ready(&mut self.changed, cx).is_some() {
            return Poll::Ready(Step::Changed);
        }
        if let Some(stopping) = &mut self.stopping
            && stopping.over.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Step::Time);
        }
        if let Some((_, timer)) = &mut self.timer
            && timer.as_mut().poll(cx).is_ready()
        {
            self.timer = None;
            return Poll::Ready(Step::Time);
        }
        Poll::Pending
    }

    fn act(&mut self, step: Step, done: &mut Vec<Ended>) -> Result<(), Error> {
        match step {
            Step::Shutdown(drain) => {
                self.stopping = Some(Stopping { over: Box::pin(sleep(drain)), cut: false });
                let held = self.putting.as_mut().and_then(Putting::take_held);
                self.ended.extend(held.map(|held| release(held.lease.token)));
            }
            Step::Settled(Ok(())) => {
                self.ended.extend(self.outstanding.settled(&mut self.settling));
                // What was to be probed with may be gone.
                self.look |= self.gate.is_open();
            }
            Step::Settled(Err(error)) => {
                self.queue_failed(error)?;
                // Behind those that could not be settled come those that ended meanwhile.
                self.settling.append(&mut self.ended);
                std::mem::swap(&mut self.settling, &mut self.ended);
            }
            Step::Leased(Ok(leases)) => self.leased(leases),
            Step::Leased(Err(error)) => self.queue_failed(error)?,
            Step::PutAside(result) => self.put_aside(result),
            Step::Kept(result) => self.kept(result),
            Step::Recalled(note) => self.take_over(note),
            Step::Attempts => {
                done.drain(..).for_each(|ended| self.ended(ended));
                self.show(self.tools.clock.now());
            }
            Step::Paused(paused) => {
                self.gate.set_paused(paused);
                self.look = true;
                self.show(self.tools.clock.now());
            }
            Step::Changed | Step::Time => self.look = true,
        }
        Ok(())
    }

    /// Lets others see how it is going.
    fn show(&self, now: Timestamp) {
        self.health.set_in_flight(self.in_flight());
        self.health.set_gate(self.gate.status(now));
    }
}

/// Polls a future that may not be there, and takes it away when it is ready.
fn ready<T>(future: &mut Option<BoxFuture<'_, T>>, cx: &mut Context<'_>) -> Option<T> {
    match future.as_mut()?.as_mut().poll(cx) {
        Poll::Ready(value) => {
            *future = None;
            Some(value)
        }
        Poll::Pending => None,
    }
}
