//! `aftercall tokens`: who may ask the server for what. Works on the file in the data directory, so it needs no server; a
//! running one takes a change over with its next request.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use console::{Entry, Scope, TokenFile};
use event::Timestamp;
use serde_json::{Value, json};

use crate::status::{age, table};
use crate::{config, output, serve};

/// Arguments of `tokens`.
#[derive(Debug, Args)]
pub(crate) struct TokensArgs {
    #[command(subcommand)]
    what: TokensCommand,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
enum TokensCommand {
    /// Make one, and print it: it is shown this once
    Create(CreateArgs),
    /// List them, without what lets anybody in
    List(ListArgs),
    /// Take one back; it is worth nothing at once
    Revoke(RevokeArgs),
}

/// Whose tokens.
#[derive(Debug, Args)]
struct PlaceArgs {
    /// The server's configuration file [default: that of `serve` without one]
    #[arg(long, short, env = "AFTERCALL_CONFIG")]
    config: Option<PathBuf>,
    /// The server's data directory, if it was started with --data
    #[arg(long)]
    data: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Who or what will use it; stands in logs
    name: String,
    /// What it allows: read to look, operate to redrive and discard, admin for everything
    #[arg(long, value_name = "read|operate|admin")]
    scope: Scope,
    /// For how long, such as 90d; without it until it is revoked
    #[arg(long)]
    expires: Option<humantime::Duration>,
    #[command(flatten)]
    place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// Its name
    name: String,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Runs one of its commands.
pub(crate) fn run(args: &TokensArgs) -> anyhow::Result<ExitCode> {
    match &args.what {
        TokensCommand::Create(args) => create(args)?,
        TokensCommand::List(args) => list(args)?,
        TokensCommand::Revoke(args) => revoke(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn file(place: &PlaceArgs) -> anyhow::Result<TokenFile> {
    let mut file = place.config.as_deref().map(config::whereabouts).transpose()?.unwrap_or_default();
    file.data_dir = place.data.clone().or(file.data_dir);
    Ok(TokenFile::in_dir(&file.data_dir()))
}

fn create(args: &CreateArgs) -> anyhow::Result<()> {
    let (now, file) = (serve::now(), file(&args.place)?);
    let first = file.read()?.is_none();
    let (token, entry) = file.create(&args.name, args.scope, now, args.expires.map(|time| now.plus(*time)))?;
    if args.json {
        let mut shown = shown(&entry, now);
        shown["token"] = json!(token.reveal());
        return output::print_json(&shown);
    }
    output::print(&format!("{}\n", token.reveal()))?;
    // Beside the token, so that it alone can be put into a file.
    eprintln!(
        "`{}` has scope {}, and its hash is in {}; the token is shown this once. Use it with --token-file, or in \
         AFTERCALL_TOKEN.{}",
        entry.name,
        entry.scope,
        file.path().display(),
        if first { " From now on every request to the console needs a token." } else { "" }
    );
    Ok(())
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let (now, tokens) = (serve::now(), file(&args.place)?.read()?.unwrap_or_default());
    if args.json {
        let tokens: Vec<_> = tokens.iter().map(|entry| shown(entry, now)).collect();
        return output::print_json(&json!({ "tokens": tokens }));
    }
    if tokens.is_empty() {
        return output::print("no tokens\n");
    }
    let mut table = table(&["name", "id", "scope", "made", "expires"], 0..0);
    for entry in &tokens {
        table.add_row([
            entry.name.clone(),
            entry.id.clone(),
            entry.scope.to_string(),
            format!("{} ago", age(entry.created.until(now))),
            match entry.expires {
                None => "-".to_owned(),
                Some(_) if entry.is_expired(now) => "EXPIRED".to_owned(),
                Some(at) => format!("in {}", age(now.until(at))),
            },
        ]);
    }
    output::print(&format!("{table}\n"))
}

fn shown(entry: &Entry, now: Timestamp) -> Value {
    json!({
        "name": entry.name, "id": entry.id, "scope": entry.scope, "created": entry.created, "expires": entry.expires,
        "expired": entry.is_expired(now),
    })
}

fn revoke(args: &RevokeArgs) -> anyhow::Result<()> {
    let file = file(&args.place)?;
    let left = file.revoke(&args.name)?;
    output::print(&format!("`{}` is revoked; {left} left\n", args.name))?;
    if left == 0 {
        eprintln!(
            "Nobody can ask the console now. Make another token; or, to open it to everyone on this machine, remove {} \
             and restart the server.",
            file.path().display()
        );
    }
    Ok(())
}
