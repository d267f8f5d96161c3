//! Settling: each shard is written on condition that nobody else has, and what has died becomes a dead letter in the same
//! transaction.
//!
//! Settlements of several shards are several writes. A crash between them leaves some unsettled, whose leases end; so
//! they are delivered again, as after a crash before the first. A settlement that is repeated finds its lease gone.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use event::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use queue::{Attempts, Failure, Outcome, QueueError, Settle};

use crate::burial::{Burial, LETTERS_OF_A_COMMIT};
use crate::head::{self, contended};
use crate::inner::{Destination, Inner};
use crate::keys;
use crate::letter::Letter;
use crate::options::PARALLEL;
use crate::shard::{Delivery, Shard, of_generation};
use crate::state::Part;
use crate::table::{Committed, Expected, Write, Written};
use crate::trail::Trail;

/// Settlements of a shard in one write: what destinations have answered to so many fits one transaction, as blocks of the
/// trail.
const SETTLEMENTS_OF_A_WRITE: usize = 50;

impl Inner {
    pub(crate) async fn settle(&self, settlements: Vec<Settle>, now: Timestamp) -> Result<(), QueueError> {
        let (mut dead, mut by_shard) = (Vec::new(), BTreeMap::<_, Vec<Settle>>::new());
        for settle in settlements {
            let (shard, _) = of_generation(settle.token.generation);
            if matches!(settle.outcome, Outcome::Dead { .. }) {
                dead.push(settle.clone());
            }
            by_shard.entry((settle.token.consumer, shard)).or_default().push(settle);
        }
        let settling = by_shard.into_iter().map(|((consumer, shard), settlements)| async move {
            let Some(destination) = self.destination(consumer) else { return Ok(()) };
            for settlements in settlements.chunks(SETTLEMENTS_OF_A_WRITE) {
                self.settle_shard(&destination, shard, settlements, now).await?;
            }
            Ok(())
        });
        let settling: Vec<_> = settling.collect();
        let settled: Result<(), QueueError> =
            stream::iter(settling).buffer_unordered(PARALLEL).try_collect::<()>().await;
        // One after the other, so that the numbers of dead letters are in the order in which they died.
        let buried = match settled {
            Ok(()) => self.settle_dead(dead, now).await,
            failed => failed,
        };
        self.wired.read().tell_all();
        buried
    }

    async fn settle_shard(
        &self,
        destination: &Destination,
        number: u8,
        settlements: &[Settle],
        now: Timestamp,
    ) -> Result<(), QueueError> {
        let mut tries = 0;
        loop {
            let Part { mut shard, expected } = self.part(destination.id, number).await?;
            let (mut changed, mut noted) = (false, Vec::new());
            for Settle { token, outcome } in settlements {
                let Some(delivery) = shard.leased(token.seq.0, of_generation(token.generation).1) else { continue };
                let outcome = unless_erased(delivery, outcome);
                if matches!(outcome, Outcome::Dead { .. }) {
                    // It is buried after the others.
                    continue;
                }
                noted.extend(queue::trail::attempted(token.seq, &destination.name, &outcome, now));
                shard.settle(token.seq.0, &outcome);
                changed = true;
            }
            if !changed {
                return Ok(());
            }
            shard.notes.add(noted)?;
            if self.write_shard(destination, number, &mut shard, expected).await? {
                destination.note_due(number, shard.next_due());
                return Ok(());
            }
            contended(tries).await?;
            tries += 1;
        }
    }

    /// Writes a shard, and puts what it has noted into the audit trail if that is much; whether nobody else has written.
    async fn write_shard(
        &self,
        destination: &Destination,
        number: u8,
        shard: &mut Shard,
        expected: Expected,
    ) -> Result<bool, QueueError> {
        let key = keys::shard(destination.id, number);
        if !shard.notes.are_many() {
            let written = self.table.write(Write::put(key, expected, shard)?).await?;
            return Ok(matches!(written, Written::Done));
        }
        let (mut head, at_head) = self.head().await?;
        let mut trail = Trail::behind(&head);
        trail.take(shard)?;
        let mut writes = trail.finish(&mut head)?;
        writes.extend([head::write(&head, at_head)?, Write::put(key, expected, shard)?]);
        Ok(matches!(self.table.commit(writes).await?, Committed::Done(_)))
    }

    async fn settle_dead(&self, dead: Vec<Settle>, now: Timestamp) -> Result<(), QueueError> {
        let mut left = dead.as_slice();
        while let Some(first) = left.first() {
            // Those of one destination share a transaction.
            let same = left.iter().take_while(|settle| settle.token.consumer == first.token.consumer).count();
            let done = match self.destination(first.token.consumer) {
                Some(destination) => self.bury(&destination, &left[..same.min(LETTERS_OF_A_COMMIT)], now).await?,
                None => same,
            };
            left = &left[done..];
        }
        Ok(())
    }

    /// Makes dead letters of as many as fit one transaction; how many were looked at.
    async fn bury(&self, destination: &Destination, dead: &[Settle], now: Timestamp) -> Result<usize, QueueError> {
        let mut tries = 0;
        loop {
            let mut burial = Burial::begin(self.head().await?);
            let mut looked_at = 0;
            for settle in dead {
                let (number, place) = (of_generation(settle.token.generation).0, settle.token.seq.0);
                if let Entry::Vacant(new) = burial.parts.entry(number) {
                    new.insert(self.part(destination.id, number).await?);
                }
                if let (Some(letter), Outcome::Dead { failure, .. }) =
                    (self.letter_of(destination, &burial, settle, now).await?, &settle.outcome)
                {
                    if !burial.has_room(&letter) {
                        break;
                    }
                    let attempted = queue::trail::attempted(settle.token.seq, &destination.name, &settle.outcome, now);
                    burial.add(destination, (number, place), letter, attempted, (failure, now))?;
                }
                looked_at += 1;
            }
            if burial.is_empty() || self.commit_burial(destination, burial).await? {
                return Ok(looked_at);
            }
            contended(tries).await?;
            tries += 1;
        }
    }

    /// The dead letter of a settlement, if its lease is still out and its event was not erased.
    async fn letter_of(
        &self,
        destination: &Destination,
        burial: &Burial,
        settle: &Settle,
        now: Timestamp,
    ) -> Result<Option<Letter>, QueueError> {
        let (number, lease) = of_generation(settle.token.generation);
        let place = settle.token.seq.0;
        let leased = burial.parts.get(&number).and_then(|part| part.shard.leased(place, lease));
        let leased = leased.filter(|delivery| !delivery.erased);
        let (Some(delivery), Outcome::Dead { attempts, failure }) = (leased, &settle.outcome) else { return Ok(None) };
        self.letter_for(destination, place, delivery, (*attempts, failure), now).await.map(Some)
    }

    /// The dead letter of a delivery.
    pub(crate) async fn letter_for(
        &self,
        destination: &Destination,
        place: u64,
        delivery: &Delivery,
        (attempts, failure): (Attempts, &Failure),
        now: Timestamp,
    ) -> Result<Letter, QueueError> {
        let chunk = delivery.chunk;
        let found = self.chunks([chunk].into()).await?;
        match found.get(&chunk).and_then(|chunk| chunk.at(place)) {
            Some(stored) => Letter::of(destination, &stored, attempts, failure, now),
            None => Letter::of_missing(destination, place, delivery, failure, now),
        }
    }
}

/// What was answered to a delivery whose event was erased meanwhile is not kept, and it is not tried again.
fn unless_erased(delivery: &Delivery, outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Retry { .. } | Outcome::Dead { .. } if delivery.erased => Outcome::Done,
        outcome => outcome.clone(),
    }
}
