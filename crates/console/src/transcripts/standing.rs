//! How the deliveries of a conversation to the destinations that fetch transcripts stand, of what the trail says.

use std::collections::BTreeMap;
use std::sync::Arc;

use audit::{Entry, Outcome, What};
use event::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// An event that asks for a transcript and still waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TranscriptWaiting)]
pub(super) struct Waiting {
    /// The destination.
    pub(super) destination: Arc<str>,
    /// The event's place in the log.
    pub(super) seq: u64,
    /// When it is tried again; none if that is as soon as possible.
    pub(super) until: Option<Timestamp>,
    /// Why it waits.
    pub(super) because: Option<Arc<str>>,
    /// How often it was tried.
    pub(super) attempts: u32,
}

/// An event that asked for a transcript in vain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TranscriptDead)]
pub(super) struct Dead {
    /// The destination.
    pub(super) destination: Arc<str>,
    /// The dead letter.
    pub(super) letter: u64,
    /// Why.
    pub(super) because: Arc<str>,
}

/// What waits and what is dead, in the order of the log and of the dead letters.
pub(super) fn standing(story: &[Entry], destinations: &[&str]) -> (Vec<Waiting>, Vec<Dead>) {
    let is_one = |name: &str| destinations.contains(&name);
    let mut waiting: BTreeMap<(u64, Arc<str>), Waiting> = BTreeMap::new();
    let mut dead: BTreeMap<u64, Dead> = BTreeMap::new();
    let fresh = |seq: u64, destination: &Arc<str>| Waiting {
        destination: Arc::clone(destination),
        seq,
        until: None,
        because: None,
        attempts: 0,
    };
    for entry in story {
        match &entry.what {
            What::Received { seq, source, destinations, .. } if **source != *::transcripts::SOURCE => {
                for name in destinations.iter().filter(|name| is_one(name)) {
                    waiting.insert((*seq, Arc::clone(name)), fresh(*seq, name));
                }
            }
            What::Replayed { again: seq, destination, .. } if is_one(destination) => {
                waiting.insert((*seq, Arc::clone(destination)), fresh(*seq, destination));
            }
            What::Redriven { letter, again, destination, .. } if is_one(destination) => {
                dead.remove(letter);
                waiting.insert((*again, Arc::clone(destination)), fresh(*again, destination));
            }
            What::Attempted { seq, destination, outcome } if is_one(destination) => {
                let key = (*seq, Arc::clone(destination));
                match outcome {
                    Outcome::Failed { failure, made, again: Some(again), .. } => {
                        let (until, because) = (Some(*again), Some(Arc::clone(&failure.message)));
                        waiting.insert(key, Waiting { until, because, attempts: *made, ..fresh(*seq, destination) });
                    }
                    _ => drop(waiting.remove(&key)),
                }
            }
            What::Died { letter, seq, destination, reason } if is_one(destination) => {
                waiting.remove(&(*seq, Arc::clone(destination)));
                let (destination, because) = (Arc::clone(destination), Arc::clone(reason));
                dead.insert(*letter, Dead { destination, letter: *letter, because });
            }
            What::Discarded { letter, .. } => drop(dead.remove(letter)),
            // Nothing is asked for any more.
            What::Erased { places, .. } => waiting.retain(|(seq, _), _| !places.contains(seq)),
            _ => {}
        }
    }
    (waiting.into_values().collect(), dead.into_values().collect())
}

#[cfg(test)]
mod tests {
    use audit::Failure;

    use super::*;

    fn entry(what: What) -> Entry {
        Entry { at: Timestamp::from_millis(1), what }
    }

    fn attempted(seq: u64, destination: &str, again: Option<i64>) -> Entry {
        let failure = Failure {
            stage: "deliver".into(),
            class: "transient".into(),
            status: Some(404),
            message: "not there yet".into(),
            excerpt: None,
            latency_ms: 5,
            mapping: None,
        };
        let again = again.map(Timestamp::from_millis);
        let outcome = Outcome::Failed { failure, made: 3, charged: 0, again };
        entry(What::Attempted { seq, destination: destination.into(), outcome })
    }

    fn died(seq: u64, letter: u64) -> Entry {
        entry(What::Died { letter, seq, destination: "calls".into(), reason: "never came".into() })
    }

    #[test]
    fn the_last_that_became_of_a_delivery_counts() {
        let delivered = Outcome::Delivered { status: None, latency_ms: 1, mapping: None };
        let redriven = What::Redriven { letter: 7, seq: 2, again: 9, destination: "calls".into(), by: "me".into() };
        let story = [
            attempted(1, "calls", Some(5)),
            attempted(1, "crm", Some(5)),
            attempted(2, "calls", Some(5)),
            attempted(1, "calls", Some(8)),
            attempted(2, "calls", None),
            died(2, 7),
        ];
        let (waiting, dead) = standing(&story, &["calls"]);
        assert_eq!((waiting.len(), waiting[0].seq, waiting[0].until), (1, 1, Some(Timestamp::from_millis(8))));
        assert_eq!((waiting[0].attempts, waiting[0].because.as_deref()), (3, Some("not there yet")));
        assert_eq!((dead.len(), dead[0].letter), (1, 7));
        let later =
            [entry(redriven), entry(What::Attempted { seq: 1, destination: "calls".into(), outcome: delivered })];
        let (waiting, dead) = standing(&[&story[..], &later].concat(), &["calls"]);
        assert_eq!((waiting.len(), waiting[0].seq, waiting[0].until, dead.len()), (1, 9, None, 0));
    }
}
