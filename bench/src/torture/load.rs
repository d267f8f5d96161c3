//! What the contact centre sends: life-cycles of conversations without end, some requests of them twice.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use simulator::contact_centre::{Knobs, Request};

/// A request is sent again within this time, or not at all: what is repeated after the dedupe window is a new event.
pub(super) const AGAIN_WITHIN: Duration = Duration::from_secs(5);
/// Conversations at once: enough for deliveries side by side.
const CONVERSATIONS: usize = 100;

/// The contact centre's settings.
pub(super) fn knobs(seed: u64) -> Knobs {
    Knobs {
        seed,
        events: u64::MAX,
        conversations_at_once: CONVERSATIONS,
        batched: 0.2,
        batch_max: 20,
        duplicated: 0.1,
        ..Knobs::default()
    }
}

/// The requests until it is enough, without those that come again too late.
pub(super) struct Load<I> {
    requests: I,
    enough: Arc<AtomicBool>,
    /// The numbers of the latest requests, and when they were made.
    latest: VecDeque<(u64, Instant)>,
    again_within: Duration,
}

impl<I: Iterator<Item = Request>> Load<I> {
    pub(super) fn new(requests: I, enough: Arc<AtomicBool>, again_within: Duration) -> Self {
        Self { requests, enough, latest: VecDeque::new(), again_within }
    }

    fn is_late(&self, request: &Request) -> bool {
        let oldest = self.latest.front().map(|(number, _)| *number);
        request.duplicate_of.is_some_and(|first| oldest.is_none_or(|oldest| first < oldest))
    }
}

impl<I: Iterator<Item = Request>> Iterator for Load<I> {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        loop {
            if self.enough.load(Ordering::Relaxed) {
                return None;
            }
            let request = self.requests.next()?;
            while self.latest.front().is_some_and(|(_, made)| made.elapsed() > self.again_within) {
                self.latest.pop_front();
            }
            if self.is_late(&request) {
                continue;
            }
            // One that comes again does not start the time anew.
            if request.duplicate_of.is_none() {
                self.latest.push_back((request.number, Instant::now()));
            }
            return Some(request);
        }
    }
}

#[cfg(test)]
mod tests {
    use simulator::contact_centre::ContactCentre;

    use super::*;

    fn duplicates(again_within: Duration) -> usize {
        let enough = Arc::new(AtomicBool::new(false));
        let knobs = Knobs { events: 5_000, ..knobs(1) };
        let load = Load::new(ContactCentre::new(knobs).unwrap(), enough, again_within);
        load.filter(|request| request.duplicate_of.is_some()).count()
    }

    #[test]
    fn what_comes_again_too_late_is_left_out() {
        assert!(duplicates(Duration::MAX) > 100);
        assert_eq!(duplicates(Duration::ZERO), 0);
    }

    #[test]
    fn enough_ends_it() {
        let enough = Arc::new(AtomicBool::new(false));
        let mut load = Load::new(ContactCentre::new(knobs(1)).unwrap(), Arc::clone(&enough), AGAIN_WITHIN);
        assert!(load.next().is_some());
        enough.store(true, Ordering::Relaxed);
        assert!(load.next().is_none());
    }
}
