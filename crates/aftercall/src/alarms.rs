//! `aftercall alarms`, `pause` and `resume`: what is wrong now, whether the notifiers work, and the hand on a destination.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use event::Timestamp;
use operate::alarms::{Change, Notice};
use operate::notifier::{Channel, NotifyError, Options, send_once};
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::cli::ServerArgs;
use crate::dead_letters::text;
use crate::status::{age, table};
use crate::{config, output, serve};

/// Arguments of `alarms`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AlarmsArgs {
    #[command(subcommand)]
    what: Option<AlarmsCommand>,
    #[command(flatten)]
    list: ListArgs,
}

/// What to do with alarms.
#[derive(Debug, Subcommand)]
enum AlarmsCommand {
    /// Show what is wrong now, as without a command
    List(ListArgs),
    /// Send a test through every notifier of the configuration; needs no running server
    Test(TestArgs),
}

/// Arguments of `alarms list`.
#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `alarms test`.
#[derive(Debug, Args)]
struct TestArgs {
    /// The server's configuration file
    #[arg(long, short, env = "AFTERCALL_CONFIG")]
    config: PathBuf,
    /// Only through this notifier
    #[arg(long)]
    notifier: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `pause` and `resume`.
#[derive(Debug, Args)]
pub(crate) struct DestinationArgs {
    /// The destination's name
    destination: String,
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs one of its commands.
pub(crate) fn run(args: &AlarmsArgs) -> anyhow::Result<ExitCode> {
    match &args.what {
        None => list(&args.list),
        Some(AlarmsCommand::List(args)) => list(args),
        Some(AlarmsCommand::Test(args)) => test(args),
    }
}

/// Pauses or resumes a destination.
pub(crate) fn set_paused(args: &DestinationArgs, paused: bool) -> anyhow::Result<ExitCode> {
    let what = if paused { "pause" } else { "resume" };
    let answer = Admin::of(&args.server)?.post(&format!("destinations/{}/{what}", args.destination), &json!({}))?;
    if args.json {
        output::print_json(&answer)?;
    } else {
        output::print(&switched(&args.destination, paused, answer["changed"] != false))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What was done; `changed` says whether something was.
fn switched(name: &str, paused: bool, changed: bool) -> String {
    match (paused, changed) {
        (true, _) => {
            let already = if changed { "" } else { " already" };
            format!(
                "{name} is paused{already} until `aftercall resume {name}`, also over restarts; what comes for it waits\n"
            )
        }
        (false, true) => format!("{name} goes on\n"),
        (false, false) => {
            format!("{name} was not paused, so nothing has changed; how it is doing: aftercall status\n")
        }
    }
}

fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let answer = Admin::of(&args.server)?.get("alarms", &[])?;
    let open = answer["open"].as_array().map_or(&[][..], Vec::as_slice);
    if args.json {
        output::print_json(&answer)?;
    } else {
        let mut shown = if open.is_empty() { "no open alarms\n".to_owned() } else { String::new() };
        open.iter().for_each(|alarm| shown.push_str(&one(alarm)));
        shown.push_str(&notifiers(&answer));
        output::print(&shown)?;
    }
    Ok(if open.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

/// An alarm with everything that it says.
fn one(alarm: &Value) -> String {
    let (severity, since) = (text(&alarm["severity"]).to_uppercase(), since(&alarm["opened"]));
    if let Some(ending) = ending(alarm) {
        // How it was, and what was to be done then, would send somebody who is just woken up the wrong way.
        let (key, summary) = (text(&alarm["key"]), text(&alarm["summary"]));
        return format!("{ending}\n  it was: {severity} {summary}\n  opened {since} ago, {key}\n\n");
    }
    let mut shown = format!("{severity} {}\n", text(&alarm["summary"]));
    shown.push_str(&format!("  open for {since}, {}\n", text(&alarm["key"])));
    shown.push_str(&format!("  {}\n  What to do:\n", text(&alarm["detail"])));
    for step in alarm["todo"].as_array().into_iter().flatten() {
        shown.push_str(&format!("    - {}\n", text(step)));
    }
    shown.push_str(&format!("  {}\n\n", text(&alarm["assurance"])));
    shown
}

/// What is said of an alarm whose reason is gone.
fn ending(alarm: &Value) -> Option<String> {
    alarm["gone_since"].as_i64()?;
    Some(format!("OVER for {}; nothing to do, its alarm ends by itself if that lasts", since(&alarm["gone_since"])))
}

/// The lines of `status` about alarms; nothing if all is well.
pub(crate) fn in_status(status: &Value) -> String {
    let alarms = &status["alarms"];
    let open = alarms["open"].as_array().map_or(&[][..], Vec::as_slice);
    let mut shown = String::new();
    for alarm in open {
        let severity = text(&alarm["severity"]).to_uppercase();
        let summary = text(&alarm["summary"]);
        shown.push_str(&match ending(alarm) {
            None => format!("{severity} for {}: {summary}\n", since(&alarm["opened"])),
            Some(ending) => format!("{ending}; it was: {summary}\n"),
        });
    }
    if open.iter().any(|alarm| ending(alarm).is_none()) {
        shown.push_str("What to do: aftercall alarms\n");
    }
    for notifier in alarms["notifiers"].as_array().into_iter().flatten() {
        if notifier["failing_since"].is_i64() {
            let (name, for_now) = (text(&notifier["name"]), since(&notifier["failing_since"]));
            shown.push_str(&format!("notifier {name} has failed for {for_now}: {}\n", text(&notifier["last_error"])));
        }
    }
    if shown.is_empty() { shown } else { format!("\n{shown}") }
}

fn since(value: &Value) -> String {
    value.as_i64().map_or_else(|| "-".to_owned(), |at| age(Timestamp::from_millis(at).until(serve::now())))
}

fn notifiers(answer: &Value) -> String {
    let all = answer["notifiers"].as_array().map_or(&[][..], Vec::as_slice);
    if all.is_empty() {
        return "\nNobody is told: there is no [notifiers.NAME] in the configuration.\n".to_owned();
    }
    let mut table = table(&["notifier", "sent", "failed", "lost", "waiting", "state"], 1..5);
    for notifier in all {
        let state = match notifier["failing_since"].is_i64() {
            true => format!("FAILING for {}: {}", since(&notifier["failing_since"]), text(&notifier["last_error"])),
            false => "works".to_owned(),
        };
        let count = |name: &str| text(&notifier[name]);
        table.add_row([count("name"), count("sent"), count("failed"), count("lost"), count("waiting"), state]);
    }
    format!("\n{table}\n")
}

fn test(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let file = config::read(&args.config)?;
    let mut all = file.notifiers()?;
    if let Some(name) = &args.notifier {
        all.retain(|notifier| notifier.name == *name);
    }
    if all.is_empty() {
        anyhow::bail!("there is no such notifier; [notifiers.NAME] in {} makes one", args.config.display());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let instance = file.instance();
    let mut results = Vec::new();
    for notifier in &all {
        results.push((notifier.name.clone(), runtime.block_on(try_one(notifier, &instance)).err()));
    }
    let failed = results.iter().any(|(_, error)| error.is_some());
    if args.json {
        let one = |(name, error): &(String, Option<NotifyError>)| json!({ "notifier": name, "sent": error.is_none(), "error": error.as_ref().map(ToString::to_string) });
        output::print_json(&json!({ "results": results.iter().map(one).collect::<Vec<_>>() }))?;
    } else {
        for (name, error) in &results {
            let result = error.as_ref().map_or_else(|| "sent".to_owned(), |error| format!("FAILED: {error}"));
            output::print(&format!("{name}: {result}\n"))?;
        }
    }
    Ok(if failed { ExitCode::from(output::NO) } else { ExitCode::SUCCESS })
}

/// An incident that was opened for a test is resolved again.
async fn try_one(notifier: &Options, instance: &str) -> Result<(), NotifyError> {
    let now = serve::now();
    send_once(notifier, &Notice::test(Change::Opened, now), instance, now).await?;
    match notifier.channel {
        Channel::PagerDuty { .. } => send_once(notifier, &Notice::test(Change::Resolved, now), instance, now).await,
        _ => Ok(()),
    }
}
