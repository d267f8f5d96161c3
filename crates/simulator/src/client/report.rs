//! What became of every event that was sent.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::contact_centre::Request;
use crate::{Latency, Tag};

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Requests that were answered 200.
    pub requests: u64,
    /// Events in the requests that were sent, those sent again included.
    pub sent: u64,
    /// Of those, the events in requests that were duplicates.
    pub resent: u64,
    /// Events that the server said it accepted. After a lost answer the server calls the repeat a duplicate, so this
    /// can be less than the number of different events.
    pub accepted: u64,
    /// Events that the server said were duplicates.
    pub duplicates: u64,
    /// Answers whose numbers do not add up to the events in the request, or that could not be read.
    pub miscounted: u64,
    /// Different events that were acknowledged.
    pub acked: HashSet<Tag>,
    /// Different events that were sent and never acknowledged. The server may have them or not.
    pub unacked: HashSet<Tag>,
    /// Attempts that were made again, by reason.
    pub retried: Retried,
    /// Requests that were refused for good, by status; 0 stands for a header that cannot be sent.
    pub refused: BTreeMap<u16, u64>,
    /// The beginning of the first refusal's body.
    pub first_refusal: Option<String>,
    /// From the sending of an attempt to its 200.
    pub ack: Latency,
    /// From the first attempt of a request to its 200, so with the waits for a server that was away.
    pub ack_with_retries: Latency,
    /// How long the run took.
    pub elapsed: Duration,
}

/// Attempts that failed and were made again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retried {
    /// The connection could not be made, or broke.
    pub connection: u64,
    /// No answer came in time.
    pub timeout: u64,
    /// The answer was a status that asks to try again.
    pub status: BTreeMap<u16, u64>,
}

impl Retried {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.connection + self.timeout + self.status.values().sum::<u64>()
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Events in the requests that were sent so far, those sent again included.
    pub sent: u64,
    /// Of those, the events whose request was acknowledged or refused for good.
    pub answered: u64,
    /// Events that the server said it accepted.
    pub accepted: u64,
    /// Events that the server said were duplicates.
    pub duplicates: u64,
    /// Attempts that failed and were made again.
    pub retried: u64,
    /// No more requests will be sent.
    pub finished: bool,
}

/// The server's answer to a request that it has made durable.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Answer {
    accepted: u64,
    duplicates: u64,
}

impl Report {
    pub(super) fn sending(&mut self, request: &Request) {
        let events = request.events.len() as u64;
        self.sent += events;
        self.resent += if request.duplicate_of.is_some() { events } else { 0 };
        self.unacked.extend(request.events.iter().filter(|tag| !self.acked.contains(tag)));
    }

    pub(super) fn acknowledged(&mut self, request: &Request, body: &[u8]) {
        self.requests += 1;
        match serde_json::from_slice::<Answer>(body) {
            Ok(Answer { accepted, duplicates }) => {
                self.accepted = self.accepted.saturating_add(accepted);
                self.duplicates = self.duplicates.saturating_add(duplicates);
                self.miscounted += u64::from(accepted.saturating_add(duplicates) != request.events.len() as u64);
            }
            Err(_) => self.miscounted += 1,
        }
        for tag in &request.events {
            self.unacked.remove(tag);
            self.acked.insert(*tag);
        }
    }

    pub(super) fn refused(&mut self, status: u16, body: &[u8]) {
        const SHOWN: usize = 500;
        *self.refused.entry(status).or_default() += 1;
        self.first_refusal.get_or_insert_with(|| String::from_utf8_lossy(&body[..body.len().min(SHOWN)]).into_owned());
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::Uuid;
    use crate::contact_centre::Source;

    fn request(ordinals: std::ops::Range<u32>, duplicate_of: Option<u64>) -> Request {
        let events = ordinals.map(|ordinal| Tag::new(Uuid::from_bits(1), ordinal)).collect();
        Request { number: 0, source: Source::Genesys, body: Bytes::new(), events, duplicate_of }
    }

    #[test]
    fn an_acknowledged_event_stays_so_when_its_duplicate_gets_no_answer() {
        let mut report = Report::default();
        report.sending(&request(0..2, None));
        report.acknowledged(&request(0..2, None), br#"{"accepted":2,"duplicates":0,"events":[]}"#);
        report.sending(&request(0..3, Some(0)));
        assert_eq!((report.acked.len(), report.unacked.len()), (2, 1));
        assert_eq!((report.sent, report.resent, report.accepted, report.miscounted), (5, 3, 2, 0));
    }

    #[test]
    fn an_answer_that_does_not_add_up_is_noticed() {
        let mut report = Report::default();
        for answer in
            [r#"{"accepted":1,"duplicates":0}"#, r#"{"accepted":18446744073709551615,"duplicates":9}"#, "", "[]"]
        {
            report.acknowledged(&request(0..2, None), answer.as_bytes());
        }
        assert_eq!(report.miscounted, 4);
    }
}
