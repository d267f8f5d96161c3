//! The configuration: one TOML file, read strictly, with errors that point at the place and name the cure.

mod alarms;
mod error;
mod file;
mod parts;
mod secrets;
#[cfg(test)]
mod tests;
mod units;

use std::path::Path;

pub(crate) use self::error::ConfigError;
pub(crate) use self::file::{AuthTable, File, SignatureSetting, SourceTable};
pub(crate) use self::parts::{Action, AlarmParts, Parts, RouteParts, signature_scheme};
pub(crate) use self::secrets::Secrets;

/// The default file, every key commented.
pub(crate) const DEFAULT_FILE: &str = include_str!("config/default.toml");

/// Reads and checks a file.
pub(crate) fn read(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(&path.display().to_string(), &text)
}

/// Checks the text of a file; `name` is for errors.
pub(crate) fn parse(name: &str, text: &str) -> Result<File, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::syntax(name, text, &error))
}
