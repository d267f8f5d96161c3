//! What is wrong with a configuration, where, and what to write instead.

use std::ops::Range;
use std::path::PathBuf;

use miette::{Diagnostic, NamedSource, SourceSpan};

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    #[diagnostic(
        code(config::read),
        help("name a file that exists with --config, or leave it out to run with defaults")
    )]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// It is no TOML, or a key or a value is not one that we know.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Syntax(Box<SyntaxError>),
    /// A value is well-formed but cannot be used.
    #[error("{key}: {problem}")]
    #[diagnostic(code(config::value))]
    Value {
        key: String,
        problem: String,
        #[help]
        help: Option<String>,
    },
    /// What a destination's settings name cannot be used as it is now. That was found by asking it, so it may be mended
    /// without the file.
    #[error("{key}: {problem}")]
    #[diagnostic(code(config::unusable))]
    Unusable { key: String, problem: String },
}

/// What is wrong with the text of a file, and where.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
#[diagnostic(code(config::syntax))]
pub(crate) struct SyntaxError {
    message: String,
    #[source_code]
    source_code: NamedSource<String>,
    #[label("here")]
    at: SourceSpan,
    #[help]
    help: Option<String>,
}

impl ConfigError {
    pub(crate) fn value(key: impl Into<String>, problem: impl ToString) -> Self {
        Self::Value { key: key.into(), problem: problem.to_string(), help: None }
    }

    pub(crate) fn value_with_help(key: impl Into<String>, problem: impl ToString, help: impl Into<String>) -> Self {
        Self::Value { key: key.into(), problem: problem.to_string(), help: Some(help.into()) }
    }

    /// All of it in one line, for a log or an answer.
    pub(crate) fn in_a_line(&self) -> String {
        let (text, help) = match self {
            Self::Read { source, .. } => (format!("{self}: {source}"), None),
            Self::Syntax(error) => (format!("{}: {}", error.place(), error.message), error.help.as_ref()),
            Self::Value { help, .. } => (self.to_string(), help.as_ref()),
            Self::Unusable { .. } => (self.to_string(), None),
        };
        let text = help.map_or_else(|| text.clone(), |help| format!("{text}; {help}"));
        text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn syntax(name: &str, text: &str, error: &toml::de::Error) -> Self {
        let at: Range<usize> = error.span().unwrap_or(0..0);
        Self::Syntax(Box::new(SyntaxError {
            message: without_types(error.message()),
            source_code: NamedSource::new(name, text.to_owned()).with_language("TOML"),
            at: at.into(),
            help: nearest_known(error.message()),
        }))
    }
}

impl SyntaxError {
    /// File, line and column.
    fn place(&self) -> String {
        let before = self.source_code.inner().get(..self.at.offset()).unwrap_or_default();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{}:{}:{column}", self.source_code.name(), before.matches('\n').count() + 1)
    }
}

/// For "invalid type: string "none", expected struct AuthTable": what a person calls that.
fn without_types(message: &str) -> String {
    match message.split_once("expected struct ") {
        Some((found, _)) => format!("{found}expected a table, such as {{ key = … }}"),
        None => message.to_owned(),
    }
}

/// For "unknown field `x`, expected one of `a`, `b`": the known one that looks most like it.
fn nearest_known(message: &str) -> Option<String> {
    let ask = || Some("`aftercall config` prints every key with its meaning".to_owned());
    if message.contains("expected struct ") {
        return ask();
    }
    let (unknown, known) = message.strip_prefix("unknown field `")?.split_once('`')?;
    let known = known.split('`').skip(1).step_by(2);
    let nearest = known.map(|name| (strsim::jaro_winkler(unknown, name), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, name)) if likeness > 0.7 => Some(format!("did you mean `{name}`?")),
        _ => ask(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_known_one() {
        let error = crate::config::parse("test.toml", "[intake]\nlisen = \"127.0.0.1:1\"\n").unwrap_err();
        let ConfigError::Syntax(error) = error else { panic!("{error}") };
        let SyntaxError { message, at, help, .. } = *error;
        assert!(message.starts_with("unknown field `lisen`"), "{message}");
        assert_eq!((at.offset(), help.as_deref()), (9, Some("did you mean `listen`?")));
    }

    #[test]
    fn what_should_be_a_table_is_not_called_by_the_name_that_it_has_in_the_code() {
        let error = crate::config::parse("test.toml", "[sources.hook]\nauth = \"none\"\n").unwrap_err();
        let ConfigError::Syntax(error) = error else { panic!("{error}") };
        let SyntaxError { message, at, help, .. } = *error;
        assert_eq!(message, "invalid type: string \"none\", expected a table, such as { key = … }");
        assert_eq!((at.offset(), help.as_deref()), (22, Some("`aftercall config` prints every key with its meaning")));
    }
}
