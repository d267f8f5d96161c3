//! A route's pattern, and what it looks at.

use event::outcome::{FREE_PATH, PATHS};
use routing::Pattern;

use super::ConfigError;
use crate::config::file::{On, RouteTable};

/// The pattern of a route. One that looks at the outcome and names a field that no outcome has is refused: it would never
/// match, and nobody would notice.
pub(super) fn pattern(route: &str, table: &RouteTable) -> Result<Option<Pattern>, ConfigError> {
    let key = |key: &str| format!("routes[{route}].{key}");
    let Some(pattern) = &table.pattern else {
        return match table.on {
            On::Event => Ok(None),
            On::Outcome => Err(ConfigError::value_with_help(
                key("on"),
                "means nothing without a pattern",
                "add `pattern`, or remove it",
            )),
        };
    };
    let pattern = parse(&key("pattern"), pattern)?;
    let unknown = pattern.paths().find(|path| table.on == On::Outcome && !is_of_an_outcome(path));
    match unknown {
        Some(path) => Err(ConfigError::value_with_help(
            key("pattern"),
            format!("looks at the outcome, and no outcome has a field `{path}`"),
            hint(path),
        )),
        None => Ok(Some(pattern)),
    }
}

/// A pattern, written as JSON text or as a table.
fn parse(key: &str, value: &toml::Value) -> Result<Pattern, ConfigError> {
    let text = match value {
        toml::Value::String(text) => text.clone(),
        other => serde_json::to_string(other).map_err(|error| ConfigError::value(key, error))?,
    };
    Pattern::parse(&text).map_err(|error| ConfigError::value(key, error))
}

fn is_of_an_outcome(path: &str) -> bool {
    let is_free = path.strip_prefix(FREE_PATH).is_some_and(|rest| rest.starts_with('.'));
    is_free || PATHS.contains(&path)
}

fn hint(path: &str) -> String {
    let inside: Vec<_> = PATHS
        .iter()
        .filter(|known| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
        .copied()
        .collect();
    if !inside.is_empty() {
        return format!("name one of its fields: {}", inside.join(", "));
    }
    let nearest =
        PATHS.iter().max_by(|one, other| strsim::jaro_winkler(path, one).total_cmp(&strsim::jaro_winkler(path, other)));
    format!("did you mean `{}`? docs/outcome.md lists them all", nearest.copied().unwrap_or_default())
}
