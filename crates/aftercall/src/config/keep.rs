//! What a row of a database leaves of the one that it updates, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

/// What a row leaves of the one that it updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeepSetting {
    Nothing,
    Present,
}
