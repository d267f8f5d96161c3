//! Times that are still to come: they were noted before the clock was set back. They count as when they were first seen to
//! be, so that what began then is as old as it was seen to be, and an alarm about it does not wait until the clock gets there
//! again, nor begin to wait anew when it does.

use std::borrow::Cow;
use std::collections::BTreeMap;

use event::Timestamp;
use serde::{Deserialize, Serialize};

use super::reading::{Breaker, Reading};

/// The times that were still to come, and when that was first seen; each for as long as it is read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Ahead(BTreeMap<String, Seen>);

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Seen {
    noted: Timestamp,
    seen: Timestamp,
}

impl Ahead {
    /// The reading without times that are, or were, still to come.
    pub(super) fn correct<'a>(&mut self, reading: &'a Reading, now: Timestamp) -> Cow<'a, Reading> {
        if self.0.is_empty() && !is_ahead(reading, now) {
            return Cow::Borrowed(reading);
        }
        let mut corrected = reading.clone();
        let known = std::mem::take(&mut self.0);
        let mut seen = |key: String, at: &mut Timestamp| {
            let known = known.get(&key).filter(|known| known.noted == *at);
            if *at > now || known.is_some() {
                let seen = known.map_or(now, |known| known.seen.min(now));
                self.0.insert(key, Seen { noted: *at, seen });
                *at = seen;
            }
        };
        for destination in &mut corrected.destinations {
            let name = &destination.name;
            destination.oldest.iter_mut().for_each(|at| seen(format!("oldest/{name}"), at));
            destination.unusable.iter_mut().for_each(|(at, _)| seen(format!("unusable/{name}"), at));
            if let Breaker::Open(at) = &mut destination.breaker {
                seen(format!("breaker/{name}"), at);
            }
        }
        for notifier in &mut corrected.notifiers {
            notifier.failing_since.iter_mut().for_each(|at| seen(format!("notifier/{}", notifier.name), at));
        }
        corrected.archive_failing.iter_mut().for_each(|(at, _)| seen("archive".to_owned(), at));
        Cow::Owned(corrected)
    }
}

fn is_ahead(reading: &Reading, now: Timestamp) -> bool {
    let of_destinations = reading.destinations.iter().any(|destination| {
        let open = match destination.breaker {
            Breaker::Open(at) => Some(at),
            Breaker::Closed | Breaker::Unknown => None,
        };
        let unusable = destination.unusable.as_ref().map(|(at, _)| *at);
        [destination.oldest, unusable, open].into_iter().flatten().any(|at| at > now)
    });
    let of_notifiers = reading.notifiers.iter().filter_map(|notifier| notifier.failing_since).any(|at| at > now);
    of_destinations || of_notifiers || reading.archive_failing.as_ref().is_some_and(|(at, _)| *at > now)
}
