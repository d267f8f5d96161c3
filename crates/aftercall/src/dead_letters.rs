//! `aftercall dead-letters`: what failed for good, why, and what to do about it.

use std::io::Write as _;
use std::process::ExitCode;

use event::Timestamp;
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::cli::{DeadLettersCommand, DiscardArgs, SelectedArgs, ShowDeadLetterArgs};
use crate::status::{age, table};
use crate::{output, serve};

/// Characters of a message in a table.
const MESSAGE_SHOWN: usize = 80;

/// Runs one of its commands.
pub(crate) fn run(command: &DeadLettersCommand) -> anyhow::Result<ExitCode> {
    match command {
        DeadLettersCommand::Groups(args) => groups(args)?,
        DeadLettersCommand::List(args) => list(args)?,
        DeadLettersCommand::Show(args) => show(args)?,
        DeadLettersCommand::Discard(args) => return discard(args),
    }
    Ok(ExitCode::SUCCESS)
}

fn selection(args: &SelectedArgs) -> Vec<(&'static str, String)> {
    let since = args.within.map(|within| serve::now().minus(*within).as_millis().to_string());
    let all = [
        ("destination", args.destination.clone()),
        ("group", args.group.clone()),
        ("conversation", args.conversation.clone()),
        ("stage", args.stage.clone()),
        ("since", since),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn groups(args: &SelectedArgs) -> anyhow::Result<()> {
    let groups = Admin::of(&args.server)?.groups(&selection(args))?;
    if args.json {
        return output::print_json(&json!({ "groups": groups }));
    }
    let header = ["group", "letters", "destination", "stage", "status", "last", "sample", "what happened"];
    let mut table = table(&header, 1..2);
    for group in &groups {
        table.add_row([
            text(&group["fingerprint"]),
            text(&group["count"]),
            text(&group["destination"]),
            text(&group["stage"]),
            text(&group["status"]),
            ago(&group["last"]),
            text(&group["sample"]),
            short(&group["message"]),
        ]);
    }
    output::print(&match groups.first() {
        None => "no dead letters\n".to_owned(),
        Some(first) => format!(
            "{table}\n\nLook at one: aftercall dead-letters show {}\nAll of a group: aftercall dead-letters list --group {}\n",
            text(&first["sample"]),
            text(&first["fingerprint"]),
        ),
    })
}

fn list(args: &SelectedArgs) -> anyhow::Result<()> {
    let after = args.after.map(|after| ("after", after.to_string()));
    let query: Vec<_> = selection(args).into_iter().chain(after).chain([("limit", args.limit.to_string())]).collect();
    let mut answer = Admin::of(&args.server)?.get("dead-letters", &query)?;
    // Whoever goes on by hand goes on after a letter that is seen, and not at a cursor.
    if !answer["next"].is_null() {
        answer["next"] = answer["dead_letters"]
            .as_array()
            .and_then(|letters| letters.last())
            .map_or(Value::Null, |last| last["id"].clone());
    }
    if args.json {
        return output::print_json(&answer);
    }
    let header = ["id", "died", "destination", "stage", "status", "attempts", "conversation", "what happened"];
    let mut table = table(&header, 0..1);
    let letters = answer["dead_letters"].as_array().map_or(&[][..], Vec::as_slice);
    for letter in letters {
        let failure = &letter["failure"];
        table.add_row([
            text(&letter["id"]),
            ago(&letter["died"]),
            text(&letter["destination"]),
            text(&failure["stage"]),
            text(&failure["status"]),
            text(&letter["attempts"]),
            text(&letter["conversation"]),
            short(&failure["message"]),
        ]);
    }
    let mut shown = if letters.is_empty() { "no dead letters\n".to_owned() } else { format!("{table}\n") };
    if answer["next"].is_u64() {
        shown.push_str(&format!("\nThere may be more: --after {}\n", answer["next"]));
    }
    output::print(&shown)
}

fn show(args: &ShowDeadLetterArgs) -> anyhow::Result<()> {
    let admin = Admin::of(&args.server)?;
    if args.body {
        let body = admin.get_bytes(&format!("dead-letters/{}/body", args.id))?;
        return Ok(std::io::stdout().write_all(&body)?);
    }
    let letter = admin.get(&format!("dead-letters/{}", args.id), &[])?;
    if args.json {
        return output::print_json(&letter);
    }
    let failure = &letter["failure"];
    let lines = [
        ("dead letter", text(&letter["id"])),
        ("group", text(&letter["group"])),
        ("died", when(&letter["died"])),
        ("destination", text(&letter["destination"])),
        ("event", text(&letter["event"])),
        ("source", text(&letter["source"])),
        ("topic", text(&letter["topic"])),
        ("conversation", text(&letter["conversation"])),
        ("attempts", format!("{}, {} charged", text(&letter["attempts"]), text(&letter["charged"]))),
        ("first attempt", when(&letter["first_attempt"])),
        ("last attempt", format!("{}, took {} ms", when(&letter["last_attempt"]), text(&failure["latency_ms"]))),
        ("failed at stage", format!("{} ({})", text(&failure["stage"]), text(&failure["class"]))),
        ("status", text(&failure["status"])),
        ("what happened", text(&failure["message"])),
        ("answer", text(&failure["excerpt"])),
    ];
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut shown: String = lines.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect();
    if letter["behind_dead"] == true {
        shown.push_str("\nAn earlier event of its conversation is a dead letter there too.\n");
    }
    match letter["held"].as_u64() {
        None | Some(0) => {}
        Some(1) => shown.push_str("\n1 event waits behind this one.\n"),
        Some(held) => shown.push_str(&format!("\n{held} events wait behind this one.\n")),
    }
    shown.push_str(&format!("\nThe event: aftercall dead-letters show {} --body\n", args.id));
    output::print(&shown)
}

fn discard(args: &DiscardArgs) -> anyhow::Result<ExitCode> {
    let asked = json!({ "ids": args.ids, "reason": args.reason });
    let answer = Admin::of(&args.server)?.post("dead-letters/discard", &asked)?;
    let gone = answer["discarded"].as_array().map_or(0, Vec::len);
    if args.json {
        output::print_json(&answer)?;
    } else {
        output::print(&format!("{gone} of {} discarded\n", args.ids.len()))?;
    }
    Ok(if gone == args.ids.len() { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

/// A value as it stands in a table. What a sender or a destination wrote does not get to move the cursor.
pub(crate) fn text(value: &Value) -> String {
    let text = match value {
        Value::Null => return "-".to_owned(),
        Value::String(text) if text.is_empty() => return "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn short(value: &Value) -> String {
    text(value).chars().take(MESSAGE_SHOWN).collect()
}

/// How long ago a time was.
pub(crate) fn ago(value: &Value) -> String {
    value
        .as_i64()
        .map_or_else(|| "-".to_owned(), |at| format!("{} ago", age(Timestamp::from_millis(at).until(serve::now()))))
}

/// A time, and how long ago it was.
pub(crate) fn when(value: &Value) -> String {
    let time = value.as_i64().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    time.map_or_else(|| "-".to_owned(), |time| format!("{time} ({})", ago(value)))
}
