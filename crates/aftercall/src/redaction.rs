//! `aftercall redaction`: what a source's rules make of an event, and what is behind tokens. Both work without a server.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use bytes::Bytes;
use clap::{Args, Subcommand};
use redaction::Revealed;
use serde_json::json;

use crate::cli::text_or_file;
use crate::output;
use crate::serve;

/// Arguments of `redaction`.
#[derive(Debug, Args)]
pub(crate) struct RedactionArgs {
    #[command(subcommand)]
    pub(crate) what: RedactionCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum RedactionCommand {
    /// Print what would be stored of the events of a body
    Try(TryArgs),
    /// Print the values behind tokens, one a line
    Reveal(RevealArgs),
}

/// Arguments of `redaction try`.
#[derive(Debug, Args)]
pub(crate) struct TryArgs {
    /// The source whose rules are applied
    #[arg(long)]
    pub(crate) source: String,
    /// The body: JSON, a file's name with `@` in front, or `-` for standard input
    #[arg(long)]
    pub(crate) event: String,
    /// The configuration file, which names the rules and the key
    #[arg(long, short, env = "AFTERCALL_CONFIG")]
    pub(crate) config: PathBuf,
}

/// Arguments of `redaction reveal`.
#[derive(Debug, Args)]
pub(crate) struct RevealArgs {
    /// The tokens
    #[arg(required = true)]
    pub(crate) tokens: Vec<String>,
    /// The configuration file, which names the keys
    #[arg(long, short, env = "AFTERCALL_CONFIG")]
    pub(crate) config: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs one of its commands.
pub(crate) fn run(command: &RedactionCommand) -> anyhow::Result<ExitCode> {
    match command {
        RedactionCommand::Try(args) => attempt(args),
        RedactionCommand::Reveal(args) => reveal(args),
    }
}

fn attempt(args: &TryArgs) -> anyhow::Result<ExitCode> {
    let (file, _) = serve::configuration(Some(&args.config), None, None)?;
    let (splitter, redactor) = file.reading(&args.source)?;
    let body = Bytes::from(text_or_file(&args.event)?);
    let events = splitter.split(&body).context("this would be sealed, and become a dead letter")?;
    let mut text = String::new();
    for event in events {
        let redacted = match &redactor {
            Some(redactor) => redactor.apply(&event.body).context("this would be sealed, and become a dead letter")?,
            None => event.body,
        };
        text.push_str(&String::from_utf8_lossy(&redacted));
        text.push('\n');
    }
    output::print(&text)?;
    if redactor.is_none() {
        eprintln!("note: source `{}` has no rules, so its events are stored as they come", args.source);
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends with 1 if one of them cannot be revealed.
fn reveal(args: &RevealArgs) -> anyhow::Result<ExitCode> {
    let (file, _) = serve::configuration(Some(&args.config), None, None)?;
    let keys = file.redaction_keys()?.context("the configuration names no key; set redaction.key")?;
    let revealed: Vec<_> = args.tokens.iter().map(|token| (token, keys.reveal(token.trim()))).collect();
    let failed = revealed.iter().any(|(_, result)| result.is_err());
    if args.json {
        let one = |(token, result): &(&String, Result<Revealed, redaction::Error>)| match result {
            Ok(Revealed::Text(text)) => json!({ "token": token, "value": text }),
            Ok(Revealed::Json(text)) => json!({ "token": token, "json": text }),
            Err(error) => json!({ "token": token, "error": error.to_string() }),
        };
        output::print_json(&revealed.iter().map(one).collect::<Vec<_>>())?;
    } else {
        for (token, result) in &revealed {
            match result {
                Ok(Revealed::Text(value) | Revealed::Json(value)) => output::print(&format!("{value}\n"))?,
                Err(error) => eprintln!("error: {token} {error}"),
            }
        }
    }
    Ok(if failed { ExitCode::from(output::NO) } else { ExitCode::SUCCESS })
}
