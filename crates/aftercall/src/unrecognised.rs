//! What was not recognised in outcomes since the start: which members, how many values, and an event to look at.
//!
//! It is in memory and begins anew with each start. An event counts once, however often it is routed and mapped, as far as
//! the latest such events are remembered. Values are not kept: they may be what people said.

use std::collections::{BTreeMap, HashSet, VecDeque};

use console::UnrecognisedCount;
use event::{EventId, Outcome};
use parking_lot::Mutex;

/// Events that are remembered, so that they are not counted again; 16 bytes each, twice.
const REMEMBERED: usize = 4_096;
/// Members that are told apart. There are fewer that an outcome knows, in all the places where they can stand.
const PATHS_MAX: usize = 1_000;

/// Counts.
#[derive(Default)]
pub(crate) struct Unrecognised(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    paths: BTreeMap<String, (u64, EventId)>,
    events: HashSet<EventId>,
    oldest_first: VecDeque<EventId>,
}

impl Unrecognised {
    /// Counts what was not recognised in an outcome, unless its event was counted already.
    pub(crate) fn note(&self, outcome: &Outcome<'_>) {
        if outcome.unrecognised.is_empty() {
            return;
        }
        let mut counted = self.0.lock();
        if !counted.remember(outcome.event_id) {
            return;
        }
        for left in &outcome.unrecognised {
            let path = left.path.general();
            if counted.paths.len() < PATHS_MAX || counted.paths.contains_key(&path) {
                let (values, event) = counted.paths.entry(path).or_insert((0, outcome.event_id));
                (*values, *event) = (*values + 1, outcome.event_id);
            }
        }
    }

    /// By member.
    pub(crate) fn counts(&self) -> Vec<UnrecognisedCount> {
        let count = |(path, (values, event)): (&String, &(u64, EventId))| UnrecognisedCount {
            path: path.clone(),
            values: *values,
            last_event: *event,
        };
        self.0.lock().paths.iter().map(count).collect()
    }
}

impl Counted {
    /// False if it is remembered already.
    fn remember(&mut self, event: EventId) -> bool {
        if !self.events.insert(event) {
            return false;
        }
        self.oldest_first.push_back(event);
        if self.oldest_first.len() > REMEMBERED
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.events.remove(&oldest);
        }
        true
    }
}
