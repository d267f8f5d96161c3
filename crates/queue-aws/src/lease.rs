//! Leasing: the state is read, what can be leased is chosen, and each shard of it is written on condition that nobody
//! else has. So of two servers that want the same events one gets them.
//!
//! A crash between writing and delivering leaves leases that end by their time.
//!
//! A lease costs one query of the destination's state, the events that are not in memory, and one write for each shard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use event::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use queue::{Attempts, ConsumerId, Lease, LeaseToken, Order, QueueError, Seq, Stored};

use crate::choose::{Ready, choose, in_turn};
use crate::head::contended;
use crate::inner::{Destination, Inner, Setting};
use crate::keys;
use crate::options::{PARALLEL, PROJECTIONS_OF_A_LEASE};
use crate::shard::{Delivery, Shard, generation};
use crate::state::{Looked, Part, State};
use crate::table::{Write, Written};

/// A delivery that was chosen, with its event and the route by which it goes; without a route it is not for this
/// destination any more.
struct Chosen {
    place: u64,
    stored: Arc<Stored>,
    route: Option<u16>,
}

/// What came of leasing.
#[derive(Default)]
struct Taken {
    leases: Vec<Lease>,
    /// Deliveries that were for nobody any more.
    dropped: usize,
}

impl Inner {
    pub(crate) async fn lease(&self, id: ConsumerId, max: usize, now: Timestamp) -> Result<Vec<Lease>, QueueError> {
        let destination = self.expect_destination(id)?;
        if !destination.is_configured() || !self.owns(&destination, now).await? {
            return Ok(Vec::new());
        }
        let mut tries = 0;
        loop {
            let setting = *destination.setting.lock();
            let Some(place) = setting.place else { return Ok(Vec::new()) };
            let mut state = self.state(&destination).await?;
            let chosen = self.choose(&destination, setting, place, &mut state, max, now).await?;
            let Some(chosen) = chosen else {
                contended(tries).await?;
                tries += 1;
                continue;
            };
            if chosen.is_empty() {
                return Ok(Vec::new());
            }
            match self.take(&destination, setting, state, chosen, now).await? {
                Taken { leases, .. } if !leases.is_empty() => return Ok(leases),
                Taken { dropped: 0, .. } => {
                    // Somebody else was quicker.
                    contended(tries).await?;
                    tries += 1;
                }
                Taken { .. } => tries = 0,
            }
        }
    }

    /// What is to be leased, by shard; looks on in the log as far as that takes. `None` if the state is stale.
    async fn choose(
        &self,
        destination: &Destination,
        setting: Setting,
        place: u16,
        state: &mut State,
        max: usize,
        now: Timestamp,
    ) -> Result<Option<BTreeMap<u8, Vec<Ready>>>, QueueError> {
        let rules = self.rules(setting, now);
        let mut looks = 0;
        let (choice, is_end) = loop {
            let choice = choose(state.shards(), rules);
            // Also where there is enough that has failed before: what was not tried yet takes turns with it.
            let fresh = choice.live.iter().filter(|ready| !ready.tried).count();
            if fresh >= max || looks >= PROJECTIONS_OF_A_LEASE {
                break (choice, false);
            }
            let (head, _) = self.head().await?;
            if state.at >= head.last {
                break (choice, true);
            }
            match self.look_on(destination, place, state, &head).await? {
                Looked::On => looks += 1,
                Looked::Stale => return Ok(None),
                Looked::Full => {
                    tracing::warn!(
                        destination = &*destination.name,
                        place = state.at,
                        "too much of one conversation, or of a few, is not settled: later events of this destination wait"
                    );
                    break (choice, true);
                }
            }
        };
        let mut chosen = in_turn(choice.live, max, destination.again_is_next.load(Ordering::Relaxed));
        if chosen.len() % 2 == 1 {
            destination.again_is_next.fetch_xor(true, Ordering::Relaxed);
        }
        if is_end {
            let left = max - chosen.len();
            chosen.extend(choice.again.into_iter().take(left));
        }
        let mut by_shard = BTreeMap::<u8, Vec<Ready>>::new();
        for ready in chosen {
            by_shard.entry(ready.shard).or_default().push(ready);
        }
        Ok(Some(by_shard))
    }

    /// Leases what was chosen, as far as nobody else has written to its shards.
    async fn take(
        &self,
        destination: &Destination,
        setting: Setting,
        mut state: State,
        chosen: BTreeMap<u8, Vec<Ready>>,
        now: Timestamp,
    ) -> Result<Taken, QueueError> {
        let chunks: BTreeSet<u64> = chosen.values().flatten().map(|ready| ready.chunk).collect();
        let chunks = self.chunks(chunks).await?;
        let mut missing = Vec::new();
        let mut found = |ready: Ready| {
            let stored = chunks.get(&ready.chunk).and_then(|chunk| chunk.at(ready.place));
            let Some(stored) = stored else {
                missing.push((ready.place, ready.shard));
                return None;
            };
            let place = setting.place.filter(|_| !stored.event.is_erased());
            let route = place.and_then(|place| self.wired.read().route(&stored.event, place));
            Some(Chosen { place: ready.place, stored: Arc::new(stored), route })
        };
        let mut work = Vec::new();
        for (number, ready) in chosen {
            let chosen: Vec<_> = ready.into_iter().filter_map(&mut found).collect();
            if chosen.is_empty() {
                continue;
            }
            let part = state.parts.remove(&number).ok_or_else(|| QueueError::Transient {
                detail: format!("shard {number} of `{}` is not there", destination.name),
            })?;
            work.push((number, part, chosen));
        }
        let until = now.plus(self.options.queue.times.lease);
        let take = |(number, part, chosen)| self.take_of_shard(destination, setting, number, part, chosen, until);
        let taking: Vec<_> = work.into_iter().map(take).collect();
        let taken: Vec<Taken> = stream::iter(taking).buffer_unordered(PARALLEL).try_collect().await?;
        let mut all = Taken { dropped: missing.len(), ..Taken::default() };
        if !missing.is_empty() {
            self.bury_missing(destination, missing, now).await?;
        }
        for Taken { leases, dropped } in taken {
            all.leases.extend(leases);
            all.dropped += dropped;
        }
        all.leases.sort_unstable_by_key(|lease| lease.token.seq);
        Ok(all)
    }

    async fn take_of_shard(
        &self,
        destination: &Destination,
        setting: Setting,
        number: u8,
        part: Part,
        chosen: Vec<Chosen>,
        until: Timestamp,
    ) -> Result<Taken, QueueError> {
        let Part { mut shard, expected } = part;
        let Taken { mut leases, mut dropped } = Taken::default();
        for Chosen { place, stored, route } in chosen {
            let Some(route) = route else {
                shard.deliveries.remove(&place);
                dropped += 1;
                continue;
            };
            let Some((attempts, behind_dead)) = known(&shard, setting, place) else { continue };
            let Some(lease) = shard.lease(place, until) else { continue };
            let token = LeaseToken { consumer: destination.id, seq: Seq(place), generation: generation(number, lease) };
            leases.push(Lease { token, stored, route, attempts, behind_dead, until });
        }
        let write = Write::put(keys::shard(destination.id, number), expected, &shard)?;
        let Written::Done = self.table.write(write).await? else { return Ok(Taken::default()) };
        destination.note_due(number, shard.next_due());
        Ok(Taken { leases, dropped })
    }
}

fn known(shard: &Shard, setting: Setting, place: u64) -> Option<(Attempts, bool)> {
    let delivery: &Delivery = shard.deliveries.get(&place)?;
    let behind =
        setting.order == Order::Conversation && shard.is_behind_dead(delivery.conversation, delivery.first(place));
    Some((delivery.attempts(), behind))
}
