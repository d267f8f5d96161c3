//! `aftercall match`: does a pattern match an event, and which field decides?

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use event::Outcome;
use routing::{Explanation, FieldReport, FoundReport, Pattern, run_cases};

use crate::cli::{MatchArgs, text_or_file};
use crate::config::On;
use crate::{output, single};

/// Answers for one pattern and event, or runs a file of cases.
pub(crate) fn run(args: &MatchArgs) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.cases {
        return cases(path);
    }
    let (Some(pattern), Some(event)) = (&args.pattern, &args.event) else {
        anyhow::bail!("--pattern and --event are both needed");
    };
    let pattern = String::from_utf8(text_or_file(pattern)?).context("the pattern is not UTF-8")?;
    let pattern = Pattern::parse(&pattern).context("the pattern cannot be used")?;
    let event = text_or_file(event)?;
    let explanation = match args.on {
        On::Event => pattern.explain(&event),
        On::Outcome => pattern.explain(Outcome::of(&single::event(event.into(), "match")?).to_json().as_bytes()),
    };
    let explanation = explanation.context("the event cannot be matched")?;
    if args.json {
        output::print_json(&json(&explanation))?;
    } else {
        output::print(&text(&explanation))?;
    }
    Ok(if explanation.is_match() { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

fn cases(path: &Path) -> anyhow::Result<ExitCode> {
    let file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
    let summary = run_cases(BufReader::new(file)).with_context(|| format!("reading {}", path.display()))?;
    let mut text = String::new();
    for case in &summary.failed {
        text.push_str(&format!(
            "{}:{}: {}: expected {}, got {}\n",
            path.display(),
            case.line,
            case.name,
            case.expected,
            case.got
        ));
    }
    text.push_str(&format!("{} passed, {} failed\n", summary.passed, summary.failed.len()));
    output::print(&text)?;
    Ok(if summary.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

fn text(explanation: &Explanation) -> String {
    let (verdict, fields) = verdict(explanation);
    let line = |field: &FieldReport| format!("  {}\n", in_short(field));
    format!("{verdict}\n{}", fields.iter().map(line).collect::<String>())
}

/// The fields that decide, in one line.
pub(crate) fn in_words(explanation: &Explanation) -> String {
    verdict(explanation).1.iter().map(in_short).collect::<Vec<_>>().join("; ")
}

fn in_short(field: &FieldReport) -> String {
    format!("{}: wants {}, found {}", field.path, field.wanted, found(&field.found))
}

fn json(explanation: &Explanation) -> serde_json::Value {
    let (_, fields) = verdict(explanation);
    let field = |field: &FieldReport| serde_json::json!({ "path": field.path, "wanted": field.wanted, "found": found(&field.found) });
    let fields: Vec<_> = fields.iter().map(field).collect();
    serde_json::json!({ "match": explanation.is_match(), "fields": fields })
}

fn verdict(explanation: &Explanation) -> (&'static str, &[FieldReport]) {
    match explanation {
        Explanation::Match { fields } => ("match", fields),
        Explanation::NoMatch { against } => ("no match", against),
    }
}

fn found(found: &FoundReport) -> String {
    match found {
        FoundReport::Absent => "nothing".to_owned(),
        FoundReport::Values(values) => values.join(", "),
        FoundReport::OtherElement(values) => format!("{} in another array element", values.join(", ")),
    }
}
