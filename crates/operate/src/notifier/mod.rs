//! Who is told of alarms: PagerDuty, a Slack-compatible webhook, a signed webhook, a command.
//!
//! Each notifier has an [`Outbox`] of bounded size and a task of its own that empties it: one notice at a time,
//! again with growing pauses until it is taken, or refused for good. A notifier that fails is seen in `status`, in the
//! log, and is an alarm for the others. No secret reaches a log, an error or a `Debug` text.

mod command;
mod http;
mod outbox;
mod pagerduty;
mod service;
mod slack;
#[cfg(test)]
mod tests;
mod webhook;

use std::collections::BTreeMap;
use std::time::Duration;

use destinations::Secret;
use event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alarms::{Change, Kind, Notice, Severity};

pub use command::CommandOptions;
pub use http::Address;
pub use outbox::Outbox;
pub use service::{Clock, NotifierStatus, Notifiers, send_once};
pub use webhook::SigningKey;

/// Where PagerDuty takes events.
pub const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// How long one attempt may take, without a setting.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// One notifier, as it is configured.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// How it is reached.
    pub channel: Channel,
    /// Only alarms of these kinds; `None` means all.
    pub on: Option<Vec<Kind>>,
    /// Only alarms that are at least so bad.
    pub severity: Severity,
    /// How long one attempt may take.
    pub timeout: Duration,
}

impl Options {
    /// Whether it is told of this. Not of what follows from an alarm that it was told of: one trouble is one call.
    pub fn wants(&self, notice: &Notice) -> bool {
        let alarm = &notice.alarm;
        let itself = alarm.kind == Kind::NotifierFailing && alarm.subject == self.name;
        let cause = alarm.because.as_deref().and_then(Kind::of_key);
        let is_news = match cause.map(|cause| self.is_told_of(cause, cause.severity())) {
            None => true,
            Some(knows_cause) if !alarm.outlasts => !knows_cause,
            // That it outlasts its cause opens it for those who knew that alone.
            Some(knows_cause) => knows_cause || notice.change != Change::Opened,
        };
        self.is_told_of(alarm.kind, alarm.severity) && !itself && is_news
    }

    fn is_told_of(&self, kind: Kind, severity: Severity) -> bool {
        self.on.as_ref().is_none_or(|kinds| kinds.contains(&kind)) && severity >= self.severity
    }
}

/// How a notifier is reached.
#[derive(Debug, Clone)]
pub enum Channel {
    /// PagerDuty Events API v2.
    PagerDuty {
        /// Its address.
        url: Address,
        /// The integration key.
        routing_key: Secret,
    },
    /// A webhook that takes `{"text": "…"}`: Slack, Mattermost, Rocket.Chat and others.
    Slack {
        /// Its address, which is a secret.
        url: Address,
    },
    /// A webhook that takes the notice as JSON, signed as Standard Webhooks has it.
    Webhook {
        /// Its address.
        url: Address,
        /// The key that signs.
        key: SigningKey,
    },
    /// A program that is started with the notice on its standard input and in its environment.
    Command(CommandOptions),
}

/// A notice was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// Trying again may help.
    #[error("{message}")]
    Transient {
        /// What happened.
        message: String,
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// It will never take this notice.
    #[error("{0}")]
    Permanent(String),
}

impl NotifyError {
    fn transient(message: impl Into<String>) -> Self {
        Self::Transient { message: message.into(), retry_after: None }
    }
}

/// What the outboxes hold, to be kept over a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Waiting(pub BTreeMap<String, Vec<Notice>>);

/// A time as people and PagerDuty read it.
fn written(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).map(|time| time.to_string()).unwrap_or_default()
}

/// The notice in one line.
fn headline(notice: &Notice) -> String {
    let alarm = &notice.alarm;
    match notice.change {
        Change::Opened => format!("{}: {}", alarm.severity.as_str().to_uppercase(), alarm.summary),
        Change::Updated => format!("{}, worse: {}", alarm.severity.as_str().to_uppercase(), alarm.summary),
        Change::Resolved => format!("RESOLVED: {}", alarm.summary),
    }
}
