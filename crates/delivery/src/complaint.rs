//! Which field a destination complains about, if its answer says so in one of the usual ways.
//!
//! | answer | who writes it so |
//! |---|---|
//! | `{"errors":[{"pointer":"#/name"}]}` | problem details (RFC 9457) |
//! | `{"errors":[{"source":{"pointer":"/data/name"}}]}` | JSON:API |
//! | `[{"fields":["Email"]}]` | Salesforce |
//! | `{"detail":[{"loc":["body","name"]}]}` | FastAPI |
//! | `{"errors":[{"instancePath":"/name"}]}`, `path`, `field`, `property` | validators of JSON Schema, and many others |

use serde_json::Value;

/// Names under which answers have a place, the surest first.
const NAMES: [&str; 11] = [
    "pointer",
    "instancePath",
    "dataPath",
    "loc",
    "fields",
    "field",
    "property",
    "propertyPath",
    "attribute",
    "param",
    "path",
];
/// How deep an answer is searched.
const DEPTH_MAX: usize = 5;
/// Bytes of a place.
const PLACE_MAX: usize = 200;

/// The place in what was sent, as a JSON pointer.
pub(crate) fn place(excerpt: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(excerpt).ok()?;
    NAMES.iter().find_map(|name| find(&answer, name, 0))
}

fn find(value: &Value, name: &str, depth: usize) -> Option<String> {
    if depth > DEPTH_MAX {
        return None;
    }
    match value {
        Value::Object(members) => {
            // At the top, `path` is usually that of the request.
            let here = members.get(name).filter(|_| name != "path" || depth > 0).and_then(pointer);
            here.or_else(|| members.values().find_map(|value| find(value, name, depth + 1)))
        }
        Value::Array(elements) => elements.iter().find_map(|value| find(value, name, depth + 1)),
        _ => None,
    }
}

fn pointer(place: &Value) -> Option<String> {
    match place {
        Value::String(text) => pointer_of_text(text),
        Value::Array(names) => match names.as_slice() {
            [Value::String(first), rest @ ..] if first == "body" && !rest.is_empty() => joined(rest),
            // Several fields of equal rank.
            [Value::String(first), ..] if first.contains(['.', '/']) => pointer_of_text(first),
            names => joined(names),
        },
        _ => None,
    }
}

fn joined(names: &[Value]) -> Option<String> {
    let name = |name: &Value| match name {
        Value::String(name) => Some(format!("/{}", name.replace('~', "~0").replace('/', "~1"))),
        Value::Number(number) => Some(format!("/{number}")),
        _ => None,
    };
    checked(names.iter().map(name).collect::<Option<String>>()?)
}

/// A pointer, or names with dots and brackets between them: `items[0].id`.
fn pointer_of_text(text: &str) -> Option<String> {
    let text = text.strip_prefix('#').unwrap_or(text);
    if text.starts_with('/') {
        return checked(text.to_owned());
    }
    let names = text.strip_prefix("$.").unwrap_or(text).split(['.', '[', ']']).filter(|name| !name.is_empty());
    checked(names.map(|name| format!("/{name}")).collect())
}

fn checked(pointer: String) -> Option<String> {
    let is_one = (2..=PLACE_MAX).contains(&pointer.len()) && !pointer.contains(|c: char| c.is_control() || c == ' ');
    is_one.then_some(pointer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_ways_to_name_a_field_are_understood() {
        let cases = [
            (r##"{"type":"/problems/x","errors":[{"detail":"wrong","pointer":"#/data/name"}]}"##, Some("/data/name")),
            (r#"{"errors":[{"source":{"pointer":"/data/attributes/email"}}]}"#, Some("/data/attributes/email")),
            (r#"[{"message":"wrong","errorCode":"X","fields":["Email"]}]"#, Some("/Email")),
            (r#"{"detail":[{"loc":["body","items",0,"id"],"msg":"required"}]}"#, Some("/items/0/id")),
            (r#"{"errors":[{"instancePath":"/agent/id","keyword":"type"}]}"#, Some("/agent/id")),
            (r#"{"error":{"field":"items[2].price"}}"#, Some("/items/2/price")),
            (r#"{"errors":[{"path":["a","b/c"]}]}"#, Some("/a/b~1c")),
            (r#"{"timestamp":"now","status":400,"path":"/api/contacts"}"#, None),
            (r#"{"field":"the name of the customer"}"#, None),
            (r#"{"errors":[{"pointer":""}]}"#, None),
            (r#"{"message":"no"}"#, None),
            ("{\"errors\":[{\"pointer\":\"/cut", None),
            ("Bad Request", None),
        ];
        for (answer, expected) in cases {
            assert_eq!(place(answer).as_deref(), expected, "{answer}");
        }
        let deep = format!("{}{{\"field\":\"x\"}}{}", "[".repeat(20), "]".repeat(20));
        assert_eq!(place(&deep), None);
    }
}
