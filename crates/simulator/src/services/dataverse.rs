//! Dataverse's upserts by an alternate key, from the pages that the recipe names.

use std::time::Instant;

use http::{Method, Response, header};
use serde_json::{Value, json};

use super::books::{Books, Fault};
use crate::platform::{Asked, Body, decode, empty_answer, json_answer, set};

/// Characters by which no record is found.
const NOT_IN_KEYS: [char; 10] = ['/', '<', '>', '*', '%', '&', ':', '\\', '?', '+'];

/// Answers a request.
pub(super) fn answer(books: &mut Books, asked: &Asked, now: Instant) -> Response<Body> {
    if !books.accepts(asked, None, now) {
        books.note(401, 0, 0);
        return empty_answer(401);
    }
    match books.fault {
        Some(Fault::Unavailable) => return told(books, 503, "0x80044150", "come again"),
        Some(Fault::Broken) => return told(books, 500, "0x80040216", "An unexpected error occurred."),
        Some(Fault::DailyLimit) => {
            let mut answer = told(books, 429, "0x80072322", "Number of requests exceeded the limit of 6000");
            set(&mut answer, "retry-after", "1");
            return answer;
        }
        Some(Fault::Locked) => {
            return told(books, 412, "0x80040237", "A record with matching key values already exists.");
        }
        _ => {}
    }
    let prefix = format!("/api/data/v9.2/{}(", books.options.object);
    let key = asked.path.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(')'));
    let (Some(key), true) = (key, asked.method == Method::PATCH) else {
        return strange(books, 404, "0x80060888", format!("Resource not found for {} {}", asked.method, asked.path));
    };
    if asked.header(&header::CONTENT_TYPE) != Ok(Some("application/json")) || asked.headers.contains_key("if-match") {
        return strange(books, 400, "0x0", "it is no JSON, or no upsert".to_owned());
    }
    let key = match key_of(books, key) {
        Ok(key) => key,
        Err(problem) => return strange(books, 400, "0x80060888", problem),
    };
    let Ok(Value::Object(fields)) = serde_json::from_slice(&asked.body) else {
        return strange(books, 400, "0x80048d19", "the body is no object".to_owned());
    };
    if let Some(field) = books.unknown_field(fields.keys()) {
        let text = format!("Error identified in Payload: undeclared property '{field}'");
        return told(books, 400, "0x80048d19", &text);
    }
    if Books::refusal(&fields).is_some() {
        return told(books, 400, "0x80040265", "a business rule forbids it");
    }
    books.upsert(&key, fields);
    books.note(204, 1, 1);
    empty_answer(204)
}

/// The values of the key: `a='x',b=1`, the columns in any order.
fn key_of(books: &Books, text: &str) -> Result<String, String> {
    let mut values = Vec::new();
    // A comma in a value is encoded.
    for pair in text.split(',') {
        let (name, value) = pair.split_once('=').ok_or("a key has no value")?;
        let value = decode(&value.replace('+', "%2B"))?;
        let value = match value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')) {
            Some(quoted) if quoted.replace("''", "").contains('\'') => return Err("a quote is not doubled".to_owned()),
            Some(quoted) => quoted.replace("''", "'"),
            None if value.parse::<i64>().is_ok() => value,
            None => return Err(format!("`{value}` is neither quoted nor a number")),
        };
        if value.contains(NOT_IN_KEYS) {
            return Err(format!("no record is found by `{value}`"));
        }
        values.push((name.to_owned(), value));
    }
    let names: Vec<_> = values.iter().map(|(name, _)| name.clone()).collect();
    match names == books.options.key {
        true => Ok(values.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join("|")),
        false => Err(format!("there is no alternate key of {names:?}")),
    }
}

/// What no client may send.
fn strange(books: &mut Books, status: u16, code: &str, problem: String) -> Response<Body> {
    books.malformed(format!("{status} {code}: {problem}"));
    told(books, status, code, &problem)
}

fn told(books: &mut Books, status: u16, code: &str, message: &str) -> Response<Body> {
    books.note(status, 1, 0);
    json_answer(status, &json!({"error": {"code": code, "message": message}}))
}
