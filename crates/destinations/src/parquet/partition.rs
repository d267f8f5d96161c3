//! Which folder a row is in: that of the time at which what it tells of happened.

use std::fmt;

const HOUR_MS: i64 = 60 * 60 * 1_000;

/// How fine the folders are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grain {
    /// `date=2026-11-27`: one folder a day, for up to some hundred thousand outcomes a day.
    #[default]
    Day,
    /// `date=2026-11-27/hour=09`.
    Hour,
}

/// Works out folders, and remembers the last: rows that come together are mostly of one hour.
pub(super) struct Partitions {
    grain: Grain,
    /// The hour, counted from 1970, and its folder.
    last: Option<(i64, Partition)>,
}

impl Partitions {
    pub(super) fn new(grain: Grain) -> Self {
        Self { grain, last: None }
    }

    /// The folder of a time, as [`Partition::of`].
    pub(super) fn of(&mut self, millis: i64) -> Partition {
        let hour = millis.div_euclid(HOUR_MS);
        match self.last {
            Some((last, partition)) if last == hour => partition,
            _ => {
                let partition = Partition::of(millis, self.grain);
                self.last = Some((hour, partition));
                partition
            }
        }
    }
}

/// A folder, in Hive's style. In the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Partition {
    date: jiff::civil::Date,
    hour: Option<i8>,
}

impl Partition {
    /// How the names of all folders begin.
    pub(super) const PREFIX: &str = "date=";

    /// Understands the name of a folder, of either grain.
    pub(super) fn parse(folder: &str) -> Option<Self> {
        let (date, hour) = match folder.split_once("/hour=") {
            Some((date, hour)) => (date, Some(hour.parse().ok().filter(|hour| (0..24).contains(hour))?)),
            None => (folder, None),
        };
        let partition = Self { date: date.strip_prefix(Self::PREFIX)?.parse().ok()?, hour };
        (partition.to_string() == folder).then_some(partition)
    }

    /// When its day or its hour is over, in milliseconds since 1970.
    pub(super) fn ends(&self) -> i64 {
        let begins = self.date.at(self.hour.unwrap_or_default(), 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC);
        let lasts = if self.hour.is_some() { HOUR_MS } else { 24 * HOUR_MS };
        begins.map_or(i64::MAX, |begins| begins.timestamp().as_millisecond().saturating_add(lasts))
    }

    /// Of a time in milliseconds since 1970; in UTC.
    pub(super) fn of(millis: i64, grain: Grain) -> Self {
        let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let time = time.to_zoned(jiff::tz::TimeZone::UTC);
        Self { date: time.date(), hour: (grain == Grain::Hour).then(|| time.hour()) }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.date)?;
        self.hour.map_or(Ok(()), |hour| write!(f, "/hour={hour:02}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_folder_is_known_by_its_name_and_ends_behind_what_is_in_it(
            millis in -62_000_000_000_000_i64..253_000_000_000_000,
            grain in prop_oneof![Just(Grain::Day), Just(Grain::Hour)],
        ) {
            let partition = Partition::of(millis, grain);
            prop_assert_eq!(Partition::parse(&partition.to_string()), Some(partition));
            let lasts = if grain == Grain::Hour { HOUR_MS } else { 24 * HOUR_MS };
            prop_assert!(partition.ends() > millis && partition.ends() <= millis + lasts);
            let mut partitions = Partitions::new(grain);
            for other in [millis, millis + 1, millis - 1, millis + HOUR_MS, i64::MIN, i64::MAX, millis] {
                prop_assert_eq!(partitions.of(other), Partition::of(other, grain));
            }
        }
    }

    #[test]
    fn what_is_no_folder_of_ours_is_none() {
        for name in [
            "",
            "date=",
            "date=2026-13-01",
            "date=2026-1-1",
            "date=2026-11-27/hour=24",
            "date=2026-11-27/hour=9",
            "_catalogue",
        ] {
            assert_eq!(Partition::parse(name), None, "{name}");
        }
    }
}
