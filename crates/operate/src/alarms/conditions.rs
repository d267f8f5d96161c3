//! What is wrong at an instant. Each condition says whether it is there, or only fading: below its threshold, but not
//! so far that an alarm about it may end.

use std::collections::BTreeMap;
use std::time::Duration;

use event::Timestamp;
use queue::{DeadLetterGroup, ReviewState};

use super::alarm::Kind;
use super::options::{COMMIT_LASTS, GROUPS_PER_DESTINATION, Options};
use super::reading::{Breaker, DestinationReading, NotifierReading, Reading};
use super::silence::Silent;
use super::text::{self, Text};

/// Something that is wrong.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) key: String,
    pub(super) kind: Kind,
    pub(super) subject: String,
    pub(super) level: u64,
    /// Too little to open an alarm, too much to end one.
    pub(super) fading: bool,
    /// How long it must have been there before an alarm opens.
    pub(super) lasts: Duration,
    /// What somebody has said about it.
    pub(super) hush: Hush,
    /// The key of the alarm that is its cause.
    pub(super) because: Option<String>,
    pub(super) text: Text,
}

/// What somebody has said about what is wrong. Whoever is told of it once it is neither any more is told anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Hush {
    /// Nothing.
    #[default]
    None,
    /// Somebody deals with it: no alarm opens, and an open one is not told again.
    Quiet,
    /// Somebody has dealt with it: an open alarm ends.
    Over,
}

/// What is known from earlier readings.
pub(super) struct Memory<'a> {
    /// Refused requests of each source within the window.
    pub(super) refused: &'a [(String, u64)],
    /// Requests that found no room within the last minute.
    pub(super) full: u64,
    pub(super) silent: &'a [Silent],
    /// Whether there is an open alarm of this key.
    pub(super) open: &'a dyn Fn(&str) -> bool,
    /// Whether a group of dead letters was seen before.
    pub(super) known: &'a dyn Fn(&str) -> bool,
}

/// Everything that is wrong.
pub(super) fn conditions(reading: &Reading, memory: &Memory<'_>, options: &Options, now: Timestamp) -> Vec<Condition> {
    let mut all = Vec::new();
    all.extend(reading.stopped.as_deref().map(stopped));
    all.extend(disk(reading, memory.full, options));
    all.extend(commit(reading, options));
    all.extend(dead_letters(reading, memory, options));
    all.extend(reading.destinations.iter().filter_map(|destination| breaker(destination, options, now)));
    let undelivered = |destination| undelivered(destination, cause(destination, &all, memory), options, now);
    let late: Vec<_> = reading.destinations.iter().filter_map(undelivered).collect();
    all.extend(late);
    all.extend(memory.refused.iter().filter_map(|(source, count)| refused(source, *count, options)));
    if options.source_silent.is_some() {
        all.extend(memory.silent.iter().map(|silent| source_silent(silent, options, now)));
    }
    let closed = reading.quarantine_closed.as_deref().filter(|_| options.quarantine_closed);
    all.extend(
        closed.map(|reason| {
            condition(Kind::QuarantineClosed, "", 1, false, text::quarantine_closed(reason, &options.ask))
        }),
    );
    let refused = reading.configuration_refused.as_deref().filter(|_| options.configuration_refused);
    all.extend(refused.map(|problem| {
        let text = text::configuration_refused(problem, &options.ask);
        condition(Kind::ConfigurationRefused, "", 1, false, text)
    }));
    all.extend(reading.notifiers.iter().filter_map(|notifier| failing(notifier, options, now)));
    all.extend(archive(reading, options, now));
    all
}

fn condition(kind: Kind, subject: &str, level: u64, fading: bool, text: Text) -> Condition {
    let key = if subject.is_empty() { kind.as_str().to_owned() } else { format!("{}/{subject}", kind.as_str()) };
    let (subject, lasts, hush, because) = (subject.to_owned(), Duration::ZERO, Hush::None, None);
    Condition { key, kind, subject, level, fading, lasts, hush, because, text }
}

fn stopped(reason: &str) -> Condition {
    condition(Kind::QueueStopped, "", 1, false, text::stopped(reason))
}

fn disk(reading: &Reading, full: u64, options: &Options) -> Option<Condition> {
    let wanted = options.disk_free?;
    if full > 0 {
        let text = text::disk_full(full, reading.disk_free);
        return Some(condition(Kind::DiskLow, "", wanted.max(1), false, text));
    }
    let free = reading.disk_free?;
    // Ends only with a quarter more than wanted.
    let fading = free >= wanted;
    (free < wanted.saturating_add(wanted / 4) && wanted > 0)
        .then(|| condition(Kind::DiskLow, "", wanted.saturating_sub(free), fading, text::disk(free, wanted)))
}

fn commit(reading: &Reading, options: &Options) -> Option<Condition> {
    let (took, most) = (reading.commit?, options.commit_latency?);
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let made = || condition(Kind::CommitLatency, "", millis, took <= most, text::commit(took, most));
    (took > most / 2).then(|| Condition { lasts: COMMIT_LASTS, ..made() })
}

/// One for each group; of a destination with many, one for all that are left.
fn dead_letters(reading: &Reading, memory: &Memory<'_>, options: &Options) -> Vec<Condition> {
    let mut by_destination: BTreeMap<Option<&str>, Vec<&DeadLetterGroup>> = BTreeMap::new();
    for group in reading.groups.iter().flatten() {
        by_destination.entry(group.destination.as_deref()).or_default().push(group);
    }
    let mut all = Vec::new();
    for (destination, mut groups) in by_destination {
        let subject = destination.unwrap_or("intake");
        let others = format!("dead-letters/{subject}/others");
        // Those with an alarm of their own keep it; then the largest. While there is one for all others, none of those
        // gets its own, or a redrive of the first groups would open alarms about the next.
        groups.sort_by_key(|group| (!(memory.open)(&key(group)), std::cmp::Reverse(group.count), group.fingerprint));
        let of = reading.destinations.iter().find(|of| Some(of.name.as_str()) == destination);
        let held = of.map_or(0, |of| of.held);
        let found: Vec<_> = groups.into_iter().filter_map(|group| dead_group(group, held, memory, options)).collect();
        let open = found.iter().filter(|condition| (memory.open)(&condition.key)).count();
        let own = if (memory.open)(&others) { open } else { open.max(GROUPS_PER_DESTINATION) };
        let rest = found.get(own..).unwrap_or_default();
        let (letters, fading) =
            (rest.iter().map(|group| group.level).sum(), rest.iter().all(|condition| condition.fading));
        let many = (!rest.is_empty()).then(|| {
            let text = text::many_groups(destination, rest.len(), letters, held, &options.ask);
            Condition { key: others, ..condition(Kind::DeadLetters, subject, letters, fading, text) }
        });
        all.extend(found.into_iter().take(own));
        all.extend(many);
    }
    all
}

fn key(group: &DeadLetterGroup) -> String {
    format!("dead-letters/{}/{}", group.destination.as_deref().unwrap_or("intake"), group.fingerprint)
}

fn dead_group(group: &DeadLetterGroup, held: u64, memory: &Memory<'_>, options: &Options) -> Option<Condition> {
    let key = key(group);
    let open = (memory.open)(&key);
    let hush = match group.review.state {
        ReviewState::Open => Hush::None,
        ReviewState::Acknowledged => Hush::Quiet,
        ReviewState::Resolved => Hush::Over,
    };
    if hush != Hush::None && !open {
        return None;
    }
    let reopened = group.review.reopened;
    let new = options.new_group && !(memory.known)(&key);
    let most = options.dead_letters;
    let over = |limit: Option<u64>| limit.is_some_and(|limit| group.count > limit);
    let is = group.count > 0
        && (over(most)
            || new
            || reopened
            || hush != Hush::None
            || (open && (over(most.map(|most| most / 2)) || options.new_group)));
    // An alarm about a group that was new stays until the group is gone.
    let fading = open && !over(most) && !options.new_group && !reopened && hush == Hush::None;
    is.then(|| {
        let subject = group.destination.as_deref().unwrap_or("intake");
        let text = text::dead_letters(group, new, held, &options.ask);
        Condition { key, hush, ..condition(Kind::DeadLetters, subject, group.count, fading, text) }
    })
}

fn breaker(destination: &DestinationReading, options: &Options, now: Timestamp) -> Option<Condition> {
    let longest = options.breaker_open?;
    if let Some((since, problem)) = &destination.unusable {
        // Somebody has to mend it, so there is nothing to wait for.
        let text = text::unusable(destination, problem, &options.ask);
        return Some(condition(Kind::BreakerOpen, &destination.name, since.until(now).as_secs(), false, text));
    }
    let Breaker::Open(since) = destination.breaker else { return None };
    let open_for = since.until(now);
    let fading = open_for < longest;
    let text = text::breaker(destination, open_for, &options.ask);
    Some(condition(Kind::BreakerOpen, &destination.name, open_for.as_secs(), fading, text))
}

/// The alarm that is the reason why a destination's events wait: it is down, or all of them wait for dead letters. One that has
/// just ended for a moment still is, as long as it is open.
fn cause(destination: &DestinationReading, found: &[Condition], memory: &Memory<'_>) -> Option<String> {
    let is_told = |one: &&Condition| one.hush != Hush::Over && (!one.fading || (memory.open)(&one.key));
    let of = |kind| {
        let its = found.iter().filter(move |one| one.kind == kind && one.subject == destination.name);
        its.filter(is_told).map(|one| one.key.clone()).next()
    };
    let down = format!("{}/{}", Kind::BreakerOpen.as_str(), destination.name);
    let down = || (memory.open)(&down).then_some(down.clone());
    let held = || of(Kind::DeadLetters).filter(|_| destination.held > 0 && destination.held >= destination.waiting);
    of(Kind::BreakerOpen).or_else(down).or_else(held)
}

fn undelivered(
    destination: &DestinationReading,
    because: Option<String>,
    options: &Options,
    now: Timestamp,
) -> Option<Condition> {
    let (age, longest) = (destination.oldest?.until(now), options.undelivered?);
    (age > longest / 2).then(|| {
        let text = text::undelivered(destination, age, because.as_deref(), &options.ask, now);
        let one = condition(Kind::Undelivered, &destination.name, age.as_secs(), age <= longest, text);
        Condition { because, ..one }
    })
}

fn refused(source: &str, count: u64, options: &Options) -> Option<Condition> {
    let most = options.refused_signatures?.max(1);
    let text = || text::refused(source, count, options.refused_within, &options.ask);
    (count > most / 4).then(|| condition(Kind::RefusedSignatures, source, count, count < most, text()))
}

fn source_silent(silent: &Silent, options: &Options, now: Timestamp) -> Condition {
    let for_now = silent.since.until(now);
    let words = text::silent(silent, for_now, &options.ask);
    let one = condition(Kind::SourceSilent, &silent.source, for_now.as_secs(), false, words);
    Condition { key: format!("source-silent/{}/{}", silent.source, text::quoted(&silent.topic)), ..one }
}

fn archive(reading: &Reading, options: &Options, now: Timestamp) -> Option<Condition> {
    let ((since, error), longest) = (reading.archive_failing.as_ref()?, options.archive_failing?);
    let failing = since.until(now);
    let text = text::archive(error, failing, &options.ask);
    Some(condition(Kind::ArchiveFailing, "", failing.as_secs(), failing < longest, text))
}

fn failing(notifier: &NotifierReading, options: &Options, now: Timestamp) -> Option<Condition> {
    let (failing, longest) = (notifier.failing_since?.until(now), options.notifier_failing?);
    let text = text::failing(notifier, failing);
    Some(condition(Kind::NotifierFailing, &notifier.name, failing.as_secs(), failing < longest, text))
}
