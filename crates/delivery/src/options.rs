//! What can be set for the delivery to one destination, and every limit of this crate that is a setting.

use std::time::Duration;

use crate::{Backoff, BreakerOptions, Error, RateOptions};

/// What can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Attempts under way at once, 1 to 10,000.
    pub concurrency: usize,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Charged attempts after which an event that keeps failing is dead.
    pub attempts: u32,
    /// How long to wait before the next attempt.
    pub backoff: Backoff,
    /// When to stop sending because the destination is down, and how to find out that it is back.
    pub breaker: BreakerOptions,
    /// Whether to keep fewer attempts under way while the destination shows that it has too many.
    pub adaptive: bool,
    /// At most so many attempts in a time.
    pub rate: RateOptions,
    /// Longest payload, in bytes, that is sent; a mapping that makes a longer one fails.
    pub max_payload: usize,
    /// How long a stopping service waits for the attempts under way.
    pub drain: Duration,
}

impl Options {
    /// 50: what a CRM's API usually allows one integration at once.
    pub const CONCURRENCY: usize = 50;
    /// 10,000: each attempt holds a body and a connection.
    pub const CONCURRENCY_MAX: usize = 10_000;
    /// 5 s: an API that takes longer has trouble, and a slot is better used for another event.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
    /// 5: with the default backoff, an event that alone keeps failing is dead within about half a minute.
    pub const ATTEMPTS: u32 = 5;
    /// 10 MiB, the same as intake's default for a body.
    pub const MAX_PAYLOAD: usize = 10 * 1024 * 1024;
    /// 10 s: twice the timeout, so that a stop is graceful unless a destination hangs, and ends well before the 30 s
    /// after which service managers kill.
    pub const DRAIN: Duration = Duration::from_secs(10);

    /// On: it does nothing to a destination that keeps up, however slow that is.
    pub const ADAPTIVE: bool = true;
    /// 100 ms: the window slides in ten steps, which are to be told apart by a clock of milliseconds.
    const BREAKER_WINDOW_MIN: Duration = Duration::from_millis(100);

    /// Whether a service can go by these; an error names the one that is wrong.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |key, problem| Err(Error::Option { key, problem });
        if !(1..=Self::CONCURRENCY_MAX).contains(&self.concurrency) {
            return refuse("concurrency", "must be from 1 to 10000");
        }
        if self.timeout.is_zero() {
            return refuse("timeout", "is zero; give the destination some time, such as 5 s");
        }
        if self.attempts == 0 {
            return refuse("attempts", "is zero; at least one attempt must be made");
        }
        if self.backoff.base.is_zero() || self.backoff.base > self.backoff.cap {
            return refuse("backoff", "must grow from a base above zero to a cap that is not below it");
        }
        let BreakerOptions { window, minimum, percent, pause } = self.breaker;
        if !(1..=100).contains(&percent) || minimum == 0 || window < Self::BREAKER_WINDOW_MIN || pause.is_zero() {
            return refuse(
                "breaker",
                "needs a percentage from 1 to 100, a minimum above 0, a window of at least 100 ms and a pause above 0",
            );
        }
        self.rate.check()?;
        if self.max_payload == 0 {
            return refuse("max_payload", "is zero, so that nothing could be sent; 10 MiB is the default");
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: Self::CONCURRENCY,
            timeout: Self::TIMEOUT,
            attempts: Self::ATTEMPTS,
            backoff: Backoff::default(),
            breaker: BreakerOptions::default(),
            adaptive: Self::ADAPTIVE,
            rate: RateOptions::default(),
            max_payload: Self::MAX_PAYLOAD,
            drain: Self::DRAIN,
        }
    }
}
