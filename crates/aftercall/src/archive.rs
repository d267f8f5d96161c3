//! `aftercall archive`: what is archived, whether it is whole, and an export at once.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::cli::ServerArgs;
use crate::dead_letters::{ago, text, when};
use crate::output;
use crate::status::table;

/// Arguments of `archive`.
#[derive(Debug, Args)]
pub(crate) struct ArchiveArgs {
    #[command(subcommand)]
    what: ArchiveCommand,
}

/// What to do with the archive.
#[derive(Debug, Subcommand)]
enum ArchiveCommand {
    /// Tell where it is, how far the export has come, and what is wrong with it
    Status(AskArgs),
    /// List its parts, by hour
    List(ListArgs),
    /// Export closed hours now
    Run(RunArgs),
    /// Check every part against its checksum, line by line, and whether one is missing
    Verify(AskArgs),
}

/// Whom to ask.
#[derive(Debug, Args)]
struct AskArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `archive list`.
#[derive(Debug, Args)]
struct ListArgs {
    /// List only those after this one
    #[arg(long)]
    after: Option<String>,
    /// List at most so many, 1 to 1000
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    #[command(flatten)]
    ask: AskArgs,
}

/// Arguments of `archive run`.
#[derive(Debug, Args)]
struct RunArgs {
    /// Also what came in the hour that is not over; what comes later in it will be in a further part
    #[arg(long)]
    open_hour: bool,
    #[command(flatten)]
    ask: AskArgs,
}

/// Runs one of its commands.
pub(crate) fn run(args: &ArchiveArgs) -> anyhow::Result<ExitCode> {
    match &args.what {
        ArchiveCommand::Status(args) => status(args),
        ArchiveCommand::List(args) => list(args),
        ArchiveCommand::Run(args) => export(args),
        ArchiveCommand::Verify(args) => verify(args),
    }
}

fn status(args: &AskArgs) -> anyhow::Result<ExitCode> {
    let status = Admin::of(&args.server)?.get("status", &[])?;
    let archive = &status["archive"];
    if args.json {
        output::print_json(archive)?;
    } else if archive.is_null() {
        output::print("no archive is configured; name one with [archive] url in the configuration\n")?;
    } else {
        output::print(&shown(archive))?;
    }
    Ok(if archive["error"].is_string() { ExitCode::from(output::NO) } else { ExitCode::SUCCESS })
}

fn shown(archive: &Value) -> String {
    let mut shown = format!(
        "{}\nexported up to place {} of the log; {} parts with {} events since the start\n",
        text(&archive["url"]),
        text(&archive["exported_through"]),
        text(&archive["parts"]),
        text(&archive["events"])
    );
    if archive["oldest_waiting"].is_i64() {
        shown.push_str(&format!("the oldest event that waits for its hour came {}\n", ago(&archive["oldest_waiting"])));
    }
    if let Some(error) = archive["error"].as_str() {
        shown.push_str(&format!("FAILING since {}: {error}\n", when(&archive["failing_since"])));
        shown.push_str("Events stay in the queue beyond retention until they are exported.\n");
    }
    shown
}

/// The line of the archive in `aftercall status`, if there is something to say.
pub(crate) fn in_status(status: &Value) -> String {
    match status["archive"]["error"].as_str() {
        Some(error) => format!("\nTHE ARCHIVE FAILS, events are kept until it works: {error}\n"),
        None => String::new(),
    }
}

fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.after.clone().map(|after| ("cursor", after)));
    let answer = Admin::of(&args.ask.server)?.get("archive/parts", &query)?;
    if args.ask.json {
        output::print_json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = table(&["part", "events", "bytes", "received from", "to", "state"], 1..3);
    let parts = answer["parts"].as_array().map_or(&[][..], Vec::as_slice);
    for part in parts {
        let state = match (part["destination"].is_string(), part["replayed"] == true) {
            (false, _) => "",
            (true, false) => "put aside",
            (true, true) => "replayed",
        };
        table.add_row([
            text(&part["manifest"]),
            text(&part["count"]),
            text(&part["bytes"]),
            when(&part["earliest"]),
            when(&part["latest"]),
            state.to_owned(),
        ]);
    }
    let mut shown = if parts.is_empty() { "nothing is archived yet\n".to_owned() } else { format!("{table}\n") };
    if let Some(next) = answer["next"].as_str() {
        shown.push_str(&format!("\nThere are more: --after {next}\n"));
    }
    output::print(&shown)?;
    Ok(ExitCode::SUCCESS)
}

fn export(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let admin = Admin::of(&args.ask.server)?;
    let (mut parts, mut events, mut mended) = (0, 0, 0);
    let bar = bar("exporting")?;
    loop {
        let answer = admin.post("archive/run", &json!({ "open_hour": args.open_hour }));
        let answer = answer.inspect_err(|_| bar.finish_and_clear())?;
        parts += answer["parts"].as_u64().unwrap_or_default();
        events += answer["events"].as_u64().unwrap_or_default();
        mended += answer["mended"].as_u64().unwrap_or_default();
        bar.set_position(events);
        if answer["more"] != true {
            break;
        }
    }
    bar.finish_and_clear();
    match args.ask.json {
        true => output::print_json(&json!({ "parts": parts, "events": events, "mended": mended }))?,
        false => {
            let again = match mended {
                0 => String::new(),
                mended => format!("{} that had gone written again\n", output::counted(mended, "part")),
            };
            output::print(&format!("{events} events exported in {parts} parts\n{again}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(args: &AskArgs) -> anyhow::Result<ExitCode> {
    let admin = Admin::of(&args.server)?;
    let (mut parts, mut events, mut problems, mut cursor) = (0, 0, Vec::new(), None::<String>);
    let bar = bar("checking")?;
    loop {
        let query: Vec<_> = cursor.into_iter().map(|cursor| ("cursor", cursor)).collect();
        let answer = admin.get("archive/verify", &query).inspect_err(|_| bar.finish_and_clear())?;
        for part in answer["parts"].as_array().into_iter().flatten() {
            parts += 1;
            events += part["count"].as_u64().unwrap_or_default();
            if part["problem"].is_string() {
                problems.push(part.clone());
            }
        }
        bar.set_position(events);
        cursor = answer["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    bar.finish_and_clear();
    if args.json {
        output::print_json(&json!({ "parts": parts, "events": events, "damaged": problems }))?;
    } else {
        let mut shown = format!("{parts} parts checked with {events} events, {} damaged\n", problems.len());
        for part in &problems {
            shown.push_str(&format!("  {}: {}\n", text(&part["manifest"]), text(&part["problem"])));
        }
        output::print(&shown)?;
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

/// How much there is is not known before it is done.
pub(crate) fn bar(doing: &'static str) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{spinner} {msg}, {human_pos} events in {elapsed}")?;
    Ok(ProgressBar::new_spinner().with_style(style).with_message(doing))
}
