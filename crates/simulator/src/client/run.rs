//! A run: connections side by side, each of which sends one request until it has its answer, then the next.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::order::{Next, Order, Ticket};
use super::send::{Attempt, Connection};
use super::{Options, Report};
use crate::contact_centre::{Request, Source};

/// The first pause after a failed attempt; it doubles with each one that follows.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// The longest pause, short enough to notice soon that a server is back.
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// A `Retry-After` beyond this is cut: a test should not sleep for an hour because a server says so.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// What the connections share.
pub(super) struct Run<I> {
    options: Options,
    order: Mutex<Order<I>>,
    /// Woken once for each request that may be sent because another one is done.
    released: Notify,
    pub(super) report: Arc<Mutex<Report>>,
    /// Events of requests that are done.
    pub(super) answered: Arc<Mutex<u64>>,
    /// Events handed out so far, for the rate.
    pace: Mutex<f64>,
    target: watch::Receiver<SocketAddr>,
    started: Instant,
}

impl<I: Iterator<Item = Request> + Send + 'static> Run<I> {
    /// A run that begins now; `target` says where to send to at any time.
    pub(super) fn new(options: Options, requests: I, target: watch::Receiver<SocketAddr>) -> Self {
        Self {
            order: Mutex::new(Order::new(requests, options.window, options.in_order)),
            released: Notify::new(),
            report: Arc::default(),
            answered: Arc::default(),
            pace: Mutex::new(0.0),
            target,
            started: Instant::now(),
            options,
        }
    }

    /// Sends all requests; ends early at the deadline or when told to stop.
    pub(super) async fn all(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        for _ in 0..self.options.connections {
            let run = Arc::clone(&self);
            connections.spawn(async move { run.one_connection().await });
        }
        tokio::select! {
            () = async { while connections.join_next().await.is_some() {} } => {}
            () = tokio::time::sleep(self.options.deadline) => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
        self.report.lock().elapsed = self.started.elapsed();
    }

    async fn one_connection(&self) {
        let mut connection = Connection::default();
        while let Some((ticket, request)) = self.next().await {
            tokio::time::sleep_until(self.due(&request)).await;
            self.report.lock().sending(&request);
            self.until_answered(&mut connection, &request).await;
            *self.answered.lock() += request.events.len() as u64;
            let (released, pending) = {
                let mut order = self.order.lock();
                (order.done(ticket), order.pending())
            };
            for _ in 0..released {
                self.released.notify_one();
            }
            if pending == 0 {
                self.released.notify_waiters();
            }
        }
    }

    async fn next(&self) -> Option<(Ticket, Request)> {
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            // Listens before it looks, so that nothing released in between is missed.
            released.as_mut().enable();
            match self.order.lock().next() {
                Next::Send(ticket, request) => return Some((ticket, request)),
                Next::End => return None,
                Next::Wait => {}
            }
            released.await;
        }
    }

    /// When the rate allows this request.
    fn due(&self, request: &Request) -> Instant {
        let Some(rate) = self.options.rate else {
            return self.started;
        };
        let mut events = self.pace.lock();
        let due = self.started + Duration::try_from_secs_f64(*events / rate).unwrap_or(self.options.deadline);
        *events += request.events.len() as f64;
        due
    }

    async fn until_answered(&self, connection: &mut Connection, request: &Request) {
        let auth = match request.source {
            Source::Genesys => &self.options.genesys,
            Source::EventBridge => &self.options.eventbridge,
        };
        let first = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            let target = *self.target.borrow();
            let began = Instant::now();
            let attempt = connection.attempt(target, auth, request, self.options.attempt_timeout).await;
            let Some(asked) = self.book(request, attempt, first, began) else {
                return;
            };
            tokio::time::sleep(asked.map_or(pause, |asked| asked.min(RETRY_AFTER_MAX))).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Books an attempt. `Some` means to try again, after that time if the server named one.
    fn book(&self, request: &Request, attempt: Attempt, first: Instant, began: Instant) -> Option<Option<Duration>> {
        let mut report = self.report.lock();
        match attempt {
            Attempt::Acknowledged(body) => {
                report.ack.record(began.elapsed());
                report.ack_with_retries.record(first.elapsed());
                report.acknowledged(request, &body);
                None
            }
            Attempt::Refused(status, body) => {
                report.refused(status, &body);
                None
            }
            Attempt::Later(status, after) => {
                *report.retried.status.entry(status).or_default() += 1;
                Some(after)
            }
            Attempt::Broken => {
                report.retried.connection += 1;
                Some(None)
            }
            Attempt::TimedOut => {
                report.retried.timeout += 1;
                Some(None)
            }
        }
    }
}
