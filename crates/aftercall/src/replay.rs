//! `aftercall replay`: delivers events again that were accepted before, to one destination, from the store or the archive.
//!
//! How far it has come is stored by the server with each step, under a name made of what is chosen. So a replay that was
//! broken off goes on where it was when the same command is given again, and repeats nothing.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use event::Timestamp;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::admin::{self, Admin};
use crate::cli::{ServerArgs, text_or_file};
use crate::dead_letters::text;
use crate::in_force::InForce;
use crate::{output, serve};

/// Events of one request: few enough for a smooth rate and a bar that moves.
const STEP_MAX: u32 = 500;
/// The bar's length.
const WHOLE: u64 = 1_000;
/// The end of all time: 9999-12-31.
const FOREVER: i64 = 253_402_214_400_000;

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Only what was received then or later: 2026-03-19T21:00:00Z, or a date
    #[arg(long, value_parser = time)]
    from: Option<Timestamp>,
    /// Only what was received before
    #[arg(long, value_parser = time)]
    to: Option<Timestamp>,
    /// The one destination that gets the events
    #[arg(long)]
    destination: String,
    /// Only what matches this event pattern: JSON, or the name of a file with `@` in front
    #[arg(long)]
    pattern: Option<String>,
    /// Only of this conversation
    #[arg(long)]
    conversation: Option<String>,
    /// Where the events are taken from
    #[arg(long, value_enum, default_value = "auto")]
    source: Source,
    /// Only count what would be sent, and try the mapping; changes nothing
    #[arg(long)]
    dry_run: bool,
    /// Replay the same once more, although it was done
    #[arg(long, conflicts_with = "dry_run")]
    anew: bool,
    /// Replay nothing, but count no longer what was put aside and is in no part of the archive any more
    #[arg(long, conflicts_with_all = ["dry_run", "anew", "from", "to", "pattern", "conversation"])]
    write_off: bool,
    /// At most so many a second
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where events are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    /// The store if it still has everything of that time; else the archive, and then the store
    Auto,
    /// What retention has not dropped
    Store,
    /// The exported hours
    Archive,
    /// What was put aside while the destination was down, and not replayed yet
    Outage,
}

/// What has been done so far.
#[derive(Default)]
struct Tally {
    pass: u64,
    fail: u64,
    not_routed: u64,
    missing: u64,
    reason: Option<String>,
    samples: Vec<Value>,
}

/// Replays, or tries to.
pub(crate) fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    ensure!(
        args.source == Source::Outage || args.from.is_some() && args.to.is_some(),
        "say of which time: --from and --to, for example --from 2026-03-19 --to 2026-03-20T12:00:00Z"
    );
    if let (Some(from), Some(to)) = (args.from, args.to) {
        ensure!(from < to, "--from must be before --to");
    }
    let pattern = args.pattern.as_deref().map(text_or_file).transpose()?;
    let pattern = pattern.map(String::from_utf8).transpose().context("the pattern is not UTF-8")?;
    let mut choice = json!({
        "from": args.from.map_or(0, Timestamp::as_millis),
        "to": args.to.map_or(FOREVER, Timestamp::as_millis),
        "destination": args.destination,
        "source": match args.source {
            Source::Auto => "auto",
            Source::Store => "store",
            Source::Archive => "archive",
            Source::Outage => "outage",
        },
    });
    for (key, value) in [("pattern", pattern), ("conversation", args.conversation.clone())] {
        if let Some(value) = value {
            choice[key] = json!(value);
        }
    }
    let admin = Admin::of(&args.server)?;
    if args.write_off {
        ensure!(args.source == Source::Outage, "only what was put aside can be written off; say --source outage too");
        return write_off(args, &admin);
    }
    if args.dry_run {
        return dry_run(args, &admin, &choice);
    }
    let question =
        format!("Deliver again to `{}` what may have been delivered already (see --dry-run)?", args.destination);
    output::confirm(args.yes, "a replay delivers again what may have been delivered", &question)?;
    replay(args, &admin, &choice)
}

/// A bar that goes by the time that has been reached.
struct Bar {
    bar: ProgressBar,
    from: i64,
    to: i64,
}

impl Bar {
    fn new(args: &ReplayArgs, doing: &'static str) -> anyhow::Result<Self> {
        let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}%, {prefix} events, {eta} left")?;
        let bar = ProgressBar::new(WHOLE).with_style(style);
        bar.set_message(doing);
        let from = args.from.map_or(0, Timestamp::as_millis);
        let to = args.to.map_or(i64::MAX, Timestamp::as_millis).min(serve::now().as_millis());
        Ok(Self { bar, from, to })
    }

    fn show(&self, reached: &Value, events: u64) {
        self.bar.set_prefix(events.to_string());
        if let Some(reached) = reached.as_i64() {
            let share = reached.saturating_sub(self.from) as f64 / (self.to.saturating_sub(self.from)).max(1) as f64;
            self.bar.set_position((share.clamp(0.0, 1.0) * WHOLE as f64) as u64);
        }
    }
}

fn replay(args: &ReplayArgs, admin: &Admin, choice: &Value) -> anyhow::Result<ExitCode> {
    let (began, mut queued, mut anew) = (Instant::now(), 0u64, args.anew);
    let bar = Bar::new(args, "replaying")?;
    let step = args.rate.min(STEP_MAX);
    let last = loop {
        let answer = admin.post("replays", &json!({ "choice": choice, "limit": step, "anew": anew }));
        let answer = answer.inspect_err(|_| bar.bar.finish_and_clear()).map_err(|error| {
            let done =
                format!("the replay was broken off: {queued} events were put on their way for certain by this command");
            admin::broken_off(error, queued == 0, &done, "the same command, without --anew, goes on where it was")
        })?;
        anew = false;
        queued += answer["queued"].as_u64().unwrap_or_default();
        bar.show(&answer["reached"], queued);
        if answer["replay"]["done"] == true {
            break answer;
        }
        let due = Duration::from_secs_f64(queued as f64 / f64::from(args.rate));
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    };
    bar.bar.finish_and_clear();
    let (replay, was_done) = (&last["replay"], last["was_done"] == true);
    let missing = last["missing"].as_u64().unwrap_or_default();
    let code = if missing == 0 { ExitCode::SUCCESS } else { ExitCode::from(output::NO) };
    if args.json {
        output::print_json(&json!({ "replay": replay, "queued": queued, "was_done": was_done, "missing": missing }))?;
        return Ok(code);
    }
    let (all, not_routed) = (text(&replay["queued"]), replay["not_routed"].as_u64().unwrap_or_default());
    let mut shown = match was_done {
        true => format!("this replay was done before, with {all} events; say --anew to do it once more\n"),
        false => format!("{all} events are on their way to {}\n", args.destination),
    };
    if queued.to_string() != all && !was_done {
        shown.push_str(&format!("  {queued} of them by this command, the others by earlier ones\n"));
    }
    if not_routed > 0 {
        shown.push_str(&format!("  {not_routed} more were left out, because no route leads them there\n"));
    }
    shown.push_str(&gone(missing, &args.destination));
    output::print(&shown)?;
    Ok(code)
}

fn dry_run(args: &ReplayArgs, admin: &Admin, choice: &Value) -> anyhow::Result<ExitCode> {
    let (mut tally, mut cursor) = (Tally::default(), Value::Null);
    let in_force = InForce::now(admin)?;
    let bar = Bar::new(args, "trying")?;
    loop {
        let answer = admin.post("replays/dry-run", &json!({ "choice": choice, "limit": STEP_MAX, "cursor": cursor }));
        let answer = answer.inspect_err(|_| bar.bar.finish_and_clear())?;
        let count = |name: &str| answer[name].as_u64().unwrap_or_default();
        tally.pass += count("pass");
        tally.fail += count("fail");
        tally.not_routed += count("not_routed");
        if tally.samples.is_empty() {
            tally.samples = answer["samples"].as_array().cloned().unwrap_or_default();
        }
        tally.missing = count("missing");
        tally.reason = tally.reason.or_else(|| answer["reason"].as_str().map(str::to_owned));
        bar.show(&answer["reached"], tally.pass);
        cursor = answer["next"].clone();
        if cursor.is_null() {
            break;
        }
    }
    bar.bar.finish_and_clear();
    let tried_with = in_force.still(admin)?;
    let Tally { pass, fail, not_routed, missing, reason, samples } = tally;
    if args.json {
        let counts = json!({
            "pass": pass, "fail": fail, "not_routed": not_routed, "missing": missing, "reason": reason, "samples": samples
        });
        output::print_json(&counts)?;
    } else {
        let mut shown = format!(
            "{pass} would be sent to {}, {fail} would fail, {not_routed} are not led there; nothing was changed\n\
             {tried_with}",
            args.destination
        );
        shown.push_str(&gone(missing, &args.destination));
        if let Some(reason) = reason {
            shown.push_str(&format!("  the first failure: {reason}\n"));
        }
        output::print(&shown)?;
    }
    Ok(if fail == 0 && missing == 0 { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

fn write_off(args: &ReplayArgs, admin: &Admin) -> anyhow::Result<ExitCode> {
    let question = format!("Give up what was put aside for `{}` and is in no part of the archive?", args.destination);
    output::confirm(args.yes, "that gives up events that are gone", &question)?;
    let answer = admin.post("replays/write-off", &json!({ "destination": args.destination }))?;
    if args.json {
        output::print_json(&answer)?;
    } else {
        let count = answer["written_off"].as_u64().unwrap_or_default();
        output::print(&format!("{} written off; they are counted no longer\n", output::counted(count, "event")))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Of events that were put aside and are nowhere; nothing if there are none.
fn gone(missing: u64, destination: &str) -> String {
    match missing {
        0 => String::new(),
        missing => format!(
            "{missing} MORE WERE PUT ASIDE FOR {destination} AND ARE GONE from the archive: restore their parts from a copy, and \
             give this command again; or replay the time of the outage from the store: aftercall replay --source store \
             --destination {destination} --from TIME --to TIME; then, so that they are counted no longer: aftercall replay --source \
             outage --destination {destination} --write-off\n"
        ),
    }
}

/// A time: RFC 3339, or a date, which begins at midnight UTC.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let time = whole.parse::<jiff::Timestamp>();
    let time = time.map_err(|_| format!("`{text}` is no time; write 2026-03-19T21:00:00Z or 2026-03-19"))?;
    Ok(Timestamp::from_millis(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute() {
        assert_eq!(time("2026-03-19"), time("2026-03-19T00:00:00Z"));
        assert_eq!(time("2026-03-19T01:00:00+01:00"), time("2026-03-19"));
        assert_eq!(time("1970-01-01T00:00:01.5Z"), Ok(Timestamp::from_millis(1_500)));
        for wrong in ["", "2h", "yesterday", "2026-03-19T21", "2026-13-01"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
