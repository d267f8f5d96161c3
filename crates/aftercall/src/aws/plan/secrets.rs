//! Which secrets a configuration names, wherever they stand in it.

use std::collections::BTreeMap;

use serde::Serialize;
use toml::{Table, Value};

use super::needs::Place;

/// How a secret of AWS Secrets Manager is named, and what separates a key of its JSON from its name.
const MANAGED: &str = "secretsmanager:";
const KEY: char = '#';
/// How secrets are named that are somewhere else.
const ELSEWHERE: [&str; 2] = ["env:", "file:"];
/// Keys with texts that may begin like a secret and are none.
const NO_SECRETS: [&str; 5] = ["mapping", "pattern", "url", "path", "object"];

/// A secret of AWS Secrets Manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct SecretNeed {
    pub(super) name: String,
    /// With `??????` for what AWS puts behind a name, as policies want it.
    pub(super) arn: String,
    /// Where it is named.
    pub(super) at: Vec<String>,
    /// Who reads it.
    pub(super) read_by: &'static str,
    /// The template makes it.
    pub(super) is_own: bool,
    /// Every function reads it, and not only `deliver`.
    pub(super) of_sources: bool,
    /// `deliver` reads it.
    pub(super) is_read: bool,
    /// `upkeep` reads it, which tells of alarms.
    pub(super) of_notifiers: bool,
}

/// A secret that no function can read.
pub(super) struct Unreachable {
    pub(super) at: String,
    pub(super) name: String,
}

/// The secrets of Secrets Manager, each once.
pub(super) fn of(file: &Table, place: &Place) -> Vec<SecretNeed> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    walk(file, |at, text| {
        if let Some(name) = text.strip_prefix(MANAGED) {
            let name = name.split(KEY).next().unwrap_or(name);
            found.entry(name.to_owned()).or_default().push(at.to_owned());
        }
    });
    found.into_iter().map(|(name, at)| need(name, at, place)).collect()
}

/// Those that are in a file or in the environment.
pub(super) fn unreachable(file: &Table) -> Vec<Unreachable> {
    let mut found = Vec::new();
    walk(file, |at, text| {
        let is_address = text.starts_with("file://");
        if !is_address && ELSEWHERE.iter().any(|kind| text.starts_with(kind)) {
            found.push(Unreachable { at: at.to_owned(), name: text.to_owned() });
        }
    });
    found
}

fn need(name: String, at: Vec<String>, place: &Place) -> SecretNeed {
    let Place { stack, region, account } = place;
    let begins = |with: &[&str]| at.iter().any(|at| with.iter().any(|with| at.starts_with(with)));
    let of_sources = begins(&["sources.", "redaction.", "traces."]);
    let is_read = of_sources || begins(&["destinations.", "genesys."]);
    let is_own = if of_sources { name == format!("{stack}/webhook") } else { name == format!("{stack}/crm") };
    let of_notifiers = begins(&["notifiers."]);
    let read_by = match (of_sources, is_read, of_notifiers) {
        (true, ..) => "every function",
        (false, true, true) => "deliver and upkeep",
        (false, true, false) => "deliver",
        (false, false, true) => "upkeep",
        (false, false, false) => "a server",
    };
    let arn = match name.starts_with("arn:") {
        true => name.clone(),
        false => format!("arn:aws:secretsmanager:{region}:{account}:secret:{name}-??????"),
    };
    SecretNeed { name, arn, at, read_by, is_own, of_sources, is_read, of_notifiers }
}

/// Every text of the file that may name a secret, with where it stands.
fn walk(file: &Table, mut see: impl FnMut(&str, &str)) {
    let mut rest: Vec<(String, &Value)> = file.iter().map(|(key, value)| (key.clone(), value)).collect();
    rest.reverse();
    while let Some((at, value)) = rest.pop() {
        match value {
            Value::String(text) => see(&at, text),
            Value::Array(values) => rest.extend(values.iter().rev().map(|value| (at.clone(), value))),
            Value::Table(table) => {
                // The address of a notifier may be one.
                let may_be = |key: &str| !NO_SECRETS.contains(&key) || key == "url" && at.starts_with("notifiers.");
                let members = table.iter().filter(|(key, _)| may_be(key));
                let members: Vec<_> = members.map(|(key, value)| (format!("{at}.{key}"), value)).collect();
                rest.extend(members.into_iter().rev());
            }
            _ => {}
        }
    }
}
