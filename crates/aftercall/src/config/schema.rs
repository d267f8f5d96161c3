//! The JSON Schema of the configuration, for editors: its shape is that of the tables, its words are those of the default
//! file.

#[cfg(test)]
mod tests;
mod words;

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::DEFAULT_FILE;
use super::file::File;

/// The whole schema, in draft 2020-12.
pub(crate) fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(WithoutNull);
    let mut schema = settings.into_generator().into_root_schema_for::<File>().to_value();
    schema["title"] = "Aftercall".into();
    schema["description"] =
        "What stands in Aftercall's configuration. `aftercall config` prints it with all defaults.".into();
    words::put_in(&mut schema, DEFAULT_FILE);
    schema
}

/// TOML has no null: what need not be written is left out.
#[derive(Clone)]
struct WithoutNull;

impl Transform for WithoutNull {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        if object.get("default").is_some_and(Value::is_null) {
            object.remove("default");
        }
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|kind| kind != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                object.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
            choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
            if let [Value::Object(only)] = choices.as_slice() {
                let only = only.clone();
                object.remove("anyOf");
                object.extend(only);
            }
        }
    }
}

/// [`queue::Order`], as it is written.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes what another crate reads")]
pub(super) enum Order {
    Conversation,
    None,
}

/// [`queue::BehindDead`], as it is written.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes what another crate reads")]
pub(super) enum BehindDead {
    Continue,
    Hold,
}

/// A size, as it is written.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "describes what `units` reads")]
pub(super) enum Size {
    WithUnit(String),
    Bytes(u64),
}

/// An event pattern, as it is written.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "describes what `routing` reads")]
pub(super) enum Pattern {
    Json(String),
    Table(serde_json::Map<String, Value>),
}

/// What an alarm is about.
pub(super) struct Kind;

impl JsonSchema for Kind {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Kind".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string", "enum": operate::alarms::Kind::ALL.map(operate::alarms::Kind::as_str) })
    }
}

/// How bad an alarm is.
pub(super) struct Severity;

impl JsonSchema for Severity {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Severity".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        use operate::alarms::Severity::{Critical, Error, Info, Warning};
        let all = [Info, Warning, Error, Critical].map(operate::alarms::Severity::as_str);
        schemars::json_schema!({ "type": "string", "enum": all })
    }
}
