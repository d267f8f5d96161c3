//! The configuration: one TOML file, read strictly, with errors that point at the place and name the cure.

mod alarms;
mod auth;
#[cfg(feature = "aws")]
mod aws;
mod error;
mod file;
mod genesys;
mod keep;
mod oauth;
mod parts;
mod queue;
mod restart;
mod schedule;
mod schema;
mod secrets;
mod storage;
#[cfg(test)]
mod tests;
mod traces;
mod units;

use std::path::Path;

pub(crate) use self::error::ConfigError;
#[cfg(feature = "parquet")]
pub(crate) use self::file::DestinationKind;
pub(crate) use self::file::{AuthTable, File, On, OnOutage, SignatureSetting, SourceTable};
pub(crate) use self::genesys::{GenesysParts, Platform};
#[cfg(feature = "aws")]
pub(crate) use self::parts::AwsPlace;
#[cfg(feature = "lambda")]
pub(crate) use self::parts::FunctionParts;
pub(crate) use self::parts::{
    Action, AlarmParts, ConsoleParts, DestinationParts, Fetching, Made, Opened, Parts, QueueParts, QueuePlace,
    RouteParts, Setting, Trouble, signature_scheme,
};
#[cfg(feature = "parquet")]
pub(crate) use self::parts::{PARQUET_JOURNALS, parquet_options};
pub(crate) use self::restart::{Started, needs_restart};
pub(crate) use self::schema::schema;
pub(crate) use self::secrets::Secrets;
pub(crate) use self::traces::TraceOptions;

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

/// Where the server of a file has its console and its data; of a file that can be used, everything. One that is refused will
/// do, as long as it is TOML and says that: it may have been changed since the server read it. What is wrong with it is said
/// on standard error.
pub(crate) fn whereabouts(path: &Path) -> Result<File, ConfigError> {
    let (name, text) = (path.display().to_string(), read_text(path)?);
    let refused = match parse(&name, &text) {
        Ok(file) => return Ok(file),
        Err(error) => error,
    };
    let Some(file) = text.parse::<toml::Table>().ok().and_then(|table| only_whereabouts(&table)) else {
        return Err(refused);
    };
    let problem = refused.in_a_line();
    crate::output::warn(&format!("the configuration is refused, only the console and data_dir are read: {problem}"));
    Ok(file)
}

/// None if one of them cannot be read.
fn only_whereabouts(table: &toml::Table) -> Option<File> {
    let mut file = File::default();
    if let Some(dir) = table.get("data_dir") {
        file.data_dir = Some(dir.as_str()?.into());
    }
    if let Some(listen) = table.get("console").and_then(|console| console.get("listen")) {
        file.console.listen = Some(listen.as_str()?.parse().ok()?);
    }
    Some(file)
}
