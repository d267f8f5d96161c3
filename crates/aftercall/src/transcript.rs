//! `aftercall transcript`: where the transcripts of a conversation are, or what they wait for; and the text of one.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::Value;

use crate::admin::Admin;
use crate::cli::ServerArgs;
use crate::dead_letters::{text, when};
use crate::output;

/// Arguments of `transcript`.
#[derive(Debug, Args)]
pub(crate) struct TranscriptArgs {
    /// The id of a conversation
    conversation: String,
    /// Write the text to this file, which must not be there; "-" is standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The communication whose text is wanted, if there are several
    #[arg(long, requires = "out", value_name = "ID")]
    communication: Option<String>,
    /// The recording whose text is wanted, if the communication has several
    #[arg(long, requires = "out", value_name = "ID")]
    recording: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON
    #[arg(long, conflicts_with = "out")]
    json: bool,
}

/// Ends with 1 if no transcript is stored.
pub(crate) fn run(args: &TranscriptArgs) -> anyhow::Result<ExitCode> {
    let admin = Admin::of(&args.server)?;
    let conversation = [("conversation", args.conversation.clone())];
    let answer = admin.get("transcripts", &conversation)?;
    let stored = answer["stored"].as_array().is_some_and(|stored| !stored.is_empty());
    if let Some(path) = args.out.as_ref().filter(|_| stored) {
        let named = [("communication", &args.communication), ("recording", &args.recording)];
        let named = named.into_iter().filter_map(|(key, value)| Some((key, value.clone()?)));
        write(&admin, &conversation.into_iter().chain(named).collect::<Vec<_>>(), path)?;
    } else if args.json {
        output::print_json(&answer)?;
    } else {
        output::print(&show(&answer))?;
    }
    Ok(if stored { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

/// Writes the text as it comes; a file that is not whole is removed.
fn write(admin: &Admin, query: &[(&str, String)], path: &PathBuf) -> anyhow::Result<()> {
    if path.as_os_str() == "-" {
        let mut out = std::io::stdout().lock();
        return admin.get_stream("transcripts/text", query, |piece| Ok(out.write_all(piece)?));
    }
    let cannot = || format!("writing {}", path.display());
    let mut file = File::create_new(path).with_context(cannot)?;
    let written = admin.get_stream("transcripts/text", query, |piece| file.write_all(piece).with_context(cannot));
    written.and_then(|()| file.sync_all().with_context(cannot)).inspect_err(|_| {
        // What is wrong is said already.
        let _ = std::fs::remove_file(path);
    })
}

fn show(answer: &Value) -> String {
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let (stored, waiting, dead) = (list("stored"), list("waiting"), list("dead"));
    if stored.is_empty() && waiting.is_empty() && dead.is_empty() {
        return "no event asks for its transcripts, as far back as the audit trail goes; `aftercall trace` tells what came\n"
            .to_owned();
    }
    let mut shown = String::new();
    for one in &stored {
        let missing = if one["present"] == true { "" } else { "  THE OBJECT IS NOT THERE, or is another\n" };
        let recording = one["recording_id"].as_str().map(|id| format!(", recording {id}")).unwrap_or_default();
        shown.push_str(&format!(
            "stored {}: communication {}{recording}\n  {}\n  {} bytes, sha256 {}\n{missing}",
            when(&one["stored_at"]),
            text(&one["communication_id"]),
            text(&one["transcript_uri"]),
            text(&one["bytes"]),
            text(&one["sha256"]),
        ));
    }
    for one in &waiting {
        let until =
            if one["until"].is_i64() { format!("until {}", when(&one["until"])) } else { "for its turn".to_owned() };
        let because = one["because"].as_str().map(|because| format!(": {because}")).unwrap_or_default();
        shown.push_str(&format!(
            "waits {until} at {} (event [{}], {} attempts){because}\n",
            text(&one["destination"]),
            text(&one["seq"]),
            text(&one["attempts"]),
        ));
    }
    for one in &dead {
        let (destination, letter, because) = (text(&one["destination"]), text(&one["letter"]), text(&one["because"]));
        shown.push_str(&format!("given up at {destination}: dead letter {letter}: {because}\n"));
    }
    shown
}
