//! Salesforce's upserts, from the pages that the recipe names.

use std::collections::HashSet;
use std::time::Instant;

use http::{Method, Response, header};
use serde_json::{Map, Value, json};

use super::books::{Books, Fault};
use crate::platform::{Asked, Body, decode, empty_answer, json_answer};

/// Key and fields.
type Written = (String, Map<String, Value>);

const RECORDS_MAX: usize = 200;
const COLLECTIONS_SINCE: f64 = 46.0;

/// Answers a request.
pub(super) fn answer(books: &mut Books, asked: &Asked, now: Instant) -> Response<Body> {
    if !books.accepts(asked, None, now) {
        books.note(401, 0, 0);
        return error(401, "INVALID_SESSION_ID", "Session expired or invalid", &[]);
    }
    match books.fault {
        Some(Fault::Unavailable) => return told(books, 503, "SERVER_UNAVAILABLE", "Server too busy"),
        Some(Fault::Broken) => return told(books, 500, "UNKNOWN_EXCEPTION", "An unexpected error occurred"),
        Some(Fault::DailyLimit) => return told(books, 403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
        _ => {}
    }
    if asked.method != Method::PATCH {
        return strange(books, 405, "METHOD_NOT_ALLOWED", format!("HTTP Method '{}' not allowed.", asked.method));
    }
    if asked.header(&header::CONTENT_TYPE) != Ok(Some("application/json")) {
        return strange(books, 415, "UNSUPPORTED_MEDIA_TYPE", "Content-Type is not JSON".to_owned());
    }
    let parts: Vec<&str> = asked.path.split('/').skip(1).collect();
    let (version, rest) = match parts.as_slice() {
        ["services", "data", version, rest @ ..] => {
            (version.strip_prefix('v').and_then(|v| v.parse::<f64>().ok()), rest)
        }
        _ => (None, &[][..]),
    };
    let Some(version) = version else {
        return strange(books, 404, "NOT_FOUND", format!("no such resource {}", asked.path));
    };
    let (object, key) = (books.options.object.clone(), books.options.key.join(","));
    match rest {
        ["sobjects", name, field, value] if *name == object && *field == key => {
            let value = decode(value).unwrap_or_default();
            single(books, asked, &value)
        }
        ["composite", "sobjects", name, field] if *name == object && *field == key && version >= COLLECTIONS_SINCE => {
            collection(books, asked)
        }
        _ => strange(books, 404, "NOT_FOUND", "The requested resource does not exist".to_owned()),
    }
}

fn single(books: &mut Books, asked: &Asked, value: &str) -> Response<Body> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(&asked.body) else {
        return strange(books, 400, "JSON_PARSER_ERROR", "the body is no object".to_owned());
    };
    if books.options.several.iter().any(|several| several == value) {
        books.note(300, 1, 0);
        return json_answer(300, &json!([format!("/services/data/v62.0/sobjects/X/{value}-1"), "…-2"]));
    }
    if let Some(field) = books.unknown_field(fields.keys()) {
        let text = format!("No such column '{field}' on sobject of type {}", books.options.object);
        return told(books, 400, "INVALID_FIELD", &text);
    }
    match Books::refusal(&fields) {
        Some(refusal) => {
            books.note(400, 1, 0);
            error(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "a rule forbids it", &[refusal.field])
        }
        None if books.fault == Some(Fault::Locked) => {
            told(books, 400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")
        }
        None => {
            let created = books.upsert(value, fields);
            books.note(if created { 201 } else { 204 }, 1, 1);
            let id = books.id();
            match created {
                true => json_answer(201, &json!({"id": id, "success": true, "errors": [], "created": true})),
                false => empty_answer(204),
            }
        }
    }
}

fn collection(books: &mut Books, asked: &Asked) -> Response<Body> {
    let records = match records(books, asked) {
        Ok(records) => records,
        Err(problem) => return strange(books, 400, "JSON_PARSER_ERROR", problem),
    };
    for (_, fields) in &records {
        if let Some(field) = books.unknown_field(fields.keys()) {
            let text = format!("No such column '{field}' on sobject of type {}", books.options.object);
            books.note(400, records.len(), 0);
            return error(400, "INVALID_FIELD", &text, &[]);
        }
    }
    let (count, mut seen, mut written) = (records.len(), HashSet::new(), 0);
    let mut results = Vec::with_capacity(count);
    for (key, fields) in records {
        let failed = |code: &str, message: String, fields: &[String]| json!({"success": false, "errors": [{"statusCode": code, "message": message, "fields": fields}]});
        results.push(if !seen.insert(key.trim().to_lowercase()) {
            books.malformed(format!("`{key}` is twice in a call"));
            failed("DUPLICATE_VALUE", format!("Duplicate external id specified: {key}"), &[])
        } else if books.options.several.contains(&key) {
            failed("DUPLICATE_EXTERNAL_ID", format!("more than one record found for external id {key}"), &[])
        } else if let Some(refusal) = Books::refusal(&fields) {
            failed("FIELD_CUSTOM_VALIDATION_EXCEPTION", "a rule forbids it".to_owned(), &[refusal.field])
        } else if books.fault == Some(Fault::Locked) {
            failed("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record".to_owned(), &[])
        } else {
            written += 1;
            let created = books.upsert(&key, fields);
            json!({"id": books.id(), "success": true, "errors": [], "created": created})
        });
    }
    books.note(200, count, written);
    json_answer(200, &Value::Array(results))
}

/// The records of a well-formed call, by their keys.
fn records(books: &Books, asked: &Asked) -> Result<Vec<Written>, String> {
    let body: Value = serde_json::from_slice(&asked.body).map_err(|error| error.to_string())?;
    let body = body.as_object().ok_or("the body is no object")?;
    if body.keys().any(|name| name != "allOrNone" && name != "records") {
        return Err("the body has unknown members".to_owned());
    }
    if body.get("allOrNone") != Some(&Value::Bool(false)) {
        return Err("allOrNone is not false".to_owned());
    }
    let records = body.get("records").and_then(Value::as_array).ok_or("there are no records")?;
    if records.is_empty() || records.len() > RECORDS_MAX {
        return Err(format!("there are {} records", records.len()));
    }
    let read = |record: &Value| {
        let mut fields = record.as_object().cloned().ok_or("a record is no object")?;
        let type_of = fields.remove("attributes").and_then(|attributes| attributes.get("type").cloned());
        if type_of != Some(Value::from(books.options.object.as_str())) {
            return Err(format!("a record is of type {type_of:?}"));
        }
        if fields.keys().any(|name| name.eq_ignore_ascii_case("id")) {
            return Err("a record has an id".to_owned());
        }
        match fields.remove(&books.options.key.join(",")) {
            Some(Value::String(key)) => Ok((key, fields)),
            Some(Value::Number(key)) => Ok((key.to_string(), fields)),
            other => Err(format!("the external id is {other:?}")),
        }
    };
    records.iter().map(read).collect()
}

/// What no client may send.
fn strange(books: &mut Books, status: u16, code: &str, message: String) -> Response<Body> {
    books.malformed(format!("{status} {code}: {message}"));
    told(books, status, code, &message)
}

fn told(books: &mut Books, status: u16, code: &str, message: &str) -> Response<Body> {
    books.note(status, 0, 0);
    error(status, code, message, &[])
}

fn error(status: u16, code: &str, message: &str, fields: &[String]) -> Response<Body> {
    json_answer(status, &json!([{"message": message, "errorCode": code, "fields": fields}]))
}
