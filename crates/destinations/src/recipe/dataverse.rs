//! Dataverse: upsert by an alternate key, one record in a call.
//!
//! | rule | from |
//! |---|---|
//! | `PATCH [Organization URI]/api/data/v9.2/ENTITYSET(key='value')` without `If-Match` is an upsert; 204, or 200 and 201 | developer/data-platform/webapi/update-delete-entities-using-web-api |
//! | a key of several columns is written `(a='x',b=1)`; the key is not repeated in the body | the same, and use-alternate-key-reference-record |
//! | a single quote in a text is doubled, then it is percent-encoded | OData 4.0, URL Conventions §5.1.1.6.1 |
//! | no record is found by a key with one of `/ < > * % & : \ ? +` | define-alternate-keys-entity |
//! | 429 with `Retry-After` and 0x80072321, 0x80072322 or 0x80072326 is a service protection limit | developer/data-platform/api-limits |
//! | 412 may mean that somebody else has just made such a record | reference/web-service-error-codes |
//!
//! All on learn.microsoft.com/power-apps. There is no call with many records here: `UpsertMultiple` writes all or none for
//! standard tables, and so has no result for each; a `$batch` is one request but counts as many.

use http::{HeaderName, HeaderValue, Method};
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;

use super::options::Options;
use super::record::{Key, Record, pointed};
use super::refusal;
use super::service::{Answer, Call, Said, Service, address};
use crate::http::RESERVED;
use crate::{ErrorClass, SendError};

const NAME: &str = "Dataverse";
/// Characters that a key cannot have: no record is found by them, so each upsert would try to make one.
const NOT_IN_KEYS: [char; 10] = ['/', '<', '>', '*', '%', '&', ':', '\\', '?', '+'];
/// There is already such a record: two upserts of it were under way at the same time, or another key forbids it.
const EXISTS: [&str; 2] = ["0x80040237", "0x80060892"];

pub(super) struct Dataverse {
    /// With the entity set.
    address: String,
    key: Vec<String>,
}

impl Dataverse {
    pub(super) fn new(base: &str, options: &Options) -> Self {
        let version = options.version.trim_start_matches('v');
        Self { address: format!("{base}/api/data/v{version}/{}", options.object), key: options.key.clone() }
    }
}

impl Service for Dataverse {
    fn name(&self) -> &'static str {
        NAME
    }

    fn call(&self, records: &[&Record]) -> Result<Call, SendError> {
        let [record] = records else {
            return Err(SendError::transient("Dataverse takes one record in a call"));
        };
        let value = |key: &Key| match key {
            Key::Number(digits) => digits.clone(),
            Key::Text(text) => {
                let quoted = format!("'{}'", text.replace('\'', "''"));
                utf8_percent_encode(&quoted, RESERVED).to_string()
            }
        };
        let pairs: Vec<_> =
            self.key.iter().zip(&record.key).map(|(name, key)| format!("{name}={}", value(key))).collect();
        let address = address(format!("{}({})", self.address, pairs.join(",")))?;
        let header = |name, text| (HeaderName::from_static(name), HeaderValue::from_static(text));
        let headers = vec![
            header("odata-version", "4.0"),
            header("odata-maxversion", "4.0"),
            header("accept", "application/json"),
        ];
        Ok(Call { method: Method::PATCH, address, headers, body: record.object() })
    }

    fn check(&self, record: &Record) -> Result<(), SendError> {
        let bad = |key: &Key| key.text().chars().find(|c| NOT_IN_KEYS.contains(c));
        let found = self.key.iter().zip(&record.key).find_map(|(name, key)| bad(key).map(|c| (name, c)));
        match found {
            None => Ok(()),
            Some((name, c)) => {
                let text = format!(
                    "`{name}` has a `{c}`, and {NAME} finds no record by such a key; let the mapping replace it"
                );
                Err(pointed(name, SendError::permanent(text)))
            }
        }
    }

    fn read(&self, answer: &Answer, records: &[&Record]) -> Said {
        if answer.is_success() {
            return Said::done(answer.status, records.len());
        }
        let fault = serde_json::from_slice::<Refused>(&answer.body).unwrap_or_default().error;
        let code = refusal::code(&fault.code);
        let transient = |text: String| refusal::explained(SendError::transient(text), answer);
        match answer.status {
            400 | 409 | 412 if EXISTS.contains(&code.as_str()) => Said::Unclear(transient(format!(
                "{NAME} answered {} ({code}): there is such a record by now",
                answer.status
            ))),
            // Perhaps of one record, perhaps of the table: then nothing passes, and nothing is charged.
            403 => Said::Unclear(transient(format!(
                "{NAME} answered 403 ({code}); look at the roles of the application user"
            ))),
            400 | 409 | 412 if !code.is_empty() => {
                let told = String::from_utf8_lossy(&answer.body).into_owned();
                let error = refusal::of_record(NAME, &code, &[], told, ErrorClass::Permanent);
                Said::Content(SendError { status: Some(answer.status), ..error })
            }
            _ => refusal::of_call(NAME, answer, &code, "`url`, `api_version` and `object`"),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
struct Refused {
    #[serde(default)]
    error: Fault,
}

#[derive(Debug, Default, Deserialize)]
struct Fault {
    #[serde(default)]
    code: String,
}
