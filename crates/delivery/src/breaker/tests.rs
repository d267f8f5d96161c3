//! The way of a breaker through outages, by hand and at random.

use proptest::prelude::*;

use super::*;

const fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

/// A breaker that 20 failures of different conversations have opened at the time 0.
fn opened() -> Breaker {
    let mut breaker = Breaker::new(BreakerOptions::default());
    let opened: Vec<bool> = (0..20).map(|n| breaker.failed(at(0), at(0), None, n)).collect();
    assert_eq!(opened.iter().position(|opened| *opened), Some(19), "it is told once");
    breaker
}

/// Lets a probe out as soon as one may go, which ends as told; returns when it went.
fn probe(breaker: &mut Breaker, well: bool) -> Timestamp {
    let when = breaker.eases().unwrap();
    assert_eq!(breaker.limit(when.minus(Duration::from_millis(1))), Some(0));
    assert_eq!(breaker.limit(when), Some(1));
    breaker.leased(when);
    assert_eq!((breaker.limit(when), breaker.status().state), (Some(1), BreakerState::HalfOpen));
    match well {
        true => breaker.answered(when, when, 50),
        false => assert!(!breaker.failed(when, when, None, 1)),
    }
    when
}

#[test]
fn thirty_seconds_are_met_by_a_handful_of_probes() {
    let mut breaker = opened();
    let mut probes = 0;
    while probe(&mut breaker, false) < at(30_000) {
        probes += 1;
    }
    assert!((5..=12).contains(&probes), "{probes}");
}

#[test]
fn the_end_of_a_long_outage_is_noticed_soon() {
    let mut breaker = opened();
    let mut last = at(0);
    while last < at(14 * 86_400_000) {
        let now = probe(&mut breaker, false);
        assert!(last.until(now) <= BreakerOptions::default().pause);
        last = now;
    }
    assert_eq!(breaker.status().since, Some(at(0)), "as long as it lasts");
}

#[test]
fn a_ramp_leads_back() {
    let mut breaker = opened();
    let mut now = probe(&mut breaker, true);
    let mut limits = Vec::new();
    while let Some(limit) = breaker.limit(now) {
        limits.push(limit);
        now = now.plus(RAMP_STEP);
        (0..limit).for_each(|_| breaker.answered(now, now, 50));
    }
    assert_eq!(limits, [1, 2, 4, 8, 16, 32]);
    assert_eq!(
        breaker.status(),
        BreakerStatus { state: BreakerState::Closed, since: None, probes: 0, next_probe: None }
    );
}

#[test]
fn a_failure_on_the_ramp_steps_back_and_one_at_its_foot_opens() {
    let mut breaker = opened();
    let mut now = probe(&mut breaker, true);
    for limit in [1, 2, 4] {
        now = now.plus(RAMP_STEP);
        (0..limit).for_each(|_| breaker.answered(now, now, 50));
    }
    assert_eq!(breaker.limit(now), Some(8));
    assert!(!breaker.failed(at(0), now, None, 1), "an attempt of before says nothing");
    assert_eq!(breaker.limit(now), Some(8));
    for expected in [4, 2, 1] {
        assert!(!breaker.failed(now, now, None, 1));
        assert_eq!(breaker.limit(now), Some(expected));
    }
    assert!(breaker.failed(now, now, None, 1));
    assert!(breaker.is_open());
}

#[test]
fn what_began_before_decides_nothing() {
    let mut breaker = opened();
    breaker.answered(at(0), at(100), 50);
    assert!(breaker.is_open(), "an answer that was under way when it opened");
    let when = breaker.eases().unwrap();
    breaker.leased(when);
    breaker.answered(at(0), when, 50);
    assert!(!breaker.failed(at(0), when, None, 1));
    assert_eq!(breaker.status().state, BreakerState::HalfOpen);
}

#[test]
fn a_destination_that_asks_for_quiet_gets_it() {
    let mut breaker = opened();
    breaker.failed(at(0), at(0), Some(Duration::from_secs(60)), 1);
    assert_eq!(breaker.eases(), Some(at(60_000)));
    breaker.failed(at(0), at(0), Some(Duration::from_secs(86_400)), 1);
    assert_eq!(breaker.eases(), Some(at(0).plus(RETRY_AFTER_MAX)));
}

#[test]
fn a_clock_that_is_set_back_does_not_park_a_destination() {
    let mut breaker = opened();
    assert_eq!(breaker.limit(at(-1)), Some(1), "by however little");
    let when = breaker.eases().unwrap();
    breaker.leased(when);
    // Set back by an hour while the probe is under way, and again on the ramp.
    let earlier = at(-3_600_000);
    breaker.leased(earlier);
    breaker.answered(earlier, earlier, 50);
    assert_eq!(breaker.status().state, BreakerState::Ramp);
    let much_earlier = at(-7_200_000);
    breaker.answered(much_earlier, much_earlier, 50);
    assert_eq!(breaker.limit(much_earlier), Some(2));
}

#[test]
fn with_nothing_left_to_probe_with_it_is_open_no_more_and_the_next_event_is_a_probe() {
    let mut breaker = opened();
    breaker.nothing_left(at(1));
    assert!(breaker.is_open(), "before the pause is over nobody has looked for a probe");
    let failed = probe(&mut breaker, false);
    let when = breaker.eases().unwrap();
    breaker.nothing_left(when);
    assert_eq!((breaker.status().state, breaker.is_open(), breaker.eases()), (BreakerState::Waiting, false, None));
    assert_eq!(breaker.limit(when), Some(1));
    breaker.answered(failed, when, 50);
    assert!(!breaker.failed(failed, when, None, 1));
    assert_eq!(breaker.status().state, BreakerState::Waiting, "what began before says nothing");
    let later = when.plus(Duration::from_secs(3_600));
    breaker.leased(later);
    assert!(!breaker.failed(later, later, None, 1));
    let status = breaker.status();
    assert_eq!((status.state, status.since, status.probes), (BreakerState::Open, Some(at(0)), 2));
    breaker.leased(breaker.eases().unwrap());
    breaker.nothing_left(later.plus(Duration::from_secs(60)));
    assert_eq!(breaker.status().state, BreakerState::Waiting, "its probe was erased");
}

#[test]
fn a_note_of_another_version_or_of_none_is_no_note() {
    let stored = opened().note(None).unwrap().pack();
    let text = String::from_utf8(stored).unwrap();
    for other in [
        text.replace("\"version\":1", "\"version\":2"),
        text.replace("open", "ajar"),
        text[1..].to_owned(),
        String::new(),
    ] {
        assert!(Note::unpack(other.as_bytes()).is_err(), "{other}");
    }
}

#[test]
fn no_note_parks_a_destination() {
    let far = at(i64::MAX / 2);
    let mut breaker = opened();
    breaker.state = State::Open { since: far, paused: at(0), next: far, probes: u32::MAX };
    let note = breaker.note(None).unwrap();
    let mut restored = Breaker::new(BreakerOptions::default());
    restored.restore(note, at(1_000));
    assert_eq!((restored.eases(), restored.status().since), (Some(at(0).plus(RETRY_AFTER_MAX)), Some(at(1_000))));
    restored.probe_now(at(2_000));
    assert_eq!(restored.limit(at(2_000)), Some(1), "it is another destination now");
}

proptest! {
    /// Whatever happens: it never lets more than one probe out while it is open, and a destination that works again
    /// gets its full concurrency back. Also when it is restarted, and when there is nothing to probe with.
    #[test]
    fn always_comes_back(
        steps in prop::collection::vec((0u64..2_000, any::<bool>(), 0u64..9, 0u8..20, 0u8..20), 0..400),
    ) {
        let mut breaker = Breaker::new(BreakerOptions::default());
        let (mut now, mut kept) = (at(0), None);
        for (wait, well, suspect, restart, idle) in steps {
            now = now.plus(Duration::from_millis(wait));
            if restart == 0 {
                kept = breaker.note(kept);
                let was_open = breaker.is_open();
                breaker = Breaker::new(BreakerOptions::default());
                if let Some(note) = kept {
                    breaker.restore(Note::unpack(&note.pack()).unwrap(), now);
                }
                prop_assert!(!was_open || breaker.limit(now) <= Some(1), "{:?}", kept);
            }
            if idle == 0 {
                breaker.nothing_left(now);
            }
            kept = breaker.note(kept);
            let limit = breaker.limit(now);
            prop_assert!(!breaker.is_open() || limit <= Some(1));
            if limit == Some(0) {
                continue;
            }
            breaker.leased(now);
            match well {
                true => breaker.answered(now, now, 50),
                false => drop(breaker.failed(now, now, None, suspect)),
            }
        }
        for _ in 0..200 {
            now = breaker.eases().unwrap_or(now).max(now).plus(RAMP_STEP);
            breaker.leased(now);
            (0..breaker.limit(now).unwrap_or(50)).for_each(|_| breaker.answered(now, now, 50));
        }
        prop_assert_eq!(breaker.limit(now), None);
    }
}
