//! The breaker: while a destination is down, only single probes go out, with pauses that grow; when one succeeds the
//! limit grows again step by step, so that the backlog does not crush what has just come back.
//!
//! ```text
//!            evidence of an outage                     pause is over, probe leased
//!   closed ─────────────────────────► open ◄──────────────────────────────────────► half-open
//!      ▲                               ▲              probe fails                       │
//!      └────────────── ramp ───────────┘                                                │ probe succeeds
//!       at the limit    ▲   fails at once                                               │
//!                       └───────────────────────────────────────────────────────────────┘
//! ```
//!
//! When nothing is left to probe with, it is waiting: nobody knows any more that the destination is down, and nothing waits
//! for it. The next event is a probe, so then it is half-open.
//!
//! Only what says something about the destination counts: it answered (whatever it said of the event), or it failed in
//! passing. Mapping errors say nothing. Where it stands is [noted](note) whenever it changes, so that a restart goes on
//! there; the evidence is in memory, and gathers anew.

mod evidence;
mod note;

use std::time::Duration;

use event::Timestamp;
use serde::Serialize;

use self::evidence::Evidence;
pub(crate) use self::note::Note;
pub use self::note::stands_open_since;

/// Shortest pause between probes.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The pause between probes is this part of the outage so far: 30 s are met by some ten probes, and the end is noticed
/// within half of what the outage has lasted.
const PAUSE_SHARE: u32 = 2;
/// The longest time that a `Retry-After` keeps probes back: a wrong one must not park a destination for hours.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// The ramp's limit doubles at most this often: from 1 to 50 in a second and a half.
const RAMP_STEP: Duration = Duration::from_millis(250);

/// When the breaker opens, and how it probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerOptions {
    /// Over how long the share of failures is taken.
    pub window: Duration,
    /// Fewest results within the window for their share to count.
    pub minimum: u32,
    /// Percent of failures that is an outage.
    pub percent: u32,
    /// Longest pause between probes.
    pub pause: Duration,
}

impl Default for BreakerOptions {
    /// Half of at least 50 results within 10 s: a fault that the retries do not even out, seen within seconds. Probes
    /// every 30 s cost a destination nothing, and a person who waits for it to come back notices no delay.
    fn default() -> Self {
        Self { window: Duration::from_secs(10), minimum: 50, percent: 50, pause: Duration::from_secs(30) }
    }
}

/// How a destination is doing, as the breaker sees it.
#[derive(Debug, Clone)]
pub(crate) struct Breaker {
    options: BreakerOptions,
    evidence: Evidence,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Ramp {
        since: Timestamp,
        limit: usize,
        /// Answers since the last step.
        answers: usize,
        stepped: Timestamp,
    },
    Open {
        since: Timestamp,
        /// When the pause began.
        paused: Timestamp,
        next: Timestamp,
        /// Probes that have failed.
        probes: u32,
    },
    HalfOpen {
        since: Timestamp,
        /// When the probe was leased; what began before is none.
        probe: Timestamp,
        probes: u32,
    },
    /// Nothing is there to probe with.
    Waiting {
        since: Timestamp,
        probes: u32,
    },
}

/// What to show of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BreakerStatus {
    /// Where it stands.
    pub state: BreakerState,
    /// When the outage, or the ramp after it, began; none while it is closed.
    pub since: Option<Timestamp>,
    /// Probes that have failed since.
    pub probes: u32,
    /// When the next probe may go out.
    pub next_probe: Option<Timestamp>,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// Deliveries go out.
    Closed,
    /// They go out again, more and more at a time.
    Ramp,
    /// They wait.
    Open,
    /// They wait for what becomes of a probe.
    HalfOpen,
    /// Nothing waits, and nothing is left to probe with: the next delivery is a probe.
    Waiting,
}

impl BreakerState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Closed, Self::Ramp, Self::Open, Self::HalfOpen, Self::Waiting];

    /// Whether deliveries wait because the destination is down.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::HalfOpen)
    }

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Ramp => "ramp",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::Waiting => "waiting",
        }
    }
}

impl Breaker {
    pub(crate) fn new(options: BreakerOptions) -> Self {
        Self { options, evidence: Evidence::new(options.window), state: State::Closed }
    }

    /// How many attempts may be under way at `now`; `None` if that is not for the breaker to say.
    pub(crate) fn limit(&self, now: Timestamp) -> Option<usize> {
        match self.state {
            State::Closed => None,
            State::Ramp { limit, .. } => Some(limit),
            State::Open { paused, next, .. } => Some(usize::from(is_over(paused, next, now))),
            State::HalfOpen { .. } | State::Waiting { .. } => Some(1),
        }
    }

    /// When more may be leased than now, by time alone.
    pub(crate) fn eases(&self) -> Option<Timestamp> {
        match self.state {
            State::Open { next, .. } => Some(next),
            _ => None,
        }
    }

    /// Something was leased at `now`: while it is open, that is a probe.
    pub(crate) fn leased(&mut self, now: Timestamp) {
        match self.state {
            State::Open { since, paused, next, probes } if is_over(paused, next, now) => {
                self.state = State::HalfOpen { since, probe: now, probes };
            }
            State::Waiting { since, probes } => self.state = State::HalfOpen { since, probe: now, probes },
            // The clock was set back; by the earlier time no attempt would count for long.
            State::HalfOpen { since, probe, probes } if now < probe => {
                self.state = State::HalfOpen { since, probe: now, probes };
            }
            _ => {}
        }
    }

    /// There was nothing to lease at `now`, nothing is under way, and nothing falls due later.
    pub(crate) fn nothing_left(&mut self, now: Timestamp) {
        match self.state {
            State::Open { since, paused, next, probes } if is_over(paused, next, now) => {
                self.state = State::Waiting { since, probes };
            }
            // The probe has said nothing of the destination: it was erased, or could not be mapped.
            State::HalfOpen { since, probes, .. } => self.state = State::Waiting { since, probes },
            _ => {}
        }
    }

    /// An attempt that began at `began` was answered as by a destination that works; that it refused the event for good
    /// counts too. At `full` the ramp is over.
    pub(crate) fn answered(&mut self, began: Timestamp, now: Timestamp, full: usize) {
        self.evidence.answered(now);
        match self.state {
            State::HalfOpen { probe, .. } if began >= probe => self.begin_ramp(now),
            State::Ramp { since, limit, answers, stepped } => {
                let answers = answers + 1;
                self.state = if answers < limit || !is_over(stepped, stepped.plus(RAMP_STEP), now) {
                    State::Ramp { since, limit, answers, stepped }
                } else if limit * 2 < full {
                    State::Ramp { since, limit: limit * 2, answers: 0, stepped: now }
                } else {
                    State::Closed
                };
            }
            // Of before the outage, or before the probe.
            State::Open { .. } | State::HalfOpen { .. } | State::Waiting { .. } | State::Closed => {}
        }
    }

    /// An attempt that began at `began` failed in passing; `suspect` names its conversation. Returns whether that opened
    /// the breaker.
    pub(crate) fn failed(
        &mut self,
        began: Timestamp,
        now: Timestamp,
        retry_after: Option<Duration>,
        suspect: u64,
    ) -> bool {
        self.evidence.failed(now, suspect);
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        match self.state {
            State::Closed if self.evidence.is_outage(now, &self.options) => {
                self.open(now, now, asked, 0);
                return true;
            }
            State::Ramp { since, .. } if began < since => {}
            State::Ramp { limit: 1, answers: 0, .. } => {
                self.open(now, now, asked, 0);
                return true;
            }
            State::Ramp { since, limit, .. } => {
                self.state = State::Ramp { since, limit: (limit / 2).max(1), answers: 0, stepped: now };
            }
            State::HalfOpen { since, probe, probes } if began >= probe => {
                self.open(since, now, asked, probes.saturating_add(1));
            }
            State::Open { since, paused, next, probes } => {
                self.state = State::Open { since, paused, next: next.max(now.plus(asked)), probes };
            }
            State::HalfOpen { .. } | State::Waiting { .. } | State::Closed => {}
        }
        false
    }

    /// Whether deliveries wait because the destination is down.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. } | State::HalfOpen { .. })
    }

    pub(crate) fn status(&self) -> BreakerStatus {
        let (state, since, probes) = match self.state {
            State::Closed => (BreakerState::Closed, None, 0),
            State::Ramp { since, .. } => (BreakerState::Ramp, Some(since), 0),
            State::Open { since, probes, .. } => (BreakerState::Open, Some(since), probes),
            State::HalfOpen { since, probes, .. } => (BreakerState::HalfOpen, Some(since), probes),
            State::Waiting { since, probes } => (BreakerState::Waiting, Some(since), probes),
        };
        BreakerStatus { state, since, probes, next_probe: self.eases() }
    }

    fn open(&mut self, since: Timestamp, now: Timestamp, asked: Duration, probes: u32) {
        let pause = (since.until(now) / PAUSE_SHARE).max(PAUSE_MIN).min(self.options.pause).max(asked);
        self.state = State::Open { since, paused: now, next: now.plus(pause), probes };
    }

    fn begin_ramp(&mut self, now: Timestamp) {
        self.evidence.reset();
        self.state = State::Ramp { since: now, limit: 1, answers: 0, stepped: now };
    }
}

/// Whether a pause is over. A clock that shows a time before its beginning was set back, and would make it longer.
fn is_over(began: Timestamp, end: Timestamp, now: Timestamp) -> bool {
    now >= end || now < began
}

#[cfg(test)]
mod tests;
