//! `aftercall secrets`: which secrets are in use, so that it is known when an old one may be retired.

use std::process::ExitCode;

use serde_json::Value;

use crate::admin::Admin;
use crate::cli::{SecretsCommand, SecretsStatusArgs};
use crate::dead_letters::{ago, text};
use crate::output;
use crate::status::table;

/// Said when a key that seems unused may be in use.
const NOT_KNOWN: &str = "What was used before the last start is not known, because the quarantine, which remembers it, \
                         could not be opened: see `aftercall status`. Do not retire a secret by this.\n";

/// Runs one of its commands.
pub(crate) fn run(command: &SecretsCommand) -> anyhow::Result<ExitCode> {
    match command {
        SecretsCommand::Status(args) => status(args),
    }
}

/// Ends with 1 if a secret cannot be read.
fn status(args: &SecretsStatusArgs) -> anyhow::Result<ExitCode> {
    let mut answer = Admin::of(&args.server)?.get("secrets", &[])?;
    if let (Some(source), Some(sources)) = (&args.source, answer["sources"].as_array_mut()) {
        sources.retain(|one| one["source"] == *source.as_str());
        anyhow::ensure!(!sources.is_empty(), "no source `{source}` with secrets is configured");
    }
    let sources = answer["sources"].as_array().map_or(&[][..], Vec::as_slice);
    let keys = || {
        sources.iter().flat_map(|source| source["keys"].as_array().into_iter().flatten().map(move |key| (source, key)))
    };
    let failing = keys().any(|(_, key)| key["error"].is_string());
    if args.json {
        output::print_json(&answer)?;
    } else {
        output::print(&show(keys(), answer["past_known"] != false))?;
    }
    Ok(if failing { ExitCode::from(output::NO) } else { ExitCode::SUCCESS })
}

fn show<'a>(keys: impl Iterator<Item = (&'a Value, &'a Value)>, past_known: bool) -> String {
    let mut table = table(&["source", "secret", "key", "last used", "times", "read", "problem"], 4..5);
    for (source, key) in keys {
        let used = match key["last_used"].is_null() {
            true if past_known => "never".to_owned(),
            true => "unknown".to_owned(),
            false => ago(&key["last_used"]),
        };
        table.add_row([
            text(&source["source"]),
            text(&key["origin"]),
            text(&key["fingerprint"]),
            used,
            text(&key["uses"]),
            ago(&key["read_at"]),
            text(&key["error"]),
        ]);
    }
    match table.row_count() {
        0 => "no source has secrets\n".to_owned(),
        _ if past_known => format!("{table}\n"),
        _ => format!("{table}\n{NOT_KNOWN}"),
    }
}
