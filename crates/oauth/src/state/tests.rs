use proptest::prelude::*;

use super::*;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn grant(text: &str, lifetime: Duration) -> Grant {
    Grant { text: TokenText::new(text).unwrap(), lifetime, age: Duration::ZERO }
}

/// With a token of this lifetime, issued at 0.
fn holding(lifetime: Duration) -> State {
    let mut state = State::default();
    assert!(matches!(state.ask(Moment::ZERO), Ask::Request));
    state.granted(Moment::ZERO, grant("first", lifetime));
    state
}

fn used(ask: &Ask) -> &str {
    match ask {
        Ask::Use(handed) | Ask::UseAndRequest(handed) => handed.text.as_str(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_asks_the_others_wait() {
    let mut state = State::default();
    assert!(matches!(state.ask(secs(0)), Ask::Request));
    for _ in 0..1_000 {
        assert!(matches!(state.ask(secs(1)), Ask::Wait));
    }
    state.granted(secs(2), grant("first", secs(300)));
    assert_eq!(used(&state.ask(secs(2))), "first");
}

#[test]
fn a_token_is_renewed_ahead_of_its_end_and_used_meanwhile() {
    let mut state = holding(secs(300));
    assert!(matches!(state.ask(secs(224)), Ask::Use(_)), "a quarter before its end, not earlier");
    assert!(matches!(state.ask(secs(225)), Ask::UseAndRequest(_)));
    assert!(matches!(state.ask(secs(226)), Ask::Use(_)), "one request is enough");
    assert!(matches!(state.ask(secs(269)), Ask::Use(_)));
    assert!(matches!(state.ask(secs(270)), Ask::Wait), "its last tenth is not used");
    state.granted(secs(271), grant("second", secs(300)));
    assert_eq!(used(&state.ask(secs(271))), "second");
}

#[test]
fn a_day_is_renewed_five_minutes_ahead() {
    let mut state = holding(secs(86_400));
    assert_eq!(state.due_at(), Some(secs(86_100)));
    assert!(!state.is_due(secs(86_100)), "nobody asked for it");
    assert!(matches!(state.ask(secs(10)), Ask::Use(_)));
    assert!(!state.is_due(secs(86_099)));
    assert!(state.is_due(secs(86_100)));
    assert!(!state.is_due(secs(86_100)), "once");
    assert!(matches!(state.ask(secs(86_369)), Ask::Use(_)));
    assert!(matches!(state.ask(secs(86_370)), Ask::Wait));
}

#[test]
fn a_failed_renewal_leaves_the_old_token_in_use_and_is_repeated_with_pauses() {
    let mut state = holding(secs(3_600));
    assert!(matches!(state.ask(secs(3_300)), Ask::UseAndRequest(_)));
    state.failed(secs(3_300), TokenError::transient("down"), 1.0);
    assert_eq!(state.due_at(), Some(secs(3_301)));
    assert!(matches!(state.ask(secs(3_300)), Ask::Use(_)));
    assert!(state.is_due(secs(3_301)));
    state.failed(secs(3_301), TokenError::transient("down"), 1.0);
    assert_eq!(state.due_at(), Some(secs(3_303)), "the pause doubles");
    for step in 0..20 {
        state.failed(secs(3_303 + step), TokenError::transient("down"), 1.0);
    }
    assert!(matches!(state.ask(secs(3_569)), Ask::Use(_) | Ask::UseAndRequest(_)));
}

#[test]
fn without_a_token_a_pause_is_told_with_its_reason_and_its_end() {
    let mut state = State::default();
    assert!(matches!(state.ask(secs(0)), Ask::Request));
    let limited = TokenError { retry_after: Some(secs(20)), ..TokenError::new(Class::RateLimited, "slow down") };
    assert_eq!(state.failed(secs(0), limited, 0.0).retry_after, Some(secs(20)));
    match state.ask(secs(5)) {
        Ask::Fail(error) => {
            assert_eq!((error.class, error.retry_after), (Class::RateLimited, Some(secs(15))));
            assert_eq!(error.message, "slow down");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(state.ask(secs(20)), Ask::Request));
    state.failed(secs(20), TokenError::new(Class::RateLimited, "slow down"), 0.0);
    assert!(matches!(state.ask(secs(34)), Ask::Fail(_)), "15 s without a time of its own");
    assert!(matches!(state.ask(secs(35)), Ask::Request));
    let absurd = TokenError { retry_after: Some(secs(10_000_000)), ..TokenError::transient("later") };
    assert_eq!(state.failed(secs(35), absurd, 0.0).retry_after, Some(secs(3_600)));
}

#[test]
fn a_mended_secret_ends_the_pause_of_a_wrong_one_and_no_other() {
    let mut state = State::default();
    state.ask(secs(0));
    state.failed(secs(0), TokenError::transient("down"), 1.0);
    state.mended();
    assert!(matches!(state.ask(secs(0)), Ask::Fail(_)));
    state.ask(secs(9));
    state.failed(secs(9), TokenError::new(Class::Refused, "wrong"), 1.0);
    assert!(matches!(state.ask(secs(9)), Ask::Fail(_)));
    state.mended();
    assert!(matches!(state.ask(secs(9)), Ask::Request));
}

#[test]
fn many_reports_of_one_token_cause_one_request() {
    let mut state = holding(secs(3_600));
    let handed = match state.ask(secs(100)) {
        Ask::Use(handed) => handed,
        other => panic!("{other:?}"),
    };
    assert!(state.reject(secs(100), handed.id));
    assert_eq!(state.rejected().unwrap().as_str(), "first");
    assert!(!state.reject(secs(100), handed.id));
    assert!(matches!(state.ask(secs(100)), Ask::Request));
    assert!(!state.reject(secs(100), handed.id));
    state.granted(secs(101), grant("second", secs(3_600)));
    assert!(!state.reject(secs(101), handed.id), "a late report of the old one");
    assert_eq!(used(&state.ask(secs(101))), "second");
    assert!(state.rejected().is_none());
}

#[test]
fn a_place_that_refuses_every_token_does_not_make_a_request_of_each_delivery() {
    let mut state = State::default();
    let (mut requests, mut now) = (0, Moment::ZERO);
    while now < secs(600) {
        match state.ask(now) {
            Ask::Request => {
                requests += 1;
                let handed = state.granted(now, grant("fresh", secs(3_600)));
                state.reject(now, handed.id);
            }
            Ask::Fail(error) => assert!(error.message.contains("refused soon"), "{error}"),
            other => panic!("{other:?}"),
        }
        now += Duration::from_millis(10);
    }
    assert!((10..=20).contains(&requests), "{requests} in ten minutes");
}

#[test]
fn a_delivery_that_is_refused_whatever_the_token_takes_it_from_nobody() {
    let mut state = State::default();
    let (mut requests, mut now) = (0, Moment::ZERO);
    let mut handed = None;
    while now < secs(600) {
        match state.ask(now) {
            Ask::Request => {
                requests += 1;
                handed = Some(state.granted(now, grant("fresh", secs(3_600))));
            }
            Ask::Use(_) => {}
            other => panic!("nobody has to do without a token: {other:?}"),
        }
        // The deliveries of others pass, and this one is refused, ten times a second.
        let id = handed.as_ref().unwrap().id;
        state.accept(id);
        state.reject(now, id);
        now += Duration::from_millis(100);
    }
    assert!((50..=61).contains(&requests), "{requests} in ten minutes");
}

#[test]
fn a_proven_token_that_is_revoked_is_replaced_without_a_pause() {
    let mut state = holding(secs(3_600));
    for round in 1..10 {
        let now = secs(20 * round);
        let Ask::Use(handed) = state.ask(now) else { panic!("round {round}") };
        state.accept(handed.id);
        assert!(state.reject(now, handed.id));
        assert!(matches!(state.ask(now), Ask::Request), "round {round}");
        state.granted(now, grant("next", secs(3_600)));
    }
}

/// What happens to a state.
#[derive(Debug, Clone)]
enum Step {
    Ask,
    Due,
    Grant { lifetime: u64, age: u64 },
    Fail { class: Class, retry_after: Option<u64> },
    Accept { which: u64 },
    Reject { which: u64 },
    Mended,
    Later { ms: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let class = prop_oneof![Just(Class::Transient), Just(Class::RateLimited), Just(Class::Refused)];
    let step = prop_oneof![
        4 => Just(Step::Ask),
        1 => Just(Step::Due),
        2 => (1u64..100_000_000, 0u64..100_000).prop_map(|(lifetime, age)| Step::Grant { lifetime, age }),
        1 => (class, proptest::option::of(any::<u64>()))
            .prop_map(|(class, retry_after)| Step::Fail { class, retry_after }),
        1 => (0u64..4).prop_map(|which| Step::Accept { which }),
        2 => (0u64..4).prop_map(|which| Step::Reject { which }),
        1 => Just(Step::Mended),
        3 => (0u64..200_000).prop_map(|ms| Step::Later { ms }),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    /// Whatever happens in whatever order: one request at a time; no token is handed out at or after its end, nor one
    /// that was refused; who finds a token in its time is given it; pauses are bounded.
    #[test]
    fn every_history_keeps_the_promises(steps in steps()) {
        let mut state = State::default();
        let mut now = Moment::ZERO;
        let mut under_way = false;
        // The model: which token is in use and until when it is good for certain, and until when at all.
        let mut current: Option<(u64, Moment, Moment)> = None;
        let mut last_id = 0;
        let mut protected: Option<(u64, Moment)> = None;
        let mut settled = Moment::ZERO;
        for step in steps {
            match step {
                Step::Later { ms } => now += Duration::from_millis(ms),
                Step::Mended => state.mended(),
                Step::Due => {
                    let due = state.is_due(now);
                    prop_assert!(!(due && under_way));
                    under_way |= due;
                }
                Step::Ask => {
                    let ask = state.ask(now);
                    let requests = matches!(ask, Ask::Request | Ask::UseAndRequest(_));
                    prop_assert!(!(requests && under_way), "two requests at once");
                    under_way |= requests;
                    let good = current.is_some_and(|(_, surely, _)| now < surely);
                    match ask {
                        Ask::Use(handed) | Ask::UseAndRequest(handed) => {
                            let (id, _, end) = current.unwrap();
                            prop_assert_eq!(handed.id, id);
                            prop_assert!(now < end, "used after its end");
                        }
                        Ask::Wait => prop_assert!(under_way && !good),
                        Ask::Request => prop_assert!(!good),
                        Ask::Fail(error) => {
                            prop_assert!(!good && !under_way);
                            let pause = error.retry_after.unwrap();
                            prop_assert!(pause > Duration::ZERO && pause <= RETRY_AFTER_MAX);
                        }
                    }
                }
                Step::Grant { lifetime, age } if under_way => {
                    let (lifetime, age) = (Duration::from_millis(lifetime), Duration::from_millis(age));
                    let handed = state.granted(now, Grant { age, ..grant("t", lifetime) });
                    under_way = false;
                    prop_assert!(handed.id > last_id);
                    last_id = handed.id;
                    let end = (now + lifetime).saturating_sub(age);
                    settled = now.saturating_sub(age) + settling(lifetime);
                    current = Some((handed.id, end.saturating_sub(lifetime / 10), end));
                    prop_assert!(state.due_at().is_none_or(|due| due <= end));
                }
                Step::Fail { class, retry_after } if under_way => {
                    let error = TokenError { retry_after: retry_after.map(secs), ..TokenError::new(class, "no") };
                    let told = state.failed(now, error, 0.5);
                    under_way = false;
                    prop_assert!(told.retry_after.unwrap() <= RETRY_AFTER_MAX);
                }
                Step::Accept { which } => {
                    let id = last_id.saturating_sub(which);
                    state.accept(id);
                    if current.is_some_and(|(current, ..)| current == id) {
                        protected = Some((id, settled));
                    }
                }
                Step::Reject { which } => {
                    let id = last_id.saturating_sub(which);
                    let is_current = current.is_some_and(|(current, ..)| current == id);
                    let is_protected = protected.is_some_and(|(proven, until)| proven == id && now < until);
                    prop_assert_eq!(state.reject(now, id), is_current && !is_protected);
                    if is_current && !is_protected {
                        current = None;
                    }
                }
                Step::Grant { .. } | Step::Fail { .. } => {}
            }
        }
    }
}
