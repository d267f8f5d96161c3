//! `[queue]`: where accepted events are kept, and for how long.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::units::Time;

/// The table of DynamoDB, without a setting.
const TABLE: &str = "aftercall";

/// The table of that name.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct QueueTable {
    pub(crate) kind: QueueKind,
    pub(crate) dedupe_window: Option<Time>,
    pub(crate) retention: Option<Time>,
    pub(crate) table: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) access_key: Option<String>,
    pub(crate) secret_key: Option<String>,
    pub(crate) bodies: BodiesTable,
}

/// Where bodies are that are too large for the table of DynamoDB.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BodiesTable {
    pub(crate) url: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) access_key: Option<String>,
    pub(crate) secret_key: Option<String>,
}

impl QueueTable {
    /// Whether it names the same queue, asked in the same way.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        let bare = |table: &Self| {
            let name = Some(table.table_name().to_owned());
            Self { dedupe_window: None, retention: None, table: name, ..table.clone() }
        };
        bare(self) == bare(other)
    }

    /// The table of DynamoDB.
    pub(crate) fn table_name(&self) -> &str {
        self.table.as_deref().unwrap_or(TABLE)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum QueueKind {
    /// Files in the data directory.
    #[default]
    Embedded,
    /// A table of Amazon DynamoDB.
    Aws,
}

/// The table, or only its kind.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "describes what `table_or_kind` reads")]
pub(super) enum QueueSetting {
    Kind(QueueKind),
    Table(Box<QueueTable>),
}

/// Reads `[queue]`, or `queue = "KIND"`.
pub(super) fn table_or_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<QueueTable, D::Error> {
    struct Either;
    impl<'de> Visitor<'de> for Either {
        type Value = QueueTable;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table, or \"embedded\" or \"aws\"")
        }

        fn visit_str<E: Error>(self, kind: &str) -> Result<QueueTable, E> {
            let kind = QueueKind::deserialize(StrDeserializer::new(kind))?;
            Ok(QueueTable { kind, ..QueueTable::default() })
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<QueueTable, A::Error> {
            QueueTable::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_any(Either)
}
