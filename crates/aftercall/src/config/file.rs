//! The file's tables, as they are written. What each key means stands in `default.toml`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::alarms::{AlarmsTable, NotifierTable};
pub(crate) use super::auth::{AuthTable, SignatureEncoding, SignatureSetting, SignatureTable};
use super::genesys::GenesysTable;
pub(crate) use super::keep::KeepSetting;
use super::oauth::OAuthTable;
pub(crate) use super::queue::QueueTable;
use super::queue::{QueueSetting, table_or_kind};
use super::schedule::ScheduleTable;
use super::schema;
use super::traces::TracesTable;
use super::units::{Size, Time};

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) intake: IntakeTable,
    pub(crate) console: ConsoleTable,
    #[serde(deserialize_with = "table_or_kind")]
    #[schemars(with = "QueueSetting")]
    pub(crate) queue: QueueTable,
    pub(crate) audit: AuditTable,
    pub(crate) quarantine: QuarantineTable,
    pub(crate) archive: ArchiveTable,
    pub(crate) genesys: GenesysTable,
    pub(crate) redaction: RedactionTable,
    pub(crate) sources: BTreeMap<String, SourceTable>,
    pub(crate) destinations: BTreeMap<String, DestinationTable>,
    pub(crate) routes: Vec<RouteTable>,
    pub(crate) alarms: AlarmsTable,
    pub(crate) notifiers: BTreeMap<String, NotifierTable>,
    pub(crate) traces: TracesTable,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IntakeTable {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) drain: Option<Time>,
    pub(crate) tls: Option<TlsTable>,
    pub(crate) limits: LimitsTable,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsTable {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsTable {
    pub(crate) body: Option<Size>,
    pub(crate) headers: Option<Size>,
    pub(crate) header_timeout: Option<Time>,
    pub(crate) body_timeout: Option<Time>,
    pub(crate) body_stall: Option<Time>,
    pub(crate) idle_timeout: Option<Time>,
    pub(crate) connections: Option<usize>,
    pub(crate) requests: Option<usize>,
    pub(crate) body_memory: Option<Size>,
    pub(crate) spool: Option<Size>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConsoleTable {
    pub(crate) listen: Option<SocketAddr>,
}

/// The audit trail.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuditTable {
    pub(crate) retention: Option<Time>,
}

/// Where accepted events are kept for longer than retention.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ArchiveTable {
    pub(crate) url: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) access_key: Option<String>,
    pub(crate) secret_key: Option<String>,
}

/// What redacts.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RedactionTable {
    pub(crate) key: Option<RedactionKeys>,
}

/// Where the key is, or where the keys are.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "\"file:PATH\", \"env:NAME\" or \"secretsmanager:NAME\", or several of them in a list")]
pub(crate) enum RedactionKeys {
    One(String),
    Several(Vec<String>),
}

/// What becomes of a place in a source's events.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedactTable {
    pub(crate) path: String,
    pub(crate) how: RedactHow,
    pub(crate) keep_last: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RedactHow {
    Drop,
    Mask,
    Hash,
    Tokenise,
}

/// What is kept of requests that fail verification; for each source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct QuarantineTable {
    pub(crate) enabled: Option<bool>,
    pub(crate) requests: Option<u64>,
    pub(crate) bytes: Option<Size>,
    pub(crate) retention: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceTable {
    #[serde(default)]
    pub(crate) kind: SourceKind,
    #[serde(default)]
    pub(crate) auth: AuthTable,
    #[serde(default)]
    pub(crate) allow: Vec<Network>,
    #[serde(default)]
    pub(crate) event_id: Vec<String>,
    #[serde(default)]
    pub(crate) conversation: Vec<String>,
    #[serde(default)]
    pub(crate) topic: Vec<String>,
    pub(crate) batch: Option<String>,
    pub(crate) max_events_per_body: Option<usize>,
    pub(crate) max_body: Option<Size>,
    pub(crate) max_requests_per_second: Option<std::num::NonZeroU32>,
    #[serde(default)]
    pub(crate) redact: Vec<RedactTable>,
    pub(crate) queue_url: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) access_key: Option<String>,
    pub(crate) secret_key: Option<String>,
    pub(crate) wait: Option<Time>,
    pub(crate) visibility: Option<Time>,
    pub(crate) concurrency: Option<usize>,
    pub(crate) max_messages: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SourceKind {
    #[default]
    Webhook,
    EventBridge,
    Sqs,
}

/// A network, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(crate) struct Network(pub(crate) IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
        network.map(Self).map_err(|_| format!("`{text}` is no network; write \"10.0.0.0/8\" or a single address"))
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DestinationTable {
    pub(crate) kind: DestinationKind,
    pub(crate) recipe: Option<RecipeSetting>,
    pub(crate) api_version: Option<String>,
    pub(crate) max_records: Option<usize>,
    #[schemars(with = "Option<schema::Order>")]
    pub(crate) order: Option<queue::Order>,
    #[schemars(with = "Option<schema::BehindDead>")]
    pub(crate) behind_dead: Option<queue::BehindDead>,
    pub(crate) concurrency: Option<usize>,
    pub(crate) timeout: Option<Time>,
    pub(crate) attempts: Option<u32>,
    pub(crate) backoff: Option<BackoffTable>,
    pub(crate) breaker: Option<BreakerTable>,
    pub(crate) adaptive: Option<bool>,
    pub(crate) rate: Option<RateTable>,
    pub(crate) max_payload: Option<Size>,
    #[serde(default)]
    pub(crate) on_outage: OnOutage,
    pub(crate) url: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) auth: Option<OutgoingAuth>,
    pub(crate) headers: Option<BTreeMap<String, HeaderSetting>>,
    pub(crate) idempotency_header: Option<String>,
    pub(crate) success: Option<Vec<String>>,
    pub(crate) transient: Option<Vec<String>>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) path: Option<PathBuf>,
    pub(crate) password: Option<String>,
    pub(crate) sslmode: Option<SslModeSetting>,
    pub(crate) table: Option<String>,
    pub(crate) key: Option<KeySetting>,
    pub(crate) columns: Option<BTreeMap<String, String>>,
    pub(crate) version: Option<String>,
    pub(crate) keep: Option<KeepSetting>,
    pub(crate) extra: Option<String>,
    pub(crate) create: Option<bool>,
    pub(crate) connections: Option<usize>,
    pub(crate) max_rows: Option<usize>,
    pub(crate) max_bytes: Option<Size>,
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) access_key: Option<String>,
    pub(crate) secret_key: Option<String>,
    pub(crate) object: Option<String>,
    pub(crate) schedule: Option<ScheduleTable>,
    pub(crate) retention: Option<Time>,
    pub(crate) max_size: Option<Size>,
    pub(crate) update: Option<bool>,
    pub(crate) partition: Option<GrainSetting>,
    pub(crate) file_bytes: Option<Size>,
    pub(crate) file_age: Option<Time>,
    pub(crate) journal: Option<PathBuf>,
    pub(crate) journal_bytes: Option<Size>,
    pub(crate) remember: Option<usize>,
    pub(crate) merge_files: Option<usize>,
    pub(crate) merge_below: Option<Size>,
    pub(crate) merge_after: Option<Time>,
    pub(crate) queue_url: Option<String>,
    pub(crate) bus: Option<String>,
    pub(crate) event_source: Option<String>,
    pub(crate) detail_type: Option<String>,
    pub(crate) time: Option<String>,
    pub(crate) resources: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DestinationKind {
    Http,
    File,
    Postgres,
    Parquet,
    Objects,
    Sqs,
    EventBridge,
    Transcripts,
}

/// How a service wants its records to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RecipeSetting {
    Put,
    Salesforce,
    HubSpot,
    Dataverse,
}

/// How fine the folders of Parquet files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GrainSetting {
    Day,
    Hour,
}

/// How a connection to a database is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SslModeSetting {
    Disable,
    Require,
    VerifyFull,
}

/// The column that tells rows apart, or several that do together.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a column's name or a list of names")]
pub(crate) enum KeySetting {
    One(String),
    Several(Vec<String>),
}

/// What becomes of due deliveries while their destination is down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnOutage {
    /// They wait.
    #[default]
    Hold,
    /// They are put aside in the archive, to be replayed.
    Archive,
}

/// When a destination counts as down, and how it is probed then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BreakerTable {
    pub(crate) window: Option<Time>,
    pub(crate) minimum: Option<u32>,
    pub(crate) percent: Option<u32>,
    pub(crate) pause: Option<Time>,
}

/// Attempts at most in any second, minute and day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RateTable {
    pub(crate) per_second: Option<u32>,
    pub(crate) per_minute: Option<u32>,
    pub(crate) per_day: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackoffTable {
    pub(crate) base: Option<Time>,
    pub(crate) cap: Option<Time>,
}

/// How requests to a destination are authorised; exactly one of `bearer`, `basic`, `api_key` and `oauth`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OutgoingAuth {
    pub(crate) bearer: Option<String>,
    pub(crate) basic: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) api_key: Option<String>,
    pub(crate) secret: Option<String>,
    pub(crate) oauth: Option<OAuthTable>,
}

/// A header's value, or where the secret is that makes it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a text or { secret = \"env:NAME\" }")]
pub(crate) enum HeaderSetting {
    Plain(String),
    Secret { secret: String },
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteTable {
    pub(crate) name: Option<String>,
    pub(crate) destination: String,
    #[schemars(with = "Option<schema::Pattern>")]
    pub(crate) pattern: Option<toml::Value>,
    #[serde(default)]
    pub(crate) on: On,
    #[serde(default)]
    pub(crate) sources: Vec<String>,
    pub(crate) mapping: Option<String>,
}

/// What a route's pattern looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum On {
    /// The event's body
    #[default]
    Event,
    /// The outcome that is made of it
    Outcome,
}
