//! `aftercall trace`: the whole story of a conversation or of an event.

use std::process::ExitCode;

use clap::Args;
use event::EventId;
use serde_json::Value;

use crate::admin::Admin;
use crate::cli::ServerArgs;
use crate::dead_letters::{text, when};
use crate::output;

/// Arguments of `trace`.
#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// The id of a conversation
    #[arg(required_unless_present = "event", conflicts_with = "event")]
    conversation: Option<String>,
    /// The id of an event instead
    #[arg(long)]
    event: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Ends with 1 if nothing is known.
pub(crate) fn run(args: &TraceArgs) -> anyhow::Result<ExitCode> {
    let admin = Admin::of(&args.server)?;
    let answer = match (&args.event, &args.conversation) {
        (Some(event), _) => {
            let id: EventId = event.parse()?;
            admin.get(&format!("trace/events/{id}"), &[])?
        }
        (None, conversation) => admin.get("trace", &[("conversation", conversation.clone().unwrap_or_default())])?,
    };
    let known = answer["story"].as_array().is_some_and(|story| !story.is_empty());
    if args.json {
        output::print_json(&answer)?;
    } else {
        output::print(&show(&answer))?;
    }
    Ok(if known { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

fn show(answer: &Value) -> String {
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let (events, story) = (list("events"), list("story"));
    if story.is_empty() {
        return "nothing is known of it: no event of it was accepted as far back as the audit trail goes\n".to_owned();
    }
    let mut shown = String::new();
    for line in &story {
        let seq = line["seq"].as_u64().map(|seq| format!(" [{seq}]")).unwrap_or_default();
        shown.push_str(&format!("{}{seq}  {}\n", when(&line["at"]), text(&line["text"])));
        let again = &line["again"];
        if again.is_i64() {
            shown.push_str(&format!("    tried again at {}\n", when(again)));
        }
        if let Some(excerpt) = line["excerpt"].as_str().filter(|excerpt| !excerpt.is_empty()) {
            shown.push_str(&format!("    it answered: {excerpt}\n"));
        }
    }
    events.iter().for_each(|event| shown.push_str(&one(event)));
    shown
}

/// One event: how it stands now.
fn one(event: &Value) -> String {
    let body = match event["body"].as_str().unwrap_or_default() {
        "retained" => "the log has it as it was received",
        "dropped" => "retention has dropped its body",
        "erased" => "its body was erased",
        _ => "WHAT THE LOG HAS IS NOT WHAT WAS RECEIVED; run `aftercall check`",
    };
    let mut shown = format!(
        "\nevent {} [{}] {} from {}\n  sha256 {}: {body}\n",
        text(&event["event"]),
        text(&event["seq"]),
        text(&event["topic"]),
        text(&event["source"]),
        text(&event["sha256"]),
    );
    for (destination, standing) in event["deliveries"].as_object().into_iter().flatten() {
        shown.push_str(&format!("  {destination}: {}\n", text(standing)));
    }
    let Some(routes) = event["routes"].as_array() else {
        shown.push_str(&format!("  what routes say of it: aftercall trace --event {}\n", text(&event["event"])));
        return shown;
    };
    for route in routes {
        let verdict = if route["matches"] == true { "matches" } else { "does not match" };
        let because = text(&route["because"]);
        let (name, destination) = (text(&route["route"]), text(&route["destination"]));
        shown.push_str(&format!("  route {name} to {destination} {verdict}: {because}\n"));
    }
    if event["body"] == "retained" && routes.iter().all(|route| route["matches"] != true) {
        shown.push_str("  no route takes it now: it is kept, and goes nowhere\n");
    }
    shown
}
