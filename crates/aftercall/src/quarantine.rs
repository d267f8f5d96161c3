//! `aftercall quarantine`: requests that failed verification, and the way back for those that were genuine.
//!
//! What was released is not in the quarantine any more, so a release that was broken off goes on where it was when it
//! is started again; what was published meanwhile and is released again is a duplicate.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::admin::Admin;
use crate::cli::{DropArgs, ListRefusedArgs, QuarantineCommand, RefusedArgs, ReleaseArgs, ShowArgs};
use crate::dead_letters::{ago, text, when};
use crate::output;
use crate::status::table;

/// Requests that are released by one request: few enough for a bar that moves.
const STEP: usize = 50;

/// Runs one of its commands.
pub(crate) fn run(command: &QuarantineCommand) -> anyhow::Result<ExitCode> {
    match command {
        QuarantineCommand::List(args) => list(args)?,
        QuarantineCommand::Show(args) => show(args)?,
        QuarantineCommand::Release(args) => return release(args),
        QuarantineCommand::Drop(args) => return remove(args),
    }
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ListRefusedArgs) -> anyhow::Result<()> {
    let admin = Admin::of(&args.server)?;
    let answer = page(&admin, args.source.as_deref(), args.page.after, usize::from(args.page.limit))?;
    if args.json {
        return output::print_json(&answer);
    }
    let mut table = table(&["id", "came", "source", "sender", "bytes", "why"], 0..1);
    for entry in requests(&answer) {
        table.add_row([
            text(&entry["id"]),
            ago(&entry["received"]),
            text(&entry["source"]),
            text(&entry["sender"]),
            text(&entry["body_bytes"]),
            text(&entry["reason"]),
        ]);
    }
    let mut shown =
        if requests(&answer).is_empty() { "nothing is in the quarantine\n".to_owned() } else { format!("{table}\n") };
    if answer["next"].is_u64() {
        shown.push_str(&format!("\nThere may be more: --after {}\n", answer["next"]));
    }
    shown.push_str(&left_out(&admin.get("quarantine-status", &[])?, args.source.as_deref()));
    output::print(&shown)
}

/// What was refused and is not there.
fn left_out(status: &Value, source: Option<&str>) -> String {
    let mut shown = String::new();
    if status["enabled"] == false {
        shown.push_str("Refused requests are not kept: quarantine.enabled is false.\n");
    }
    for counts in status["sources"].as_array().into_iter().flatten() {
        let count = |name: &str| counts[name].as_u64().unwrap_or_default();
        let left = count("sampled_out") + count("too_large") + count("busy") + count("failed");
        let (name, pushed_out) = (text(&counts["source"]), count("pushed_out"));
        if left + pushed_out > 0 && source.is_none_or(|source| source == name) {
            shown.push_str(&format!(
                "{name}: since the start {left} more were refused and not kept, and {pushed_out} gave way to newer ones\n"
            ));
        }
    }
    shown
}

fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let admin = Admin::of(&args.server)?;
    if args.body {
        let body = admin.get_bytes(&format!("quarantine/{}/body", args.id))?;
        return Ok(std::io::stdout().write_all(&body)?);
    }
    let request = admin.get(&format!("quarantine/{}", args.id), &[])?;
    if args.json {
        return output::print_json(&request);
    }
    let mut lines = vec![
        ("request", text(&request["id"])),
        ("source", text(&request["source"])),
        ("came", when(&request["received"])),
        ("sender", text(&request["sender"])),
        ("refused for", text(&request["reason"])),
    ];
    if request["credential"].is_string() {
        lines.push(("credential", format!("in {}; only a salted digest is kept", text(&request["credential"]))));
    }
    for header in request["headers"].as_array().into_iter().flatten() {
        lines.push(("header", format!("{}: {}", text(&header["name"]), text(&header["value"]))));
    }
    lines.push(("body", format!("{} bytes", text(&request["body_bytes"]))));
    let mut shown = output::facts(&lines);
    shown.push_str(&format!(
        "\n{}\n\nAll of the body: aftercall quarantine show {} --body\n",
        text(&request["body"]),
        args.id
    ));
    output::print(&shown)
}

/// What has been released so far.
#[derive(Default)]
struct Tally {
    released: u64,
    accepted: u64,
    duplicates: u64,
    dead_letters: u64,
    failing: u64,
    reasons: BTreeMap<String, u64>,
}

impl Tally {
    fn add(&mut self, answer: &Value) {
        for released in answer["released"].as_array().into_iter().flatten() {
            self.released += 1;
            self.accepted += released["accepted"].as_u64().unwrap_or_default();
            self.duplicates += released["duplicates"].as_u64().unwrap_or_default();
            self.dead_letters += u64::from(!released["dead_letter"].is_null());
        }
        for failing in answer["failing"].as_array().into_iter().flatten() {
            self.failing += 1;
            *self.reasons.entry(queue::normalise(&text(&failing["reason"]))).or_default() += 1;
        }
    }

    fn to_json(&self, dry_run: bool) -> Value {
        let reasons: Vec<_> =
            self.reasons.iter().map(|(reason, count)| json!({ "reason": reason, "count": count })).collect();
        match dry_run {
            true => json!({ "pass": self.released, "fail": self.failing, "reasons": reasons }),
            false => json!({
                "released": self.released, "failing": self.failing, "accepted": self.accepted,
                "duplicates": self.duplicates, "dead_letters": self.dead_letters, "reasons": reasons,
            }),
        }
    }

    fn to_text(&self, dry_run: bool) -> String {
        let mut shown = match dry_run {
            true => format!("{} would be released, {} would still fail\n", self.released, self.failing),
            false => format!(
                "{} released: {} accepted, {}, {}; {} still fail and stay\n",
                self.released,
                output::counted(self.accepted, "event"),
                output::counted(self.duplicates, "duplicate"),
                output::counted(self.dead_letters, "dead letter"),
                self.failing
            ),
        };
        for (reason, count) in &self.reasons {
            shown.push_str(&format!("{count:>8}  {reason}\n"));
        }
        shown
    }
}

/// Ends with 1 if some still fail.
fn release(args: &ReleaseArgs) -> anyhow::Result<ExitCode> {
    let admin = Admin::of(&args.server)?;
    expect_source(&admin, args.which.source.as_deref())?;
    let mut tally = Tally::default();
    let bar = output::bar(there(&admin, &args.which)?, if args.dry_run { "verifying" } else { "releasing" })?;
    each_step(&admin, &args.which, |ids| {
        // Who may only look may try.
        let what = if args.dry_run { "quarantine/dry-run" } else { "quarantine/release" };
        let answer = admin.post(what, &json!({ "ids": ids }))?;
        tally.add(&answer);
        bar.inc(ids.len() as u64);
        Ok(())
    })?;
    bar.finish_and_clear();
    if args.json {
        output::print_json(&tally.to_json(args.dry_run))?;
    } else {
        output::print(&tally.to_text(args.dry_run))?;
    }
    Ok(if tally.failing == 0 { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

/// Refuses the name of a source that is neither configured nor has anything in the quarantine: it is mistyped, and whoever
/// was told that nothing was there would believe it.
fn expect_source(admin: &Admin, source: Option<&str>) -> anyhow::Result<()> {
    let Some(source) = source else { return Ok(()) };
    let (kept, status) = (admin.get("quarantine-status", &[])?, admin.get("status", &[])?);
    let of = |listed: &Value, name: &str| -> Vec<String> {
        let all = listed["sources"].as_array().into_iter().flatten();
        all.filter_map(|one| one[name].as_str()).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let known: BTreeSet<String> = of(&kept, "source").into_iter().chain(of(&status, "name")).collect();
    let names = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    anyhow::ensure!(known.contains(source), "there is no source `{source}`; there are: {names}");
    Ok(())
}

/// How many will be looked at.
fn there(admin: &Admin, which: &RefusedArgs) -> anyhow::Result<u64> {
    if !which.ids.is_empty() {
        return Ok(which.ids.len() as u64);
    }
    let status = admin.get("quarantine-status", &[])?;
    let sources = status["sources"].as_array().into_iter().flatten();
    let chosen =
        sources.filter(|counts| which.source.as_ref().is_none_or(|source| counts["source"] == *source.as_str()));
    Ok(chosen.filter_map(|counts| counts["requests"].as_u64()).sum())
}

/// The numbers of those that are chosen, in their order, a few at a time.
fn each_step(
    admin: &Admin,
    which: &RefusedArgs,
    mut act: impl FnMut(&[u64]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if !which.ids.is_empty() {
        return which.ids.chunks(STEP).try_for_each(act);
    }
    let mut after = None;
    loop {
        let answer = page(admin, which.source.as_deref(), after, STEP)?;
        let ids: Vec<u64> = requests(&answer).iter().filter_map(|entry| entry["id"].as_u64()).collect();
        if !ids.is_empty() {
            act(&ids)?;
        }
        after = answer["next"].as_u64();
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Ends with 1 if not all that were named were there.
fn remove(args: &DropArgs) -> anyhow::Result<ExitCode> {
    let which = &args.which;
    let asked = match (&which.source, which.all) {
        (Some(source), _) => json!({ "source": source }),
        (None, true) => json!({ "all": true }),
        (None, false) => json!({ "ids": which.ids }),
    };
    let admin = Admin::of(&args.server)?;
    expect_source(&admin, which.source.as_deref())?;
    let answer = admin.post("quarantine/drop", &asked)?;
    let dropped = answer["dropped"].as_u64().unwrap_or_default();
    if args.json {
        output::print_json(&answer)?;
    } else {
        output::print(&format!("{dropped} dropped\n"))?;
    }
    Ok(if dropped >= which.ids.len() as u64 { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

fn page(admin: &Admin, source: Option<&str>, after: Option<u64>, limit: usize) -> anyhow::Result<Value> {
    let all = [
        ("source", source.map(str::to_owned)),
        ("after", after.map(|after| after.to_string())),
        ("limit", Some(limit.to_string())),
    ];
    let query: Vec<_> = all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    admin.page("quarantine", "requests", &query)
}

fn requests(page: &Value) -> &[Value] {
    page["requests"].as_array().map_or(&[], Vec::as_slice)
}
