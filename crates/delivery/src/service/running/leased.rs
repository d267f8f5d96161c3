//! What was leased is tried: what can be tried together in one group, and the rest by itself.

use queue::Lease;

use super::Running;
use super::outstanding::release;
use crate::attempt::Attempt;
use crate::group::{self, Group};

impl Running<'_> {
    pub(super) fn leased(&mut self, leases: Vec<Lease>) {
        self.look = leases.len() >= self.asked;
        let mut leases = self.outstanding.begin(leases);
        if self.is_taking_over() {
            self.ended.extend(leases.into_iter().map(|lease| release(lease.token)));
            return;
        }
        if let Some(putting) = &self.putting {
            let known = putting.known(&mut leases);
            self.look |= !known.is_empty();
            self.ended.extend(known);
        }
        if leases.is_empty() {
            self.nothing_leased();
            return;
        }
        // What was erased meanwhile is not delivered any more; the rest is leased again.
        let is_erased = self.erasures != self.queue.erasures();
        if self.stopping.is_some() || is_erased {
            self.look |= is_erased;
            self.ended.extend(leases.into_iter().map(|lease| release(lease.token)));
            return;
        }
        let now = self.tools.clock.now();
        self.forget_what_is_to_come(now);
        if self.lease_aside
            && let Some(putting) = &mut self.putting
        {
            putting.begin(leases, self.erasures, now);
            return;
        }
        let count = leases.len();
        let together = group::together(&self.tools, &mut leases);
        if !together.is_empty() {
            self.grouped += together.len();
            self.groups.push(Group::new(&self.tools, together, now, self.last_success));
        }
        for lease in leases {
            self.attempts.push(Attempt::new(&self.tools, lease, now, self.last_success));
        }
        self.gate.leased(count, self.in_flight(), now);
        if self.options.rate.per_day.is_some() {
            self.health.set_day(self.gate.day());
        }
        self.show(now);
    }

    /// While the destination is down, there may be nothing left to probe it with.
    fn nothing_leased(&mut self) {
        let unsettled = self.ended.len() + self.settling.len();
        let aside = self.putting.as_ref().is_some_and(|putting| !putting.is_idle());
        if self.in_flight() == 0 && unsettled == 0 && !aside && self.queue.next_due(self.consumer).is_none() {
            let now = self.tools.clock.now();
            self.gate.nothing_left(now);
            self.show(now);
        }
    }
}
