//! How requests of a source are proved, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::units::Time;

/// How requests of a source are proved; exactly one of the first five keys.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuthTable {
    pub(crate) signature: Option<SignatureSetting>,
    pub(crate) api_key: Option<String>,
    pub(crate) bearer: Option<bool>,
    pub(crate) basic: Option<bool>,
    pub(crate) open: Option<bool>,
    pub(crate) secrets: Vec<String>,
}

/// A preset's name, or the settings themselves.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a preset (\"genesys\", \"open-messaging\", \"standard-webhooks\") or a table with `header`"
)]
pub(crate) enum SignatureSetting {
    Preset(String),
    Free(SignatureTable),
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignatureTable {
    pub(crate) header: String,
    #[serde(default)]
    pub(crate) prefix: String,
    #[serde(default)]
    pub(crate) encoding: SignatureEncoding,
    /// Headers whose values are signed before the body, joined by `separator`.
    #[serde(default)]
    pub(crate) signed_headers: Vec<String>,
    pub(crate) separator: Option<String>,
    /// The header that holds the time of signing, in seconds of Unix time.
    pub(crate) timestamp: Option<String>,
    pub(crate) tolerance: Option<Time>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SignatureEncoding {
    #[default]
    Hex,
    Base64,
    Base64Url,
}
