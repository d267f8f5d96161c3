//! Cases that Event Ruler 2.0.1 answered, by every way in which a pattern can be asked: `cases.jsonl` with Genesys-like
//! fields, and `corners.jsonl` with odd names, numbers, addresses, letters and refused patterns.

use std::error::Error;
use std::fs::File;
use std::io::BufReader;

use routing::{MatchScratch, Pattern, PatternSet, run_cases};
use serde::Deserialize;
use serde_json::value::RawValue;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cases.jsonl");
const CORNERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/corners.jsonl");

struct Case {
    name: String,
    pattern: Pattern,
    event: String,
    matches: bool,
}

#[derive(Deserialize)]
struct Line {
    name: String,
    rule: Box<RawValue>,
    event: Box<RawValue>,
    expect: String,
}

/// All cases whose pattern is not to be refused.
fn cases() -> Result<Vec<Case>, Box<dyn Error>> {
    let mut cases = Vec::new();
    for file in [CASES, CORNERS] {
        for line in std::fs::read_to_string(file)?.lines() {
            let line: Line = serde_json::from_str(line)?;
            if line.expect != "invalid" {
                cases.push(Case {
                    name: line.name,
                    pattern: Pattern::parse(line.rule.get())?,
                    event: line.event.get().to_owned(),
                    matches: line.expect == "match",
                });
            }
        }
    }
    Ok(cases)
}

#[test]
fn every_case_is_right_alone() {
    for (file, count) in [(CASES, 1_400), (CORNERS, 700)] {
        let summary = run_cases(BufReader::new(File::open(file).unwrap())).unwrap();
        assert_eq!(summary.failed, []);
        assert_eq!(summary.passed, count);
    }
}

#[test]
fn explanations_agree() {
    for case in cases().unwrap() {
        let explanation = case.pattern.explain(case.event.as_bytes()).unwrap();
        assert_eq!(explanation.is_match(), case.matches, "{}: {explanation}", case.name);
    }
}

#[test]
fn a_pattern_answers_the_same_in_company() {
    let cases = cases().unwrap();
    let mut scratch = MatchScratch::default();
    for company in cases.chunks(100) {
        let set = PatternSet::new(company.iter().map(|case| case.pattern.clone()).collect());
        let alone: Vec<PatternSet> = company.iter().map(|case| PatternSet::new(vec![case.pattern.clone()])).collect();
        for case in company {
            let together: Vec<bool> = {
                let matches = set.matches(case.event.as_bytes(), &mut scratch).unwrap();
                (0..company.len()).map(|index| matches.contains(index)).collect()
            };
            for (other, (set, together)) in company.iter().zip(alone.iter().zip(together)) {
                let alone = !set.matches(case.event.as_bytes(), &mut scratch).unwrap().is_empty();
                assert_eq!(together, alone, "pattern of {} on the event of {}", other.name, case.name);
            }
        }
    }
}
