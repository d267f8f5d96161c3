//! What a recipe has to know of a service: how a call is written, and what its answer means. Pure.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri};
use serde::{Deserialize, Deserializer};

use super::record::Record;
use crate::{Receipt, SendError};

/// Longest address that is sent, in bytes; as of the `http` kind.
const ADDRESS_MAX: usize = 8_000;

/// A service with records.
pub(super) trait Service: Send + Sync {
    /// What errors call it.
    fn name(&self) -> &'static str;

    /// A call that writes these records, of which there is at least one.
    ///
    /// # Errors
    /// What is wrong with a record, if there is a single one.
    fn call(&self, records: &[&Record]) -> Result<Call, SendError>;

    /// What became of them.
    fn read(&self, answer: &Answer, records: &[&Record]) -> Said;

    /// What is wrong with a record that no call can carry.
    ///
    /// # Errors
    /// The same.
    fn check(&self, _record: &Record) -> Result<(), SendError> {
        Ok(())
    }
}

/// A request, without what is the same for all of them.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) address: Uri,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
}

/// The address that a text makes.
pub(super) fn address(text: String) -> Result<Uri, SendError> {
    if text.len() > ADDRESS_MAX {
        let length = text.len();
        return Err(SendError::permanent(format!(
            "the URL would be {length} bytes long; at most {ADDRESS_MAX} are sent"
        )));
    }
    Uri::try_from(text).map_err(|error| SendError::permanent(format!("the record's URL cannot be made: {error}")))
}

/// An answer, as far as it was read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
    /// What `Retry-After` asks for.
    pub(super) retry_after: Option<Duration>,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// For members of an answer that may be missing: what is null is as if it were.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What an answer says.
#[derive(Debug)]
pub(super) enum Said {
    /// This, about each record in its place. Nothing about some of them, which may show when they are fewer.
    Each(Vec<Option<Result<Receipt, SendError>>>),
    /// Something that concerns all deliveries, for now.
    All(SendError),
    /// Something in the call is refused for good; which record it is shows when they are fewer.
    Content(SendError),
    /// Something failed, that may be about one record or about all; that shows when they are fewer.
    Unclear(SendError),
}

impl Said {
    /// The fields that one of these names are refused, whatever is in them: so is each record that has one. Nothing is
    /// known of the others.
    pub(super) fn without_fields(error: SendError, unknown: &[String], records: &[&Record]) -> Self {
        let is_unknown = |name: &String| unknown.iter().any(|field| field.eq_ignore_ascii_case(name));
        let refused = |record: &&Record| record.members.keys().any(is_unknown);
        if !records.iter().any(refused) {
            return Self::Content(error);
        }
        Self::Each(records.iter().map(|record| refused(record).then(|| Err(error.clone()))).collect())
    }

    /// All are written.
    pub(super) fn done(status: u16, records: usize) -> Self {
        Self::Each((0..records).map(|_| Some(Ok(Receipt { status: Some(status) }))).collect())
    }
}
