//! `aftercall redrive`: delivers the events of dead letters again, or tries on them what would be sent.
//!
//! A dead letter that is redriven is one no more, so a redrive that was broken off goes on where it was when it is
//! started again. Those that die again meanwhile are left for the next one.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::ensure;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::admin::{self, Admin};
use crate::cli::RedriveArgs;
use crate::dead_letters::text;
use crate::in_force::InForce;
use crate::{output, serve};

/// Dead letters of one request: few enough for a smooth rate and a bar that moves.
const STEP_MAX: u64 = 250;
/// Samples that a dry run shows.
const SAMPLES: usize = 3;
/// Different reasons that are shown.
const REASONS: usize = 10;

/// What has been done so far.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    /// With how often, and the first one as it was told.
    reasons: BTreeMap<String, (u64, String)>,
    samples: Vec<Value>,
}

impl Tally {
    fn refuse(&mut self, reason: &Value) {
        self.failed += 1;
        let told = text(reason);
        let (count, first) = self.reasons.entry(queue::normalise(&told)).or_insert_with(|| (0, told.clone()));
        *count += 1;
        if *first != told {
            *first = queue::shown_masked(&queue::normalise(&told));
        }
    }

    fn to_json(&self, dry_run: bool) -> Value {
        let reasons: Vec<_> =
            self.reasons.iter().map(|(reason, (count, _))| json!({ "reason": reason, "count": count })).collect();
        match dry_run {
            true => json!({ "pass": self.passed, "fail": self.failed, "reasons": reasons, "samples": self.samples }),
            false => json!({ "redriven": self.passed, "refused": self.failed, "reasons": reasons }),
        }
    }
}

/// Redrives, or tries to.
pub(crate) fn run(args: &RedriveArgs) -> anyhow::Result<ExitCode> {
    ensure!(
        args.all || args.which.is_any(),
        "say which dead letters: --group (see `aftercall dead-letters groups`), --destination, --conversation, --stage, \
         --within or --all"
    );
    let admin = Admin::of(&args.server)?;
    let now = serve::now();
    // Nothing that dies from now on.
    let until = ("until", now.as_millis().saturating_add(1).to_string());
    let selection: Vec<_> = args.which.query(now).into_iter().chain([until]).collect();
    let there: u64 = admin.groups(&selection)?.iter().filter_map(|group| group["count"].as_u64()).sum();
    let total = args.limit.map_or(there, |limit| limit.min(there));
    let in_force = args.dry_run.then(|| InForce::now(&admin)).transpose()?;
    let bar = output::bar(total, if args.dry_run { "trying" } else { "redriving" })?;
    let mut tally = Tally::default();
    let worked = work(args, &admin, &selection, total, &bar, &mut tally);
    bar.finish_and_clear();
    if let Err(error) = worked {
        return broken_off(error, &tally, total, args);
    }
    let tried_with = in_force.map(|before| before.still(&admin)).transpose()?;
    if args.json {
        output::print_json(&tally.to_json(args.dry_run))?;
    } else {
        output::print(&show(&tally, tried_with.as_deref()))?;
    }
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

/// Tells how far it came before the server was gone or refused. What was asked for last may have been done too.
fn broken_off(error: anyhow::Error, tally: &Tally, total: u64, args: &RedriveArgs) -> anyhow::Result<ExitCode> {
    if args.dry_run {
        return Err(error);
    }
    if args.json {
        let mut told = tally.to_json(false);
        told["selected"] = total.into();
        told["broken_off"] = format!("{error:#}").into();
        output::print_json(&told)?;
    }
    let Tally { passed, failed, .. } = tally;
    let done =
        format!("the redrive was broken off: {passed} of {total} were redriven for certain and {failed} refused");
    let goes_on = "the same command goes on with those that are left";
    Err(admin::broken_off(error, passed + failed == 0, &done, goes_on))
}

fn work(
    args: &RedriveArgs,
    admin: &Admin,
    selection: &[(&str, String)],
    total: u64,
    bar: &ProgressBar,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let (began, mut after, mut done) = (Instant::now(), 0u64, 0u64);
    while done < total {
        let step = (total - done).min(STEP_MAX).min(u64::from(args.rate));
        let page = [selection, &[("limit", step.to_string()), ("after", after.to_string())]].concat();
        let letters = admin.get("dead-letters", &page)?;
        let letters = letters["dead_letters"].as_array().into_iter().flatten();
        let ids: Vec<u64> = letters.filter_map(|letter| letter["id"].as_u64()).collect();
        if ids.is_empty() {
            break;
        }
        let so_far = tally.passed + tally.failed;
        after = one_step(args, admin, &ids, tally)?;
        done += tally.passed + tally.failed - so_far;
        bar.set_position(done);
        let due = Duration::from_secs_f64(done as f64 / f64::from(args.rate));
        if !args.dry_run && done < total {
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
    }
    Ok(())
}

/// Asks for some; returns up to which one they were done, since of large events only the first may be.
fn one_step(args: &RedriveArgs, admin: &Admin, ids: &[u64], tally: &mut Tally) -> anyhow::Result<u64> {
    let asked = json!({ "ids": ids });
    let mut last = 0;
    let mut note = |done: &Value| last = last.max(done["id"].as_u64().unwrap_or_default());
    if args.dry_run {
        let answer = admin.post("dead-letters/dry-run", &asked)?;
        tally.passed += answer["pass"].as_u64().unwrap_or_default();
        for tried in answer["results"].as_array().into_iter().flatten() {
            note(tried);
            if !tried["error"].is_null() {
                tally.refuse(&tried["error"]);
            } else if tally.samples.len() < SAMPLES {
                tally.samples.push(tried.clone());
            }
        }
    } else {
        let answer = admin.post("dead-letters/redrive", &asked)?;
        for redriven in answer["redriven"].as_array().into_iter().flatten() {
            note(redriven);
            tally.passed += 1;
        }
        for published in answer["published"].as_array().into_iter().flatten() {
            note(published);
            tally.passed += 1;
        }
        for refused in answer["refused"].as_array().into_iter().flatten() {
            note(refused);
            tally.refuse(&refused["reason"]);
        }
    }
    ensure!(last > 0, "the server's answer names no dead letter");
    Ok(last)
}

/// `tried_with` says with what a dry run has tried them.
fn show(tally: &Tally, tried_with: Option<&str>) -> String {
    let mut shown = match tried_with {
        Some(with) => format!("{} would pass, {} would fail; nothing was changed\n{with}", tally.passed, tally.failed),
        None => format!("{} redriven, {} refused\n", tally.passed, tally.failed),
    };
    for (count, reason) in tally.reasons.values().take(REASONS) {
        shown.push_str(&format!("  {count} × {reason}\n"));
    }
    for sample in &tally.samples {
        let (id, before, payload) = (text(&sample["id"]), text(&sample["before"]), text(&sample["payload"]));
        shown.push_str(&format!("\ndead letter {id}\n  before: {before}\n  now:    {payload}\n"));
    }
    if tried_with.is_none() && tally.passed > 0 {
        shown.push_str("They are on their way; what fails again is in `aftercall dead-letters groups`.\n");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_is_told_as_it_is_and_several_alike_as_what_they_share() {
        let mut tally = Tally::default();
        for _ in 0..2 {
            tally.refuse(&"no route leads its event to `crm2` now".into());
        }
        assert!(show(&tally, None).contains("2 × no route leads its event to `crm2` now"), "{}", show(&tally, None));
        (1..4).for_each(|number| tally.refuse(&format!("event {number} has no name").into()));
        assert!(show(&tally, None).contains("3 × event … has no name"), "{}", show(&tally, None));
    }
}
