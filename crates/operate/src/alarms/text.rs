//! What an alarm says: what broke, what to do with the exact command, and what happens to the events meanwhile.

use std::time::Duration;

use event::{Timestamp, shortened};
use queue::{DeadLetterGroup, ReviewState, Stage, shown_masked, told};

use super::reading::{Breaker, DestinationReading, NotifierReading};
use super::silence::Silent;

/// Bytes of a text that somebody else wrote, at most: a pager shows little.
const QUOTED_MAX: usize = 160;
/// How a step begins that says that nothing has to be done; not so if a destination is paused.
pub const BY_ITSELF: &str = "nothing else";
const WAITS: &str = "Nothing is lost: what was accepted is on disk and waits; no retry budget is spent.";
const KEPT: &str = "Nothing is lost: each dead letter keeps its event, also beyond retention, until it is redriven or \
                    discarded.";

/// The words of an alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) summary: String,
    pub(super) detail: String,
    pub(super) todo: Vec<String>,
    pub(super) assurance: String,
}

fn text(summary: String, detail: String, todo: Vec<String>, assurance: &str) -> Text {
    Text { summary, detail, todo, assurance: assurance.to_owned() }
}

/// A time span in its two largest units.
pub(super) fn age(span: Duration) -> String {
    let whole = humantime::format_duration(Duration::from_secs(span.as_secs())).to_string();
    whole.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// What another program wrote, in one short line.
pub(super) fn quoted(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    shortened(&line, QUOTED_MAX)
}

/// A size with one digit behind the point, which tells how much is left.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_073_741_824 => format!("{} MiB", bytes >> 20),
        bytes => format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64),
    }
}

pub(super) fn stopped(reason: &str) -> Text {
    let todo = vec![
        "look at the disk, then restart the server: it reads everything again".to_owned(),
        "if it does not start: aftercall check --data DIR (--repair makes it usable again)".to_owned(),
    ];
    let assurance = "Nothing that was accepted is lost. New requests get 503, so their senders have to repeat them.";
    text("the queue has stopped; nothing is accepted".to_owned(), quoted(reason), todo, assurance)
}

pub(super) fn disk(free: u64, wanted: u64) -> Text {
    let todo = vec![
        "free some space, or make the disk larger; no restart is needed".to_owned(),
        "how much is kept is decided by queue.retention in the configuration".to_owned(),
    ];
    let assurance =
        "Nothing is lost. When the disk is full, requests get 503 until there is room, and senders repeat them.";
    let detail = format!("{} are free where the data is; {} are wanted.", size(free), size(wanted));
    text(format!("the disk is getting full: {} are free", size(free)), detail, todo, assurance)
}

pub(super) fn disk_full(refused: u64, free: Option<u64>) -> Text {
    let free = free.map_or(String::new(), |free| {
        format!(
            "{} are free where the data is. If that is not little, a quota or a limit on the size of files is reached. ",
            size(free)
        )
    });
    let todo =
        vec!["free some space, or make the disk, the quota or the limit larger; no restart is needed".to_owned()];
    let assurance = "Nothing that was accepted is lost. Requests get 503 until there is room, and senders repeat them.";
    let detail = format!("{free}Within the last minute {refused} requests found no room.");
    text("the disk is full: requests are refused".to_owned(), detail, todo, assurance)
}

pub(super) fn commit(took: Duration, most: Duration) -> Text {
    let detail = format!("The limit is {} ms. Senders wait for their answer that long.", most.as_millis());
    let todo = vec!["see what else uses the disk (iostat -x 5), and whether it is failing (dmesg)".to_owned()];
    let assurance = "Nothing is lost: an event is acknowledged only when it is on disk.";
    text(format!("commits are slow: {} ms", took.as_millis()), detail, todo, assurance)
}

/// `held` is how many deliveries of the destination wait behind its dead letters.
pub(super) fn dead_letters(group: &DeadLetterGroup, new: bool, held: u64, ask: &str) -> Text {
    let place = group.destination.as_deref().map_or("intake".to_owned(), |name| format!("destination {name}"));
    let status = group.status.map(|status| format!(", status {status}")).unwrap_or_default();
    let before = if new { " This reason was not seen before.".to_owned() } else { reviewed(group) };
    let detail = format!("Stage {}{status}: {}.{before}", group.stage, masked(group));
    let mut todo = vec![format!("aftercall dead-letters show {}{ask}", group.sample.0)];
    let id = group.fingerprint;
    match group.stage {
        Stage::Intake => todo.push(format!("mend the sender; then aftercall dead-letters list --group {id}{ask}")),
        Stage::Map | Stage::Route => {
            let sample = group.sample.0;
            todo.push(format!("aftercall dead-letters show {sample} --body{ask} > event.json"));
            todo.push("aftercall map --mapping @new.jq --event @event.json     # until it passes".to_owned());
            todo.push(format!("put the mapping into the configuration; it is taken over by itself, or at once by aftercall reload{ask}"));
        }
        Stage::Deliver if matches!(group.status, Some(401 | 403)) => todo.push(format!(
            "renew the credentials of {place}, which it refuses; a secret file is read again by itself, env:NAME wants a restart"
        )),
        Stage::Deliver | Stage::Queue => todo.push(format!("mend what {place} complains about")),
    }
    if group.stage != Stage::Intake {
        todo.push(format!("aftercall redrive --group {id} --dry-run{ask}"));
        todo.push(format!("aftercall redrive --group {id}{ask}"));
    }
    if group.review.state == ReviewState::Open {
        let on_it =
            format!("if you deal with it, and to be told no more: aftercall dead-letters acknowledge {id}{ask}");
        todo.insert(0, on_it);
    }
    let letters = if group.count == 1 { "dead letter" } else { "dead letters" };
    text(format!("{} {letters} at {place}: {}", group.count, masked(group)), detail, todo, &kept(held))
}

/// That dead letters are kept, and what becomes of the events behind them; so many wait for dead letters of the
/// destination.
fn kept(held: u64) -> String {
    match held {
        0 => format!("{KEPT} Other events go on."),
        held => format!(
            "{KEPT} {held} later events of conversations with dead letters there wait for them (behind_dead = \"hold\"); other \
             conversations go on."
        ),
    }
}

/// What its letters died of, in one short line.
fn masked(group: &DeadLetterGroup) -> String {
    let told = told(&group.message);
    // The letters of a group have one status, so that need not be left out.
    let told = match group.status {
        Some(status) => told.replacen("answered # (", &format!("answered {status} ("), 1),
        None => told.to_string(),
    };
    quoted(&shown_masked(&told))
}

/// What somebody has said about a group.
fn reviewed(group: &DeadLetterGroup) -> String {
    let review = &group.review;
    let Some(by) = &review.by else { return String::new() };
    let note = review.note.as_deref().map(|note| format!(" ({})", quoted(note))).unwrap_or_default();
    match review.state {
        ReviewState::Open => format!(" It is open again: {} dealt with it before{note}.", quoted(by)),
        state => format!(" It was {} by {}{note}.", state.as_str(), quoted(by)),
    }
}

pub(super) fn many_groups(destination: Option<&str>, groups: usize, letters: u64, held: u64, ask: &str) -> Text {
    let place = destination.map_or("intake".to_owned(), |name| format!("destination {name}"));
    let only = destination.map(|name| format!(" --destination {name}")).unwrap_or_default();
    let detail = format!("{groups} more groups besides those with an alarm of their own.");
    let todo = vec![format!("aftercall dead-letters groups{only}{ask}")];
    text(format!("{letters} dead letters at {place} for {groups} other reasons"), detail, todo, &kept(held))
}

pub(super) fn breaker(destination: &DestinationReading, open_for: Duration, ask: &str) -> Text {
    let name = &destination.name;
    let since_start = || "unknown, nothing was tried since the server started".to_owned();
    let last = destination.last_error.as_deref().map_or_else(since_start, |error| quoted(&told(error)));
    let aside = match destination.put_aside {
        0 => String::new(),
        count => format!(" {count} were put aside in the archive."),
    };
    let waits = format!("{} deliveries wait.{aside}", destination.waiting);
    let (summary, then) = if destination.paused {
        let resume = format!("aftercall resume {name}{ask}");
        (format!("destination {name} is down and paused"), format!("when it works again: {resume}"))
    } else {
        let then = format!("{BY_ITSELF}: it is probed, and goes on when it works again");
        (format!("destination {name} is down for {}", age(open_for)), then)
    };
    let detail = format!("Last error: {last}. {waits}");
    let mut todo = vec![format!("aftercall status{ask}"), format!("mend {name}, or call who can"), then];
    if destination.put_aside > 0 {
        let replay = format!("aftercall replay --source outage --destination {name}{ask}");
        todo.push(format!("what was put aside does not come by itself; when {name} works again: {replay}"));
    }
    text(summary, detail, todo, WAITS)
}

pub(super) fn unusable(destination: &DestinationReading, problem: &str, ask: &str) -> Text {
    let name = &destination.name;
    let detail = format!("{}. {} deliveries wait.", quoted(problem), destination.waiting);
    let todo = vec![
        format!("aftercall status{ask}"),
        format!("mend what [destinations.{name}] names"),
        format!("{BY_ITSELF}: it is tried again, and goes on when it works"),
    ];
    text(format!("destination {name} cannot be used since the start"), detail, todo, WAITS)
}

/// `because` is the alarm that is its cause.
pub(super) fn undelivered(
    destination: &DestinationReading,
    age_now: Duration,
    because: Option<&str>,
    ask: &str,
    now: Timestamp,
) -> Text {
    let name = &destination.name;
    let last = destination
        .last_error
        .as_deref()
        .map(|error| quoted(&told(error)))
        .map(|error| format!(" Last error: {error}."));
    let held = match destination.held {
        0 => String::new(),
        held => format!(" {held} of them wait for dead letters of their conversations (behind_dead = \"hold\")."),
    };
    let cause = because.map(|key| format!(" The cause is the alarm {key}.")).unwrap_or_default();
    let detail = format!("{} deliveries wait.{held}{cause}{}", destination.waiting, last.unwrap_or_default());
    let mut todo = vec![format!("aftercall status{ask}")];
    let limited = destination.limited.map(|until| now.until(until)).filter(|until| !until.is_zero());
    let is_down = matches!(destination.breaker, Breaker::Open(_));
    let reason = match limited {
        _ if destination.paused => ", because it is paused".to_owned(),
        _ if is_down => ", because it is down".to_owned(),
        _ if destination.held > 0 && destination.held >= destination.waiting => ", behind dead letters".to_owned(),
        Some(until) => format!(", because its rate limit is used up for {}", age(until)),
        None => String::new(),
    };
    if destination.held > 0 {
        todo.push(format!(
            "redrive the dead letters that hold them back, or discard them with a reason: aftercall dead-letters groups \
             --destination {name}{ask}"
        ));
    }
    if destination.paused {
        todo.push(format!("it is paused; to go on: aftercall resume {name}{ask}"));
    } else if is_down {
        todo.push(format!("{name} is down: mend it, or call who can; deliveries then go on by themselves"));
    } else if limited.is_some() {
        todo.push(format!("{BY_ITSELF}, if {name} takes no more; else raise rate of [destinations.{name}]"));
    } else if destination.held < destination.waiting {
        todo.push(format!("if {name} is up but slow, raise concurrency or rate of [destinations.{name}]"));
    }
    let summary = format!("the oldest event for destination {name} has waited for {}{reason}", age(age_now));
    text(summary, detail, todo, WAITS)
}

pub(super) fn refused(source: &str, count: u64, within: Duration, ask: &str) -> Text {
    let detail = format!(
        "Their signature or credential matches none of the secrets of [sources.{source}]: the sender's secret was \
         changed, or somebody else sends."
    );
    let todo = vec![
        format!("aftercall status --json{ask}     # sources[].counters.refused says which codes"),
        format!("compare the sender's secret with the one that [sources.{source}] names; several may be valid at once"),
        format!(
            "when the secret is right: aftercall quarantine release --source {source} --dry-run{ask}, then without \
             --dry-run"
        ),
    ];
    let assurance = "Nothing that was accepted is lost. What was refused was answered 401 and is kept, as far as the \
                     quarantine has room: what is genuine can still be published, also if its sender does not send it again.";
    let summary = format!("{count} requests of source {source} were refused as not authentic within {}", age(within));
    text(summary, detail, todo, assurance)
}

pub(super) fn silent(silent: &Silent, for_now: Duration, ask: &str) -> Text {
    let Silent { source, topic, missed, .. } = silent;
    let what = if topic.is_empty() { String::new() } else { format!(" ({})", quoted(topic)) };
    let detail = format!("At this hour of the week some {missed} events usually come in that time.");
    let todo = vec![
        format!("aftercall status{ask}     # does anything of {source} arrive, or is it refused?"),
        "see whether the webhook or the EventBridge rule is still active at the sender".to_owned(),
    ];
    let assurance =
        "Nothing that was accepted is lost. What was not sent is not here; the sender may have to repeat it.";
    text(format!("source {source}{what} has sent nothing for {}", age(for_now)), detail, todo, assurance)
}

pub(super) fn quarantine_closed(reason: &str, ask: &str) -> Text {
    let todo = vec![
        "do what the reason says; if the file is damaged: stop the server, move quarantine.db, quarantine.db-wal and \
         quarantine.db-shm away, start it"
            .to_owned(),
        format!("aftercall status{ask}     # are requests being refused meanwhile?"),
    ];
    let assurance = "Nothing that was accepted is lost, and genuine events are taken as ever. Requests that are refused \
                     are not kept; a genuine sender whose secret is wrong here has to send them again.";
    text("the quarantine is closed: refused requests are not kept".to_owned(), quoted(reason), todo, assurance)
}

pub(super) fn configuration_refused(problem: &str, ask: &str) -> Text {
    let todo = vec![
        "mend the file; it is read again by itself".to_owned(),
        format!("aftercall reload{ask}     # reads it at once, and says everything that is wrong with it"),
    ];
    let assurance = "Nothing is lost: the server goes on with the configuration of before. But it does not start with this \
                     file, should it be restarted.";
    let summary = "the changed configuration is refused; the one before is in force".to_owned();
    text(summary, format!("{}.", quoted(problem)), todo, assurance)
}

/// What an alarm says when it is over: how it was is past.
pub(super) fn over(summary: &str, lasted: Duration) -> String {
    format!("over after {}; it was: {summary}", age(lasted))
}

pub(super) fn archive(error: &str, failing: Duration, ask: &str) -> Text {
    let detail = format!("Last error: {}.", quoted(error));
    let todo = vec![
        "mend the object store, or [archive] in the configuration".to_owned(),
        format!("aftercall archive run{ask}"),
    ];
    let assurance = "Nothing is lost: events stay in the queue beyond retention until they are exported. The disk fills \
                     meanwhile.";
    text(format!("the archive has failed for {}", age(failing)), detail, todo, assurance)
}

pub(super) fn failing(notifier: &NotifierReading, failing: Duration) -> Text {
    let name = &notifier.name;
    let last = notifier.last_error.as_deref().map_or("unknown".to_owned(), quoted);
    let detail = format!("Last error: {last}. {} notices wait for it.", notifier.waiting);
    let todo = vec![
        format!("mend [notifiers.{name}] in the configuration, or what it calls"),
        "aftercall alarms test --config FILE".to_owned(),
    ];
    let assurance = "Nothing is lost: events are not concerned, and notices are tried again.";
    text(format!("notifier {name} has failed for {}", age(failing)), detail, todo, assurance)
}
