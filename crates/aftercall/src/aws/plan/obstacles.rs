//! What of a configuration functions cannot do, and what they leave to a server.
//!
//! A function has no disk that stays, no files but those of its package, and ends after some minutes.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use toml::{Table, Value};

use super::needs::{Place, intake_queue, kind, tables};
use super::secrets;

/// The timeout of `deliver` in the template, and what it keeps of it for settling.
const DELIVER_TIMEOUT: Duration = Duration::from_secs(300);
const DELIVER_MARGIN: Duration = Duration::from_secs(4);
/// Where files of the package are, and the only place where a function may write.
const PACKAGE: &str = "/var/task/";
const SCRATCH: &str = "/tmp/";
/// Destinations that write to a disk.
const LOCAL: [&str; 2] = ["file", "parquet"];

/// Something that is not as it is on a server.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Obstacle {
    pub(super) effect: Effect,
    /// The key.
    pub(super) at: String,
    pub(super) what: String,
    pub(super) cure: String,
}

/// What it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Effect {
    /// It has to be changed.
    Refused,
    /// A server on the same table does it.
    Server,
    /// Nothing comes of it.
    Ignored,
}

/// All of them.
pub(super) fn of(file: &Table, place: &Place) -> Vec<Obstacle> {
    let mut found = Found(Vec::new());
    for secret in secrets::unreachable(file) {
        let what = format!("`{}` is on no machine that a function runs on", secret.name);
        let cure = format!("put it into Secrets Manager and write \"secretsmanager:{}/NAME\"", place.stack);
        found.add(Effect::Refused, &secret.at, what, &cure);
    }
    found.files("", file);
    found.sources(file, place);
    found.destinations(file);
    found.rest(file);
    found.queue(file, place);
    found.0
}

/// Whether a destination writes to a disk.
pub(super) fn is_local(table: &Table) -> bool {
    LOCAL.contains(&kind(table))
}

/// A destination that only somebody in a private network can reach.
pub(super) fn in_a_network(file: &Table) -> Option<&str> {
    let all = tables(file, "destinations").into_iter();
    let mut reached = all.filter(|(_, table)| !is_local(table));
    reached.find(|(_, table)| host(table).is_some_and(is_private)).map(|(name, _)| name)
}

struct Found(Vec<Obstacle>);

impl Found {
    fn add(&mut self, effect: Effect, at: &str, what: impl Into<String>, cure: &str) {
        self.0.push(Obstacle { effect, at: at.to_owned(), what: what.into(), cure: cure.to_owned() });
    }

    /// Keys that name files, wherever they stand.
    fn files(&mut self, at: &str, table: &Table) {
        for (key, value) in table {
            let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            match (key.as_str(), value) {
                ("ca", Value::String(path)) if !path.starts_with(PACKAGE) => {
                    let cure = format!("put the file beside `bootstrap` in the package and write \"{PACKAGE}NAME\"");
                    self.add(Effect::Refused, &at, format!("`{path}` is on no machine that a function runs on"), &cure);
                }
                ("cache_file", Value::String(path)) if !path.starts_with(SCRATCH) => {
                    let cure = format!("leave it out, or write \"{SCRATCH}NAME\"");
                    self.add(Effect::Refused, &at, format!("a function cannot write `{path}`"), &cure);
                }
                (_, Value::Table(table)) => self.files(&at, table),
                _ => {}
            }
        }
    }

    fn sources(&mut self, file: &Table, place: &Place) {
        let sources = tables(file, "sources");
        let polled: Vec<_> = sources.iter().filter(|(_, table)| kind(table) == "sqs").collect();
        for (name, table) in &polled {
            let url = table.get("queue_url").and_then(Value::as_str).unwrap_or_default();
            if !url.ends_with(&format!("/{}-intake", place.stack)) {
                let what = format!("route does not read `{url}`");
                let cure = format!(
                    "write queue_url = \"{}\", or give route an event source for that queue",
                    intake_queue(place)
                );
                self.add(Effect::Refused, &format!("sources.{name}.queue_url"), what, &cure);
            }
            self.keys(&format!("sources.{name}"), table);
        }
        if sources.is_empty() {
            self.add(Effect::Refused, "sources", "there is none, so nothing comes in", "add one");
        }
        for (name, table) in sources {
            if kind(table) != "sqs" && table.get("max_requests_per_second").is_some() {
                let what = "each instance of ingest counts by itself";
                let cure = "limit all of them with the template's ThrottleRate";
                self.add(Effect::Ignored, &format!("sources.{name}.max_requests_per_second"), what, cure);
            }
        }
    }

    fn destinations(&mut self, file: &Table) {
        for (name, table) in tables(file, "destinations") {
            let at = format!("destinations.{name}");
            if is_local(table) {
                let what =
                    format!("a destination of kind `{}` writes to a disk, which a function does not have", kind(table));
                self.add(Effect::Server, &at, what, "run `aftercall serve` on the same table for it, or take it out");
                continue;
            }
            if host(table).is_some_and(is_loopback) {
                let what = "a function reaches nothing at this address, it is the machine itself";
                self.add(Effect::Refused, &format!("{at}.url"), what, "write an address that AWS can reach");
            }
            let bucket =
                table.get("url").and_then(Value::as_str).filter(|_| matches!(kind(table), "objects" | "transcripts"));
            if bucket.is_some_and(|url| !url.contains("://") || url.starts_with("file://")) {
                let what = "a directory is on no machine that a function runs on";
                self.add(Effect::Refused, &format!("{at}.url"), what, "write \"s3://BUCKET/PREFIX\"");
            }
            if table.get("on_outage").and_then(Value::as_str) == Some("archive") {
                let what = "functions do not put deliveries aside; they wait for the destination";
                self.add(
                    Effect::Ignored,
                    &format!("{at}.on_outage"),
                    what,
                    "none is needed: an outage costs time only",
                );
            }
            let timeout = table.get("timeout").and_then(Value::as_str);
            let timeout = timeout.and_then(|text| humantime::parse_duration(text).ok());
            if timeout.is_some_and(|timeout| timeout + DELIVER_MARGIN >= DELIVER_TIMEOUT) {
                let what = format!("deliver ends after {} s, with this attempt in it", DELIVER_TIMEOUT.as_secs());
                self.add(Effect::Refused, &format!("{at}.timeout"), what, "write a shorter one");
            }
            if matches!(kind(table), "objects" | "transcripts" | "sqs" | "eventbridge") {
                self.keys(&at, table);
            }
        }
    }

    /// Keys of AWS, where the function's role does.
    fn keys(&mut self, at: &str, table: &Table) {
        let is_elsewhere = |url: &str| url.starts_with("gs://") || url.starts_with("az://");
        if table.get("access_key").is_some() && !table.get("url").and_then(Value::as_str).is_some_and(is_elsewhere) {
            let what = "functions have a role, and need no keys that somebody must rotate";
            self.add(Effect::Refused, &format!("{at}.access_key"), what, "take access_key and secret_key out");
        }
    }

    /// Functions are told the table by their environment; a server beside them is told by the file.
    fn queue(&mut self, file: &Table, place: &Place) {
        let queue = file.get("queue").and_then(Value::as_table);
        let text = |key: &str| queue.and_then(|queue| queue.get(key)).and_then(Value::as_str);
        let stack = &place.stack;
        let needs_server = self.0.iter().any(|obstacle| obstacle.effect == Effect::Server);
        if needs_server && (text("kind") != Some("aws") || text("table") != Some(stack.as_str())) {
            let what = "a server beside the functions would not work on their table";
            self.add(
                Effect::Server,
                "queue",
                what,
                &format!("write kind = \"aws\" and table = \"{stack}\" in [queue]"),
            );
        }
        if let Some(queue) = queue {
            self.keys("queue", queue);
        }
    }

    fn rest(&mut self, file: &Table) {
        if let Some(archive) = file.get("archive").and_then(Value::as_table).filter(|table| !table.is_empty()) {
            let what = "functions export nothing, and drop what is older than retention, exported or not";
            let cure = "run `aftercall serve` on the same table, with an alarm on its being there";
            self.add(Effect::Server, "archive", what, cure);
            self.keys("archive", archive);
        }
        let silent = tables(file, "notifiers").len();
        if silent > 0 {
            let what = "functions tell of dead letters, of what is undelivered and of breakers, and of no source, disk or archive";
            let cure = "none; the template's alarms tell of refused requests";
            self.add(Effect::Ignored, "notifiers", what, cure);
        }
        if file.get("quarantine").is_some() {
            let what = "requests that fail verification are answered 401 and counted, and not kept";
            self.add(Effect::Ignored, "quarantine", what, "none; watch the alarm on refused requests");
        }
        for (at, what) in [
            ("data_dir", "functions have none"),
            ("console", "functions have no console; `aftercall serve` on the same table has one"),
        ] {
            if file.get(at).is_some() {
                self.add(Effect::Ignored, at, what, "none is needed");
            }
        }
        let intake = file.get("intake").and_then(Value::as_table);
        for key in ["listen", "tls", "drain"] {
            if intake.is_some_and(|intake| intake.get(key).is_some()) {
                let what = "the API of the template takes requests, with a certificate of ACM";
                self.add(Effect::Ignored, &format!("intake.{key}"), what, "none is needed");
            }
        }
    }
}

/// The host that a destination is reached at.
fn host(table: &Table) -> Option<&str> {
    let url = table.get("url")?.as_str()?;
    let (scheme, rest) = url.split_once("://")?;
    if matches!(scheme, "s3" | "gs" | "az" | "file") {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => host.split(':').next()?,
    };
    Some(host).filter(|host| !host.is_empty())
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_private(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_private(),
        Ok(IpAddr::V6(address)) => address.is_unique_local(),
        // Names without a dot are known inside of a network only.
        Err(_) => {
            host != "localhost"
                && (!host.contains('.') || [".internal", ".local", ".lan"].iter().any(|end| host.ends_with(end)))
        }
    }
}
