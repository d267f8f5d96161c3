//! `aftercall aws`: what is known to go wrong on AWS, found before it does; what a configuration needs there; and the table
//! of the queue.

mod plan;
mod table;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use cloudformation::{Report, Template, examine};
use serde_json::{Value, json};

use crate::output;

/// Arguments of `aws`.
#[derive(Debug, Args)]
pub(crate) struct AwsArgs {
    #[command(subcommand)]
    what: AwsCommand,
}

#[derive(Debug, Subcommand)]
enum AwsCommand {
    /// Find in templates of CloudFormation or SAM what is known to lose, double or delay events. Ends with 1 if anything
    /// is found
    Lint(LintArgs),
    /// Say what a configuration needs on AWS: parameters of the template, secrets, rights; and what does not run there. Ends
    /// with 1 if it has to be changed first
    Plan(plan::PlanArgs),
    /// Make the table of the queue (queue.kind = "aws"), or see whether it is as it must be
    Table(table::TableArgs),
}

#[derive(Debug, Args)]
struct LintArgs {
    /// A template, YAML or JSON; or a stack as `aws cloudformation get-template` prints it; `-` is standard input
    #[arg(required = true)]
    templates: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs one of its commands.
pub(crate) fn run(args: &AwsArgs) -> anyhow::Result<ExitCode> {
    match &args.what {
        AwsCommand::Lint(args) => lint(args),
        AwsCommand::Plan(args) => plan::run(args),
        AwsCommand::Table(args) => table::run(args),
    }
}

fn lint(args: &LintArgs) -> anyhow::Result<ExitCode> {
    let mut reports = Vec::with_capacity(args.templates.len());
    for path in &args.templates {
        let template = Template::parse(&read(path)?).with_context(|| path.display().to_string())?;
        reports.push((path.as_path(), template.resources(), examine(&template)));
    }
    if args.json {
        let all: Vec<Value> = reports
            .iter()
            .map(|(path, _, report)| json!({"template": path.display().to_string(), "report": report}))
            .collect();
        output::print_json(&all)?;
    } else {
        let text: String = reports.iter().map(|(path, resources, report)| show(path, *resources, report)).collect();
        output::print(&text)?;
    }
    let is_clean = reports.iter().all(|(_, _, report)| report.findings.is_empty());
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

/// Reads no more than it takes to see that it is no template.
fn read(path: &Path) -> anyhow::Result<String> {
    let most = Template::TEXT_MAX as u64 + 1;
    let mut text = String::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().take(most).read_to_string(&mut text),
        false => File::open(path).and_then(|file| file.take(most).read_to_string(&mut text)),
    };
    read.with_context(|| format!("reading {}", path.display()))?;
    Ok(text)
}

fn show(path: &Path, resources: usize, report: &Report) -> String {
    let path = path.display();
    let mut text = String::new();
    for finding in &report.findings {
        text.push_str(&format!(
            "{path}:{}: {}: {}\n    {}\n    cure: {}\n",
            finding.line,
            finding.resource,
            finding.trap.name(),
            finding.what,
            finding.cure
        ));
    }
    for waived in &report.waived {
        let (finding, reason) = (&waived.finding, &waived.reason);
        text.push_str(&format!(
            "{path}:{}: {}: {} is waived: {reason}\n",
            finding.line,
            finding.resource,
            finding.trap.name()
        ));
    }
    for one in &report.unjudged {
        text.push_str(&format!("{path}: {}: {} cannot be judged: {}\n", one.resource, one.trap.name(), one.why));
    }
    text.push_str(&format!(
        "{path}: {}, {} waived, {} that cannot be judged, in {}\n",
        output::count(report.findings.len(), "trap"),
        report.waived.len(),
        report.unjudged.len(),
        output::count(resources, "resource")
    ));
    text
}
