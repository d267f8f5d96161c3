//! Running cases of known answer: lines of `{"name", "rule", "event", "expect"}`.

use std::io::{self, BufRead};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{MatchScratch, Pattern, PatternSet};

/// How a file of cases went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// How many cases were answered as expected.
    pub passed: usize,
    /// The others, in the order of the lines.
    pub failed: Vec<FailedCase>,
}

/// A case that was not answered as expected, or could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCase {
    /// Its line, counted from 1.
    pub line: usize,
    /// Its name; empty if the line cannot be read.
    pub name: String,
    /// The answer that it expects; empty if the line cannot be read.
    pub expected: String,
    /// The answer that came instead: `match`, `no`, or what is wrong.
    pub got: String,
}

#[derive(Deserialize)]
struct Case<'a> {
    #[serde(default)]
    name: String,
    #[serde(borrow)]
    rule: &'a RawValue,
    #[serde(borrow)]
    event: &'a RawValue,
    expect: String,
}

/// Runs every line; empty lines are passed over. `expect` is `match`, `no`, or `invalid` for a pattern that must be
/// refused.
///
/// # Errors
/// Only if the reader fails; whatever is wrong with a line makes it a failed case.
pub fn run_cases(reader: impl BufRead) -> io::Result<Summary> {
    let mut summary = Summary::default();
    let mut scratch = MatchScratch::default();
    for (line, bytes) in (1..).zip(reader.split(b'\n')) {
        let bytes = bytes?;
        let bytes = if line == 1 { crate::json::without_bom(&bytes) } else { &bytes };
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let failed = match serde_json::from_slice::<Case<'_>>(bytes) {
            Err(error) => {
                let got = format!("this line is not a case: {error}");
                Some(FailedCase { line, name: String::new(), expected: String::new(), got })
            }
            Ok(case) => {
                let got = answer(&case, &mut scratch);
                // Anything but the bare words is followed by a reason.
                let passed = got.split(':').next() == Some(case.expect.as_str());
                (!passed).then_some(FailedCase { line, name: case.name, expected: case.expect, got })
            }
        };
        match failed {
            None => summary.passed += 1,
            Some(failed) => summary.failed.push(failed),
        }
    }
    Ok(summary)
}

fn answer(case: &Case<'_>, scratch: &mut MatchScratch) -> String {
    let pattern = match Pattern::parse(case.rule.get()) {
        Ok(pattern) => pattern,
        Err(error) => return format!("invalid: {error}"),
    };
    match PatternSet::new(vec![pattern]).matches(case.event.get().as_bytes(), scratch) {
        Ok(matches) => if matches.is_empty() { "no" } else { "match" }.to_owned(),
        Err(error) => format!("error: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_judged_on_its_own() {
        let text = concat!(
            "\u{FEFF}{\"name\": \"a\", \"rule\": {\"x\": [1]}, \"event\": {\"x\": 1.0}, \"expect\": \"match\"}\r\n",
            "\n",
            "{\"name\": \"b\", \"rule\": {\"x\": [1]}, \"event\": {\"x\": 2}, \"expect\": \"match\"}\n",
            "not a case\n",
            "{\"name\": \"c\", \"rule\": {\"x\": 1}, \"event\": {}, \"expect\": \"no\"}\n",
            "{\"name\": \"d\", \"rule\": {\"x\": 1}, \"event\": {}, \"expect\": \"invalid\"}\n",
            "{\"name\": \"e\", \"rule\": {\"x\": [1]}, \"event\": [], \"expect\": \"no\"}",
        );
        let summary = run_cases(text.as_bytes()).unwrap();
        assert_eq!(summary.passed, 2);
        let failed: Vec<(usize, &str, &str)> =
            summary.failed.iter().map(|case| (case.line, case.name.as_str(), case.got.as_str())).collect();
        assert_eq!(failed[0], (3, "b", "no"));
        assert!(failed[1].0 == 4 && failed[1].2.starts_with("this line is not a case"));
        assert!(failed[2].0 == 5 && failed[2].2.starts_with("invalid: x: needs an array"));
        assert_eq!(failed[3], (7, "e", "error: an event must be a JSON object"));
    }
}
