//! `aftercall dead-letters`: what failed for good, why, and what to do about it.

mod difference;
mod edit;
mod export;
mod review;

use std::io::Write as _;
use std::process::ExitCode;

use event::Timestamp;
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::cli::{DeadLettersCommand, DiscardArgs, GroupsArgs, ListDeadLettersArgs, ShowDeadLetterArgs};
use crate::status::{age, table};
use crate::{output, serve};

/// Bytes of a message in a table.
const MESSAGE_SHOWN: usize = 80;

/// Runs one of its commands.
pub(crate) fn run(command: &DeadLettersCommand) -> anyhow::Result<ExitCode> {
    match command {
        DeadLettersCommand::Groups(args) => groups(args)?,
        DeadLettersCommand::List(args) => list(args)?,
        DeadLettersCommand::Show(args) => show(args)?,
        DeadLettersCommand::Acknowledge(args) => review::set(args, "acknowledged")?,
        DeadLettersCommand::Resolve(args) => review::set(args, "resolved")?,
        DeadLettersCommand::Reopen(args) => review::set(args, "open")?,
        DeadLettersCommand::Edit(args) => edit::run(args)?,
        DeadLettersCommand::Export(args) => export::run(args)?,
        DeadLettersCommand::Discard(args) => return discard(args),
    }
    Ok(ExitCode::SUCCESS)
}

fn groups(args: &GroupsArgs) -> anyhow::Result<()> {
    let groups = Admin::of(&args.server)?.groups(&args.which.query(serve::now()))?;
    if args.json {
        return output::print_json(&json!({ "groups": groups }));
    }
    let header = ["group", "letters", "destination", "stage", "status", "last", "sample", "review", "what happened"];
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
            short(&review::shown(&group["review"]).into()),
            short(&queue::shown_masked(group["message"].as_str().unwrap_or_default()).into()),
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

fn list(args: &ListDeadLettersArgs) -> anyhow::Result<()> {
    let after = args.page.after.map(|after| ("after", after.to_string()));
    let limit = ("limit", args.page.limit.to_string());
    let query: Vec<_> = args.which.query(serve::now()).into_iter().chain(after).chain([limit]).collect();
    let answer = Admin::of(&args.server)?.page("dead-letters", "dead_letters", &query)?;
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
    let (edited, args) = (args.edited, &args.show);
    let admin = Admin::of(&args.server)?;
    if args.body || edited {
        let body = admin.get_bytes(&format!("dead-letters/{}/{}", args.id, if edited { "edit" } else { "body" }))?;
        return Ok(std::io::stdout().write_all(&body)?);
    }
    let letter = admin.get(&format!("dead-letters/{}", args.id), &[])?;
    if args.json {
        return output::print_json(&letter);
    }
    let mut shown = output::facts(&facts(&letter));
    shown.push_str(&differences(&letter));
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

/// Everything that is known of one.
fn facts(letter: &Value) -> Vec<(&'static str, String)> {
    let failure = &letter["failure"];
    let mut facts = vec![
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
        ("where", text(&failure["path"])),
        ("mapping", mapping(letter)),
        ("answer", text(&failure["excerpt"])),
    ];
    if letter["edit"].is_object() {
        let edit = &letter["edit"];
        let edited = format!("by {}, {}: {}", text(&edit["by"]), when(&edit["at"]), text(&edit["reason"]));
        facts.push(("edited", edited));
    }
    if letter["altered"] == true {
        facts.push(("altered", "the event is an edited copy since an earlier redrive".to_owned()));
    }
    facts
}

/// Which mapping was in force, and which is now.
fn mapping(letter: &Value) -> String {
    let (then, now) = (&letter["failure"]["mapping"], &letter["mapping_now"]);
    match (then.as_str(), now.as_str()) {
        (None, None) => "-".to_owned(),
        (None, Some(_)) => format!("version not known, now {}", text(now)),
        (Some(_), None) => format!("version {}, none now", text(then)),
        (Some(then), Some(now)) if then == now => format!("version {then}, still the same"),
        (Some(_), Some(_)) => format!("version {}, now {}", text(then), text(now)),
    }
}

/// What the edited copy changes, and what was changed before.
fn differences(letter: &Value) -> String {
    let of = |title: &str, before: &Value, after: &Value| match (before.as_str(), after.as_str()) {
        (Some(before), Some(after)) => {
            let changes = difference::changes(before, after).into_iter().map(|change| format!("  {change}\n"));
            format!("\n{title}\n{}", changes.collect::<String>())
        }
        _ => String::new(),
    };
    let edited = of("The edited copy, which a redrive delivers, changes:", &letter["body"], &letter["edit"]["body"]);
    of("The event was altered before:", &letter["original"], &letter["body"]) + &edited
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
    event::shortened(&text(value), MESSAGE_SHOWN)
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
    time.map_or_else(|| "-".to_owned(), |time| format!("{time:.3} ({})", ago(value)))
}
