//! Setting one value in a JSON text, which stays byte for byte as it is everywhere else.

use std::ops::Range;

use anyhow::{bail, ensure};
use event::json::{Kind, Lookup, Pointer, Raw};

/// The text with this value at the pointer: in place of what is there, or as a new member or, with `-`, a new element.
pub(super) fn set(body: &[u8], pointer: &Pointer, value: &str) -> anyhow::Result<Vec<u8>> {
    let text = pointer.to_string();
    let (parent, name) = text.rsplit_once('/').unwrap_or(("", ""));
    let pointers = [pointer.clone(), parent.parse()?];
    let lookup = Lookup::new(&pointers);
    let found = lookup.find(body)?;
    if let Some(old) = found.get(0) {
        return Ok(replaced(body, place(body, old), value));
    }
    let Some(parent_value) = found.get(1) else {
        bail!("there is no `{parent}` in the event, so nothing can be set in it; set all of it: '{parent}={{...}}'");
    };
    let inner = match parent_value.kind() {
        Kind::Object => format!("{}:{value}", serde_json::to_string(&name.replace("~1", "/").replace("~0", "~"))?),
        Kind::Array if name == "-" => value.to_owned(),
        Kind::Array => bail!("the array `{parent}` has no element {name}; `{parent}/-` appends one"),
        other => bail!("`{parent}` is {other}, so it can hold no `{name}`; set all of it: '{parent}={{...}}'"),
    };
    let whole = place(body, parent_value);
    let end = whole.end - 1;
    let before = body[whole.start + 1..end].trim_ascii_end();
    ensure!(end > whole.start, "`{parent}` cannot be extended");
    let at = whole.start + 1 + before.len();
    let comma = if before.trim_ascii_start().is_empty() { "" } else { "," };
    Ok(replaced(body, at..at, &format!("{comma}{inner}")))
}

/// Where a value stands in the body that it was found in.
fn place(body: &[u8], value: Raw<'_>) -> Range<usize> {
    let start = value.as_str().as_ptr() as usize - body.as_ptr() as usize;
    start..start + value.as_str().len()
}

fn replaced(body: &[u8], place: Range<usize>, value: &str) -> Vec<u8> {
    [&body[..place.start], value.as_bytes(), &body[place.end..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_is_set_and_everything_else_stays_as_it_was() {
        let cases = [
            (r#"{"a": 1.50, "b" : "x"}"#, "/b", r#""y""#, r#"{"a": 1.50, "b" : "y"}"#),
            (r#"{"a": {"b": [1, 2]}}"#, "/a/b/0", "7", r#"{"a": {"b": [7, 2]}}"#),
            (r#"{"a": {"b": [1, 2] } }"#, "/a/b/-", "3", r#"{"a": {"b": [1, 2,3] } }"#),
            (r#"{"a": []}"#, "/a/-", "3", r#"{"a": [3]}"#),
            ("{ }", "/n~1m", "null", r#"{"n/m":null }"#),
            (r#"{"a":{}, "z":0}"#, "/a/b", "{}", r#"{"a":{"b":{}}, "z":0}"#),
            ("\u{feff}{\"a\":1}", "/b", "2", "\u{feff}{\"a\":1,\"b\":2}"),
            (r#"{"a":1}"#, "", "{}", "{}"),
        ];
        for (body, pointer, value, expected) in cases {
            let set = set(body.as_bytes(), &pointer.parse().unwrap(), value).unwrap();
            assert_eq!(String::from_utf8(set).unwrap(), expected, "{body} {pointer}");
        }
    }

    #[test]
    fn what_cannot_be_set_says_why() {
        for (body, pointer, expected) in [
            (r#"{"a":1}"#, "/b/c", "there is no `/b`"),
            (r#"{"a":1}"#, "/a/c", "`/a` is a number"),
            (r#"{"a":[1]}"#, "/a/5", "`/a/-` appends"),
            ("{", "/a", "not valid JSON"),
        ] {
            let error = set(body.as_bytes(), &pointer.parse().unwrap(), "1").unwrap_err().to_string();
            assert!(error.contains(expected), "{body} {pointer}: {error}");
        }
    }
}
