//! The quarantine as it goes over the wire. Times are milliseconds of Unix time.

use std::borrow::Cow;
use std::sync::Arc;

use event::Timestamp;
use intake::{QuarantineEntry, Quarantined, Release, Released};
use queue::DeadLetterId;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::page::{Limit, PAGE_MAX};
use crate::request::Number;

/// Bytes of a body that are shown as text; all of it can be asked for as it is.
const EXCERPT_BYTES: usize = 4_000;

/// Which refused requests are listed; every condition may be missing.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct RequestsQuery {
    /// Only those that were sent to this source.
    #[param(nullable = false)]
    pub(super) source: Option<String>,
    /// Only those with a greater id.
    #[param(nullable = false, inline)]
    pub(super) after: Option<Number>,
    /// Where the page begins: `next` of the page before.
    #[param(nullable = false, pattern = "^00[01][0-9a-f]{13}$")]
    pub(super) cursor: Option<String>,
    /// How many at most.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000, default = 100)]
    pub(super) limit: Limit,
}

/// A page of refused requests, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QuarantinePage)]
pub(super) struct Page {
    pub(super) requests: Vec<QuarantineEntry>,
    /// Ask with `cursor` this for the next page; none on the last one.
    pub(super) next: Option<String>,
}

/// A refused request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RefusedRequest)]
pub(super) struct Shown {
    id: u64,
    source: Arc<str>,
    received: Timestamp,
    sender: String,
    reason: &'static str,
    /// Name and value of what was kept of the headers, with a sign in place of what is no text.
    headers: Vec<Header>,
    /// Where a credential was given, of which only a salted digest was kept.
    credential: Option<String>,
    /// The start of the body as text.
    body: String,
    /// How many bytes there are of it.
    body_bytes: usize,
}

/// A header of a request.
#[derive(Debug, Serialize, ToSchema)]
struct Header {
    name: String,
    value: String,
}

impl Shown {
    pub(super) fn new(id: u64, request: Quarantined) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = request.headers.iter();
        let headers = headers.map(|(name, value)| Header { name: name.to_string(), value: text(value.as_bytes()) });
        Self {
            id,
            source: request.source,
            received: request.received,
            sender: request.sender.to_string(),
            reason: request.reason.code(),
            headers: headers.collect(),
            credential: request.credential.map(|credential| credential.place),
            body: text(&request.body[..request.body.len().min(EXCERPT_BYTES)]),
            body_bytes: request.body.len(),
        }
    }
}

/// Which refused requests are verified again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReleaseRequest)]
pub(super) struct ToRelease {
    /// Their numbers.
    #[schema(min_items = 1, max_items = 100, inline)]
    pub(super) ids: Vec<Number>,
    /// Verify only; publish nothing.
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// Which requests are only verified again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReleaseTrial)]
pub(super) struct ToTry {
    /// Their numbers.
    #[schema(min_items = 1, max_items = 100, inline)]
    pub(super) ids: Vec<Number>,
}

/// What became of them.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ReleaseResult)]
pub(super) struct Outcome {
    /// Genuine: published, or kept as dead letters. With `dry_run`, those that would be.
    pub(super) released: Vec<ReleasedRequest>,
    /// Still not genuine; they stay.
    pub(super) failing: Vec<Failing>,
}

/// A request that was genuine.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct ReleasedRequest {
    id: u64,
    /// How many of its events are new.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<u64>,
    /// How many were known.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<u64>,
    /// Their ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Vec<String>>,
    /// It is no event; this is its dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<DeadLetterId>,
    /// Why it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// A request that is still refused.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Failing {
    id: u64,
    /// Why.
    reason: String,
}

impl Outcome {
    pub(super) fn add(&mut self, Release { id, result }: Release) {
        let released = ReleasedRequest { id, ..ReleasedRequest::default() };
        match result {
            Ok(Released::Would) => self.released.push(released),
            Ok(Released::Published { accepted, duplicates, events }) => self.released.push(ReleasedRequest {
                accepted: Some(accepted as u64),
                duplicates: Some(duplicates as u64),
                events: Some(events.iter().map(ToString::to_string).collect()),
                ..released
            }),
            Ok(Released::DeadLetter { id: letter, error }) => {
                self.released.push(ReleasedRequest { dead_letter: Some(letter), detail: Some(error), ..released });
            }
            Err(reason) => self.failing.push(Failing { id, reason: reason.to_string() }),
        }
    }
}

/// Which refused requests are dropped.
#[derive(Debug, Deserialize)]
#[serde(try_from = "DropFields")]
pub(super) enum ToDrop {
    /// Those with these numbers.
    Ids(Vec<Number>),
    /// All of this source.
    Source(String),
    /// All.
    All,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DropFields {
    #[serde(default, deserialize_with = "given")]
    ids: Option<Vec<Number>>,
    #[serde(default, deserialize_with = "given")]
    source: Option<String>,
    #[serde(default, deserialize_with = "given")]
    all: Option<bool>,
}

/// What is there must not be null.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl TryFrom<DropFields> for ToDrop {
    type Error = &'static str;

    fn try_from(fields: DropFields) -> Result<Self, Self::Error> {
        match fields {
            DropFields { ids: Some(ids), source: None, all: None } => Ok(Self::Ids(ids)),
            DropFields { ids: None, source: Some(source), all: None } => Ok(Self::Source(source)),
            DropFields { ids: None, source: None, all: Some(true) } => Ok(Self::All),
            _ => Err("say exactly one of `ids`, `source` and `all`, which can only be true"),
        }
    }
}

impl ToSchema for ToDrop {
    fn name() -> Cow<'static, str> {
        "DropRequest".into()
    }
}

impl PartialSchema for ToDrop {
    fn schema() -> RefOr<Schema> {
        let ids = ArrayBuilder::new().items(Number::schema()).min_items(Some(1)).max_items(Some(PAGE_MAX));
        let source = ObjectBuilder::new().schema_type(Type::String);
        let all = ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([true]));
        let only = |name: &str, value: RefOr<Schema>| {
            ObjectBuilder::new()
                .property(name, value)
                .required(name)
                .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        };
        OneOfBuilder::new()
            .description(Some("Which refused requests are dropped: these, all of a source, or all."))
            .item(only("ids", ids.into()))
            .item(only("source", source.into()))
            .item(only("all", all.into()))
            .into()
    }
}

/// How many were dropped.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Dropped {
    pub(super) dropped: u64,
}
