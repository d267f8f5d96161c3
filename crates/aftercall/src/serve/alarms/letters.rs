//! The groups of dead letters that a reading has: kept up with new letters, a bounded number at a time, and counted anew when
//! they are not those that the queue counts. Nothing of it is stored.

use std::time::{Duration, Instant};

use operate::alarms::{Ledger, Mismatch};
use queue::{DeadLetterQuery, Queue, QueueError, QueueStatus};

/// Dead letters that are read at a time.
const LETTERS_PAGE: usize = 1_000;
/// Pages of new dead letters in one reading; more are read by the next ones.
const PAGES_MAX: usize = 20;
/// Groups are counted anew at most so often, and never for more than a twentieth of the time.
const RECOUNT_EVERY: Duration = Duration::from_secs(10);
const RECOUNT_SHARE: u32 = 20;

/// The groups of dead letters, kept up with what is new.
#[derive(Default)]
pub(crate) struct Letters {
    ledger: Ledger,
    /// The ledger has once had all there were.
    complete: bool,
    /// When it was begun, and how long reading took until it was complete.
    begun: Option<Instant>,
    took: Duration,
}

impl Letters {
    /// Reads letters that are new; a bounded number, the others next time.
    pub(crate) async fn read_new(&mut self, queue: &dyn Queue) -> Result<(), QueueError> {
        let begin = Instant::now();
        self.begun.get_or_insert(begin);
        let was_complete = self.complete;
        for _ in 0..PAGES_MAX {
            let after = self.ledger.last();
            let page = queue.dead_letters(DeadLetterQuery { after, limit: LETTERS_PAGE, ..Default::default() }).await?;
            self.ledger.add(&page);
            if page.len() < LETTERS_PAGE {
                self.complete = true;
                break;
            }
        }
        if !was_complete {
            self.took += begin.elapsed();
        }
        Ok(())
    }

    /// The groups, after those that are gone were found out; `None` while that is not known.
    pub(crate) fn settle(&mut self, status: &QueueStatus) -> Option<Vec<queue::DeadLetterGroup>> {
        if self.ledger.compare(status) == Mismatch::Recount {
            let pause = RECOUNT_EVERY.max(self.took * RECOUNT_SHARE);
            if self.begun.is_none_or(|begun| begun.elapsed() >= pause) {
                *self = Self::default();
            }
            return None;
        }
        self.complete.then(|| self.ledger.groups())
    }
}
