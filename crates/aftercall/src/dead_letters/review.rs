//! `aftercall dead-letters acknowledge`, `resolve` and `reopen`: how far people are with a group.

use serde_json::{Value, json};

use super::{ago, text};
use crate::admin::Admin;
use crate::cli::ReviewArgs;
use crate::output;

/// Sets the state of a group.
pub(super) fn set(args: &ReviewArgs, state: &str) -> anyhow::Result<()> {
    let asked = serde_json::to_vec(&json!({ "state": state, "note": args.note }))?;
    let group = Admin::of(&args.server)?.put(&format!("dead-letter-groups/{}/review", args.group), &[], asked)?;
    if args.json {
        return output::print_json(&group);
    }
    let (count, then) = (text(&group["count"]), "a letter that dies from now on opens it again");
    output::print(&match state {
        "open" => format!("group {} is open: {count} dead letters\n", args.group),
        state => format!("group {} is {state}: {count} dead letters; {then}\n", args.group),
    })
}

/// The state as it stands in a table.
pub(super) fn shown(review: &Value) -> String {
    let state = text(&review["state"]);
    let since = || format!("{state} by {} {}", text(&review["by"]), ago(&review["at"]));
    match (review["state"].as_str(), review["reopened"] == true) {
        (Some("open"), true) => "REOPENED".to_owned(),
        (Some("open"), false) | (None, _) => state,
        _ if review["note"].is_string() => format!("{}: {}", since(), text(&review["note"])),
        _ => since(),
    }
}
