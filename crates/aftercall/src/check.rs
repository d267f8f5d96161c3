//! `aftercall check` and `aftercall backup`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use queue_sqlite::Report;

use crate::cli::{BackupArgs, CheckArgs};
use crate::output;

/// Reads everything and reports damage.
pub(crate) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    there_is_a_queue(&args.data)?;
    if args.repair {
        repair(args)?;
    }
    let style = "reading {wide_bar} {human_pos}/{human_len} events";
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(style)?);
    let report = queue_sqlite::check(&args.data, |at, last| {
        bar.set_length(last);
        bar.set_position(at);
    });
    bar.finish_and_clear();
    let report = report.with_context(|| format!("checking {}", args.data.display()))?;
    if args.json {
        output::print_json(&json(&report))?
    } else {
        output::print(&text(&report))?
    }
    Ok(if report.damaged == 0 { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

fn repair(args: &CheckArgs) -> anyhow::Result<()> {
    let done = queue_sqlite::repair(&args.data).with_context(|| format!("repairing {}", args.data.display()))?;
    if args.json {
        return output::print_json(&serde_json::json!({ "repaired": done }));
    }
    let lines: String = done.iter().map(|line| format!("repaired: {line}\n")).collect();
    output::print(if done.is_empty() { "no row had to be repaired\n" } else { &lines })
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "{} events ({} bytes), {} dead letters, {} identities, {} destinations\n",
        report.events, report.body_bytes, report.dead_letters, report.identities, report.destinations
    );
    for finding in &report.findings {
        text.push_str(&format!("damaged: {finding}\n"));
    }
    match report.damaged {
        0 => text.push_str("no damage\n"),
        count => text.push_str(&format!(
            "{count} findings; stop the server, keep a copy of the directory, and restore the newest backup; damaged rows \
             can be repaired with --repair instead, which loses nothing and delivers some events again\n"
        )),
    }
    text
}

fn json(report: &Report) -> serde_json::Value {
    serde_json::json!({
        "events": report.events, "body_bytes": report.body_bytes, "dead_letters": report.dead_letters,
        "identities": report.identities, "destinations": report.destinations, "damaged": report.damaged,
        "findings": report.findings,
    })
}

/// Copies the queue.
pub(crate) fn backup(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    there_is_a_queue(&args.data)?;
    let spinner = ProgressBar::new_spinner().with_message(format!("copying to {}", args.to.display()));
    spinner.enable_steady_tick(Duration::from_millis(100));
    let copied = queue_sqlite::backup(&args.data, &args.to);
    spinner.finish_and_clear();
    copied?;
    let bytes = std::fs::metadata(&args.to).map_or(0, |data| data.len());
    output::print(&format!(
        "{} ({bytes} bytes); to restore, put it as queue.db into an empty data directory\n",
        args.to.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn there_is_a_queue(dir: &Path) -> anyhow::Result<()> {
    let there = dir.join("queue.db").is_file();
    anyhow::ensure!(there, "there is no queue in {}; name the server's data directory with --data", dir.display());
    Ok(())
}
