//! What an edited copy changes, value by value.

use serde_json::Value;

use super::text;

/// Values that are told at most.
const SHOWN_MAX: usize = 50;
/// Bytes of a value.
const VALUE_MAX: usize = 120;

/// Each value that is not the same, as `pointer: before → after`. Whole texts that are not JSON are not taken apart.
pub(super) fn changes(before: &str, after: &str) -> Vec<String> {
    let (Ok(before_value), Ok(after_value)) = (serde_json::from_str(before), serde_json::from_str(after)) else {
        return vec![format!("the original is no JSON ({} bytes); the copy has {} bytes", before.len(), after.len())];
    };
    let mut changes = Vec::new();
    compare("", Some(&before_value), Some(&after_value), &mut changes);
    let more = changes.len().saturating_sub(SHOWN_MAX);
    changes.truncate(SHOWN_MAX);
    if more > 0 {
        changes.push(format!("and {more} more"));
    } else if changes.is_empty() && before != after {
        changes.push("only blanks, or the way in which values are written".to_owned());
    }
    changes
}

fn compare(at: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<String>) {
    let below = |name: &str| format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            for (name, value) in before {
                compare(&below(name), Some(value), after.get(name), changes);
            }
            for (name, value) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
                compare(&below(name), None, Some(value), changes);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for place in 0..before.len().max(after.len()) {
                compare(&below(&place.to_string()), before.get(place), after.get(place), changes);
            }
        }
        (before, after) if before == after => {}
        (before, after) => {
            let place = if at.is_empty() { "(all)" } else { at };
            changes.push(format!("{place}: {} → {}", shown(before), shown(after)));
        }
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "(nothing)".to_owned(), |value| event::shortened(&text(&value.to_string().into()), VALUE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_that_differs_is_told_with_its_place() {
        let cases: [(&str, &str, &[&str]); 6] = [
            (r#"{"a":1,"b":{"c":[1,2]}}"#, r#"{"a":1,"b":{"c":[1,3,4]}}"#, &["/b/c/1: 2 → 3", "/b/c/2: (nothing) → 4"]),
            (r#"{"a":1,"x/y":null}"#, r#"{"x/y":"z"}"#, &["/a: 1 → (nothing)", "/x~1y: null → \"z\""]),
            (r#"{"a":{"b":1}}"#, r#"{"a":"b"}"#, &["/a: {\"b\":1} → \"b\""]),
            (r#"{"a":1}"#, r#"{"a": 1}"#, &["only blanks, or the way in which values are written"]),
            ("{}", "{}", &[]),
            ("{", "{}", &["the original is no JSON (1 bytes); the copy has 2 bytes"]),
        ];
        for (before, after, expected) in cases {
            assert_eq!(changes(before, after), expected, "{before} {after}");
        }
        let many = format!("[{}]", vec!["1"; 200].join(","));
        assert_eq!(changes("[]", &many).last().map(String::as_str), Some("and 150 more"));
    }
}
