//! The keys and rules of redaction.

use std::sync::Arc;

use event::json::{Path, Pointer};
use redaction::{Error, How, Keys, Redactor, Rule};

use super::super::file::{File, RedactHow, RedactTable, RedactionKeys};
use super::super::secrets::NAME_IT;
use super::super::{ConfigError, Secrets, SourceTable};
use super::source;

/// Where the keys are named.
const KEY: &str = "redaction.key";
/// How a key is made and named.
const MAKE_ONE: &str = "write [redaction] key = \"file:PATH\" or \"env:NAME\", with what `openssl rand -hex 32` prints";
/// More is no list of keys.
const MAX_FILE_BYTES: u64 = 64 * 1024;

impl File {
    /// The keys, the one in use first; `None` if none are named.
    pub(crate) fn redaction_keys(&self) -> Result<Option<Arc<Keys>>, ConfigError> {
        let names = match &self.redaction.key {
            None => return Ok(None),
            Some(RedactionKeys::One(name)) => std::slice::from_ref(name),
            Some(RedactionKeys::Several(names)) => names,
        };
        let secrets: Vec<String> =
            names.iter().map(|name| secrets(name)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        Keys::new(secrets).map(|keys| Some(Arc::new(keys))).map_err(|error| ConfigError::value(KEY, error))
    }

    /// How bodies of a source become events, and what redacts these.
    pub(crate) fn reading(&self, name: &str) -> Result<(event::Splitter, Option<Arc<Redactor>>), ConfigError> {
        let key = format!("sources.{name}");
        let table = self.sources.get(name).ok_or_else(|| ConfigError::value(key, "there is no such source"))?;
        let keys = self.redaction_keys()?;
        let splitter = event::Splitter::new(&source::split(name, table, &self.intake_options())?);
        Ok((splitter, redactor(name, table, keys.as_ref())?))
    }
}

/// The keys that a name stands for: those of a file or of Secrets Manager, one a line, or that of a variable.
fn secrets(name: &str) -> Result<Vec<String>, ConfigError> {
    let cannot = |problem: String| ConfigError::value(KEY, problem);
    if let Some(text) = Secrets::managed(KEY, name) {
        return text.map(|text| lines(&text));
    }
    let found: Vec<String> = match name.split_once(':') {
        Some(("env", variable)) => {
            let value = std::env::var(variable).unwrap_or_default().trim().to_owned();
            if value.is_empty() {
                return Err(cannot(format!("the environment variable {variable} is not set")));
            }
            vec![value]
        }
        Some(("file", path)) => {
            if std::fs::metadata(path).is_ok_and(|data| data.len() > MAX_FILE_BYTES) {
                return Err(cannot(format!("{path}: is too long for a file of keys")));
            }
            let text = std::fs::read_to_string(path).map_err(|error| cannot(format!("{path}: {error}")))?;
            lines(&text)
        }
        _ => {
            return Err(ConfigError::value_with_help(KEY, "is no name of a secret", NAME_IT));
        }
    };
    if found.is_empty() { Err(cannot(format!("{name} is empty"))) } else { Ok(found) }
}

/// One a line.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// What redacts a source's events; `None` without rules.
pub(super) fn redactor(
    name: &str,
    table: &SourceTable,
    keys: Option<&Arc<Keys>>,
) -> Result<Option<Arc<Redactor>>, ConfigError> {
    if table.redact.is_empty() {
        return Ok(None);
    }
    let key = format!("sources.{name}.redact");
    let Some(keys) = keys else {
        let problem = format!(
            "is missing, and {key} needs it: hashes and tokens are made with it, and bodies that are no JSON sealed"
        );
        return Err(ConfigError::value_with_help(KEY, problem, MAKE_ONE));
    };
    let rules = table.redact.iter().enumerate().map(|(number, table)| rule(&format!("{key}[{}]", number + 1), table));
    let rules = rules.collect::<Result<Vec<_>, _>>()?;
    rules.iter().zip(1..).try_for_each(|(rule, number)| check(&format!("{key}[{number}].path"), rule, table))?;
    let made = Redactor::new(rules, Arc::clone(keys)).map_err(|error| ConfigError::value(key, error))?;
    Ok(Some(Arc::new(made)))
}

fn rule(key: &str, table: &RedactTable) -> Result<Rule, ConfigError> {
    let how = match table.how {
        RedactHow::Drop => How::Drop,
        RedactHow::Mask => How::Mask { keep_last: 0 },
        RedactHow::Hash => How::Hash,
        RedactHow::Tokenise => How::Tokenise,
    };
    let at = |part: &str, error: Error| ConfigError::value(format!("{key}.{part}"), error);
    let how = how.with(table.keep_last).map_err(|error| at("keep_last", error))?;
    Rule::new(&table.path, how).map_err(|error| at("path", error))
}

/// Refuses a rule for what is kept beside the event in the clear, because it is what the event is known by.
fn check(key: &str, rule: &Rule, table: &SourceTable) -> Result<(), ConfigError> {
    let lists = [("event_id", &table.event_id), ("conversation", &table.conversation), ("topic", &table.topic)];
    let set = lists.into_iter().flat_map(|(what, list)| list.iter().map(move |text| (what, text)));
    for (what, text) in set {
        // What is no pointer was refused before.
        if text.parse::<Pointer>().is_ok_and(|pointer| rule.path().covers(&pointer)) {
            let problem = format!("`{}` covers `{text}`, from which the {what} is taken before", rule.path());
            let help = format!(
                "what an event is known by is stored beside it as it is; have the rule lead to less, or take the {what} from \
                 elsewhere"
            );
            return Err(ConfigError::value_with_help(key, problem, help));
        }
    }
    let known = event::known_names().find(|(_, text)| text.parse().is_ok_and(|path: Path| path == *rule.path()));
    match known {
        Some((what, text)) => Err(ConfigError::value_with_help(
            key,
            format!("`{text}` is where the {what} is looked for, which is stored beside the event as it is"),
            "remove the rule: it would change the event alone",
        )),
        None => Ok(()),
    }
}
