//! PagerDuty's Events API v2: an alarm is an incident with its key as `dedup_key`, so a repetition opens no second one.
//!
//! <https://developer.pagerduty.com/docs/events-api-v2-overview>

use bytes::Bytes;
use serde_json::{Value, json};

use super::written;
use crate::alarms::{Change, Notice};

/// Characters of a summary, at most; PagerDuty cuts it off there.
const SUMMARY_MAX: usize = 1_024;
/// Characters of a `dedup_key`, at most.
const KEY_MAX: usize = 255;

/// The body of a request. `instance` says which server it is, so that two servers' alarms are kept apart.
pub(super) fn body(notice: &Notice, routing_key: &str, instance: &str) -> Bytes {
    let alarm = &notice.alarm;
    let action = if notice.change == Change::Resolved { "resolve" } else { "trigger" };
    let key: String = format!("aftercall/{instance}/{}", alarm.key).chars().take(KEY_MAX).collect();
    let mut event = json!({ "routing_key": routing_key, "event_action": action, "dedup_key": key });
    if notice.change != Change::Resolved {
        event["client"] = Value::from("Aftercall");
        event["payload"] = json!({
            "summary": alarm.summary.chars().take(SUMMARY_MAX).collect::<String>(),
            "source": instance,
            "severity": alarm.severity.as_str(),
            "timestamp": written(notice.at),
            "component": alarm.subject,
            "group": "aftercall",
            "class": alarm.kind.as_str(),
            "custom_details": {
                "detail": alarm.detail,
                "what_to_do": alarm.todo,
                "events": alarm.assurance,
                "open_since": written(alarm.opened),
            },
        });
    }
    Bytes::from(event.to_string())
}
