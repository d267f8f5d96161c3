//! The deliveries of which a service has not said to the end what became of them.
//!
//! A lease ends by time, and an attempt does not: when the clock jumps, or the queue cannot store a settlement for longer
//! than a lease lasts (a full disk), a delivery is leased again whose attempt is under way or over. Making another would
//! deliver twice. So the newer lease takes the place of the older, and what became of the attempt is settled under it.

use std::collections::HashMap;

use queue::{Lease, LeaseToken, Outcome, Seq, Settle};

/// By the place of each delivery its newest lease. Bounded by what is leased and not settled.
#[derive(Debug, Default)]
pub(super) struct Outstanding(HashMap<Seq, LeaseToken>);

impl Outstanding {
    /// Takes note of leases, and returns those whose deliveries are not outstanding yet.
    pub(super) fn begin(&mut self, mut leases: Vec<Lease>) -> Vec<Lease> {
        leases.retain(|lease| self.0.insert(lease.token.seq, lease.token).is_none());
        leases
    }

    /// Settlements under the newest leases of their deliveries.
    pub(super) fn newest(&self, settlements: &mut [Settle]) {
        for settle in settlements {
            settle.token = self.0.get(&settle.token.seq).copied().unwrap_or(settle.token);
        }
    }

    /// The queue has taken settlements. Returns those that a newer lease has made worthless meanwhile.
    pub(super) fn settled(&mut self, settlements: &mut Vec<Settle>) -> Vec<Settle> {
        let outdated = |settle: &Settle| self.0.get(&settle.token.seq).is_some_and(|token| *token != settle.token);
        let again: Vec<Settle> = settlements.extract_if(.., |settle| outdated(settle)).collect();
        for settle in settlements.drain(..) {
            self.0.remove(&settle.token.seq);
        }
        again
    }
}

/// The settlement of a lease that was not used.
pub(super) fn release(token: LeaseToken) -> Settle {
    Settle { token, outcome: Outcome::Release }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use event::{Event, EventId, Timestamp};
    use queue::{Attempts, ConsumerId, Stored};

    use super::*;

    fn lease(seq: u64, generation: u64) -> Lease {
        let event = Event {
            id: EventId::from_hash([0; 16]),
            source: Arc::from("test"),
            topic: Arc::from("test"),
            conversation: None,
            received: Timestamp::default(),
            conflict_of: None,
            body: Bytes::new(),
        };
        Lease {
            token: LeaseToken { consumer: ConsumerId(0), seq: Seq(seq), generation },
            stored: Arc::new(Stored::new(Seq(seq), event)),
            route: 0,
            attempts: Attempts::default(),
            behind_dead: false,
            until: Timestamp::default(),
        }
    }

    fn begin(outstanding: &mut Outstanding, seq: u64, generation: u64) -> usize {
        outstanding.begin(vec![lease(seq, generation)]).len()
    }

    #[test]
    fn what_is_leased_again_before_it_is_settled_is_settled_under_the_newer_lease() {
        let mut outstanding = Outstanding::default();
        assert_eq!(begin(&mut outstanding, 1, 1), 1);
        assert_eq!(begin(&mut outstanding, 1, 2), 0, "no second attempt");
        let mut settling = vec![Settle { token: lease(1, 1).token, outcome: Outcome::Done }];
        outstanding.newest(&mut settling);
        assert_eq!(settling[0].token.generation, 2);
        assert_eq!(begin(&mut outstanding, 1, 3), 0, "while it is being settled");
        let again = outstanding.settled(&mut settling);
        assert_eq!(again.len(), 1, "what the queue took was under a lease that had ended");
        let mut again = again;
        outstanding.newest(&mut again);
        assert_eq!(again[0].token.generation, 3);
        assert!(outstanding.settled(&mut again).is_empty());
        assert_eq!(begin(&mut outstanding, 1, 4), 1, "a retry is another attempt");
    }
}
