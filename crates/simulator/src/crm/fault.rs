//! How the CRM can be told to fail.

use std::time::{Duration, Instant};

use crate::Tag;

/// What the CRM does instead of its work while the fault is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answers with this status and writes nothing.
    Status {
        /// The HTTP status.
        code: u16,
        /// The answer's `Retry-After`, in whole seconds.
        retry_after: Option<u32>,
    },
    /// Never answers; closes the connection when the fault ends.
    Timeout {
        /// The row is written all the same, so that only the answer is lost.
        written: bool,
    },
    /// Resets the connection instead of answering.
    Reset {
        /// The row is written all the same, so that only the answer is lost.
        written: bool,
    },
    /// Does its work and answers so much later.
    Slow(Duration),
    /// Answers one event in `every` with this status, always the same ones; does its work for the others.
    RejectSome {
        /// One event in so many, chosen by their tags; 0 chooses none.
        every: u64,
        /// The HTTP status.
        code: u16,
    },
}

impl Fault {
    /// 503 without `Retry-After`.
    pub const UNAVAILABLE: Self = Self::Status { code: 503, retry_after: None };

    /// Whether [`Fault::RejectSome`] with this `every` means this event.
    pub(crate) fn chooses(every: u64, tag: Option<Tag>) -> bool {
        tag.is_some_and(|tag| {
            let hash = xxhash_rust::xxh3::xxh3_64_with_seed(tag.conversation().as_bytes(), u64::from(tag.ordinal()));
            hash.checked_rem(every) == Some(0)
        })
    }
}

/// A fault that is on, and when it ends by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Active {
    pub(crate) fault: Fault,
    pub(crate) until: Option<Instant>,
}

impl Active {
    pub(crate) fn at(self, now: Instant) -> Option<Self> {
        self.until.is_none_or(|until| now < until).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Uuid;

    #[test]
    fn the_same_events_are_rejected_every_time_and_about_as_many_as_asked() {
        let tags: Vec<Tag> = (0..10_000).map(|n| Tag::new(Uuid::from_bits(n / 10), (n % 10) as u32)).collect();
        let chosen = || tags.iter().filter(|tag| Fault::chooses(20, Some(**tag))).count();
        assert_eq!(chosen(), chosen());
        assert!((400..600).contains(&chosen()), "{}", chosen());
        assert!(!Fault::chooses(0, Some(tags[0])) && !Fault::chooses(1, None));
    }

    #[test]
    fn a_fault_ends_by_itself() {
        let now = Instant::now();
        let active = Active { fault: Fault::UNAVAILABLE, until: Some(now + Duration::from_secs(1)) };
        assert!(active.at(now).is_some());
        assert!(active.at(now + Duration::from_secs(1)).is_none());
    }
}
