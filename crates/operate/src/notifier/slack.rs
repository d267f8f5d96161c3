//! A message for Slack, or whatever takes the same: `{"text": "…"}`.

use bytes::Bytes;
use serde_json::json;

use super::headline;
use crate::alarms::{Change, Notice};

/// The body of a request.
pub(super) fn body(notice: &Notice, instance: &str) -> Bytes {
    let alarm = &notice.alarm;
    let mut text = format!("*{}* ({instance})", plain(&headline(notice)));
    if notice.change != Change::Resolved {
        text.push_str(&format!("\n{}\n", plain(&alarm.detail)));
        for step in &alarm.todo {
            text.push_str(&format!("• `{}`\n", plain(step).replace('`', "'")));
        }
        text.push_str(&plain(&alarm.assurance));
    }
    Bytes::from(json!({ "text": text }).to_string())
}

/// What others wrote becomes no link and no mention.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
