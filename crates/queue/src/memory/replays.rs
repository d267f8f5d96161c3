//! Replays of the in-memory queue.

use std::sync::Arc;

use event::Timestamp;

use super::state::State;
use crate::{Again, ConsumerId, LogPage, QueueError, Replay, ReplayPiece, Seq, Stored, Why};

impl State {
    pub(super) fn read_log(&self, after: Seq, events: usize, bytes: usize) -> LogPage {
        let mut page = LogPage { through: after, ..LogPage::default() };
        let mut read = 0;
        for (&seq, stored) in self.log.range(after.0 + 1..) {
            if page.events.len() >= events || read >= bytes {
                return page;
            }
            read += stored.event.body.len();
            page.events.push(Stored::clone(stored));
            page.through = Seq(seq);
        }
        page.through = page.through.max(Seq(self.last));
        page.end = true;
        page
    }

    pub(super) fn replay(&mut self, piece: ReplayPiece, now: Timestamp) -> Result<Replay, QueueError> {
        let mut replay = piece.begin(self.replays.get(&piece.id), self.erasures, now)?;
        let place = self.consumers.iter().position(|consumer| consumer.name == piece.destination);
        let place = place.filter(|place| self.consumers[*place].place.is_some());
        let place = place.ok_or_else(|| ReplayPiece::no_destination(&piece.destination))?;
        let consumer = ConsumerId(u16::try_from(place).unwrap_or(u16::MAX));
        let name = Arc::from(piece.id.as_str());
        for event in piece.events {
            let routes = self.topology.as_ref().map(|topology| topology.router.route(&event)).unwrap_or_default();
            let Some(target) = routes.iter().find(|target| self.consumers[place].place == Some(target.consumer)) else {
                replay.not_routed += 1;
                continue;
            };
            self.last += 1;
            self.counts.replayed += 1;
            replay.queued += 1;
            let first = Seq(self.last);
            self.trail.push(crate::trail::replayed(first, &event, &piece.destination, &name, now));
            let again = Some(Again { consumer, at: now, why: Why::Replayed, edited: false, first });
            let stored = Arc::new(Stored { again, ..Stored::new(first, event) });
            self.consumers[place].add(&stored, target.route);
            self.log.insert(self.last, stored);
        }
        let consumer = &mut self.consumers[place];
        consumer.put_aside = consumer.put_aside.saturating_sub(piece.put_aside);
        self.replays.insert(replay.id.clone(), replay.clone());
        Ok(replay)
    }

    pub(super) fn replays(&self, id: Option<&str>) -> Vec<Replay> {
        let mut found: Vec<_> =
            self.replays.values().filter(|replay| id.is_none_or(|id| replay.id == id)).cloned().collect();
        found.sort_by_key(|replay| std::cmp::Reverse(replay.began));
        found
    }
}
