//! Points in time, as milliseconds of Unix time.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z. Serialises as that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds of Unix time.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds of Unix time.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This time and `by` more; stays at the end of the range instead of overflowing.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This time less `by`; stays at the start of the range instead of overflowing.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long before `later` this was; zero if it was not.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(Millis)
    }
}

struct Millis;

impl Visitor<'_> for Millis {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of milliseconds")
    }

    fn visit_i64<E: Error>(self, millis: i64) -> Result<Timestamp, E> {
        Ok(Timestamp(millis))
    }

    fn visit_u64<E: Error>(self, millis: u64) -> Result<Timestamp, E> {
        i64::try_from(millis).map(Timestamp).map_err(|_| E::invalid_value(Unexpected::Unsigned(millis), &self))
    }

    /// JSON knows no whole numbers, so some writers make `7.0` of 7.
    fn visit_f64<E: Error>(self, millis: f64) -> Result<Timestamp, E> {
        const EXACT: f64 = (1u64 << 53) as f64;
        let whole = millis.fract() == 0.0 && millis.abs() <= EXACT;
        if whole { Ok(Timestamp(millis as i64)) } else { Err(E::invalid_value(Unexpected::Float(millis), &self)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        let read = |text: &str| serde_json::from_str::<Timestamp>(text).map(Timestamp::as_millis).ok();
        assert_eq!((read("7"), read("-7.0"), read("0")), (Some(7), Some(-7), Some(0)));
        assert_eq!((read("7.5"), read("1e300"), read("\"7\""), read("18446744073709551615")), (None, None, None, None));
    }
}
