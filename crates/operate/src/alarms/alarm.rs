//! An alarm, and what is told of it.

use event::{EventId, Timestamp};
use serde::{Deserialize, Serialize};

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Kind {
    /// The queue has stopped: nothing is accepted.
    QueueStopped,
    /// The disk is getting full.
    DiskLow,
    /// Commits take too long.
    CommitLatency,
    /// Deliveries of one group failed for good.
    DeadLetters,
    /// A destination is down.
    BreakerOpen,
    /// An event waits for its delivery for too long.
    Undelivered,
    /// Requests of a source are refused for their signature or credential.
    RefusedSignatures,
    /// A source sends nothing at an hour at which it usually does.
    SourceSilent,
    /// A notifier cannot be reached.
    NotifierFailing,
    /// The quarantine is out of order: what is refused is not kept.
    QuarantineClosed,
    /// The archive cannot be used, so events are kept beyond retention.
    ArchiveFailing,
    /// The changed configuration is refused, and the one before is in force.
    ConfigurationRefused,
    /// Nothing is wrong: sent by `aftercall alarms test`.
    Test,
}

impl Kind {
    /// Those that a configuration can name.
    pub const ALL: [Self; 12] = [
        Self::QueueStopped,
        Self::DiskLow,
        Self::CommitLatency,
        Self::DeadLetters,
        Self::BreakerOpen,
        Self::Undelivered,
        Self::RefusedSignatures,
        Self::SourceSilent,
        Self::NotifierFailing,
        Self::QuarantineClosed,
        Self::ArchiveFailing,
        Self::ConfigurationRefused,
    ];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueStopped => "queue-stopped",
            Self::DiskLow => "disk-low",
            Self::CommitLatency => "commit-latency",
            Self::DeadLetters => "dead-letters",
            Self::BreakerOpen => "breaker-open",
            Self::Undelivered => "undelivered",
            Self::RefusedSignatures => "refused-signatures",
            Self::SourceSilent => "source-silent",
            Self::NotifierFailing => "notifier-failing",
            Self::QuarantineClosed => "quarantine-closed",
            Self::ArchiveFailing => "archive-failing",
            Self::ConfigurationRefused => "configuration-refused",
            Self::Test => "test",
        }
    }

    /// That of an alarm with this key.
    pub fn of_key(key: &str) -> Option<Self> {
        let kind = key.split_once('/').map_or(key, |(kind, _)| kind);
        Self::ALL.into_iter().find(|known| known.as_str() == kind)
    }

    /// How bad it is.
    pub const fn severity(self) -> Severity {
        match self {
            Self::QueueStopped | Self::DiskLow => Severity::Critical,
            Self::CommitLatency
            | Self::RefusedSignatures
            | Self::SourceSilent
            | Self::NotifierFailing
            | Self::QuarantineClosed
            | Self::ConfigurationRefused => Severity::Warning,
            Self::DeadLetters | Self::BreakerOpen | Self::Undelivered | Self::ArchiveFailing => Severity::Error,
            Self::Test => Severity::Info,
        }
    }
}

/// How bad an alarm is; PagerDuty's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Severity {
    /// Nothing to do.
    Info,
    /// Look at it today.
    Warning,
    /// Look at it now.
    Error,
    /// Nothing works, or will soon.
    Critical,
}

impl Severity {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// An alarm. Holds no secret and no body of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Alarm {
    /// Names it: the same trouble has the same key each time.
    pub key: String,
    /// What it is about.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// The destination, source or notifier; empty if it is about the whole server.
    pub subject: String,
    /// What broke, in one line.
    pub summary: String,
    /// More of it.
    pub detail: String,
    /// The key of the alarm that is its cause, if it opened because of that. Whoever was told of that one is not told of this
    /// one too, unless it stays when the other is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// It has stayed when its cause was over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outlasts: bool,
    /// What to do, one step a line, with the exact commands.
    pub todo: Vec<String>,
    /// What happens to the events meanwhile.
    pub assurance: String,
    /// How much: dead letters, seconds, requests, milliseconds or bytes, by kind.
    pub level: u64,
    /// When it opened.
    pub opened: Timestamp,
    /// When this text was last true.
    pub seen: Timestamp,
    /// Since when what it is about is gone; it ends by itself when that has lasted for a while. None while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_since: Option<Timestamp>,
}

/// What became of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is new.
    Opened,
    /// It is worse.
    Updated,
    /// It is over.
    Resolved,
}

impl Change {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Resolved => "resolved",
        }
    }
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What became of it.
    pub change: Change,
    /// When.
    pub at: Timestamp,
    /// The alarm as it is then.
    pub alarm: Alarm,
}

impl Notice {
    /// The same for the same notice, so that a repetition is recognised.
    pub fn id(&self) -> EventId {
        let (opened, at) = (self.alarm.opened.as_millis().to_be_bytes(), self.at.as_millis().to_be_bytes());
        let parts = [self.alarm.key.as_bytes(), &opened[..], self.change.as_str().as_bytes(), &at[..]];
        EventId::from_identity("alarm", parts)
    }

    /// One that only tries whether a notifier works: it opens, or resolves, an alarm about nothing.
    pub fn test(change: Change, at: Timestamp) -> Self {
        let alarm = Alarm {
            key: "test".to_owned(),
            kind: Kind::Test,
            severity: Kind::Test.severity(),
            subject: String::new(),
            summary: "a test of Aftercall's alarms: this notifier works".to_owned(),
            detail: "Somebody ran `aftercall alarms test`. Nothing is wrong.".to_owned(),
            because: None,
            outlasts: false,
            todo: vec!["nothing".to_owned()],
            assurance: "Nothing is lost.".to_owned(),
            level: 0,
            opened: at,
            seen: at,
            gone_since: None,
        };
        Self { change, at, alarm }
    }
}
