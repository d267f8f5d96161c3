//! `aftercall erase`: what was said in a conversation goes, and the record that something was there stays.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::archive::bar;
use crate::cli::ServerArgs;
use crate::dead_letters::text;
use crate::output;

/// Arguments of `erase`.
#[derive(Debug, Args)]
pub(crate) struct EraseArgs {
    /// The conversation's id
    #[arg(long)]
    conversation: String,
    /// Why; stays in the audit trail, so it must not name anybody
    #[arg(long)]
    reason: String,
    /// Only count what would be erased
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was erased from the parts of the archive so far.
#[derive(Default)]
struct Archived {
    parts: u64,
    events: u64,
    bytes: u64,
    damaged: Vec<String>,
}

/// What was erased from a destination so far.
#[derive(Default)]
struct Delivered {
    destination: String,
    waiting: u64,
    rows: u64,
    files: u64,
    looked: u64,
    /// What could not be erased: the file or object, and why.
    kept: Vec<Value>,
    /// Why it was not gone through to its end.
    error: Option<String>,
}

/// Runs it.
pub(crate) fn run(args: &EraseArgs) -> anyhow::Result<ExitCode> {
    let admin = Admin::of(&args.server)?;
    if !args.dry_run {
        let question = format!("Erase all bodies of conversation {} for good (see --dry-run)?", args.conversation);
        output::confirm(args.yes, "what is erased cannot be had back", &question)?;
    }
    let asked = json!({ "conversation": args.conversation, "reason": args.reason, "dry_run": args.dry_run });
    let mut here = admin.post_and_wait("erase", &asked)?;
    let archived = if here["archive"] == true { Some(from_archive(&admin, &asked)?) } else { None };
    if archived.as_ref().is_some_and(|archived| archived.events > 0) && !args.dry_run {
        // A replay may have brought some of it back meanwhile.
        add(&mut here["queue"], &admin.post_and_wait("erase", &asked)?["queue"]);
    }
    let mut delivered = Vec::new();
    for destination in here["destinations"].as_array().into_iter().flatten() {
        delivered.push(from_destination(&admin, &asked, &text(destination))?);
    }
    let is_left = delivered.iter().any(|delivered| delivered.error.is_some() || !delivered.kept.is_empty());
    let whole = archived.as_ref().is_none_or(|archived| archived.damaged.is_empty())
        && here["quarantined"].is_u64()
        && here["transcripts_error"].is_null()
        && !is_left;
    let emptied = args.dry_run || here["queue"]["log_emptied"] == true;
    if args.json {
        let archive = archived.as_ref().map(|archived| {
            json!({ "parts": archived.parts, "events": archived.events, "bytes": archived.bytes, "damaged": archived.damaged })
        });
        output::print_json(&json!({
            "queue": here["queue"], "spooled": here["spooled"], "quarantined": here["quarantined"],
            "quarantine_error": here["quarantine_error"], "transcripts": here["transcripts"],
            "transcripts_error": here["transcripts_error"], "archive": archive,
            "destinations": delivered.iter().map(Delivered::to_json).collect::<Vec<_>>(),
        }))?;
    } else {
        let mut shown = shown(args, &here, archived.as_ref(), &delivered);
        let nothing = ["/queue/events", "/queue/dead_letters", "/spooled", "/quarantined"]
            .iter()
            .all(|count| here.pointer(count).is_none_or(|count| *count == 0))
            && archived.as_ref().is_none_or(|archived| archived.events == 0)
            && delivered.iter().all(|delivered| delivered.rows + delivered.waiting == 0);
        if whole && nothing && is_unknown(&admin, &args.conversation)? {
            shown.push_str(&format!("\nNothing is known of a conversation {}; is that its id?\n", args.conversation));
        }
        output::print(&shown)?;
    }
    Ok(if whole && emptied { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

/// Whether the audit trail has never heard of a conversation: its id may be mistyped, and whoever was told that nothing is left
/// of it would believe that.
fn is_unknown(admin: &Admin, conversation: &str) -> anyhow::Result<bool> {
    let trace = admin.get("trace", &[("conversation", conversation.to_owned())])?;
    Ok(trace["story"].as_array().is_some_and(Vec::is_empty))
}

/// Adds what a second time has found.
fn add(first: &mut Value, second: &Value) {
    for name in ["events", "bytes", "undelivered", "dead_letters", "answers"] {
        first[name] = json!(first[name].as_u64().unwrap_or_default() + second[name].as_u64().unwrap_or_default());
    }
    first["log_emptied"] = second["log_emptied"].clone();
}

fn from_archive(admin: &Admin, asked: &Value) -> anyhow::Result<Archived> {
    let (mut archived, mut asked, mut read) = (Archived::default(), asked.clone(), 0);
    let bar = bar("looking through the archive")?;
    loop {
        let answer = admin.post_and_wait("erase/archive", &asked).inspect_err(|_| bar.finish_and_clear())?;
        let count = |name: &str| answer[name].as_u64().unwrap_or_default();
        archived.parts += count("parts");
        archived.events += count("events");
        archived.bytes += count("bytes");
        archived.damaged.extend(answer["damaged"].as_array().into_iter().flatten().map(text));
        read += count("read");
        bar.set_position(read);
        if !answer["next"].is_string() {
            break;
        }
        asked["cursor"] = answer["next"].clone();
    }
    bar.finish_and_clear();
    Ok(archived)
}

/// Goes through what a destination has written, to the end or to what fails.
fn from_destination(admin: &Admin, asked: &Value, destination: &str) -> anyhow::Result<Delivered> {
    let mut delivered = Delivered { destination: destination.to_owned(), ..Delivered::default() };
    let mut asked = asked.clone();
    asked["destination"] = json!(destination);
    let bar = bar("looking through what was delivered")?;
    loop {
        let answer = match admin.post_and_wait("erase/delivered", &asked) {
            Ok(answer) => answer,
            Err(error) => {
                // Other destinations can be erased from all the same.
                delivered.error = Some(format!("{error:#}"));
                break;
            }
        };
        let count = |name: &str| answer[name].as_u64().unwrap_or_default();
        delivered.waiting += count("waiting");
        delivered.rows += count("rows");
        delivered.files += count("files");
        delivered.looked += count("looked");
        delivered.kept.extend(answer["kept"].as_array().into_iter().flatten().cloned());
        bar.set_position(delivered.looked);
        if !answer["next"].is_string() {
            break;
        }
        asked["cursor"] = answer["next"].clone();
    }
    bar.finish_and_clear();
    Ok(delivered)
}

impl Delivered {
    fn to_json(&self) -> Value {
        json!({
            "destination": self.destination, "waiting": self.waiting, "rows": self.rows, "files": self.files,
            "looked": self.looked, "kept": self.kept, "error": self.error,
        })
    }

    /// What of it is left, and what to do.
    fn problems(&self) -> String {
        let (name, mut said) = (&self.destination, String::new());
        for kept in &self.kept {
            let rows = kept["rows"].as_u64().map_or_else(String::new, |rows| format!(" has {rows} rows of it"));
            said.push_str(&format!("\n{name}: `{}`{rows}: {}\n", text(&kept["name"]), text(&kept["why"])));
        }
        if let Some(error) = &self.error {
            said.push_str(&format!("\n{name}: NOT ERASED, or not all of it: {error}\nRun this again.\n"));
        }
        said
    }
}

fn shown(args: &EraseArgs, here: &Value, archived: Option<&Archived>, delivered: &[Delivered]) -> String {
    let queue = &here["queue"];
    let count = |name: &str| queue[name].as_u64().unwrap_or_default();
    let mut lines = vec![
        ("queue", format!("{} bodies, {} bytes", count("events"), count("bytes"))),
        ("not delivered yet", format!("{} deliveries, which will not be made", count("undelivered"))),
        ("dead letters", format!("{}, with their edited copies", count("dead_letters"))),
        ("answers on record", format!("{} texts; the hashes stay", count("answers"))),
        ("spool", format!("{} large bodies that could not be read", text(&here["spooled"]))),
        (
            "quarantine",
            match here["quarantine_error"].as_str() {
                None => format!("{} requests", text(&here["quarantined"])),
                Some(error) => format!("NOT ERASED: {error}"),
            },
        ),
    ];
    match (here["transcripts_error"].as_str(), &here["transcripts"]) {
        (Some(error), _) => lines.push(("transcripts", format!("NOT ERASED: {error}"))),
        (None, Value::Null) => {}
        (None, erased) => {
            let shown = format!("{}, {} bytes", text(&erased["transcripts"]), text(&erased["bytes"]));
            lines.push(("transcripts", shown));
        }
    }
    if let Some(Archived { parts, events, bytes, .. }) = archived {
        lines.push(("archive", format!("{events} bodies, {bytes} bytes, in {parts} parts")));
    }
    for Delivered { destination, waiting, rows, files, .. } in delivered {
        let waiting = if *waiting > 0 { format!(", and {waiting} that were not written yet") } else { String::new() };
        lines.push((destination.as_str(), format!("{rows} rows in {files} files or objects{waiting}")));
    }
    let title = if args.dry_run { "Would be erased" } else { "Erased" };
    let mut shown = format!("{title} of conversation {}:\n{}", args.conversation, output::facts(&lines));
    if count("answers_kept") > 0 {
        shown.push_str(&format!(
            "\n{} texts stay on record until audit.retention ends: deliveries of other conversations were answered the \
             same, or they stand in blocks of an old format.\n",
            count("answers_kept")
        ));
    }
    if !args.dry_run && queue["log_emptied"] != true {
        shown.push_str(
            "\nThe write-ahead log could not be emptied yet, because it is being read: run this once more.\n",
        );
    }
    for delivered in delivered {
        shown.push_str(&delivered.problems());
    }
    for part in archived.into_iter().flat_map(|archived| &archived.damaged) {
        shown.push_str(&format!(
            "\n{part} is damaged, so nobody knows what is in it: restore or delete it, then run this again.\n"
        ));
    }
    shown
}
