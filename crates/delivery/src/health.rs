//! How a destination is doing: numbers for `status`, written by its service and read by anyone at any time.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use event::Timestamp;
use parking_lot::Mutex;
use queue::{Failure, FailureClass};
use serde::Serialize;
use tokio::sync::watch;

use crate::GateStatus;

/// Upper bounds of the latency counts, in milliseconds; the last count has none.
pub const LATENCY_BOUNDS_MS: [u32; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

/// No time yet.
const NEVER: i64 = i64::MIN;

/// A destination's numbers since its service started.
#[derive(Debug)]
pub struct Health {
    in_flight: AtomicU64,
    delivered: AtomicU64,
    transient: AtomicU64,
    permanent: AtomicU64,
    bugs: AtomicU64,
    dead: AtomicU64,
    put_aside: AtomicU64,
    not_yet: AtomicU64,
    gate: Mutex<Option<GateStatus>>,
    day: Mutex<Vec<(i64, u64)>>,
    last_success: AtomicI64,
    last_error: Mutex<Option<LastError>>,
    latency: [AtomicU64; LATENCY_BOUNDS_MS.len() + 1],
    latency_us: AtomicU64,
    rest: watch::Sender<Option<Rest>>,
}

/// A service has nothing under way and nothing to lease: it waits for something new, or for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// When it looks again by itself; `None` if only something new can wake it.
    pub until: Option<Timestamp>,
    /// The breaker, the rate or a pause holds back whatever there may be.
    pub held_back: bool,
}

/// The numbers at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HealthSnapshot {
    /// Attempts under way.
    pub in_flight: u64,
    /// Deliveries that the destination took.
    pub delivered: u64,
    /// Attempts that failed and are made again.
    pub failed_transient: u64,
    /// Attempts that failed for good.
    pub failed_permanent: u64,
    /// Attempts that failed by a bug of ours.
    pub failed_bug: u64,
    /// Deliveries that became dead letters.
    pub dead: u64,
    /// Deliveries that were put aside in the archive while the destination was down.
    pub put_aside: u64,
    /// Attempts that found that what they are about is not there yet. They are no failures.
    pub not_yet: u64,
    /// Everything fails: only probes go out, and the other deliveries wait.
    pub holding: bool,
    /// What holds deliveries back; none before the service runs.
    pub gate: Option<GateStatus>,
    /// When it last took a delivery.
    pub last_success: Option<Timestamp>,
    /// The last failure.
    pub last_error: Option<LastError>,
    /// Deliveries that were taken within each of [`LATENCY_BOUNDS_MS`], and those that took longer.
    pub latency: [u64; LATENCY_BOUNDS_MS.len() + 1],
    /// Microseconds that all of them took together.
    pub latency_us: u64,
}

/// A failure, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// HTTP status, if the destination answered.
    pub status: Option<u16>,
    /// What happened.
    pub message: String,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            in_flight: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            transient: AtomicU64::new(0),
            permanent: AtomicU64::new(0),
            bugs: AtomicU64::new(0),
            dead: AtomicU64::new(0),
            put_aside: AtomicU64::new(0),
            not_yet: AtomicU64::new(0),
            gate: Mutex::new(None),
            day: Mutex::default(),
            last_success: AtomicI64::new(NEVER),
            last_error: Mutex::new(None),
            latency: Default::default(),
            latency_us: AtomicU64::new(0),
            rest: watch::Sender::new(None),
        }
    }

    /// Whether its service rests, for those who end a service that has nothing more to do.
    pub fn rest(&self) -> watch::Receiver<Option<Rest>> {
        self.rest.subscribe()
    }

    pub(crate) fn set_rest(&self, rest: Option<Rest>) {
        self.rest.send_if_modified(|known| std::mem::replace(known, rest) != rest);
    }

    /// The numbers now. Each is right; together they may be a moment apart.
    pub fn snapshot(&self) -> HealthSnapshot {
        let gate = *self.gate.lock();
        HealthSnapshot {
            in_flight: self.in_flight.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            failed_transient: self.transient.load(Relaxed),
            failed_permanent: self.permanent.load(Relaxed),
            failed_bug: self.bugs.load(Relaxed),
            dead: self.dead.load(Relaxed),
            put_aside: self.put_aside.load(Relaxed),
            not_yet: self.not_yet.load(Relaxed),
            holding: gate.is_some_and(|gate| gate.breaker.state.is_open()),
            gate,
            last_success: self.last_success(),
            last_error: self.last_error.lock().clone(),
            latency: std::array::from_fn(|i| self.latency[i].load(Relaxed)),
            latency_us: self.latency_us.load(Relaxed),
        }
    }

    pub(crate) fn last_success(&self) -> Option<Timestamp> {
        let millis = self.last_success.load(Relaxed);
        (millis != NEVER).then(|| Timestamp::from_millis(millis))
    }

    pub(crate) fn set_in_flight(&self, count: usize) {
        self.in_flight.store(count as u64, Relaxed);
    }

    /// Attempts within the last 24 hours, by twentieth parts of a day: number and count. Empty without a limit a day.
    pub fn day(&self) -> Vec<(i64, u64)> {
        self.day.lock().clone()
    }

    pub(crate) fn set_day(&self, day: Vec<(i64, u64)>) {
        *self.day.lock() = day;
    }

    pub(crate) fn set_gate(&self, gate: GateStatus) {
        *self.gate.lock() = Some(gate);
    }

    pub(crate) fn delivered(&self, now: Timestamp, latency: Duration) {
        self.delivered.fetch_add(1, Relaxed);
        self.last_success.store(now.as_millis(), Relaxed);
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let place = LATENCY_BOUNDS_MS.partition_point(|bound| u64::from(*bound) * 1_000 < micros);
        self.latency[place].fetch_add(1, Relaxed);
        self.latency_us.fetch_add(micros, Relaxed);
    }

    pub(crate) fn failed(&self, now: Timestamp, failure: &Failure) {
        let count = match failure.class {
            FailureClass::Transient => &self.transient,
            FailureClass::Permanent => &self.permanent,
            FailureClass::Bug => &self.bugs,
        };
        count.fetch_add(1, Relaxed);
        *self.last_error.lock() = Some(LastError { at: now, status: failure.status, message: failure.message.clone() });
    }

    /// What is known of the last failure from before this process; what has failed since is newer.
    pub(crate) fn restore_failure(&self, at: Timestamp, status: Option<u16>) {
        let message = match status {
            Some(status) => format!("the destination answered {status}, before this process began"),
            None => "it failed without a status, before this process began; the next probe says why".to_owned(),
        };
        self.last_error.lock().get_or_insert(LastError { at, status, message });
    }

    /// The status of the last failure, if it had one.
    pub(crate) fn last_status(&self) -> Option<u16> {
        self.last_error.lock().as_ref().and_then(|error| error.status)
    }

    pub(crate) fn put_aside(&self, count: usize) {
        self.put_aside.fetch_add(count as u64, Relaxed);
    }

    pub(crate) fn not_yet(&self) {
        self.not_yet.fetch_add(1, Relaxed);
    }

    pub(crate) fn died(&self) {
        self.dead.fetch_add(1, Relaxed);
    }
}
