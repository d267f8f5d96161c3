//! The columns of a table of outcomes: said once, and all else is made of it (Arrow's schema, the reading of payloads, the
//! statements that make tables elsewhere).

use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, Fields, Schema, SchemaRef, TimeUnit};

/// The version of the outcomes that this table holds. It is in the metadata of each file.
pub(super) const VERSION: u32 = event::outcome::SCHEMA;
/// The key of the version in a file's metadata.
pub(super) const VERSION_KEY: &str = "aftercall.schema";
/// The zone of all times.
pub(super) const ZONE: &str = "UTC";

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text.
    Text,
    /// Whole numbers of 64 bits.
    Integer,
    /// Floating-point numbers of 64 bits.
    Number,
    /// Milliseconds since 1970, in UTC; written as RFC 3339 in an outcome.
    Time,
    /// Any JSON, as its text.
    Json,
    /// A list; one that is missing is empty.
    List(&'static Kind),
    /// Members; a struct that is missing has none of them.
    Struct(&'static [Field]),
}

/// A column, or a member of a struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Whether each row has it.
    pub(super) is_required: bool,
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, is_required: false }
}

const fn required(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, is_required: true }
}

const fn text(name: &'static str) -> Field {
    field(name, Kind::Text)
}

const fn integer(name: &'static str) -> Field {
    field(name, Kind::Integer)
}

const fn number(name: &'static str) -> Field {
    field(name, Kind::Number)
}

/// Place of the column that has the version.
pub(super) const SCHEMA: usize = 0;
/// Place of the column that has the event's id.
pub(super) const EVENT_ID: usize = 1;
/// Place of the column that says when the event was received.
pub(super) const RECEIVED_AT: usize = 4;
/// Place of the column that says when what it tells of happened.
pub(super) const OCCURRED_AT: usize = 5;
/// Place of the column that has the conversation's id.
pub(super) const CONVERSATION_ID: usize = 6;
/// Place of the column that takes what no other does.
pub(super) const EXTRA: usize = FIELDS.len() - 1;

/// Every column, as `docs/outcome.md` describes it.
pub(super) const FIELDS: &[Field] = &[
    required("schema", Kind::Integer),
    required("event_id", Kind::Text),
    text("source"),
    text("topic"),
    field("received_at", Kind::Time),
    field("occurred_at", Kind::Time),
    text("conversation_id"),
    text("participant_id"),
    text("session_id"),
    text("agent_id"),
    text("queue_id"),
    text("division_id"),
    text("media_type"),
    text("direction"),
    field(
        "sentiment",
        Kind::Struct(&[
            number("score"),
            text("label"),
            text("scale"),
            text("given"),
            number("trend"),
            text("trend_class"),
        ]),
    ),
    field("empathy", Kind::List(&Kind::Struct(&[text("agent_id"), number("score")]))),
    field("intents", Kind::List(&Kind::Struct(&[text("name"), number("confidence")]))),
    field("keywords", Kind::List(&Kind::Text)),
    field("topics", Kind::List(&Kind::Struct(&[text("id"), text("name"), text("participant")]))),
    field("categories", Kind::List(&Kind::Text)),
    field("wrapup", Kind::Struct(&[text("code"), text("kind"), text("notes"), integer("duration_ms")])),
    text("disconnect_type"),
    field(
        "durations",
        Kind::Struct(&[
            integer("interacting_ms"),
            integer("held_ms"),
            integer("alerting_ms"),
            integer("contacting_ms"),
            integer("dialing_ms"),
            integer("callback_ms"),
            integer("connected_ms"),
        ]),
    ),
    field(
        "talk",
        Kind::Struct(&[
            number("agent_percent"),
            number("customer_percent"),
            number("silence_percent"),
            number("ivr_percent"),
            number("acd_percent"),
            number("overtalk_percent"),
            number("other_percent"),
            integer("overtalk_count"),
        ]),
    ),
    field(
        "compliance",
        Kind::Struct(&[
            integer("count"),
            text("severity"),
            field(
                "violations",
                Kind::List(&Kind::Struct(&[
                    text("code"),
                    text("type"),
                    text("rule"),
                    text("severity"),
                    text("description"),
                ])),
            ),
        ]),
    ),
    text("transcript_uri"),
    field("unrecognised", Kind::List(&Kind::Struct(&[text("path"), text("value")]))),
    field("extra", Kind::Json),
];

/// The same, as Arrow knows it.
pub(super) fn arrow() -> SchemaRef {
    let metadata = std::collections::HashMap::from([(VERSION_KEY.to_owned(), VERSION.to_string())]);
    Arc::new(Schema::new_with_metadata(fields(FIELDS), metadata))
}

/// Members, as Arrow knows them.
pub(super) fn fields(fields: &[Field]) -> Fields {
    fields.iter().map(|field| ArrowField::new(field.name, data_type(field.kind), !field.is_required)).collect()
}

/// The field of a list's elements. The name is the one that Parquet's specification asks for.
pub(super) fn element(kind: Kind) -> Arc<ArrowField> {
    Arc::new(ArrowField::new("element", data_type(kind), true))
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text | Kind::Json => DataType::Utf8,
        Kind::Integer => DataType::Int64,
        Kind::Number => DataType::Float64,
        Kind::Time => DataType::Timestamp(TimeUnit::Millisecond, Some(ZONE.into())),
        Kind::List(kind) => DataType::List(element(*kind)),
        Kind::Struct(members) => DataType::Struct(fields(members)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(prefix: &str, fields: &[Field], found: &mut Vec<String>) {
        for field in fields {
            let name = format!("{prefix}{}", field.name);
            match field.kind {
                Kind::Struct(members) => leaves(&format!("{name}."), members, found),
                Kind::List(&Kind::Struct(members)) => leaves(&format!("{name}."), members, found),
                _ => found.push(name),
            }
        }
    }

    #[test]
    fn every_field_of_an_outcome_has_a_column_and_no_column_is_of_nothing() {
        let mut found = Vec::new();
        leaves("", FIELDS, &mut found);
        let mut wanted: Vec<_> = event::outcome::PATHS.to_vec();
        wanted.push(event::outcome::FREE_PATH);
        assert_eq!(found, wanted);
    }

    #[test]
    fn no_object_has_more_members_than_reading_can_mark() {
        fn most(fields: &[Field]) -> usize {
            let inner = fields.iter().map(|field| match field.kind {
                Kind::Struct(members) | Kind::List(&Kind::Struct(members)) => most(members),
                _ => 0,
            });
            inner.max().unwrap_or_default().max(fields.len())
        }
        assert!(most(FIELDS) <= u64::BITS as usize);
    }

    #[test]
    fn the_places_are_those_of_the_columns() {
        let named =
            [(SCHEMA, "schema"), (EVENT_ID, "event_id"), (CONVERSATION_ID, "conversation_id"), (EXTRA, "extra")];
        let times = [(RECEIVED_AT, "received_at"), (OCCURRED_AT, "occurred_at")];
        for (place, name) in named.into_iter().chain(times) {
            assert_eq!(FIELDS[place].name, name);
        }
    }
}
