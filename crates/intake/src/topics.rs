//! What each source sends: events accepted by topic, and when the last one came. A sender chooses its topics, so only
//! the first of them are counted apart.

use std::sync::Arc;

use event::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use crate::options::TOPICS_MAX;

/// Name of the topics that are not counted apart.
const OTHERS: &str = "(others)";

/// Events of one topic since start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopicCounts {
    /// The topic; empty for events that name none.
    pub topic: Arc<str>,
    /// Events accepted.
    pub accepted: u64,
    /// When the last one was received.
    pub last: Timestamp,
}

/// The topics of one source.
#[derive(Debug, Default)]
pub(crate) struct Topics(Mutex<Vec<TopicCounts>>);

impl Topics {
    /// Counts accepted events by their topics.
    pub(crate) fn accepted<'a>(&self, topics: impl Iterator<Item = &'a Arc<str>>, received: Timestamp) {
        let mut known = self.0.lock();
        for topic in topics {
            let full = known.len() >= TOPICS_MAX;
            let place = known.iter().position(|known| known.topic == *topic);
            let place =
                place.or_else(|| full.then(|| known.iter().position(|known| &*known.topic == OTHERS)).flatten());
            match place.and_then(|place| known.get_mut(place)) {
                Some(known) => {
                    known.accepted += 1;
                    known.last = known.last.max(received);
                }
                None => {
                    let topic = if full { Arc::from(OTHERS) } else { Arc::clone(topic) };
                    known.push(TopicCounts { topic, accepted: 1, last: received });
                }
            }
        }
    }

    pub(crate) fn snapshot(&self) -> Vec<TopicCounts> {
        self.0.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_counted_apart_up_to_a_bound() {
        let topics = Topics::default();
        let names: Vec<Arc<str>> = (0..1_000).map(|n| Arc::from(format!("t-{n}"))).collect();
        topics.accepted(names.iter(), Timestamp::from_millis(5));
        topics.accepted(names[..1].iter(), Timestamp::from_millis(3));
        let counts = topics.snapshot();
        assert_eq!(counts.len(), TOPICS_MAX + 1);
        assert_eq!((counts[0].accepted, counts[0].last.as_millis()), (2, 5));
        assert_eq!(counts.iter().map(|topic| topic.accepted).sum::<u64>(), 1_001);
    }
}
