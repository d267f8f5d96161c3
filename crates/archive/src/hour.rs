//! Hours of UTC, which is how the archive is laid out.

use std::fmt;

use event::Timestamp;
use serde::{Deserialize, Serialize};

const MILLIS: i64 = 3_600_000;
/// 9999-12-30, in milliseconds.
const LAST: i64 = 253_402_128_000_000;

/// An hour, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hour(pub(crate) i64);

impl Hour {
    pub(crate) fn of(time: Timestamp) -> Self {
        Self(time.as_millis().div_euclid(MILLIS))
    }

    /// The first moment of the next one.
    pub(crate) fn end(self) -> Timestamp {
        Timestamp::from_millis((self.0 + 1).saturating_mul(MILLIS))
    }

    /// The day it is in, as a folder's name.
    pub(crate) fn day(self) -> String {
        self.shown("%Y-%m-%d")
    }

    /// Its folder within the day.
    pub(crate) fn of_day(self) -> String {
        self.shown("%H")
    }

    fn shown(self, format: &str) -> String {
        // Nothing was received before 1970, and nobody asks for what comes after the year 9999.
        let millis = self.0.saturating_mul(MILLIS).clamp(0, LAST);
        let time = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
        time.strftime(format).to_string()
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.day(), self.of_day())
    }
}
