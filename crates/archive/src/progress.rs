//! How far the export has come. Pure.
//!
//! Parts are of one hour each, while the log may have the events of two hours mixed where one ends, or of any hours when
//! the clock was set. So it is not enough to know one place: everything up to `after` is exported, and of some hours more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::chain::Before;
use crate::hour::Hour;

/// What is exported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Everything up to this place.
    pub(crate) after: u64,
    /// Of these hours everything up to these places, which are behind `after`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) hours: BTreeMap<i64, u64>,
    /// The parts that were exported last, the newest first, so that their loss is noticed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) last: Vec<Before>,
}

impl Progress {
    /// Whether an event is exported.
    pub(crate) fn has(&self, seq: u64, hour: Hour) -> bool {
        seq <= self.after || self.hours.get(&hour.0).is_some_and(|through| seq <= *through)
    }

    /// With the events of an hour up to `through` exported, too; `left` is the first place that is not.
    pub(crate) fn with(&self, hour: Hour, through: u64, left: Option<u64>) -> Self {
        let mut hours = self.hours.clone();
        hours.insert(hour.0, through);
        let after = left.map_or(through, |left| left - 1).max(self.after);
        hours.retain(|_, through| *through > after);
        Self { after, hours, last: self.last.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mixed_is_exported_once() {
        // Places 1 2 4 are of hour 7; 3 5 of hour 8; 6 of hour 7 again, but too late for the part.
        let first = Progress::default().with(Hour(7), 5, Some(3));
        assert_eq!(first.after, 2);
        let has = |progress: &Progress| -> Vec<bool> {
            [7, 7, 8, 7, 8, 7].into_iter().zip(1..).map(|(hour, seq)| progress.has(seq, Hour(hour))).collect()
        };
        assert_eq!(has(&first), [true, true, false, true, false, false]);
        let second = first.with(Hour(8), 6, Some(6));
        assert_eq!(has(&second), [true, true, true, true, true, false]);
        let third = second.with(Hour(7), 6, None);
        assert_eq!(third, Progress { after: 6, ..Progress::default() });
    }
}
