//! Failed logins of each sender: some at once, then one every few seconds. Pure: `now` comes in from outside.
//!
//! It bounds what a flood of wrong tokens costs in log lines, and tells its sender to stop. It does not keep anyone with
//! a right token out, since tokens cannot be guessed: a probe with an old token must not lock out the people behind the
//! same proxy.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use event::Timestamp;

use super::{FAILURE_EVERY_MS, FAILURES_AT_ONCE, SENDERS_MAX};

/// How far ahead of the time a sender may be.
const AHEAD_MAX: i64 = FAILURES_AT_ONCE * FAILURE_EVERY_MS;

/// For each sender the time, in milliseconds, at which its failures are forgiven; each failure adds to it.
#[derive(Debug, Default)]
pub(super) struct Failures(HashMap<IpAddr, i64>);

impl Failures {
    /// Notes a failed login, or says after which time the sender may fail again.
    pub(super) fn note(&mut self, sender: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let (sender, now) = (network(sender), now.as_millis());
        if !self.0.contains_key(&sender) && self.0.len() >= SENDERS_MAX {
            self.make_room(now);
        }
        let forgiven = self.0.entry(sender).or_insert(now);
        // A clock that was set back does not keep anybody waiting for longer.
        *forgiven = (*forgiven).clamp(now, now.saturating_add(AHEAD_MAX));
        let ahead = *forgiven - now;
        if ahead + FAILURE_EVERY_MS > AHEAD_MAX {
            let wait = ahead + FAILURE_EVERY_MS - AHEAD_MAX;
            return Err(Duration::from_millis(wait.unsigned_abs()));
        }
        *forgiven += FAILURE_EVERY_MS;
        Ok(())
    }

    /// Forgets those who are forgiven, or else the one who will be first.
    fn make_room(&mut self, now: i64) {
        self.0.retain(|_, forgiven| *forgiven > now);
        if self.0.len() >= SENDERS_MAX
            && let Some(first) = self.0.iter().min_by_key(|(_, forgiven)| **forgiven).map(|(sender, _)| *sender)
        {
            self.0.remove(&first);
        }
    }
}

/// Who has one address of IPv6 has its network of 2^64.
fn network(sender: IpAddr) -> IpAddr {
    match sender.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000)
    }

    fn flood(failures: &mut Failures, sender: &str, now: Timestamp) -> usize {
        (0..1_000).filter(|_| failures.note(sender.parse().unwrap(), now).is_ok()).count()
    }

    #[test]
    fn a_flood_is_cut_off_for_its_sender_alone() {
        let mut failures = Failures::default();
        assert_eq!(flood(&mut failures, "192.0.2.1", at(0)), 20);
        assert_eq!(failures.note("192.0.2.1".parse().unwrap(), at(0)), Err(Duration::from_secs(3)));
        assert_eq!(failures.note("192.0.2.1".parse().unwrap(), at(2)), Err(Duration::from_secs(1)));
        assert_eq!(flood(&mut failures, "192.0.2.1", at(3)), 1);
        assert_eq!(flood(&mut failures, "192.0.2.2", at(3)), 20);
        assert_eq!(flood(&mut failures, "192.0.2.1", at(600)), 20);
    }

    #[test]
    fn a_network_of_ipv6_is_one_sender() {
        let mut failures = Failures::default();
        assert_eq!(flood(&mut failures, "2001:db8::1", at(0)), 20);
        assert_eq!(flood(&mut failures, "2001:db8::2", at(0)), 0);
        assert_eq!(flood(&mut failures, "2001:db8:0:1::1", at(0)), 20);
        assert_eq!(flood(&mut failures, "192.0.2.1", at(0)) + flood(&mut failures, "::ffff:192.0.2.1", at(0)), 20);
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out_for_long() {
        let mut failures = Failures::default();
        flood(&mut failures, "192.0.2.1", at(86_400));
        let wait = failures.note("192.0.2.1".parse().unwrap(), at(0)).unwrap_err();
        assert!(wait <= Duration::from_secs(3), "{wait:?}");
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_worst() {
        let mut failures = Failures::default();
        flood(&mut failures, "192.0.2.1", at(0));
        for number in 0..3 * SENDERS_MAX as u32 {
            let _ = failures.note(IpAddr::V4((0x0a00_0000 + number).into()), at(0));
        }
        assert_eq!(failures.0.len(), SENDERS_MAX);
        assert_eq!(flood(&mut failures, "192.0.2.1", at(1)), 0);
    }
}
