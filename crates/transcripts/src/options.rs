//! What can be set, and the check of it.

use std::time::Duration;

use destinations::{OpenError, Patience};
use storage::Location;

/// Bytes of a part of an upload. S3 takes no less, and each attempt under way has one in memory.
pub(crate) const PART_BYTES: usize = 5 * 1024 * 1024;
/// Parts that S3 takes of one object.
const PARTS_MAX: u64 = 10_000;

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the transcripts go.
    pub location: Location,
    /// The template of an object's key.
    pub object: String,
    /// When a transcript is asked for.
    pub schedule: Schedule,
    /// For how long transcripts are kept; without it for ever.
    pub retention: Option<Duration>,
    /// Longest transcript that is taken, in bytes.
    pub max_bytes: u64,
    /// Whether an event is published when a transcript has been stored.
    pub update: bool,
    /// How long one request to the object store may take.
    pub timeout: Duration,
}

/// When a transcript is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Not before the event is so old: nothing is there at the end of a call.
    pub first: Duration,
    /// The pause after the first attempt that found none. Each one after it is half as long again.
    pub base: Duration,
    /// The longest pause.
    pub cap: Duration,
    /// After so long it is given up.
    pub give_up: Duration,
}

impl Options {
    /// A conversation's transcripts are in a folder of its own.
    pub const OBJECT: &'static str = "transcripts/{conversation_id}/{communication_id}/{recording_id}.json";
    /// 2 GiB: a conversation of a day has some tens of MiB, so this only stops what is no transcript.
    pub const MAX_BYTES: u64 = 2 * 1024 * 1024 * 1024;
    /// Longest that can be allowed: 48 GiB, what an object of S3 has room for in parts of 5 MiB.
    pub const MAX_BYTES_MAX: u64 = PARTS_MAX * PART_BYTES as u64;
    /// 60 s for a part of 5 MiB: a slow line of 1 Mbit/s.
    pub const TIMEOUT: Duration = Duration::from_secs(60);
    /// 4: each has a part in memory, and more than 300 requests a minute the platform does not answer anyway.
    pub const CONCURRENCY: usize = 4;
    /// 10 min for an attempt: half a GiB at 1 MiB/s, after a minute of waiting for the budget.
    pub const ATTEMPT: Duration = Duration::from_secs(600);

    /// The defaults, for a place.
    pub fn new(location: Location) -> Self {
        Self {
            location,
            object: Self::OBJECT.to_owned(),
            schedule: Schedule::default(),
            retention: None,
            max_bytes: Self::MAX_BYTES,
            update: true,
            timeout: Self::TIMEOUT,
        }
    }

    /// What is wrong with an option.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let refuse = |key, problem: &str| Err(OpenError::Option { key, problem: problem.to_owned() });
        let Schedule { first, base, cap, give_up } = self.schedule;
        if base.is_zero() || base > cap {
            return refuse("schedule", "must grow from a base above zero to a cap that is not below it");
        }
        if give_up < first || give_up < base {
            return refuse("schedule", "gives up before the second attempt; make give_up longer than first and base");
        }
        if cap > Schedule::LONGEST || first > Schedule::LONGEST {
            return refuse(
                "schedule",
                "has a pause of more than 7 days; nobody knows then whether the server still works",
            );
        }
        if self.max_bytes == 0 || self.max_bytes > Self::MAX_BYTES_MAX {
            return refuse("max_size", "must be more than 0 and at most 48 GiB, which is what an object has room for");
        }
        if self.retention.is_some_and(|retention| retention < Self::RETENTION_MIN) {
            return refuse("retention", "is less than a minute; write days, like \"90d\"");
        }
        Ok(())
    }

    /// A minute: less would remove what has just been told of.
    const RETENTION_MIN: Duration = Duration::from_secs(60);
}

impl Schedule {
    /// 7 days.
    pub const LONGEST: Duration = Duration::from_secs(7 * 86_400);
    /// How long a delivery waits that is turned away because another one of its conversation is being made.
    const TURN: Duration = Duration::from_secs(10);
    /// Pauses while the budget of requests is used up, unless the platform names one.
    const BUDGET: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

    /// How one that is not there yet is waited for.
    pub(crate) fn patience(&self) -> Patience {
        Patience { shortest: self.base, longest: self.cap, give_up: Some((self.give_up, "the transcript never came")) }
    }

    /// How it is waited for that the event is old enough. What is drawn by lot leaves out up to a quarter.
    pub(crate) fn until_first(wait: Duration) -> Patience {
        let pause = wait + wait / 3 + Duration::from_millis(1);
        Patience { shortest: pause, longest: pause, give_up: None }
    }

    /// How it is waited for another delivery of the conversation.
    pub(crate) fn turn() -> Patience {
        Patience { shortest: Self::TURN, longest: Self::TURN, give_up: None }
    }

    /// How it is waited for the platform's limits.
    pub(crate) fn budget() -> Patience {
        Patience { shortest: Self::BUDGET.0, longest: Self::BUDGET.1, give_up: None }
    }

    /// The longest pause that it makes; a queue must let deliveries wait for so long.
    pub fn longest(&self) -> Duration {
        self.cap.max(self.first + self.first / 2)
    }
}

impl Default for Schedule {
    /// The first attempt when the first transcripts are there, the last ones six hours apart, and a week, since some take
    /// days.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5 * 60),
            base: Duration::from_secs(5 * 60),
            cap: Duration::from_secs(6 * 3_600),
            give_up: Duration::from_secs(7 * 86_400),
        }
    }
}
