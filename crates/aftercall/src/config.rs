//! The configuration: one TOML file, read strictly, with errors that point at the place and name the cure.

mod alarms;
mod auth;
#[cfg(feature = "aws")]
mod aws;
mod error;
mod file;
mod genesys;
mod oauth;
mod parts;
mod restart;
mod secrets;
mod storage;
#[cfg(test)]
mod tests;
mod units;

use std::path::Path;

pub(crate) use self::error::ConfigError;
#[cfg(feature = "parquet")]
pub(crate) use self::file::DestinationKind;
pub(crate) use self::file::{AuthTable, File, On, OnOutage, SignatureSetting, SourceTable};
pub(crate) use self::genesys::GenesysParts;
#[cfg(feature = "parquet")]
pub(crate) use self::parts::parquet_options;
pub(crate) use self::parts::{
    Action, AlarmParts, DestinationParts, Made, Opened, Parts, RouteParts, Setting, Trouble, signature_scheme,
};
pub(crate) use self::restart::{Started, needs_restart};
pub(crate) use self::secrets::Secrets;

/// The default file, every key commented.
pub(crate) const DEFAULT_FILE: &str = include_str!("config/default.toml");

/// Reads and checks a file.
pub(crate) fn read(path: &Path) -> Result<File, ConfigError> {
    parse(&path.display().to_string(), &read_text(path)?)
}

/// Reads a file, and checks nothing.
pub(crate) fn read_text(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

/// Checks the text of a file; `name` is for errors.
pub(crate) fn parse(name: &str, text: &str) -> Result<File, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::syntax(name, text, &error))
}
