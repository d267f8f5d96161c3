//! Sources, as intake wants them.

mod sqs;

use std::sync::Arc;
use std::time::Duration;

use event::json::Pointer;
use http::HeaderName;
use intake::{Auth, Encoding, SecretFormat, SecretSource, SignatureScheme, SignedContent, SignedTime};

use super::super::file::{SignatureEncoding, SignatureTable, SourceKind};
use super::super::{AuthTable, ConfigError, Secrets, SignatureSetting, SourceTable};

/// How old a signed time may be, without a setting: what Standard Webhooks recommends.
const TOLERANCE: Duration = Duration::from_secs(300);
/// A body may hold as many events as fit into the largest of its source at this size, if nothing else is set.
const BYTES_OF_AN_EVENT: usize = 1024;

pub(super) fn make(
    name: &str,
    table: &SourceTable,
    keys: Option<&Arc<redaction::Keys>>,
    intake: &intake::Options,
) -> Result<intake::Source, ConfigError> {
    check_spool(name, table, intake)?;
    Ok(intake::Source {
        name: Arc::from(name),
        auth: match table.kind {
            SourceKind::Sqs => sqs::auth(name, table)?,
            SourceKind::Webhook | SourceKind::EventBridge => {
                sqs::refuse(name, table)?;
                auth(&format!("sources.{name}.auth"), &table.auth)?
            }
        },
        allow: table.allow.iter().map(|network| network.0).collect(),
        split: split(name, table, intake)?,
        redaction: super::redaction::redactor(name, table, keys)?,
        max_body_bytes: table.max_body.map(|size| size.0),
        max_requests_per_second: table.max_requests_per_second,
    })
}

/// The most bytes of one of its bodies.
fn max_body(table: &SourceTable, intake: &intake::Options) -> usize {
    table.max_body.map_or(intake.limits.body_bytes, |size| size.0)
}

/// A body that goes by the spool must fit into it, and must be one that may lie on the disk as it came.
fn check_spool(name: &str, table: &SourceTable, intake: &intake::Options) -> Result<(), ConfigError> {
    let (max, room) = (max_body(table, intake), intake.spool.as_ref().map_or(u64::MAX, |spool| spool.bytes));
    if max as u64 >= room && max > intake.limits.spool_above {
        return Err(ConfigError::value_with_help(
            format!("sources.{name}.max_body"),
            "is larger than the spool, so that such a body could never be accepted",
            "make `intake.limits.spool` several times as large",
        ));
    }
    if table.max_body.is_some_and(|own| own.0 > intake.limits.spool_above) && !table.redact.is_empty() {
        return Err(ConfigError::value_with_help(
            format!("sources.{name}.max_body"),
            "is more than a source with rules for redaction can have",
            "larger bodies than 16MiB would lie on the disk as they came; lower it",
        ));
    }
    Ok(())
}

/// How its bodies become events.
pub(super) fn split(
    name: &str,
    table: &SourceTable,
    intake: &intake::Options,
) -> Result<event::SplitSettings, ConfigError> {
    let key = |key: &str| format!("sources.{name}.{key}");
    let pointers = |list: &[String], at: &str| {
        let parse = |text: &String| text.parse::<Pointer>().map_err(|error| ConfigError::value(key(at), error));
        list.iter().map(parse).collect::<Result<Vec<_>, _>>()
    };
    let kind = match table.kind {
        SourceKind::Webhook => event::SourceKind::Webhook,
        SourceKind::EventBridge | SourceKind::Sqs => event::SourceKind::EventBridge,
    };
    let mut split = event::SplitSettings::new(kind);
    split.event_id = pointers(&table.event_id, "event_id")?;
    split.conversation = pointers(&table.conversation, "conversation")?;
    split.topic = pointers(&table.topic, "topic")?;
    if let Some(batch) = &table.batch {
        split.batch = event::Batch::At(batch.parse().map_err(|error| ConfigError::value(key("batch"), error))?);
    }
    split.max_events_per_body = split.max_events_per_body.max(max_body(table, intake) / BYTES_OF_AN_EVENT);
    match table.max_events_per_body {
        Some(0) => return Err(ConfigError::value(key("max_events_per_body"), "is 0, so nothing could be accepted")),
        Some(max) => split.max_events_per_body = max,
        None => {}
    }
    Ok(split)
}

fn auth(key: &str, table: &AuthTable) -> Result<Auth, ConfigError> {
    let on = |flag: Option<bool>| flag == Some(true);
    let ways = [table.signature.is_some(), table.api_key.is_some(), on(table.bearer), on(table.basic), on(table.open)];
    if ways.iter().filter(|way| **way).count() != 1 {
        return Err(ConfigError::value_with_help(
            key,
            "needs exactly one of `signature`, `api_key`, `bearer`, `basic` and `open`",
            "for Genesys webhooks: auth = { signature = \"genesys\", secrets = [\"env:GENESYS_WEBHOOK_SECRET\"] }",
        ));
    }
    if on(table.open) {
        return if table.secrets.is_empty() {
            Ok(Auth::Open)
        } else {
            Err(ConfigError::value(format!("{key}.secrets"), "mean nothing with open = true; remove one of the two"))
        };
    }
    let secrets = secrets(&format!("{key}.secrets"), &table.secrets)?;
    let env = |name: &str| std::env::var(name).ok();
    let made = match (&table.signature, &table.api_key) {
        (Some(setting), _) => Auth::signature(scheme(&format!("{key}.signature"), setting)?, secrets, &env),
        (None, Some(header)) => Auth::api_key(header_name(&format!("{key}.api_key"), header)?, secrets, &env),
        (None, None) if on(table.bearer) => Auth::bearer(secrets, &env),
        (None, None) => Auth::basic(secrets, &env),
    };
    made.map_err(|error| ConfigError::value(format!("{key}.secrets"), error))
}

fn secrets(key: &str, names: &[String]) -> Result<Vec<SecretSource>, ConfigError> {
    if names.is_empty() {
        return Err(ConfigError::value_with_help(key, "there is none", "write secrets = [\"env:NAME\"]"));
    }
    names.iter().map(|name| Secrets::verifying(key, name)).collect()
}

fn header_name(key: &str, name: &str) -> Result<HeaderName, ConfigError> {
    name.parse().map_err(|_| ConfigError::value(key, format!("`{name}` is no name of a header")))
}

/// The scheme that a setting names or describes.
pub(crate) fn scheme(key: &str, setting: &SignatureSetting) -> Result<SignatureScheme, ConfigError> {
    match setting {
        SignatureSetting::Preset(name) => SignatureScheme::preset(name).ok_or_else(|| {
            ConfigError::value_with_help(
                key,
                format!("there is no preset `{name}`"),
                "the presets are \"genesys\", \"open-messaging\" and \"standard-webhooks\"",
            )
        }),
        SignatureSetting::Free(table) => free_scheme(key, table),
    }
}

fn free_scheme(key: &str, table: &SignatureTable) -> Result<SignatureScheme, ConfigError> {
    let header = |at: &str, name: &str| header_name(&format!("{key}.{at}"), name);
    let encoding = match table.encoding {
        SignatureEncoding::Hex => Encoding::Hex,
        SignatureEncoding::Base64 => Encoding::Base64,
        SignatureEncoding::Base64Url => Encoding::Base64Url,
    };
    let mut scheme = SignatureScheme::of_body(header("header", &table.header)?, &table.prefix, encoding);
    scheme.secrets = SecretFormat::Plain;
    if !table.signed_headers.is_empty() {
        let names: Result<Vec<_>, _> = table.signed_headers.iter().map(|name| header("signed_headers", name)).collect();
        scheme.content = SignedContent::of_headers_and_body(names?, table.separator.as_deref().unwrap_or("."));
    }
    if let Some(timestamp) = &table.timestamp {
        let tolerance = table.tolerance.map_or(TOLERANCE, |time| time.0);
        scheme.timestamp = Some(SignedTime { header: header("timestamp", timestamp)?, tolerance });
    }
    Ok(scheme)
}
