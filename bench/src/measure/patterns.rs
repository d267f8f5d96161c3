//! Matching on one core, by the example of the crate `routing`, which is built and run for it.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::report::{Line, Target};

const TEN_RULES_MIN: f64 = 300_000.0;
/// With 1,000 rules, of what 10 rules reach.
const RATIO_MIN: f64 = 0.5;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Line>> {
    let (mut ten, mut thousand, mut few) = (Vec::new(), Vec::new(), Vec::new());
    bench.each_round("patterns", || {
        let report = run()?;
        for (name, values) in
            [("rules_10", &mut ten), ("rules_1000", &mut thousand), ("rules_1000_few_match", &mut few)]
        {
            let rate = report[name]["events_per_second"].as_f64();
            values.push(rate.with_context(|| format!("the example tells nothing about {name}"))?);
        }
        Ok(())
    })?;
    Ok(vec![
        Line::new("patterns, 10 rules of which 8 match", "events/s", ten.clone()).wants(Target::AtLeast(TEN_RULES_MIN)),
        Line::new("patterns, 1,000 rules of which 10 match", "events/s", few)
            .beside("10 rules", &ten)
            .wants(Target::RatioAtLeast(RATIO_MIN)),
        Line::new("patterns, 1,000 rules of which 800 match", "events/s", thousand).beside("10 rules", &ten),
    ])
}

fn run() -> Result<Value> {
    let cargo = std::env::var_os("CARGO");
    let output = Command::new(cargo.as_deref().unwrap_or(OsStr::new("cargo")))
        .args(["run", "--quiet", "--release", "--package", "routing", "--example", "patterns_throughput"])
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be started")?;
    ensure!(output.status.success(), "the example failed");
    serde_json::from_slice(&output.stdout).context("the example does not print JSON")
}
