//! HubSpot: batch upsert by a unique property, up to 100 records in a call.
//!
//! | rule | from |
//! |---|---|
//! | `POST /crm/v3/objects/TYPE/batch/upsert` with `inputs` of `idProperty`, `id`, `properties`, `objectWriteTraceId` | api-reference/legacy/crm/objects/…/batch/upsert |
//! | 200 or 201 with `results`; 207 with `results`, `numErrors` and `errors`, each with `category` and `context` | the same |
//! | `objectWriteTraceId` comes back in results and in the context of errors, so they can be told apart | guides/api/error-handling, multi-status errors |
//! | 429 with `policyName`: `DAILY` holds until midnight, others for a second or ten | guides/apps/api-usage/usage-details |
//! | all members of an error may be missing; a property that is not there is `PROPERTY_DOESNT_EXIST` in `errors`, with `context.propertyName` | guides/api/error-handling |
//! | a key that is no unique property is a `VALIDATION_ERROR` of every call | github.com/segmentio/action-destinations, pull request 3957 |
//! | 423 and 477 want to be left alone for a time | guides/api/error-handling |
//!
//! All on developers.hubspot.com/docs. Properties are texts there, whatever their type is.

use std::collections::HashMap;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::options::Options;
use super::record::{Key, Record, pointed};
use super::refusal::{self, DAILY_LIMIT_PAUSE};
use super::service::{Answer, Call, Said, Service, address, or_default};
use crate::{ErrorClass, Receipt, SendError};

const NAME: &str = "HubSpot";
/// What traces a record through a call.
const TRACE: &str = "objectWriteTraceId";
/// How long the limits of a second and of ten seconds hold, if the answer does not say it.
const SHORT_LIMIT_PAUSE: Duration = Duration::from_secs(10);
/// The account is moved between data centres.
const MIGRATION: u16 = 477;
/// A property that the object does not have.
const UNKNOWN_PROPERTY: &str = "PROPERTY_DOESNT_EXIST";
/// How HubSpot says that records cannot be known by the property that is the key.
const NO_KEY: &str = "update/upsert by non-unique";
/// Categories of errors that are about other writers or the service itself.
const FOR_NOW: [&str; 4] = ["CONFLICT", "INTERNAL_ERROR", "RATE_LIMITS", "SERVICE_UNAVAILABLE"];

pub(super) struct HubSpot {
    address: String,
    key: String,
}

impl HubSpot {
    pub(super) fn new(base: &str, key: &str, options: &Options) -> Self {
        let (version, object) = (&options.version, &options.object);
        // Versions with a date stand behind `objects`.
        let path = match version.starts_with('v') {
            true => format!("crm/{version}/objects/{object}"),
            false => format!("crm/objects/{version}/{object}"),
        };
        Self { address: format!("{base}/{path}/batch/upsert"), key: key.to_owned() }
    }

    fn input(&self, record: &Record) -> String {
        let id = record.key.iter().map(Key::text).collect::<String>();
        let mut properties = serde_json::Map::new();
        for (name, raw) in &record.members {
            // What is neither was refused before.
            properties.insert(name.clone(), Value::from(property(raw.get()).unwrap_or_default()));
        }
        let trace = record.event.to_string();
        json!({ "idProperty": self.key, "id": id, TRACE: trace, "properties": properties }).to_string()
    }

    fn refused(&self, answer: &Answer, records: &[&Record]) -> Said {
        let fault: Fault = serde_json::from_slice(&answer.body).unwrap_or_default();
        let category = refusal::code(&fault.category);
        let told = |text: String, pause| {
            let error = SendError { retry_after: pause, ..SendError::transient(text) };
            Said::All(refusal::explained(error, answer))
        };
        match answer.status {
            429 => {
                let policy = refusal::code(fault.policy.as_deref().unwrap_or("unnamed"));
                let pause = if policy.eq_ignore_ascii_case("DAILY") { DAILY_LIMIT_PAUSE } else { SHORT_LIMIT_PAUSE };
                let pause = answer.retry_after.unwrap_or(pause);
                told(format!("{NAME} answered 429: the limit {policy} of the account is used up"), Some(pause))
            }
            MIGRATION => told(format!("{NAME} answered 477: the account is being moved"), answer.retry_after),
            403 => told(format!("{NAME} answered 403 ({category}); look at the scopes of the private app"), None),
            409 => Said::Unclear(refusal::explained(
                SendError::transient(format!("{NAME} answered 409 ({category}): somebody else writes such a record")),
                answer,
            )),
            400 if fault.message.contains(NO_KEY) => {
                let key = &self.key;
                told(format!("{NAME} answered 400 ({category}): `{key}` is no property that has unique values"), None)
            }
            _ => match refusal::of_call(NAME, answer, &category, "`url`, `api_version` and `object`") {
                Said::Content(error) => Said::without_fields(error, &fault.unknown_properties(), records),
                said => said,
            },
        }
    }

    fn fault(&self, fault: &Fault) -> SendError {
        let category = refusal::code(&fault.category);
        let class = match FOR_NOW.contains(&category.as_str()) {
            true => ErrorClass::Transient,
            false => ErrorClass::Permanent,
        };
        let property = fault.context.get("propertyName").or_else(|| fault.context.get("properties"));
        let fields: Vec<_> = property.map(texts).unwrap_or_default().iter().map(|name| refusal::code(name)).collect();
        let told = match fields.first() {
            Some(field) => json!({ "field": field, "category": fault.category, "message": fault.message }),
            None => json!({ "category": fault.category, "message": fault.message }),
        };
        refusal::of_record(NAME, &category, &fields, told.to_string(), class)
    }
}

/// The text of a property; null clears it.
fn property(raw: &str) -> Option<String> {
    match serde_json::from_str(raw) {
        Ok(Value::Null) => Some(String::new()),
        Ok(Value::String(text)) => Some(text),
        Ok(Value::Bool(_) | Value::Number(_)) => Some(raw.to_owned()),
        _ => None,
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(values) => values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

impl Service for HubSpot {
    fn name(&self) -> &'static str {
        NAME
    }

    fn call(&self, records: &[&Record]) -> Result<Call, SendError> {
        let inputs: Vec<_> = records.iter().map(|record| self.input(record)).collect();
        let body = format!("{{\"inputs\":[{}]}}", inputs.join(","));
        let address = address(self.address.clone())?;
        Ok(Call { method: Method::POST, address, headers: Vec::new(), body: body.into() })
    }

    fn check(&self, record: &Record) -> Result<(), SendError> {
        match record.members.iter().find(|(_, raw)| property(raw.get()).is_none()) {
            None => Ok(()),
            Some((name, _)) => {
                let text =
                    format!("`{name}` is an object or a list; a property of {NAME} is a text, number or boolean");
                Err(pointed(name, SendError::permanent(text)))
            }
        }
    }

    fn read(&self, answer: &Answer, records: &[&Record]) -> Said {
        if !answer.is_success() {
            return self.refused(answer, records);
        }
        let Ok(batch) = serde_json::from_slice::<Upserted>(&answer.body) else {
            return refusal::unreadable(NAME, answer, "what is no list of results");
        };
        if batch.results.len() > records.len() {
            let problem = format!("{} results for {} records", batch.results.len(), records.len());
            return refusal::unreadable(NAME, answer, &problem);
        }
        if batch.errors.is_empty() && batch.results.len() == records.len() {
            return Said::done(answer.status, records.len());
        }
        if batch.errors.is_empty() {
            let problem = format!("{} results for {} records and no errors", batch.results.len(), records.len());
            return refusal::unreadable(NAME, answer, &problem);
        }
        let traced: HashMap<String, usize> =
            records.iter().enumerate().map(|(place, record)| (record.event.to_string(), place)).collect();
        let mut results: Vec<Option<Result<Receipt, SendError>>> = records.iter().map(|_| None).collect();
        for written in &batch.results {
            let by_key = || {
                let value = written.properties.get(&self.key).and_then(Value::as_str)?.trim().to_lowercase();
                records.iter().position(|record| record.identity == value)
            };
            let place = written.trace.as_ref().and_then(|trace| traced.get(trace).copied()).or_else(by_key);
            if let Some(place) = place {
                results[place] = Some(Ok(Receipt { status: Some(answer.status) }));
            }
        }
        for fault in &batch.errors {
            let error = || self.fault(fault);
            let named = [TRACE, "id", "ids"].into_iter().filter_map(|name| fault.context.get(name)).flat_map(texts);
            for name in named {
                let by_key = || records.iter().position(|record| record.identity == name.trim().to_lowercase());
                if let Some(place) = traced.get(&name).copied().or_else(by_key) {
                    results[place] = Some(Err(error()));
                }
            }
            // Alone, it can be about nothing else.
            if let ([result @ None], []) = (&mut results[..], &batch.results[..]) {
                *result = Some(Err(error()));
            }
        }
        Said::Each(results)
    }
}

/// The answer to a call.
#[derive(Debug, Deserialize)]
struct Upserted {
    results: Vec<Written>,
    #[serde(default, deserialize_with = "or_default")]
    errors: Vec<Fault>,
}

#[derive(Debug, Deserialize)]
struct Written {
    #[serde(rename = "objectWriteTraceId")]
    trace: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    properties: serde_json::Map<String, Value>,
}

/// What is wrong.
#[derive(Debug, Default, Deserialize)]
struct Fault {
    #[serde(default, deserialize_with = "or_default")]
    category: String,
    #[serde(default, deserialize_with = "or_default")]
    message: String,
    #[serde(rename = "policyName")]
    policy: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    context: serde_json::Map<String, Value>,
    #[serde(default, deserialize_with = "or_default")]
    errors: Vec<Detail>,
}

/// One of several things that are wrong.
#[derive(Debug, Default, Deserialize)]
struct Detail {
    #[serde(default, deserialize_with = "or_default")]
    code: String,
    #[serde(default)]
    context: Value,
}

impl Fault {
    fn unknown_properties(&self) -> Vec<String> {
        let unknown = self.errors.iter().filter(|detail| detail.code == UNKNOWN_PROPERTY);
        unknown.filter_map(|detail| detail.context.get("propertyName")).flat_map(texts).collect()
    }
}
