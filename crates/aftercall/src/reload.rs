//! `aftercall reload`: has the running server read its configuration anew, and tells what has changed or what is wrong.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::admin::Admin;
use crate::cli::ServerArgs;
use crate::dead_letters::text;
use crate::output;

/// Arguments of `reload`.
#[derive(Debug, Args)]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Asks for it.
pub(crate) fn run(args: &ReloadArgs) -> anyhow::Result<ExitCode> {
    let answer = Admin::of(&args.server)?.post("reload", &json!({}))?;
    if args.json {
        output::print_json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let changes = answer["changes"].as_array().map_or(&[][..], Vec::as_slice);
    let mut shown = match changes {
        [] => "the file is the configuration in force; nothing has changed\n".to_owned(),
        _ => "in force now:\n".to_owned(),
    };
    for change in changes {
        shown.push_str(&format!("  {} {}\n", text(&change["key"]), text(&change["change"])));
    }
    output::print(&shown)?;
    Ok(ExitCode::SUCCESS)
}
