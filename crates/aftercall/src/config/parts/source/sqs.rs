//! Sources of kind `sqs`. A build without the feature `aws` says so.

use intake::Auth;

use super::super::super::{ConfigError, SourceTable};

/// Refuses the keys of this kind at another one.
pub(super) fn refuse(name: &str, table: &SourceTable) -> Result<(), ConfigError> {
    let keys = [
        ("queue_url", table.queue_url.is_some()),
        ("region", table.region.is_some()),
        ("endpoint", table.endpoint.is_some()),
        ("access_key", table.access_key.is_some()),
        ("secret_key", table.secret_key.is_some()),
        ("wait", table.wait.is_some()),
        ("visibility", table.visibility.is_some()),
        ("concurrency", table.concurrency.is_some()),
        ("max_messages", table.max_messages.is_some()),
    ];
    match keys.iter().find(|(_, set)| *set) {
        Some((key, _)) => Err(ConfigError::value(
            format!("sources.{name}.{key}"),
            "means something for kind = \"sqs\" only; remove it, or set that kind",
        )),
        None => Ok(()),
    }
}

#[cfg(not(feature = "aws"))]
pub(super) fn auth(name: &str, _: &SourceTable) -> Result<Auth, ConfigError> {
    Err(ConfigError::value_with_help(
        format!("sources.{name}.kind"),
        "is \"sqs\", which this build of aftercall cannot do",
        "use a build with the cargo feature `aws`: cargo build --release --features aws",
    ))
}

#[cfg(feature = "aws")]
pub(super) use self::built::auth;

#[cfg(feature = "aws")]
mod built {
    use std::ops::RangeInclusive;
    use std::sync::Arc;
    use std::time::Duration;

    use intake::sqs::{CONCURRENCY_MAX, MESSAGES_MAX, SqsQueue, VISIBILITY_MAX, VISIBILITY_MIN, WAIT_MAX};

    use super::super::super::super::AuthTable;
    use super::super::super::super::aws::{Keys, access};
    use super::*;

    /// The queue that the source is read from.
    pub(in super::super) fn auth(name: &str, table: &SourceTable) -> Result<Auth, ConfigError> {
        let key = |key: &str| format!("sources.{name}.{key}");
        let foreign = [
            ("auth", table.auth != AuthTable::default()),
            ("allow", !table.allow.is_empty()),
            ("max_body", table.max_body.is_some()),
            ("max_requests_per_second", table.max_requests_per_second.is_some()),
        ];
        if let Some((unwanted, _)) = foreign.iter().find(|(_, set)| *set) {
            return Err(ConfigError::value(key(unwanted), "means nothing for kind = \"sqs\"; remove it"));
        }
        let url = table.queue_url.as_deref().unwrap_or_default();
        let is_address = url.parse::<http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.path().len() > 1
        });
        if !is_address {
            let problem =
                if url.is_empty() { "is missing".to_owned() } else { format!("`{url}` is no address of a queue") };
            let help = "write \"https://sqs.REGION.amazonaws.com/ACCOUNT/NAME\"";
            return Err(ConfigError::value_with_help(key("queue_url"), problem, help));
        }
        let mut queue = SqsQueue::new(url);
        queue.wait = within(&key("wait"), table.wait.map(|time| time.0), queue.wait, Duration::ZERO..=WAIT_MAX)?;
        let visibility = VISIBILITY_MIN..=VISIBILITY_MAX;
        queue.visibility =
            within(&key("visibility"), table.visibility.map(|time| time.0), queue.visibility, visibility)?;
        queue.concurrency = within(&key("concurrency"), table.concurrency, queue.concurrency, 1..=CONCURRENCY_MAX)?;
        queue.max_messages = within(&key("max_messages"), table.max_messages, queue.max_messages, 1..=MESSAGES_MAX)?;
        let keys = Keys {
            region: table.region.as_deref(),
            endpoint: table.endpoint.as_deref(),
            access_key: table.access_key.as_deref(),
            secret_key: table.secret_key.as_deref(),
        };
        queue.access = access(&format!("sources.{name}"), &keys)?;
        Ok(Auth::Queue(Arc::new(queue)))
    }

    fn within<T: PartialOrd + Copy + std::fmt::Debug>(
        key: &str,
        value: Option<T>,
        default: T,
        range: RangeInclusive<T>,
    ) -> Result<T, ConfigError> {
        let value = value.unwrap_or(default);
        match range.contains(&value) {
            true => Ok(value),
            false => Err(ConfigError::value(
                key,
                format!("is {value:?}; it can be from {:?} to {:?}", range.start(), range.end()),
            )),
        }
    }
}
