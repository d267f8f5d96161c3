//! Salesforce: upsert by an external id, by sObject collections or, with one record in a call, by the record's address.
//!
//! | rule | from |
//! |---|---|
//! | `PATCH …/composite/sobjects/OBJECT/FIELD`, at most 200 of one type, results in their order | api-rest/guide/resources-composite-sobjects-collections-upsert |
//! | `PATCH …/sobjects/OBJECT/FIELD/VALUE` answers 200, 201 or 204; 300 if several records match | api_rest/errorcodes, api_rest/dome_upsert |
//! | an error is `[{"errorCode", "message", "fields"}]`, and `statusCode` in the result of a record | the same |
//! | 403 with `REQUEST_LIMIT_EXCEEDED` is the limit of a day; 503 too much, or maintenance | api_rest/errorcodes |
//! | a field that is not there is `INVALID_FIELD` of the whole call, `No such column 'FIELD' on sobject of type OBJECT` | api_rest/errorcodes |
//! | a lock of another writer is `UNABLE_TO_LOCK_ROW`, also in the text of what a trigger reports | Record Locking Cheat Sheet |
//! | the same external id twice in a call is refused: `Duplicate external id specified` | SOAP API, upsert() |
//!
//! All on developer.salesforce.com/docs. Field names are known there in any letters, large or small.

use http::Method;
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;

use super::options::Options;
use super::record::{Record, pointed};
use super::refusal::{self, DAILY_LIMIT_PAUSE};
use super::service::{Answer, Call, Said, Service, address, or_default};
use crate::http::RESERVED;
use crate::{ErrorClass, OpenError, Receipt, SendError};

const NAME: &str = "Salesforce";
/// The oldest version that has upserts of collections.
const COLLECTIONS_SINCE: u32 = 46;
/// Codes that are about the organisation, the user or the object: they concern every record.
const OF_ALL: [&str; 9] = [
    "API_CURRENTLY_DISABLED",
    "API_DISABLED_FOR_ORG",
    "FUNCTIONALITY_NOT_ENABLED",
    "INVALID_SESSION_ID",
    "INVALID_TYPE",
    LIMIT,
    "SERVER_UNAVAILABLE",
    "STORAGE_LIMIT_EXCEEDED",
    "TOO_MANY_APEX_REQUESTS",
];
/// The limit of a day, or of long calls at a time.
const LIMIT: &str = "REQUEST_LIMIT_EXCEEDED";
/// Codes that are about other writers, or about what else was in the call.
const FOR_NOW: [&str; 6] = [
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "LIMIT_EXCEEDED",
    "PROCESSING_HALTED",
    "QUERY_TIMEOUT",
    "REQUEST_RUNNING_TOO_LONG",
    LOCKED,
];
const LOCKED: &str = "UNABLE_TO_LOCK_ROW";
/// A field that the object does not have, or this user does not see; its name follows, up to a quote.
const UNKNOWN_FIELD: (&str, &str) = ("INVALID_FIELD", "No such column '");
const TWICE: &str = "Duplicate external id specified";

pub(super) struct Salesforce {
    /// Of the REST API in its version.
    root: String,
    object: String,
    key: String,
    collections: bool,
}

impl Salesforce {
    pub(super) fn new(base: &str, key: &str, options: &Options) -> Result<Self, OpenError> {
        let version = options.version.trim_start_matches('v');
        let collections = options.max_records > 1;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let written = version.split_once('.').filter(|(major, minor)| is_number(major) && is_number(minor));
        let known = written.and_then(|(major, _)| major.parse::<u32>().ok());
        let problem = match known {
            None => format!("is `{}`; write it as 62.0", options.version),
            Some(known) if collections && known < COLLECTIONS_SINCE => {
                format!("is `{version}`, and many records in a call are taken since 46.0; or set max_records = 1")
            }
            Some(_) => {
                let root = format!("{base}/services/data/v{version}");
                return Ok(Self { root, object: options.object.clone(), key: key.to_owned(), collections });
            }
        };
        Err(OpenError::option("api_version", problem))
    }

    fn collection(&self, records: &[&Record]) -> String {
        let mut body = String::from("{\"allOrNone\":false,\"records\":[");
        for (number, record) in records.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            // Names of objects and fields have nothing to be escaped.
            body += &format!("{comma}{{\"attributes\":{{\"type\":\"{}\"}}", self.object);
            for (name, key) in std::iter::once(&self.key).zip(&record.key) {
                body += &format!(",\"{name}\":{}", key.json());
            }
            record.push_members(&mut body, false);
            body.push('}');
        }
        body + "]}"
    }

    fn fault(&self, fault: &Fault, answer: Option<&Answer>) -> (Concern, SendError) {
        let concern = fault.concern();
        let class = if concern == Concern::Record { ErrorClass::Permanent } else { ErrorClass::Transient };
        let told = serde_json::json!([{"errorCode": fault.code, "message": fault.message, "fields": fault.fields()}]);
        let fields: Vec<_> = fault.fields().iter().map(|field| refusal::code(field)).collect();
        let code = refusal::code(&fault.code);
        let mut error = refusal::of_record(NAME, &code, &fields, told.to_string(), class);
        if concern == Concern::All {
            let text = match code.as_str() {
                LIMIT => ": the API calls of the last 24 hours, or those at the same time, are used up".to_owned(),
                "INVALID_SESSION_ID" => ": the token is refused; look at `auth`".to_owned(),
                "INVALID_TYPE" => {
                    format!(": `{}` is not there for this user; look at `object` and the user's rights", self.object)
                }
                _ => String::new(),
            };
            let excerpt = error.excerpt.take();
            error =
                SendError { excerpt, ..SendError::transient(format!("{NAME} takes no records for now: {code}{text}")) };
            error.retry_after = (code == LIMIT).then_some(DAILY_LIMIT_PAUSE);
        }
        if let Some(answer) = answer {
            error.status = Some(answer.status);
            error.retry_after = answer.retry_after.or(error.retry_after);
        }
        (concern, error)
    }

    fn refused(&self, answer: &Answer, records: &[&Record]) -> Said {
        let faults: Vec<Fault> = serde_json::from_slice(&answer.body).unwrap_or_default();
        let Some(fault) = faults.first().filter(|fault| !fault.code.is_empty()) else {
            return refusal::of_call(NAME, answer, "", "`url`, `object` and `key`");
        };
        match (self.fault(fault, Some(answer)), answer.status) {
            ((Concern::All, error), _) => Said::All(error),
            ((Concern::ForNow, error), 400..500) => Said::Unclear(error),
            // Rights on a record show in its result; so this is about the user, or else shows when a record is alone.
            ((Concern::Record, error), 403) if self.collections => {
                let class = ErrorClass::Transient;
                let message =
                    format!("{NAME} answered 403 ({}); look at the user's rights", refusal::code(&fault.code));
                Said::Unclear(SendError { class, message, ..error })
            }
            ((Concern::Record, error), 400 | 403 | 409 | 412) => {
                Said::without_fields(error, fault.unknown_field().as_slice(), records)
            }
            _ => {
                refusal::of_call(NAME, answer, &refusal::code(&fault.code), "`url`, `api_version`, `object` and `key`")
            }
        }
    }
}

impl Service for Salesforce {
    fn name(&self) -> &'static str {
        NAME
    }

    fn call(&self, records: &[&Record]) -> Result<Call, SendError> {
        let (root, object_name, key) = (&self.root, &self.object, &self.key);
        let (text, body) = match (self.collections, records) {
            (false, [record]) => {
                let value: String = record.key.iter().map(|key| key.text()).collect();
                let value = utf8_percent_encode(&value, RESERVED);
                (format!("{root}/sobjects/{object_name}/{key}/{value}"), record.object())
            }
            _ => (format!("{root}/composite/sobjects/{object_name}/{key}"), self.collection(records).into()),
        };
        Ok(Call { method: Method::PATCH, address: address(text)?, headers: Vec::new(), body })
    }

    fn check(&self, record: &Record) -> Result<(), SendError> {
        let reserved = ["id", "attributes", &self.key];
        let clash = record.members.keys().find(|name| reserved.iter().any(|known| known.eq_ignore_ascii_case(name)));
        if let Some(name) = clash {
            let text = format!("`{name}` is set by the recipe; leave it out in the mapping, besides `{}`", self.key);
            return Err(pointed(name, SendError::permanent(text)));
        }
        match record.key.iter().any(|key| matches!(key.text(), "." | "..")) {
            true if !self.collections => {
                Err(SendError::permanent(format!("`{}` cannot stand in an address", self.key)))
            }
            _ => Ok(()),
        }
    }

    fn read(&self, answer: &Answer, records: &[&Record]) -> Said {
        match (answer.status, self.collections) {
            (200..300, false) => Said::done(answer.status, records.len()),
            (300, false) => {
                let key = &self.key;
                let text = format!("{NAME} answered 300: several records have this `{key}`; merge them and redrive it");
                Said::Content(refusal::explained(SendError::permanent(text), answer))
            }
            (200..300, true) => match serde_json::from_slice::<Vec<Upserted>>(&answer.body) {
                Err(_) => refusal::unreadable(NAME, answer, "what is no list of results"),
                Ok(results) if results.len() != records.len() => {
                    let problem = format!("{} results for {} records", results.len(), records.len());
                    refusal::unreadable(NAME, answer, &problem)
                }
                Ok(results) => Said::Each(results.iter().map(|result| Some(self.result(result, answer))).collect()),
            },
            _ => self.refused(answer, records),
        }
    }
}

impl Salesforce {
    fn result(&self, result: &Upserted, answer: &Answer) -> Result<Receipt, SendError> {
        match (result.success, result.errors.as_deref().unwrap_or_default()) {
            (true, _) => Ok(Receipt { status: Some(answer.status) }),
            (false, [fault, ..]) => Err(self.fault(fault, None).1),
            (false, []) => {
                Err(SendError::transient(format!("{NAME} has not written the record, and does not say why")))
            }
        }
    }
}

/// What became of a record of a collection.
#[derive(Debug, Deserialize)]
struct Upserted {
    success: bool,
    errors: Option<Vec<Fault>>,
}

/// What is wrong.
#[derive(Debug, Default, Deserialize)]
struct Fault {
    #[serde(rename = "statusCode", alias = "errorCode", default, deserialize_with = "or_default")]
    code: String,
    #[serde(default, deserialize_with = "or_default")]
    message: String,
    fields: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Concern {
    All,
    ForNow,
    Record,
}

impl Fault {
    fn fields(&self) -> &[String] {
        self.fields.as_deref().unwrap_or_default()
    }

    fn unknown_field(&self) -> Option<String> {
        let (code, told) = UNKNOWN_FIELD;
        let (_, behind) = self.message.split_once(told).filter(|_| self.code == code)?;
        behind.split_once('\'').map(|(field, _)| field.to_owned())
    }

    fn concern(&self) -> Concern {
        let code = self.code.as_str();
        if OF_ALL.contains(&code) {
            Concern::All
        } else if FOR_NOW.contains(&code) || self.message.contains(LOCKED) || self.message.contains(TWICE) {
            Concern::ForNow
        } else {
            Concern::Record
        }
    }
}
