//! A payload as a record: the members that say which one it is, and the others.

use std::collections::BTreeMap;

use bytes::Bytes;
use event::EventId;
use serde_json::json;
use serde_json::value::RawValue;

use crate::SendError;

/// Bytes of a key's value: more than any of the services has room for in an indexed text field.
const KEY_MAX: usize = 1_000;

/// One record, on its way to be written.
#[derive(Debug)]
pub(super) struct Record {
    /// The event that it is of; it traces the record through a call.
    pub(super) event: EventId,
    /// The values of the key, in the order of the key's members.
    pub(super) key: Vec<Key>,
    /// What tells keys apart. Services compare texts without case and outer blanks, unless they are told otherwise, so
    /// two that differ in nothing else count as one: that costs a call more, and never a record.
    pub(super) identity: String,
    /// All other members, with the digits that they were written with.
    pub(super) members: BTreeMap<String, Box<RawValue>>,
}

/// The value of a member of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Text(String),
    /// A whole number, as it was written.
    Number(String),
}

impl Key {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Number(text) => text,
        }
    }

    /// As JSON.
    pub(super) fn json(&self) -> String {
        match self {
            Self::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
            Self::Number(digits) => digits.clone(),
        }
    }
}

impl Record {
    /// Reads a payload. The error says what the mapping has to give, and where.
    pub(super) fn new(event: EventId, payload: &[u8], key: &[String]) -> Result<Self, SendError> {
        // Of members with one name the last counts, as in jq.
        let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(payload)
            .map_err(|_| SendError::permanent("the payload is no JSON object; let the mapping make one of fields"))?;
        let mut values = Vec::with_capacity(key.len());
        for name in key {
            let problem = match members.remove(name).map(|raw| value(raw.get())) {
                Some(Ok(value)) => {
                    values.push(value);
                    continue;
                }
                Some(Err(problem)) => problem,
                None => {
                    "is missing, and it says which record is meant; let the mapping give it, such as from $event.id"
                }
            };
            return Err(pointed(name, SendError::permanent(format!("`{name}` {problem}"))));
        }
        let identity: Vec<_> = values.iter().map(|value| value.text().trim().to_lowercase()).collect();
        Ok(Self { event, key: values, identity: identity.join("\u{0}"), members })
    }

    /// The members that are not the key, as a JSON object.
    pub(super) fn object(&self) -> Bytes {
        let mut body = String::from("{");
        self.push_members(&mut body, true);
        (body + "}").into()
    }

    /// The same, without braces; `first` says whether nothing precedes them.
    pub(super) fn push_members(&self, body: &mut String, mut first: bool) {
        for (name, raw) in &self.members {
            if !std::mem::take(&mut first) {
                body.push(',');
            }
            *body += &format!("{}:{}", serde_json::Value::from(name.as_str()), raw.get());
        }
    }
}

fn value(raw: &str) -> Result<Key, &'static str> {
    match serde_json::from_str(raw) {
        Ok(serde_json::Value::String(text)) if text.trim().is_empty() => {
            Err("is empty, and it says which record is meant")
        }
        Ok(serde_json::Value::String(text)) if text.len() > KEY_MAX => {
            Err("is longer than any key may be (1000 bytes)")
        }
        Ok(serde_json::Value::String(text)) if text.contains(char::is_control) => Err("has a control character"),
        Ok(serde_json::Value::String(text)) => Ok(Key::Text(text)),
        Ok(serde_json::Value::Number(number)) if number.is_i64() || number.is_u64() => {
            Ok(Key::Number(number.to_string()))
        }
        _ => Err("is neither text nor a whole number, and it says which record is meant"),
    }
}

/// The error, with the member that it is about as delivery understands it: a dead letter then shows the place.
pub(super) fn pointed(member: &str, error: SendError) -> SendError {
    let pointer = format!("/{}", member.replace('~', "~0").replace('/', "~1"));
    SendError { excerpt: Some(json!({ "pointer": pointer }).to_string()), ..error }
}

/// Records that may be in one call, and those that have to wait for the next: each key once, the first that came.
pub(super) fn round<'r>(places: &[usize], record: impl Fn(usize) -> &'r Record) -> (Vec<usize>, Vec<usize>) {
    let mut seen = std::collections::HashSet::new();
    places.iter().partition(|place| seen.insert(record(**place).identity.as_str()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(payload: &str) -> Result<Record, SendError> {
        Record::new(EventId::from_identity("test", [payload.as_bytes()]), payload.as_bytes(), &["Id__c".to_owned()])
    }

    #[test]
    fn the_key_is_taken_out_and_numbers_keep_their_digits() {
        let read = record(r#"{"Id__c":" a/B ","Cost":1.10,"Id__c":"x'y","Deep":{"a":[1e2]}}"#).unwrap();
        assert_eq!((read.key, read.identity), (vec![Key::Text("x'y".into())], "x'y".to_owned()));
        let members: Vec<_> = read.members.iter().map(|(name, raw)| (name.as_str(), raw.get())).collect();
        assert_eq!(members, [("Cost", "1.10"), ("Deep", r#"{"a":[1e2]}"#)]);
        assert_eq!(record(r#"{"Id__c":12}"#).unwrap().key, [Key::Number("12".into())]);
    }

    #[test]
    fn a_payload_without_a_key_names_it() {
        for (payload, told) in [
            ("{}", "`Id__c` is missing"),
            (r#"{"Id__c":null}"#, "neither text nor"),
            (r#"{"Id__c":1.5}"#, "neither text nor"),
            (r#"{"Id__c":"  "}"#, "is empty"),
            (r#"{"Id__c":"a\u0000"}"#, "control character"),
            ("[]", "no JSON object"),
            ("", "no JSON object"),
        ] {
            let error = record(payload).unwrap_err();
            assert!(error.message.contains(told) && error.class == crate::ErrorClass::Permanent, "{payload}: {error}");
        }
        assert_eq!(record("{}").unwrap_err().excerpt.as_deref(), Some(r#"{"pointer":"/Id__c"}"#));
        assert!(record(&format!(r#"{{"Id__c":"{}"}}"#, "x".repeat(1_001))).is_err());
    }

    proptest! {
        /// Round after round each record has its turn once, no round has a key twice, and the records of one key keep
        /// their order.
        #[test]
        fn rounds_take_each_record_once_and_keep_the_order_of_a_key(keys in prop::collection::vec("[aAbB]{1,2}", 0..40)) {
            let records: Vec<_> = keys.iter().map(|key| record(&format!(r#"{{"Id__c":"{key}"}}"#)).unwrap()).collect();
            let mut written: Vec<usize> = Vec::new();
            let mut pending: Vec<usize> = (0..records.len()).collect();
            while !pending.is_empty() {
                let (now, later) = round(&pending, |place| &records[place]);
                let mut identities: Vec<_> = now.iter().map(|place| &records[*place].identity).collect();
                identities.sort();
                identities.dedup();
                prop_assert_eq!(identities.len(), now.len());
                written.extend(now);
                pending = later;
            }
            for identity in records.iter().map(|record| &record.identity) {
                let places: Vec<_> = written.iter().filter(|place| &records[**place].identity == identity).collect();
                prop_assert!(places.is_sorted());
            }
            written.sort_unstable();
            prop_assert_eq!(written, (0..records.len()).collect::<Vec<_>>());
        }

        #[test]
        fn no_payload_makes_it_panic(payload in ".*", key in ".*") {
            let _ = record(&payload);
            let text = serde_json::json!({ "Id__c": key }).to_string();
            let _ = record(&text);
        }
    }
}
