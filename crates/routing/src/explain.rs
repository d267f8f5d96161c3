//! Why an event matches a pattern, or which field stands against it.

use std::fmt;

use crate::consistency::{Answer, Search};
use crate::extract::{ExtractScratch, Extraction, MatchError, NONE};
use crate::limits::{MAX_EXPLAINED_CHARS, MAX_EXPLAINED_VALUES};
use crate::path_tree::PathTree;
use crate::pattern::{Field, Pattern, Value};

/// Whether an event matches a pattern, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Explanation {
    /// It matches: the fields of the first way through the pattern's `$or`s that is satisfied, in the order written.
    Match {
        /// Each field and the values that it was satisfied by.
        fields: Vec<FieldReport>,
    },
    /// It does not match: for each way through the pattern's `$or`s the field that stands against it. There is exactly
    /// one way if the pattern has no `$or`.
    NoMatch {
        /// The first field of each way that is not satisfied, without repetitions.
        against: Vec<FieldReport>,
    },
}

/// What a pattern wants of a field, and what the event has there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldReport {
    /// The field's member names joined by dots.
    pub path: String,
    /// What the pattern accepts, in words.
    pub wanted: String,
    /// What is there.
    pub found: FoundReport,
}

/// What an event has at a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundReport {
    /// Nothing: no such member, or an empty array or an object.
    Absent,
    /// These values, as JSON, the first few of them and shortened.
    Values(Vec<String>),
    /// Values that would do, but none of them in the same array element as what the other fields need.
    OtherElement(Vec<String>),
}

impl Explanation {
    /// Whether the event matches.
    pub fn is_match(&self) -> bool {
        matches!(self, Self::Match { .. })
    }
}

impl Pattern {
    /// Says whether the event matches and which fields decide. Much slower than [`crate::PatternSet::matches`], with
    /// which it always agrees.
    ///
    /// # Errors
    /// If the event is not a JSON object, or exceeds a limit; see [`MatchError`].
    pub fn explain(&self, event: &[u8]) -> Result<Explanation, MatchError> {
        let (tree, numbers) = PathTree::new(self.fields.iter().map(|field| field.path.as_str()));
        let mut scratch = ExtractScratch::default();
        let extraction = Extraction::read(&tree, event, &mut scratch)?;
        let search = Search::new(&extraction);
        let number = |field: &Field| numbers.get(field.path.as_str()).copied().unwrap_or(NONE);
        let mut against: Vec<FieldReport> = Vec::new();
        for combination in &self.combinations {
            let ordered = || combination.iter().map(|field| &self.fields[*field]);
            let mut written = combination.clone();
            written.sort_unstable();
            let mut written = written.into_iter().map(|field| &self.fields[field]);
            let report = |field: &Field, elsewhere: bool| report(&extraction, &search, number(field), field, elsewhere);
            let unsatisfied = written.find(|field| !is_satisfiable(&extraction, &search, number(field), field));
            let decisive = match unsatisfied {
                Some(field) => report(field, false),
                None => match search.run(ordered().map(|field| (number(field), field)))? {
                    Answer::Satisfied => {
                        let mut fields = combination.clone();
                        fields.sort_unstable();
                        let fields = fields.into_iter().map(|field| report(&self.fields[field], false)).collect();
                        return Ok(Explanation::Match { fields });
                    }
                    Answer::Stuck(index) => match ordered().nth(index) {
                        Some(field) => report(field, true),
                        None => continue,
                    },
                },
            };
            if !against.contains(&decisive) {
                against.push(decisive);
            }
        }
        Ok(Explanation::NoMatch { against })
    }
}

/// Whether the field on its own could be satisfied, by whatever choice of array elements.
fn is_satisfiable(extraction: &Extraction<'_>, search: &Search<'_>, path: u32, field: &Field) -> bool {
    let values = search.values(path);
    let may_be_absent = field.allows_absence() && (values.is_empty() || search.has_elements(path));
    may_be_absent || values.iter().any(|found| field.accepts(extraction.value(found)))
}

fn report(extraction: &Extraction<'_>, search: &Search<'_>, path: u32, field: &Field, elsewhere: bool) -> FieldReport {
    let values: Vec<String> =
        search.values(path).iter().take(MAX_EXPLAINED_VALUES).map(|found| show(extraction.value(found))).collect();
    let found = match (values.is_empty(), elsewhere) {
        (true, _) => FoundReport::Absent,
        (false, true) => FoundReport::OtherElement(values),
        (false, false) => FoundReport::Values(values),
    };
    FieldReport { path: field.path.clone(), wanted: field.to_string(), found }
}

fn show(value: Value<'_>) -> String {
    let text = match value {
        Value::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
        Value::Number(literal) => String::from_utf8_lossy(literal).into_owned(),
        Value::True => "true".to_owned(),
        Value::False => "false".to_owned(),
        Value::Null => "null".to_owned(),
    };
    match text.char_indices().nth(MAX_EXPLAINED_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, fields) = match self {
            Self::Match { fields } => ("match", fields),
            Self::NoMatch { against } => ("no match", against),
        };
        f.write_str(verdict)?;
        for field in fields {
            write!(f, "\n  {field}")?;
        }
        Ok(())
    }
}

impl fmt::Display for FieldReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: wanted {}, found ", self.path, self.wanted)?;
        match &self.found {
            FoundReport::Absent => f.write_str("nothing"),
            FoundReport::Values(values) => f.write_str(&values.join(", ")),
            FoundReport::OtherElement(values) => {
                write!(f, "{}, but not in the array element that the other fields need", values.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(pattern: &str, event: &str) -> String {
        Pattern::parse(pattern).unwrap().explain(event.as_bytes()).unwrap().to_string()
    }

    #[test]
    fn the_field_that_decides_is_named() {
        let pattern = r#"{"detail": {"mediaType": ["VOICE", {"prefix": "CH"}], "score": [{"numeric": [">", 3]}]}}"#;
        assert_eq!(
            explain(pattern, r#"{"detail": {"mediaType": "EMAIL", "score": 5}}"#),
            "no match\n  detail.mediaType: wanted \"VOICE\" or a text that begins with \"CH\", found \"EMAIL\""
        );
        assert_eq!(
            explain(pattern, r#"{"detail": {"mediaType": "CHAT"}}"#),
            "no match\n  detail.score: wanted a number > 3, found nothing"
        );
        assert_eq!(
            explain(pattern, r#"{"detail": {"mediaType": "CHAT", "score": 3.50}}"#),
            "match\n  detail.mediaType: wanted \"VOICE\" or a text that begins with \"CH\", found \"CHAT\"\n  \
             detail.score: wanted a number > 3, found 3.50"
        );
    }

    #[test]
    fn every_branch_of_an_or_has_its_reason() {
        let pattern = r#"{"$or": [{"a": [1]}, {"b": [{"exists": false}]}]}"#;
        assert_eq!(
            explain(pattern, r#"{"a": 2, "b": [null, true]}"#),
            "no match\n  a: wanted 1, found 2\n  b: wanted no value, found null, true"
        );
    }

    #[test]
    fn values_in_different_elements_are_told_apart_from_wrong_values() {
        let pattern = r#"{"legs": {"kind": ["agent"], "wrapup": ["sale"]}}"#;
        let event = r#"{"legs": [{"kind": "agent", "wrapup": "none"}, {"kind": "customer", "wrapup": "sale"}]}"#;
        assert_eq!(
            explain(pattern, event),
            "no match\n  legs.wrapup: wanted \"sale\", found \"none\", \"sale\", but not in the array element that the \
             other fields need"
        );
    }

    #[test]
    fn long_values_are_shortened() {
        let event = format!(r#"{{"a": "{}"}}"#, "é".repeat(5000));
        assert!(explain(r#"{"a": ["x"]}"#, &event).chars().count() < 200);
    }
}
