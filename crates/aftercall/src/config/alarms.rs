//! The tables of alarms and notifiers, as they are written. What each key means stands in `default.toml`.

use std::path::PathBuf;

use operate::alarms::{Kind, Severity};
use schemars::JsonSchema;
use serde::Deserialize;

use super::schema;
use super::units::{Size, Time};

#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AlarmsTable {
    pub(crate) instance: Option<String>,
    pub(crate) every: Option<Time>,
    #[schemars(with = "Vec<schema::Kind>")]
    pub(crate) off: Vec<Kind>,
    pub(crate) dead_letters: Option<u64>,
    pub(crate) new_group: Option<bool>,
    pub(crate) undelivered: Option<Time>,
    pub(crate) breaker_open: Option<Time>,
    pub(crate) refused_signatures: Option<u64>,
    pub(crate) refused_within: Option<Time>,
    pub(crate) source_silent: Option<Time>,
    pub(crate) disk_free: Option<Size>,
    pub(crate) commit_latency: Option<Time>,
    pub(crate) notifier_failing: Option<Time>,
    pub(crate) archive_failing: Option<Time>,
    pub(crate) hold: Option<Time>,
    pub(crate) cool_down: Option<Time>,
    pub(crate) update_every: Option<Time>,
    pub(crate) actions: Vec<ActionTable>,
}

/// What is done when an alarm opens.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActionTable {
    #[schemars(with = "schema::Kind")]
    pub(crate) on: Kind,
    pub(crate) destination: Option<String>,
    #[serde(default)]
    pub(crate) pause: bool,
    pub(crate) call: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotifierTable {
    pub(crate) kind: NotifierKind,
    pub(crate) url: Option<String>,
    pub(crate) routing_key: Option<String>,
    pub(crate) secret: Option<String>,
    pub(crate) command: Option<Vec<String>>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) timeout: Option<Time>,
    #[schemars(with = "Option<Vec<schema::Kind>>")]
    pub(crate) on: Option<Vec<Kind>>,
    #[schemars(with = "Option<schema::Severity>")]
    pub(crate) severity: Option<Severity>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NotifierKind {
    PagerDuty,
    Slack,
    Webhook,
    Command,
}
