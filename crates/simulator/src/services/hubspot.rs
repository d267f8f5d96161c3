//! HubSpot's batch upserts, from the pages that the recipe names.

use std::collections::HashSet;
use std::time::Instant;

use http::{Method, Response, header};
use serde_json::{Map, Value, json};

use super::PRIVATE_APP_TOKEN;
use super::books::{Books, Fault};
use crate::platform::{Asked, Body, json_answer, set};

const INPUTS_MAX: usize = 100;

/// One input: key, trace, properties.
type Input = (String, Option<String>, Map<String, Value>);

/// Answers a request.
pub(super) fn answer(books: &mut Books, asked: &Asked, now: Instant) -> Response<Body> {
    if !books.accepts(asked, Some(PRIVATE_APP_TOKEN), now) {
        books.note(401, 0, 0);
        return error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found");
    }
    match books.fault {
        Some(Fault::Unavailable) => return told(books, 503, "SERVICE_UNAVAILABLE", "come again"),
        Some(Fault::Broken) => return told(books, 500, "INTERNAL_ERROR", "internal error"),
        Some(Fault::DailyLimit) => {
            books.note(429, 0, 0);
            let body = json!({"status": "error", "message": "You have reached your daily limit.",
                "errorType": "RATE_LIMIT", "policyName": "DAILY"});
            let mut answer = json_answer(429, &body);
            set(&mut answer, "x-hubspot-ratelimit-daily-remaining", "0");
            return answer;
        }
        _ => {}
    }
    let path = format!("/crm/v3/objects/{}/batch/upsert", books.options.object);
    if asked.method != Method::POST || asked.path != path {
        return strange(books, 404, format!("there is no {} {}", asked.method, asked.path));
    }
    if asked.header(&header::CONTENT_TYPE) != Ok(Some("application/json")) {
        return strange(books, 415, "Content-Type is not JSON".to_owned());
    }
    match inputs(books, asked) {
        Ok(inputs) => upsert(books, inputs),
        Err(problem) => strange(books, 400, problem),
    }
}

fn upsert(books: &mut Books, inputs: Vec<Input>) -> Response<Body> {
    let count = inputs.len();
    for (.., properties) in &inputs {
        if let Some(name) = books.unknown_field(properties.keys()) {
            let text = format!(
                "Property values were not valid: [{{\"name\":\"{name}\",\"error\":\"PROPERTY_DOESNT_EXIST\"}}]"
            );
            books.note(400, count, 0);
            return error(400, "VALIDATION_ERROR", &text);
        }
    }
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for (key, trace, properties) in inputs {
        let failed = |category: &str, field: Option<String>| {
            let mut context = json!({"objectWriteTraceId": trace.iter().collect::<Vec<_>>()});
            if let Some(field) = field {
                context["propertyName"] = json!([field]);
            }
            json!({"status": "error", "category": category, "message": "it was refused", "context": context})
        };
        if let Some(refusal) = Books::refusal(&properties) {
            errors.push(failed("VALIDATION_ERROR", Some(refusal.field)));
        } else if books.fault == Some(Fault::Locked) {
            errors.push(failed("CONFLICT", None));
        } else {
            let mut written = properties.clone();
            written.insert(books.options.key.join(","), key.clone().into());
            let new = books.upsert(&key, properties);
            let id = books.id();
            results.push(json!({"id": id, "properties": written, "new": new, "objectWriteTraceId": trace}));
        }
    }
    // Results have no order of their own.
    results.reverse();
    let status = if errors.is_empty() { 200 } else { 207 };
    books.note(status, count, results.len());
    let mut body = json!({"status": "COMPLETE", "results": results});
    if !errors.is_empty() {
        (body["numErrors"], body["errors"]) = (json!(errors.len()), json!(errors));
    }
    json_answer(status, &body)
}

/// The inputs of a well-formed call.
fn inputs(books: &Books, asked: &Asked) -> Result<Vec<Input>, String> {
    let body: Value = serde_json::from_slice(&asked.body).map_err(|error| error.to_string())?;
    let inputs = body.get("inputs").and_then(Value::as_array).ok_or("there are no inputs")?;
    if inputs.is_empty() || inputs.len() > INPUTS_MAX || body.as_object().is_none_or(|body| body.len() != 1) {
        return Err(format!("there are {} inputs", inputs.len()));
    }
    let mut seen = HashSet::new();
    let read = |input: &Value| {
        let text = |name: &str| input.get(name).and_then(Value::as_str).map(str::to_owned);
        if text("idProperty") != Some(books.options.key.join(",")) {
            return Err(format!("idProperty is {:?}", text("idProperty")));
        }
        let key = text("id").ok_or("an input has no id")?;
        let properties = input.get("properties").and_then(Value::as_object).ok_or("an input has no properties")?;
        if let Some((name, _)) = properties.iter().find(|(_, value)| !value.is_string()) {
            return Err(format!("the property `{name}` is no text"));
        }
        if !seen.insert(key.to_lowercase()) {
            return Err(format!("`{key}` is twice in a call"));
        }
        Ok((key, text("objectWriteTraceId"), properties.clone()))
    };
    inputs.iter().map(read).collect()
}

/// What no client may send.
fn strange(books: &mut Books, status: u16, problem: String) -> Response<Body> {
    books.malformed(format!("{status}: {problem}"));
    told(books, status, "VALIDATION_ERROR", &problem)
}

fn told(books: &mut Books, status: u16, category: &str, message: &str) -> Response<Body> {
    books.note(status, 0, 0);
    error(status, category, message)
}

fn error(status: u16, category: &str, message: &str) -> Response<Body> {
    json_answer(status, &json!({"status": "error", "message": message, "correlationId": "c-1", "category": category}))
}
