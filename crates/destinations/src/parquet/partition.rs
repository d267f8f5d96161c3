//! Which folder a row is in: that of the time at which what it tells of happened.

use std::fmt;

/// How fine the folders are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grain {
    /// `date=2026-11-27`: one folder a day, for up to some hundred thousand outcomes a day.
    #[default]
    Day,
    /// `date=2026-11-27/hour=09`.
    Hour,
}

/// A folder, in Hive's style. In the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Partition {
    date: jiff::civil::Date,
    hour: Option<i8>,
}

impl Partition {
    /// Of a time in milliseconds since 1970; in UTC.
    pub(super) fn of(millis: i64, grain: Grain) -> Self {
        let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let time = time.to_zoned(jiff::tz::TimeZone::UTC);
        Self { date: time.date(), hour: (grain == Grain::Hour).then(|| time.hour()) }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "date={}", self.date)?;
        self.hour.map_or(Ok(()), |hour| write!(f, "/hour={hour:02}"))
    }
}
