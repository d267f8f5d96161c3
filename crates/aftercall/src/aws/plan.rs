//! `aftercall aws plan`: what a configuration needs of AWS, and what of it does not run there. Asks nobody and needs no
//! account; what the template makes is described in `docs/aws.md`.

mod needs;
mod obstacles;
mod rights;
mod secrets;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use self::needs::{Place, Plan};
use self::obstacles::Effect;
use crate::{config, output};

/// Arguments of `aws plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// The configuration
    #[arg(long)]
    config: PathBuf,
    /// What the stack is called; what the template makes is named after it
    #[arg(long, default_value = "aftercall")]
    stack: String,
    /// The region that it is deployed to
    #[arg(long, default_value = "REGION")]
    region: String,
    /// The account that it is deployed to
    #[arg(long, default_value = "ACCOUNT")]
    account: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Ends with 1 if the configuration has to be changed first.
pub(super) fn run(args: &PlanArgs) -> anyhow::Result<ExitCode> {
    let name = args.config.display().to_string();
    let text = config::read_text(&args.config)?;
    config::parse(&name, &text)?;
    let table: toml::Table = text.parse().with_context(|| name)?;
    let place = Place { stack: args.stack.clone(), region: args.region.clone(), account: args.account.clone() };
    let plan = needs::plan(&table, text.len(), &place);
    if args.json {
        output::print_json(&plan)?;
    } else {
        output::print(&show(&plan, &place))?;
    }
    let refused = plan.obstacles.iter().any(|obstacle| obstacle.effect == Effect::Refused);
    Ok(if refused { ExitCode::from(output::NO) } else { ExitCode::SUCCESS })
}

fn show(plan: &Plan, place: &Place) -> String {
    let mut text = format!("Stack `{}` of deploy/aws/template.yaml\n", place.stack);
    let mut section = |title: &str, rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            let _ = write!(text, "\n{title}\n{}\n", lines(&rows));
        }
    };
    let parameters = plan.parameters.iter();
    section("Parameters", parameters.map(|one| vec![one.name.into(), one.value.clone(), one.why.clone()]).collect());
    section(
        "Sources",
        plan.sources.iter().map(|one| vec![one.name.clone(), one.kind.clone(), one.way.clone()]).collect(),
    );
    let destinations = plan.destinations.iter();
    section(
        "Destinations",
        destinations.map(|one| vec![one.name.clone(), one.kind.clone(), one.way.clone()]).collect(),
    );
    section("Queues", plan.queues.iter().map(|one| vec![one.name.clone(), one.what.into()]).collect());
    let secrets = plan.secrets.iter();
    section("Secrets", secrets.map(|one| vec![one.name.clone(), one.read_by.into(), one.at.join(", ")]).collect());
    let environment = plan.environment.iter();
    section(
        "Environment of the functions",
        environment.map(|(name, value)| vec![name.clone(), value.clone()]).collect(),
    );
    if let Some(policy) = &plan.policy {
        let _ = write!(text, "\nThe policy for DeliverPolicyArn\n{policy:#}\n");
    }
    for (effect, title) in [
        (Effect::Refused, "To change before functions can work with it"),
        (Effect::Server, "Not done by functions, but by a server on the same table (docs/aws.md)"),
        (Effect::Ignored, "Without effect on functions"),
    ] {
        let of_it: Vec<_> = plan.obstacles.iter().filter(|obstacle| obstacle.effect == effect).collect();
        if !of_it.is_empty() {
            let _ = write!(text, "\n{title}\n");
        }
        for obstacle in of_it {
            let _ = writeln!(text, "  {}: {}\n    cure: {}", obstacle.at, obstacle.what, obstacle.cure);
        }
    }
    text
}

/// Rows with their columns below each other.
fn lines(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        format!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
