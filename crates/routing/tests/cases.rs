//! The 1,400 cases that Event Ruler answered, by every way in which a pattern can be asked.

use std::fs::File;
use std::io::BufReader;

use routing::{MatchScratch, Pattern, PatternSet, run_cases};
use serde_json::Value;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cases.jsonl");

struct Case {
    name: String,
    pattern: Pattern,
    event: String,
    matches: bool,
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(FIXTURE).unwrap();
    let case = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        Case {
            name: value["name"].as_str().unwrap().to_owned(),
            pattern: Pattern::parse(&value["rule"].to_string()).unwrap(),
            event: value["event"].to_string(),
            matches: value["expect"] == "match",
        }
    };
    text.lines().map(case).collect()
}

#[test]
fn every_case_is_right_alone() {
    let summary = run_cases(BufReader::new(File::open(FIXTURE).unwrap())).unwrap();
    assert_eq!(summary.failed, []);
    assert_eq!(summary.passed, 1400);
}

#[test]
fn explanations_agree() {
    for case in cases() {
        let explanation = case.pattern.explain(case.event.as_bytes()).unwrap();
        assert_eq!(explanation.is_match(), case.matches, "{}: {explanation}", case.name);
    }
}

#[test]
fn a_pattern_answers_the_same_in_company() {
    let cases = cases();
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
