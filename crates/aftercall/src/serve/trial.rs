//! Serving without a configuration: a generated secret, two sources, everything into one file, and a request to paste.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use intake::{Secret, SecretFormat, SignatureScheme};
use rand::RngExt;

use crate::config::{self, File};

/// File of the generated webhook secret, in the data directory.
const SECRET_FILE: &str = "webhook-secret";
/// File of the generated token of the EventBridge source, in the data directory.
const TOKEN_FILE: &str = "eventbridge-token";
/// The event of the request to paste: a post-call analytics webhook.
const EVENT: &str = r#"{"webhookEventId":"try-1","eventType":"conversation.analytics.completed","conversationId":"b1946ac9-2490-4f5e-8a3c-0d3e6f1c7a10","timestamp":"2026-03-02T08:15:00Z","data":{"agentId":"agent-7","sentiment":{"overall":"positive"},"intents":["billing"]}}"#;

/// The built-in configuration, made usable.
pub(crate) struct Trial {
    secret: Secret,
}

impl Trial {
    /// Fills in sources, a destination and a route; makes the secrets if they are not there from last time.
    pub(crate) fn prepare(file: &mut File) -> anyhow::Result<Self> {
        let dir = file.data_dir();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("making the data directory {}; name another one with --data", dir.display()))?;
        let secret = generated(&dir.join(SECRET_FILE))?;
        generated(&dir.join(TOKEN_FILE))?;
        let text = toml::to_string(&configuration(&dir))?;
        let trial = config::parse("built-in configuration", &text)?;
        file.sources = trial.sources;
        file.destinations = trial.destinations;
        file.routes = trial.routes;
        Ok(Self { secret: Secret::parse(secret.as_bytes(), SecretFormat::Plain)? })
    }

    /// What to do now, with a signed request to paste.
    pub(crate) fn greeting(&self, url: &str, dir: &Path) -> String {
        let signed = SignatureScheme::genesys().sign(&self.secret, "try-1", EVENT.as_bytes(), super::now());
        let header = |(name, value): &(http::HeaderName, http::HeaderValue)| {
            format!("  -H '{name}: {}' \\\n", value.to_str().unwrap_or_default())
        };
        format!(
            "\nAftercall runs without a configuration: everything it accepts goes to {events}.\n\
             Send it a signed event (again, and it is refused as a duplicate):\n\n\
             curl -sS {url}/in/genesys \\\n  -H 'content-type: application/json' \\\n{headers}  -d '{EVENT}'\n\n\
             Or sign and send files of your own: aftercall send FILE\n\
             Your own configuration: aftercall config > aftercall.toml; aftercall serve --config aftercall.toml\n\n",
            events = dir.join("events.ndjson").display(),
            headers = signed.iter().map(header).collect::<String>(),
        )
    }
}

/// The built-in configuration, as a table.
fn configuration(dir: &Path) -> toml::Table {
    let text = |text: &str| toml::Value::String(text.to_owned());
    let secret = |file: &str| toml::Value::Array(vec![text(&format!("file:{}", dir.join(file).display()))]);
    let table = |entries: Vec<(&str, toml::Value)>| {
        toml::Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    let genesys = table(vec![
        ("kind", text("webhook")),
        ("auth", table(vec![("signature", text("genesys")), ("secrets", secret(SECRET_FILE))])),
    ]);
    let eventbridge = table(vec![
        ("kind", text("eventbridge")),
        ("auth", table(vec![("bearer", toml::Value::Boolean(true)), ("secrets", secret(TOKEN_FILE))])),
    ]);
    let events = dir.join("events.ndjson");
    let file = table(vec![("kind", text("file")), ("path", text(&events.display().to_string()))]);
    let route = table(vec![("name", text("everything")), ("destination", text("events"))]);
    BTreeMap::from([
        ("sources", table(vec![("genesys", genesys), ("eventbridge", eventbridge)])),
        ("destinations", table(vec![("events", file)])),
        ("routes", toml::Value::Array(vec![route])),
    ])
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// The secret in a file that only its owner can read; made if it is not there.
fn generated(path: &PathBuf) -> anyhow::Result<String> {
    let failed = || format!("the generated secret {}", path.display());
    if let Ok(secret) = std::fs::read_to_string(path)
        && !secret.trim().is_empty()
    {
        return Ok(secret.trim().to_owned());
    }
    let bytes: [u8; 32] = rand::rng().random();
    let secret: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).with_context(failed)?;
    writeln!(file, "{secret}").and_then(|()| file.sync_all()).with_context(failed)?;
    Ok(secret)
}
