//! `aftercall genesys`: whether the credentials for Genesys Cloud work, and what they are good for.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ::genesys::{Client, GenesysError, Limits, Region, TokenInfo};
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::config::GenesysParts;
use crate::{config, output};

/// How long somebody who waits for an answer wants to wait for the platform's limits.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the whole check may take: a token, and one call, each of which may be tried again.
const LIMIT: Duration = Duration::from_secs(30);

/// Arguments of `genesys`.
#[derive(Debug, Args)]
pub(crate) struct GenesysArgs {
    #[command(subcommand)]
    what: GenesysCommand,
}

/// What to do with the platform.
#[derive(Debug, Subcommand)]
enum GenesysCommand {
    /// Get an access token and tell what it is good for. Ends with 1 if the credentials are refused, with 2 if nobody
    /// could be asked
    Check(CheckArgs),
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The configuration file, with a table [genesys]
    #[arg(long, short, env = "AFTERCALL_CONFIG", default_value = "aftercall.toml")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs one of its commands.
pub(crate) fn run(args: &GenesysArgs) -> anyhow::Result<ExitCode> {
    let GenesysCommand::Check(args) = &args.what;
    let parts = config::read(&args.config)?.genesys_parts()?;
    let parts = parts.with_context(|| {
        format!("{} has no [genesys]; `aftercall config` prints what can stand there", args.config.display())
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = parts.client(PATIENCE)?;
    let checked = runtime.block_on(async { tokio::time::timeout(LIMIT, check(&client)).await });
    let checked = checked.map_err(|_| {
        anyhow::anyhow!("no answer within {} s from {} and {}", LIMIT.as_secs(), client.token_url(), client.api_url())
    })?;
    match checked {
        Ok(checked) => {
            let told = told(parts.region, &client, &checked);
            if args.json {
                output::print_json(&told)?
            } else {
                output::print(&show(&told))?
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if is_no(&error) => {
            eprintln!("error: {}", explained(&parts, &error));
            Ok(ExitCode::from(output::NO))
        }
        Err(error) => Err(anyhow::anyhow!(explained(&parts, &error))),
    }
}

/// What was found out.
struct Checked {
    expires_in: Duration,
    /// What the API says of the token, or why it does not.
    info: Result<TokenInfo, String>,
    limits: Option<Limits>,
}

async fn check(client: &Client) -> Result<Checked, GenesysError> {
    let expires_in = client.token().await?.expires_in();
    let info = match client.token_info().await {
        Ok(info) => Ok(info),
        // The token is good; only this call is not for everybody.
        Err(error @ GenesysError::Refused { status: 403, .. }) => Err(error.to_string()),
        Err(error) => return Err(error),
    };
    Ok(Checked { expires_in, info, limits: client.limits() })
}

/// Whether the answer is that the credentials are not good.
fn is_no(error: &GenesysError) -> bool {
    match error {
        GenesysError::Token(error) => error.class == oauth::Class::Refused,
        // Every platform has the call that is made.
        GenesysError::Refused { .. } | GenesysError::NotFound { .. } => true,
        _ => false,
    }
}

/// What answers is not the platform's API, if so.
fn is_elsewhere(error: &GenesysError) -> bool {
    match error {
        GenesysError::NotFound { .. } => true,
        // Refused, and with a good status: the answer could not be read.
        GenesysError::Refused { status, .. } => (200..400).contains(status),
        _ => false,
    }
}

/// The error, when to try again, and what it may have to do with the region.
fn explained(parts: &GenesysParts, error: &GenesysError) -> String {
    let again = match error.retry_after().filter(|_| error.is_transient()) {
        Some(pause) => format!("; try again in {} s", pause.as_secs_f32().ceil()),
        None => String::new(),
    };
    if is_elsewhere(error) {
        let cure = "name https://api.DOMAIN of the region as api_url, or leave it out and set region";
        return format!("{error}; what answers there is not Genesys Cloud's API: {cure}");
    }
    let region = match parts.region.filter(|_| is_no(error)) {
        Some(region) => format!("; an OAuth client is known in its own region alone: is it {region}?"),
        None => String::new(),
    };
    format!("{error}{again}{region}")
}

fn told(region: Option<Region>, client: &Client, checked: &Checked) -> Value {
    let info = checked.info.as_ref().ok();
    let named = |named: &::genesys::Named| json!({"id": named.id, "name": named.name});
    json!({
        "region": region.map(|region| json!({"name": region.name, "domain": region.domain})),
        "token_url": client.token_url(),
        "api_url": client.api_url(),
        "expires_in_seconds": checked.expires_in.as_secs(),
        "organization": info.map(|info| named(&info.organization)),
        "client": info.map(|info| named(&info.oauth_client)),
        "scopes": info.map(|info| &info.authorized_scope),
        "problem": checked.info.as_ref().err(),
        "requests": checked.limits.map(|limits| json!({
            "count": limits.count, "allowed": limits.allowed, "reset_seconds": limits.reset.as_secs(),
        })),
    })
}

fn show(told: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let named = |value: &Value| match value["name"].as_str() {
        Some(name) => format!("{name} ({})", text(&value["id"])),
        None => text(&value["id"]),
    };
    let seconds = Duration::from_secs(told["expires_in_seconds"].as_u64().unwrap_or(0));
    let mut lines = Vec::new();
    if let Some(region) = told["region"].as_object() {
        lines.push(("region", format!("{} ({})", text(&region["name"]), text(&region["domain"]))));
    }
    lines.push(("token", format!("valid for {}", humantime::format_duration(seconds))));
    lines.push(("from", text(&told["token_url"])));
    lines.push(("API", text(&told["api_url"])));
    match told["problem"].as_str() {
        Some(problem) => lines.push(("scopes", format!("unknown: {problem}"))),
        None => {
            let scopes: Vec<_> = told["scopes"].as_array().into_iter().flatten().map(text).collect();
            let scopes = if scopes.is_empty() { "as the client's roles allow".to_owned() } else { scopes.join(", ") };
            lines.push(("organisation", named(&told["organization"])));
            lines.push(("client", named(&told["client"])));
            lines.push(("scopes", scopes));
        }
    }
    let requests = &told["requests"];
    if requests.is_object() {
        let (count, allowed, reset) = (&requests["count"], &requests["allowed"], &requests["reset_seconds"]);
        lines.push(("requests", format!("{count} of {allowed} in this window, which ends in {reset} s")));
    }
    output::facts(&lines)
}
