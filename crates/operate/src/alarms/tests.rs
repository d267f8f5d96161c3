//! Alarms in virtual time: what opens when, what ends when, and that nothing storms.

use std::collections::BTreeMap;
use std::time::Duration;

use event::Timestamp;
use proptest::prelude::*;
use queue::{DeadLetterGroup, DeadLetterId, FailureClass, Fingerprint, GroupReview, ReviewState, Stage};

use super::*;
use crate::notifier::{self, Channel, CommandOptions};

const STEP: Duration = Duration::from_secs(5);

fn start() -> Timestamp {
    Timestamp::from_millis(1_773_651_600_000)
}

fn group(fingerprint: u64, count: u64) -> DeadLetterGroup {
    DeadLetterGroup {
        fingerprint: Fingerprint(fingerprint),
        destination: Some("crm".to_owned()),
        stage: Stage::Map,
        class: FailureClass::Permanent,
        status: None,
        message: "event # has no name".to_owned(),
        count,
        first: start(),
        last: start(),
        sample: DeadLetterId(7),
        path: None,
        mapping: None,
        newest: DeadLetterId(7),
        review: GroupReview::default(),
    }
}

fn groups(groups: Vec<DeadLetterGroup>) -> Reading {
    Reading { groups: Some(groups), ..Reading::default() }
}

fn calm() -> Reading {
    groups(Vec::new())
}

fn destination(breaker: Breaker, oldest: Option<Timestamp>) -> Reading {
    let name = "crm".to_owned();
    let crm = DestinationReading { name, oldest, waiting: 9, breaker, ..DestinationReading::default() };
    Reading { destinations: vec![crm], ..calm() }
}

fn source(refused: u64) -> Reading {
    let genesys = SourceReading { name: "genesys".to_owned(), refused, topics: Vec::new() };
    Reading { sources: vec![genesys], ..calm() }
}

/// Runs readings, one every five seconds.
struct Run {
    state: State,
    options: Options,
    now: Timestamp,
    /// What a notifier hears of.
    on: Option<Vec<Kind>>,
    told: Vec<(u64, Change, String)>,
}

impl Run {
    fn new(options: Options) -> Self {
        Self { state: State::default(), options, now: start(), on: None, told: Vec::new() }
    }

    /// Shows `reading` for so many seconds; returns what was told since.
    fn show(&mut self, seconds: u64, mut reading: impl FnMut(Timestamp) -> Reading) -> Vec<(Change, String)> {
        let from = self.told.len();
        let end = self.now.plus(Duration::from_secs(seconds));
        while self.now < end {
            let notices = self.state.step(&reading(self.now), &self.options, self.now);
            for notice in notices.into_iter().filter(|notice| wants(self.on.clone(), notice)) {
                let second = start().until(self.now).as_secs();
                self.told.push((second, notice.change, notice.alarm.key));
            }
            self.now = self.now.plus(STEP);
        }
        self.told[from..].iter().map(|(_, change, key)| (*change, key.clone())).collect()
    }
}

/// Each kind: a reading that is just bad enough, one that is just not, and one that is well again.
#[test]
fn each_kind_opens_at_its_threshold_lasts_while_it_fades_and_ends() {
    type Case = (&'static str, Box<dyn Fn(Timestamp) -> Reading>, Box<dyn Fn(Timestamp) -> Reading>);
    let ago = |seconds| move |now: Timestamp| now.minus(Duration::from_secs(seconds));
    let cases: Vec<Case> = vec![
        (
            "queue-stopped",
            Box::new(|_| Reading { stopped: Some("a sync failed".to_owned()), ..calm() }),
            Box::new(|_| Reading { stopped: Some("a sync failed".to_owned()), ..calm() }),
        ),
        (
            "disk-low",
            Box::new(|_| Reading { disk_free: Some((1 << 30) - 1), ..calm() }),
            Box::new(|_| Reading { disk_free: Some(1 << 30), ..calm() }),
        ),
        (
            "commit-latency",
            Box::new(|_| Reading { commit: Some(Duration::from_millis(1_001)), ..calm() }),
            Box::new(|_| Reading { commit: Some(Duration::from_millis(501)), ..calm() }),
        ),
        (
            "quarantine-closed",
            Box::new(|_| Reading { quarantine_closed: Some("it is damaged".to_owned()), ..calm() }),
            Box::new(|_| Reading { quarantine_closed: Some("it is damaged".to_owned()), ..calm() }),
        ),
        (
            "configuration-refused",
            Box::new(|_| Reading { configuration_refused: Some("a.toml:1:1: no".to_owned()), ..calm() }),
            Box::new(|_| Reading { configuration_refused: Some("a.toml:1:1: no".to_owned()), ..calm() }),
        ),
        (
            "dead-letters/crm/0000000000000001",
            Box::new(|_| groups(vec![group(1, 1)])),
            Box::new(|_| groups(vec![group(1, 1)])),
        ),
        (
            "breaker-open/crm",
            Box::new(move |now| destination(Breaker::Open(ago(120)(now)), None)),
            Box::new(move |now| destination(Breaker::Open(ago(119)(now)), None)),
        ),
        (
            "undelivered/crm",
            Box::new(move |now| destination(Breaker::Closed, Some(ago(901)(now)))),
            Box::new(move |now| destination(Breaker::Closed, Some(ago(451)(now)))),
        ),
        (
            "archive-failing",
            Box::new(move |now| Reading { archive_failing: Some((ago(900)(now), "no bucket".to_owned())), ..calm() }),
            Box::new(move |now| Reading { archive_failing: Some((ago(899)(now), "no bucket".to_owned())), ..calm() }),
        ),
        (
            "notifier-failing/pager",
            Box::new(move |now| {
                let (name, failing_since) = ("pager".to_owned(), Some(ago(300)(now)));
                let pager = NotifierReading { name, failing_since, last_error: None, waiting: 1 };
                Reading { notifiers: vec![pager], ..calm() }
            }),
            Box::new(move |now| {
                let (name, failing_since) = ("pager".to_owned(), Some(ago(299)(now)));
                let pager = NotifierReading { name, failing_since, last_error: None, waiting: 1 };
                Reading { notifiers: vec![pager], ..calm() }
            }),
        ),
    ];
    for (key, bad, fading) in cases {
        let mut run = Run::new(Options::default());
        assert_eq!(run.show(60, &bad), [(Change::Opened, key.to_owned())], "{key}: opens once");
        assert_eq!(run.show(3_600, &fading), [], "{key}: does not end while it fades");
        assert_eq!(run.show(55, |_| calm()), [], "{key}: is held");
        assert_eq!(run.show(60, |_| calm()), [(Change::Resolved, key.to_owned())], "{key}: ends once");
        assert!(run.state.open().is_empty());
        // What fades without having been there opens nothing.
        if !["dead", "queue", "quarantine", "configuration"].iter().any(|same| key.starts_with(same)) {
            assert_eq!(Run::new(Options::default()).show(600, &fading), [], "{key}");
        }
        let off = Options {
            dead_letters: None,
            new_group: false,
            undelivered: None,
            breaker_open: None,
            refused_signatures: None,
            source_silent: None,
            disk_free: None,
            commit_latency: None,
            notifier_failing: None,
            quarantine_closed: false,
            configuration_refused: false,
            archive_failing: None,
            ..Options::default()
        };
        let told = Run::new(off).show(60, &bad);
        assert_eq!(told.is_empty(), key != "queue-stopped", "{key}: can be turned off");
    }
}

#[test]
fn refused_signatures_count_within_their_window() {
    let mut run = Run::new(Options::default());
    let mut refused = 0;
    run.show(30, |_| source(0));
    assert_eq!(
        run.show(95, |_| {
            refused += 1;
            source(refused)
        }),
        [],
        "nineteen"
    );
    let key = "refused-signatures/genesys".to_owned();
    assert_eq!(run.show(5, |_| source(20)), [(Change::Opened, key.clone())]);
    assert_eq!(run.show(600, |_| source(20)), [(Change::Resolved, key)]);
}

#[test]
fn refused_signatures_stay_an_alarm_over_a_restart_until_their_time_is_over() {
    let mut run = Run::new(Options::default());
    let key = "refused-signatures/genesys".to_owned();
    run.show(30, |_| source(0));
    assert_eq!(run.show(5, |_| source(20)), [(Change::Opened, key.clone())]);
    let kept = serde_json::to_string(&run.state).unwrap();
    run.state = serde_json::from_str(&kept).unwrap();
    run.state.restarted();
    assert_eq!(run.show(270, |_| source(0)), [], "their five minutes are not over");
    assert_eq!(run.state.open()[0].level, 20);
    // A restart that has already counted as many as the one before.
    run.state.restarted();
    run.show(5, |_| source(20));
    assert_eq!(run.state.open()[0].level, 40);
    assert_eq!(run.show(600, |_| source(20)), [(Change::Resolved, key)]);
}

#[test]
fn what_is_over_says_how_it_was_and_not_that_it_is_so() {
    let mut run = Run::new(Options::default());
    run.show(60, |_| groups(vec![group(1, 200)]));
    let notices: Vec<_> = (0..30u64)
        .flat_map(|step| run.state.step(&calm(), &run.options, run.now.plus(Duration::from_secs(5 * step))))
        .collect();
    let [resolved] = &notices[..] else { panic!("{notices:?}") };
    assert_eq!((resolved.change, resolved.alarm.level), (Change::Resolved, 0));
    let said = &resolved.alarm.summary;
    assert!(said.starts_with("over after 2m") && said.contains("it was: 200 dead letters"), "{said}");
}

#[test]
fn a_queue_without_room_is_a_full_disk_whatever_the_disk_says() {
    let mut run = Run::new(Options::default());
    let full = |refused, free| Reading { queue_full: refused, disk_free: Some(free), ..calm() };
    let plenty = 19 << 30;
    assert_eq!(run.show(60, |_| full(7, plenty)), [], "refused before the start");
    assert_eq!(run.show(5, |_| full(8, plenty)), [(Change::Opened, "disk-low".to_owned())]);
    let open = &run.state.open()[0];
    assert!(open.summary.starts_with("the disk is full") && open.detail.contains("quota"), "{open:?}");
    assert_eq!(run.show(300, |_| full(8, plenty)), [(Change::Resolved, "disk-low".to_owned())]);
}

#[test]
fn a_source_that_falls_silent_in_office_hours_pages_and_one_that_sleeps_at_night_does_not() {
    let mut run = Run::new(Options::default());
    let mut accepted = 0;
    let mut told = Vec::new();
    // Minutes of three weeks from a Monday, 09:00; on the fourth Monday nothing comes from noon to one.
    for minute in 0..(21 * 24 * 60 + 5 * 60) {
        let (hour, silent) = ((9 + minute / 60) % 24, (21 * 24 * 60 + 180..21 * 24 * 60 + 240).contains(&minute));
        accepted += if (8..18).contains(&hour) && !silent { 3 } else { 0 };
        let topics = vec![TopicReading { topic: "acw".to_owned(), accepted, last: None }];
        let genesys = SourceReading { name: "genesys".to_owned(), refused: 0, topics };
        let reading = Reading { sources: vec![genesys], ..calm() };
        for notice in run.state.step(&reading, &run.options, run.now) {
            told.push((minute - 21 * 24 * 60, notice.change, notice.alarm));
        }
        run.now = run.now.plus(Duration::from_secs(60));
    }
    let short: Vec<_> = told.iter().map(|(minute, change, alarm)| (*minute, *change, alarm.key.as_str())).collect();
    let key = "source-silent/genesys/acw";
    assert_eq!(short, [(209, Change::Opened, key), (239, Change::Updated, key), (241, Change::Resolved, key)]);
    assert!(told[0].2.summary.contains("genesys (acw) has sent nothing for 30m"), "{:?}", told[0].2);
}

#[test]
fn fifty_thousand_dead_letters_of_one_group_are_one_alarm_with_bounded_updates() {
    let mut run = Run::new(Options::default());
    let mut count = 0;
    let told = run.show(7_200, |_| {
        count = (count + 40).min(50_000);
        groups(vec![group(1, count)])
    });
    let opened = told.iter().filter(|(change, _)| *change == Change::Opened).count();
    assert_eq!(opened, 1);
    assert!(told.len() <= 1 + 7_200 / 900, "{told:?}");
    assert_eq!(run.state.open().len(), 1);
    assert!(run.state.open()[0].summary.starts_with("50000 dead letters at destination crm"));
}

#[test]
fn many_groups_of_one_destination_share_an_alarm_and_the_first_keep_theirs() {
    let mut run = Run::new(Options::default());
    run.show(60, |_| groups((1..=3).map(|n| group(n, 1)).collect()));
    let told = run.show(60, |_| groups((1..=40).map(|n| group(n, 1 + n)).collect()));
    assert_eq!(told.len(), 3, "two more of their own, one for the rest: {told:?}");
    let open = run.state.open();
    assert_eq!(open.len(), 6);
    assert!(open.iter().any(|alarm| alarm.key == "dead-letters/crm/others" && alarm.summary.contains("35 other")));
    let told = run.show(60, |_| groups((4..=40).map(|n| group(n, 1 + n)).collect()));
    assert_eq!(told, [], "what shares an alarm gets none of its own when others are redriven");
    assert_eq!(run.show(300, |_| calm()).len(), 6, "all end");
}

#[test]
fn a_group_that_was_never_seen_opens_below_the_threshold_and_a_known_one_does_not() {
    let options = Options { dead_letters: Some(10), ..Options::default() };
    let mut run = Run::new(options);
    assert_eq!(run.show(60, |_| groups(vec![group(1, 2)])).len(), 1, "new");
    assert_eq!(run.show(600, |_| calm()).len(), 1, "ends");
    assert_eq!(run.show(600, |_| groups(vec![group(1, 2)])), [], "known");
    assert_eq!(run.show(60, |_| groups(vec![group(1, 11)])).len(), 1, "too many");
}

#[test]
fn what_flaps_is_told_at_most_once_in_a_cool_down() {
    let mut run = Run::new(Options::default());
    let mut round = 0u64;
    let told = run.show(3_600, |now| {
        round += 1;
        // Two minutes on, two minutes off.
        if (round / 24).is_multiple_of(2) {
            destination(Breaker::Open(now.minus(Duration::from_secs(200))), None)
        } else {
            calm()
        }
    });
    let opened: Vec<_> = run.told.iter().filter(|(_, change, _)| *change == Change::Opened).collect();
    assert!((2..=11).contains(&opened.len()), "{told:?}");
    let resolved: Vec<_> = run.told.iter().filter(|(_, change, _)| *change == Change::Resolved).collect();
    for (end, again) in resolved.iter().zip(&opened[1..]) {
        assert!(again.0 - end.0 >= 300, "{:?}", run.told);
    }
}

#[test]
fn what_cannot_be_read_ends_no_alarm() {
    let mut run = Run::new(Options::default());
    run.show(60, |_| groups(vec![group(1, 3)]));
    assert_eq!(run.show(3_600, |_| Reading::default()), []);
    assert_eq!(run.show(120, |_| calm()).len(), 1);
}

#[test]
fn a_destination_of_which_nothing_is_known_yet_ends_no_alarm() {
    let mut run = Run::new(Options::default());
    let opened = run.now;
    assert_eq!(run.show(600, |_| destination(Breaker::Open(opened), None))[0].0, Change::Opened);
    assert_eq!(run.show(3_600, |_| destination(Breaker::Unknown, None)), []);
    let is_known = run.show(120, |_| destination(Breaker::Closed, None));
    assert_eq!(is_known, [(Change::Resolved, "breaker-open/crm".to_owned())]);
    assert_eq!(run.show(600, |_| destination(Breaker::Unknown, None)), [], "and it opens none");
}

#[test]
fn what_would_be_told_word_by_word_again_is_not() {
    let mut run = Run::new(Options::default());
    let opened = run.now;
    let paused = |waiting| {
        let mut reading = destination(Breaker::Open(opened), None);
        (reading.destinations[0].paused, reading.destinations[0].waiting) = (true, waiting);
        reading
    };
    let key = || "breaker-open/crm".to_owned();
    assert_eq!(run.show(10 * 3_600, |_| paused(9)), [(Change::Opened, key())], "down and paused, and no more to say");
    assert_eq!(run.show(10 * 3_600, |_| paused(10)), [(Change::Updated, key())], "there is more now");
}

#[test]
fn a_restart_opens_nothing_again_and_ends_what_is_over() {
    let mut run = Run::new(Options::default());
    run.show(60, |_| groups(vec![group(1, 3), group(2, 3)]));
    let kept = serde_json::to_string(&run.state).unwrap();
    run.state = serde_json::from_str(&kept).unwrap();
    let told = run.show(600, |_| groups(vec![group(2, 3)]));
    assert_eq!(told, [(Change::Resolved, "dead-letters/crm/0000000000000001".to_owned())]);
}

#[test]
fn a_clock_that_was_years_ahead_keeps_no_alarm_open_and_none_closed() {
    let mut run = Run::new(Options::default());
    let (right, years) = (run.now, Duration::from_secs(100_000_000));
    run.now = right.plus(years);
    run.show(60, |_| groups(vec![group(1, 3), group(2, 3)]));
    run.show(120, |_| groups(vec![group(1, 3)]));
    run.now = right;
    assert_eq!(run.show(120, |_| calm()).len(), 1, "the open one ends");
    let told = run.show(600, |_| groups(vec![group(1, 3), group(2, 3)]));
    assert_eq!(told.iter().filter(|(change, _)| *change == Change::Opened).count(), 2, "both can open again: {told:?}");
}

proptest! {
    /// A clock is ahead for a while. What is wrong from then on has its alarm as soon as it would otherwise, also after the
    /// clock was set back, and what is right again has none soon after: neither takes as long as the clock was wrong.
    #[test]
    fn a_clock_that_was_ahead_for_a_while_makes_alarms_neither_stick_nor_storm(
        ahead in prop_oneof![1_u64..3_000, 1_u64..10_000_000], wrong_for in 0_u64..4_000, begins in 0_u64..4_000, lasts in 0_u64..8_000,
    ) {
        let options = Options::default();
        let (mut state, mut told) = (State::default(), Vec::new());
        let (undelivered, open, hold) = (900, 120, 60);
        let began = begins;
        // What the clock showed when it began.
        let noted = start().plus(Duration::from_secs(began + if began < wrong_for { ahead } else { 0 }));
        for second in (0..16_000).step_by(STEP.as_secs() as usize) {
            let now = start().plus(Duration::from_secs(second + if second < wrong_for { ahead } else { 0 }));
            let is_down = (began..began + lasts).contains(&second);
            let reading = if is_down { destination(Breaker::Open(noted), Some(noted)) } else { calm() };
            told.extend(state.step(&reading, &options, now));
            let is_open = |key: &str| state.open().iter().any(|alarm| alarm.key == key);
            for (key, after) in [("breaker-open/crm", open), ("undelivered/crm", undelivered)] {
                // Seen in the future for the first time, it counts from then on.
                let counts_from = if began < wrong_for { wrong_for.max(began) } else { began };
                if is_down && second > counts_from + after + 10 {
                    prop_assert!(is_open(key), "{key} is not open at {second}");
                }
                if second > (began + lasts).max(wrong_for) + hold + 10 {
                    prop_assert!(!is_open(key), "{key} sticks at {second}");
                }
            }
        }
        // Opened, worse at most once in 15 minutes, ended; the two jumps may add one of each.
        prop_assert!(told.len() <= 2 * (4 + 16_000 / 900), "{} notices", told.len());
        let opened = told.iter().filter(|notice| notice.change == Change::Opened).count();
        prop_assert!(opened <= 4, "{opened} opened");
    }
}

#[test]
fn each_text_names_the_command_and_what_becomes_of_the_events() {
    let ask = " --console 127.0.0.1:9081".to_owned();
    let mut run = Run::new(Options { ask, ..Options::default() });
    let now = run.now;
    let long = Duration::from_secs(7_200);
    run.show(5, |_| source(0));
    run.show(120, |_| Reading {
        stopped: Some("a sync failed".to_owned()),
        disk_free: Some(1),
        commit: Some(long),
        groups: Some(vec![group(1, 3)]),
        ..Reading {
            destinations: destination(Breaker::Open(now.minus(long)), Some(now.minus(long))).destinations,
            sources: source(50).sources,
            ..Reading::default()
        }
    });
    let open = run.state.open();
    let kinds: Vec<_> = open.iter().map(|alarm| alarm.kind).collect();
    assert_eq!(kinds.len(), 7, "{kinds:?}");
    assert_eq!(open[0].severity, Severity::Critical, "the worst first");
    for alarm in &open {
        assert!(alarm.assurance.starts_with("Nothing") && alarm.assurance.contains("lost"), "{alarm:?}");
        assert!(!alarm.todo.is_empty() && !alarm.summary.is_empty(), "{alarm:?}");
        assert!(alarm.summary.len() < 300, "{alarm:?}");
    }
    let dead = open.iter().find(|alarm| alarm.kind == Kind::DeadLetters).unwrap();
    let commands = dead.todo.join("\n");
    for command in [
        "aftercall dead-letters show 7 --console 127.0.0.1:9081",
        "aftercall redrive --group 0000000000000001 --dry-run --console 127.0.0.1:9081",
    ] {
        assert!(commands.contains(command), "{commands}");
    }
}

fn any_reading() -> impl Strategy<Value = (u64, Reading)> {
    let groups = prop::collection::vec((0u64..12, 1u64..100_000), 0..12);
    let rest = (any::<bool>(), 0u64..2_000, 0u64..2, prop::option::of(0u64..5_000), 0u64..3_000, any::<bool>());
    (1u64..400, groups, rest).prop_map(|(seconds, found, (stopped, age, breaker, commit, free, unread))| {
        let found: BTreeMap<_, _> = found.into_iter().collect();
        let found = found.into_iter().map(|(fingerprint, count)| group(fingerprint, count)).collect();
        let since = start().minus(Duration::from_secs(age));
        let breaker = match breaker {
            0 => Breaker::Closed,
            _ => Breaker::Open(since),
        };
        let reading = Reading {
            stopped: (stopped && age > 1_900).then(|| "a sync failed".to_owned()),
            groups: (!unread || age % 3 > 0).then_some(found),
            disk_free: Some(free << 20),
            commit: commit.map(Duration::from_millis),
            sources: source(age).sources,
            ..destination(breaker, Some(since))
        };
        (seconds, reading)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is read: an alarm opens before it changes or ends, is not opened again before its cool-down, is not
    /// told of too often, ends when all is well, and there are never too many.
    #[test]
    fn nothing_storms(readings in prop::collection::vec(any_reading(), 1..30), on in any_kinds()) {
        let options = Options::default();
        let mut run = Run { on, ..Run::new(options.clone()) };
        for (seconds, reading) in &readings {
            run.show(*seconds, |_| reading.clone());
            prop_assert!(run.state.open().len() <= 20, "{:?}", run.state.open().len());
        }
        run.show(1_200, |_| calm());
        prop_assert!(run.state.open().is_empty());
        let mut last: BTreeMap<&str, (u64, Change)> = BTreeMap::new();
        for (second, change, key) in &run.told {
            let before = last.insert(key, (*second, *change));
            match (change, before) {
                (Change::Opened, None) => {}
                (Change::Opened, Some((at, Change::Resolved))) => {
                    prop_assert!(second - at >= options.cool_down.as_secs(), "{key} again after {}", second - at);
                }
                (Change::Updated, Some((at, Change::Opened | Change::Updated))) => {
                    prop_assert!(second - at >= options.update_every.as_secs());
                }
                (Change::Resolved, Some((_, Change::Opened | Change::Updated))) => {}
                (change, before) => prop_assert!(false, "{key}: {change:?} after {before:?}"),
            }
        }
        for (key, (_, change)) in last {
            prop_assert_eq!(change, Change::Resolved, "{}", key);
        }
    }
}

/// What a notifier hears of: all, or what others cause and not the cause, or the reverse.
fn any_kinds() -> impl Strategy<Value = Option<Vec<Kind>>> {
    let late = Kind::ALL.into_iter().filter(|kind| *kind != Kind::BreakerOpen).collect();
    prop_oneof![Just(None), Just(Some(late)), Just(Some(vec![Kind::BreakerOpen]))]
}

fn reviewed(state: ReviewState, reopened: bool) -> Reading {
    let review = GroupReview { state, reopened, by: Some("ann".to_owned()), ..GroupReview::default() };
    groups(vec![DeadLetterGroup { review, ..group(1, 50) }])
}

#[test]
fn an_acknowledged_group_is_told_no_more_until_it_is_open_again() {
    let (opened, key) = (Change::Opened, "dead-letters/crm/0000000000000001".to_owned());
    let mut run = Run::new(Options::default());
    assert_eq!(run.show(60, |_| groups(vec![group(1, 1)])), [(opened, key.clone())]);
    assert_eq!(run.show(3_600, |_| reviewed(ReviewState::Acknowledged, false)), [], "though it has grown fifty times");
    assert!(run.state.open()[0].detail.contains("It was acknowledged by ann"), "{:?}", run.state.open());
    assert_eq!(run.show(60, |_| reviewed(ReviewState::Open, true)), [(opened, key.clone())], "a new letter");
    assert!(run.state.open()[0].detail.contains("open again: ann dealt with it"), "{:?}", run.state.open());
    assert_eq!(run.show(3_600, |_| reviewed(ReviewState::Open, true)), [], "once");
    let ended = (Change::Resolved, key.clone());
    assert_eq!(run.show(120, |_| reviewed(ReviewState::Acknowledged, false)), []);
    assert_eq!(run.show(120, |_| reviewed(ReviewState::Resolved, false)), std::slice::from_ref(&ended), "dealt with");
    assert_eq!(run.show(3_600, |_| reviewed(ReviewState::Resolved, false)), []);
    assert_eq!(run.show(60, |_| reviewed(ReviewState::Open, true)), [(opened, key.clone())], "and again");
    // Resolved and open again before its alarm has ended.
    assert_eq!(run.show(30, |_| reviewed(ReviewState::Resolved, false)), []);
    assert_eq!(run.show(60, |_| reviewed(ReviewState::Open, true)), [(opened, key)]);
    assert_eq!(run.show(600, |_| calm()), [ended], "its letters are gone");
}

#[test]
fn a_group_that_is_acknowledged_before_any_alarm_opens_none() {
    let few = Options { dead_letters: Some(100), new_group: true, ..Options::default() };
    let mut run = Run::new(few);
    for state in [ReviewState::Acknowledged, ReviewState::Resolved] {
        assert_eq!(run.show(600, |_| reviewed(state, false)), []);
    }
    let opened = (Change::Opened, "dead-letters/crm/0000000000000001".to_owned());
    assert_eq!(run.show(60, |_| reviewed(ReviewState::Open, true)), [opened], "fewer than it takes, but open again");
}

#[test]
fn what_waits_long_is_told_with_the_cure_that_helps() {
    let now = start();
    let text = |held: u64, breaker: Breaker, limited: Option<Timestamp>| {
        let reading = destination(breaker, None).destinations.remove(0);
        let reading = DestinationReading { held, limited, ..reading };
        super::text::undelivered(&reading, Duration::from_secs(1_200), None, "", now)
    };
    let of = |held, breaker| text(held, breaker, None).todo.join("\n");
    let limited = text(0, Breaker::Closed, Some(now.plus(Duration::from_secs(7_200))));
    assert!(limited.summary.ends_with("has waited for 20m, because its rate limit is used up for 2h"), "{limited:?}");
    assert!(limited.todo[1].contains("raise rate of [destinations.crm]"), "{limited:?}");
    let (held, down, slow) =
        (of(9, Breaker::Closed), of(0, Breaker::Open(Timestamp::default())), of(0, Breaker::Closed));
    assert!(
        held.contains("aftercall dead-letters groups --destination crm") && !held.contains("concurrency"),
        "{held}"
    );
    assert!(down.contains("crm is down") && !down.contains("concurrency"), "{down}");
    assert!(slow.contains("raise concurrency"), "{slow}");
}

fn wants(on: Option<Vec<Kind>>, notice: &Notice) -> bool {
    let channel = Channel::Command(CommandOptions { program: "true".into(), arguments: Vec::new() });
    let name = "somebody".to_owned();
    notifier::Options { name, channel, on, severity: Severity::Info, timeout: STEP }.wants(notice)
}

#[test]
fn one_outage_calls_once_and_who_is_not_told_of_it_is_told_what_it_holds_up() {
    let down = |_| destination(Breaker::Open(start()), Some(start()));
    let well = |_| calm();
    for (on, key) in [(None, "breaker-open/crm"), (Some(vec![Kind::Undelivered]), "undelivered/crm")] {
        let mut run = Run { on, ..Run::new(Options::default()) };
        assert_eq!(run.show(1_000, down), [(Change::Opened, key.to_owned())]);
        let open = run.state.open();
        let late = open.iter().find(|alarm| alarm.kind == Kind::Undelivered).unwrap();
        assert_eq!(late.because.as_deref(), Some("breaker-open/crm"));
        assert!(late.summary.ends_with(", because it is down") && late.detail.contains("breaker-open/crm"), "{late:?}");
        assert_eq!(run.show(200, well), [(Change::Resolved, key.to_owned())]);
    }
}

#[test]
fn what_still_waits_when_its_cause_is_over_is_told_unless_it_is_worked_off() {
    let down = |_| destination(Breaker::Open(start()), Some(start()));
    // Caught up within ten minutes.
    let caught_up = |now: Timestamp| {
        let behind = 1_000_u64.saturating_sub(2 * start().until(now).as_secs().saturating_sub(1_000));
        destination(Breaker::Closed, Some(now.minus(Duration::from_secs(behind))))
    };
    let stuck = |_| destination(Breaker::Closed, Some(start()));
    let ended = (Change::Resolved, "breaker-open/crm".to_owned());
    let late = |change| (change, "undelivered/crm".to_owned());
    let mut run = Run::new(Options::default());
    run.show(1_000, down);
    assert_eq!(run.show(1_000, caught_up), std::slice::from_ref(&ended));
    let mut run = Run::new(Options::default());
    run.show(1_000, down);
    assert_eq!(run.show(400, stuck), [ended, late(Change::Opened)]);
    assert_eq!(run.show(200, |_| calm()), [late(Change::Resolved)]);
    // Who was told from the beginning is not told anew.
    let mut run = Run { on: Some(vec![Kind::Undelivered]), ..Run::new(Options::default()) };
    assert_eq!(run.show(1_000, down), [late(Change::Opened)]);
    assert_eq!(run.show(400, stuck), []);
    assert_eq!(run.show(200, |_| calm()), [late(Change::Resolved)]);
}

#[test]
fn what_waits_behind_dead_letters_has_their_alarm_as_its_cause() {
    let held = |_| {
        let mut reading = destination(Breaker::Closed, Some(start()));
        reading.destinations[0].held = 9;
        Reading { groups: Some(vec![group(1, 1)]), ..reading }
    };
    let mut run = Run::new(Options::default());
    let letters = (Change::Opened, "dead-letters/crm/0000000000000001".to_owned());
    assert_eq!(run.show(1_000, held), [letters]);
    let late = run.state.open().into_iter().find(|alarm| alarm.kind == Kind::Undelivered).unwrap();
    assert!(late.summary.ends_with(", behind dead letters"), "{late:?}");
}

#[test]
fn what_was_refused_can_be_released() {
    let text = super::text::refused("genesys", 3, Duration::from_secs(300), " --console http://127.0.0.1:1");
    let release = "aftercall quarantine release --source genesys --dry-run --console http://127.0.0.1:1";
    assert!(text.todo.iter().any(|line| line.contains(release)), "{text:?}");
}

#[test]
fn an_alarm_says_since_when_its_reason_is_gone_and_no_more_when_it_is_back() {
    let mut run = Run::new(Options::default());
    let down = |now: Timestamp| destination(Breaker::Open(now.minus(Duration::from_secs(600))), None);
    run.show(60, down);
    assert_eq!(run.state.open()[0].gone_since, None);
    let gone = run.now;
    assert_eq!(run.show(30, |_| calm()), [], "it waits to end");
    assert_eq!(run.state.open()[0].gone_since, Some(gone));
    assert_eq!(run.show(30, down), []);
    assert_eq!(run.state.open()[0].gone_since, None, "it is back");
}

#[test]
fn a_group_says_its_status_and_what_waits_behind_it() {
    let refused = DeadLetterGroup {
        status: Some(503),
        stage: Stage::Deliver,
        message: "the destination answered # (Service Unavailable)".to_owned(),
        ..group(1, 2)
    };
    let none = super::text::dead_letters(&refused, true, 0, "");
    assert_eq!(none.summary, "2 dead letters at destination crm: the destination answered 503 (Service Unavailable)");
    assert!(none.assurance.ends_with("Other events go on."), "{none:?}");
    // What waits behind dead letters does not go on.
    let mut reading = groups(vec![refused]);
    reading.destinations = destination(Breaker::Closed, None).destinations;
    reading.destinations[0].held = 36;
    let mut run = Run::new(Options::default());
    run.show(5, |_| reading.clone());
    let assurance = &run.state.open()[0].assurance;
    assert!(assurance.contains("36 later events of conversations with dead letters there wait"), "{assurance}");
    assert!(!assurance.contains("Other events go on"), "{assurance}");
}

#[test]
fn refused_credentials_are_told_as_what_is_to_be_renewed() {
    let of = |status| {
        let refused = DeadLetterGroup { status: Some(status), stage: Stage::Deliver, ..group(1, 2) };
        super::text::dead_letters(&refused, true, 0, "").todo.join("\n")
    };
    assert!(of(401).contains("renew the credentials of destination crm") && of(403).contains("renew"));
    assert!(of(422).contains("mend what destination crm complains about"));
}
