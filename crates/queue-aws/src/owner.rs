//! Who delivers: each destination is owned by one of the servers that share the queue. The others stand by, at no cost but
//! a look at all owners from time to time, and one of them takes over when the owner is gone. So limits of concurrency,
//! rates and the breaker, which a server counts for itself, hold for all of them together.
//!
//! An owner says so in one item for each destination, and says it again at a third of the time for which that counts. It
//! stops to lease once it has not been able to say so for that time, by its own clock and by the time that has gone by. It
//! is taken over from when it has not said so for half as long again, by the time that has gone by at the one who takes
//! over; so no difference between clocks makes two owners, as long as it is below [`SKEW`]. On a clean stop it gives back
//! what it owns.
//!
//! Who owns decides nothing about what is true: leases and settlements are conditional writes of shards, whoever makes
//! them, and a settlement of a former owner counts. A crash leaves an ownership that ends by time.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use event::Timestamp;
use queue::QueueError;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::inner::{Destination, Inner};
use crate::keys;
use crate::options::{AWAY, GIVE_BACK_TIME, SKEW};
use crate::table::{Direction, Expected, Item, Stamp, Write, Written};

/// An ownership, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Owned {
    /// Names a process, for as long as that has the queue open.
    by: Stamp,
    /// By its clock; long ago if it was given back.
    until: Timestamp,
    /// When it was there, by its clock.
    said: Timestamp,
}

/// What this process knows of who owns a destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tenure {
    /// Nothing: it has to look.
    #[default]
    Unknown,
    /// This process, as of a write that was begun `since` then. Without a stamp it is not known what stands in the table.
    Ours { stamp: Option<Stamp>, since: Instant, until: Timestamp },
    /// Another one, whose present word was seen first at this time.
    Others { stamp: Stamp, since: Instant },
}

/// How long an owner is silent before it is taken over from.
fn silence(ownership: Duration) -> Duration {
    ownership * 3 / 2
}

impl Tenure {
    fn is_ours(&self) -> bool {
        matches!(self, Self::Ours { .. })
    }

    /// Whether this process may lease.
    fn holds(&self, ownership: Duration, at: Instant, now: Timestamp) -> bool {
        match self {
            Self::Ours { since, until, .. } => at.saturating_duration_since(*since) < ownership && now <= *until,
            Self::Unknown | Self::Others { .. } => false,
        }
    }

    /// Whether there is nothing to be asked: another one owns it, and has said so lately.
    fn is_anothers(&self, ownership: Duration, at: Instant) -> bool {
        matches!(self, Self::Others { since, .. } if at.saturating_duration_since(*since) < silence(ownership))
    }

    /// Since when the word that stands in the table is known.
    fn heard(&self, stamp: Stamp, at: Instant) -> Instant {
        match self {
            Self::Others { stamp: known, since } if *known == stamp => *since,
            _ => at,
        }
    }
}

impl Owned {
    fn was_given_back(&self) -> bool {
        self.until == Timestamp::default()
    }

    /// Whether another one's ownership is over: given back, silent for too long, or of long ago by any clock.
    fn is_over(&self, heard: Duration, ownership: Duration, now: Timestamp) -> bool {
        self.was_given_back() || heard >= silence(ownership) || self.until.plus(SKEW) < now
    }
}

/// Renews what this process owns and looks for what others have left, until the queue is closed or gone.
pub(crate) async fn tend(inner: Weak<Inner>, ownership: Duration) {
    loop {
        tokio::time::sleep(ownership / 10).await;
        let Some(inner) = inner.upgrade().filter(|inner| !inner.closed.load(Ordering::SeqCst)) else { return };
        let destinations = inner.wired.read().destinations.clone();
        let mut foreign = Vec::new();
        for destination in destinations.into_iter().filter(|destination| destination.is_wanted()) {
            if !inner.renew(&destination, ownership).await {
                foreign.push(destination);
            }
        }
        if !foreign.is_empty() {
            inner.look_at_others(foreign, ownership).await;
        }
    }
}

impl Inner {
    /// Whether this process may deliver to a destination; takes it over if nobody else does.
    pub(crate) async fn owns(&self, destination: &Destination, now: Timestamp) -> Result<bool, QueueError> {
        let Some(ownership) = self.options.ownership else { return Ok(true) };
        destination.note_wanted(now);
        let mut tenure = destination.tenure.lock().await;
        let at = Instant::now();
        if tenure.holds(ownership, at, now) {
            return Ok(true);
        }
        if tenure.is_anothers(ownership, at) {
            return Ok(false);
        }
        let owns = self.claim_destination(destination, &mut tenure, ownership, now).await;
        destination.stands_by.store(!matches!(owns, Ok(true)), Ordering::SeqCst);
        owns
    }

    /// Says again that this process owns a destination, if it does and it is time to; whether it does.
    async fn renew(&self, destination: &Destination, ownership: Duration) -> bool {
        let mut tenure = destination.tenure.lock().await;
        let Tenure::Ours { since, .. } = *tenure else { return false };
        if since.elapsed() < ownership / 3 {
            return true;
        }
        let now = destination.clock();
        // A failure is told to whoever leases once it may not any more.
        let _ = self.claim_destination(destination, &mut tenure, ownership, now).await;
        tenure.is_ours()
    }

    async fn claim_destination(
        &self,
        destination: &Destination,
        tenure: &mut Tenure,
        ownership: Duration,
        now: Timestamp,
    ) -> Result<bool, QueueError> {
        let begun = Instant::now();
        let expected = match *tenure {
            Tenure::Ours { stamp: Some(stamp), .. } => Expected::Stamp(stamp),
            _ => match self.table.get(&keys::owner(destination.id)).await? {
                None => Expected::Nothing,
                Some(item) => match self.may_take(destination, tenure, &item, ownership, now)? {
                    true => Expected::Stamp(item.stamp),
                    false => return Ok(false),
                },
            },
        };
        let (stamp, until): (Stamp, _) = (rand::rng().random(), now.plus(ownership));
        let write = Write::put(keys::owner(destination.id), expected, &Owned { by: self.id, until, said: now })?;
        match self.table.write_as(write, stamp).await {
            Ok(Written::Done) => {
                *tenure = Tenure::Ours { stamp: Some(stamp), since: begun, until };
                Ok(true)
            }
            Ok(Written::Refused(there)) => {
                if tenure.is_ours() {
                    tracing::warn!(
                        destination = &*destination.name,
                        "another server has taken over this destination, because this one was silent for too long"
                    );
                }
                *tenure = there.map_or(Tenure::Unknown, |item| Tenure::Others { stamp: item.stamp, since: begun });
                Ok(false)
            }
            Err(error) => {
                if let Tenure::Ours { stamp, .. } = tenure {
                    // It may have been written or not.
                    *stamp = None;
                }
                Err(error)
            }
        }
    }

    /// Whether what stands in the table may be written over; if not, takes note of it.
    fn may_take(
        &self,
        destination: &Destination,
        tenure: &mut Tenure,
        item: &Item,
        ownership: Duration,
        now: Timestamp,
    ) -> Result<bool, QueueError> {
        let owned: Owned = item.read()?;
        if owned.by == self.id {
            return Ok(true);
        }
        let at = Instant::now();
        let since = tenure.heard(item.stamp, at);
        if !owned.is_over(at.saturating_duration_since(since), ownership, now) {
            *tenure = Tenure::Others { stamp: item.stamp, since };
            return Ok(false);
        }
        if !owned.was_given_back() {
            tracing::warn!(
                destination = &*destination.name,
                "the server that delivered to this destination is silent: this one takes over; what it had under way \
                 waits until its leases end"
            );
        }
        Ok(true)
    }

    /// Looks at the owners of destinations that this process stands by for, and wakes those that can be taken over.
    async fn look_at_others(&self, foreign: Vec<Arc<Destination>>, ownership: Duration) {
        let (first, last) = keys::owners();
        let Ok(items) = self.table.range(keys::OWNERS, &first, &last, Direction::Up, usize::MAX).await else { return };
        for destination in foreign {
            let key = keys::owner(destination.id);
            let item = items.iter().find(|item| item.key == key);
            let mut tenure = destination.tenure.lock().await;
            if tenure.is_ours() {
                continue;
            }
            let at = Instant::now();
            let is_free = match item.map(|item| item.read::<Owned>().map(|owned| (item.stamp, owned))) {
                Some(Ok((stamp, owned))) => {
                    let since = tenure.heard(stamp, at);
                    *tenure = Tenure::Others { stamp, since };
                    owned.is_over(at.saturating_duration_since(since), ownership, destination.clock())
                }
                // What is wrong with it is told to whoever leases.
                Some(Err(_)) | None => true,
            };
            if is_free {
                if !matches!(*tenure, Tenure::Others { since, .. } if since.elapsed() >= silence(ownership)) {
                    *tenure = Tenure::Unknown;
                }
                destination.changed.notify_one();
            }
        }
    }

    /// Whether a server has delivered to a destination lately.
    pub(crate) async fn is_elsewhere(&self, destination: &Destination, now: Timestamp) -> Result<bool, QueueError> {
        let item = self.table.get(&keys::owner(destination.id)).await?;
        let owned = item.map(|item| item.read::<Owned>()).transpose()?;
        Ok(owned.is_some_and(|owned| owned.said.plus(AWAY) > now))
    }

    /// Gives back what this process owns of destinations that are not wanted any more, or of all.
    pub(crate) async fn give_back(&self, all: bool) {
        let destinations = self.wired.read().destinations.clone();
        let giving = async {
            for destination in destinations.iter().filter(|destination| all || !destination.is_configured()) {
                let mut tenure = destination.tenure.lock().await;
                let Tenure::Ours { stamp, .. } = std::mem::take(&mut *tenure) else { continue };
                let Some(stamp) = stamp else { continue };
                let given = Owned { by: self.id, until: Timestamp::default(), said: destination.clock() };
                let Ok(write) = Write::put(keys::owner(destination.id), Expected::Stamp(stamp), &given) else {
                    continue;
                };
                // If it fails, the ownership ends by time.
                let _ = self.table.write(write).await;
            }
        };
        let _ = tokio::time::timeout(GIVE_BACK_TIME, giving).await;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWNERSHIP: Duration = Duration::from_secs(30);
    const NOW: Timestamp = Timestamp::from_millis(1_773_957_888_000);

    proptest! {
        /// The owner has written at `begun` by its clock, which differs by up to a minute; both count seconds alike.
        #[test]
        fn nobody_takes_over_while_the_owner_may_lease(
            skew in -60_000i64..=60_000, seen_after in 0u64..5_000, at in 0u64..200_000, set in -3_600_000i64..=0,
        ) {
            let begun = Instant::now();
            let owner_now = Timestamp::from_millis(NOW.as_millis() + skew);
            let owned = Owned { by: [1; 16], until: owner_now.plus(OWNERSHIP), said: owner_now };
            let ours = Tenure::Ours { stamp: Some([2; 16]), since: begun, until: owned.until };
            let moment = begun + Duration::from_millis(at);
            // The owner's clock may have been set back since, which does not prolong anything.
            let shown = Timestamp::from_millis(owner_now.as_millis() + set + i64::try_from(at).unwrap());
            let leases = ours.holds(OWNERSHIP, moment, shown);
            let heard = Duration::from_millis(at.saturating_sub(seen_after));
            let is_over = owned.is_over(heard, OWNERSHIP, NOW.plus(Duration::from_millis(at)));
            prop_assert!(!(leases && is_over), "two owners");
            prop_assert!(is_over || at < 50_000, "an owner that is gone is taken over from in the end");
        }

        #[test]
        fn a_word_counts_from_when_it_was_first_seen(seconds in 0u64..100, same in any::<bool>()) {
            let first = Instant::now();
            let at = first + Duration::from_secs(seconds);
            let known = Tenure::Others { stamp: [1; 16], since: first };
            let heard = known.heard(if same { [1; 16] } else { [2; 16] }, at);
            prop_assert_eq!(heard, if same { first } else { at });
            prop_assert_eq!(known.is_anothers(OWNERSHIP, at), seconds < 45);
        }
    }

    #[test]
    fn what_was_given_back_is_free_at_once() {
        let owned = Owned { by: [1; 16], until: Timestamp::default(), said: NOW };
        assert!(owned.is_over(Duration::ZERO, OWNERSHIP, NOW));
    }
}
