//! Secrets that destinations send: named in the configuration, read when needed, again when their file changes.

use std::path::PathBuf;

use outbound::{Secret, SecretError, SecretFile};

use super::ConfigError;

/// Finds secrets by their names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Secrets;

impl Secrets {
    /// The secret that `name` names; `key` is where the configuration names it.
    pub(crate) fn find(key: &str, name: &str) -> Result<Secret, ConfigError> {
        let cannot = |problem: SecretError| ConfigError::value(key, problem);
        match name.split_once(':') {
            Some(("env", variable)) => {
                let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
                let value = value
                    .ok_or_else(|| cannot(SecretError(format!("the environment variable {variable} is not set"))))?;
                Ok(Secret::fixed(value))
            }
            Some(("file", path)) => {
                let file = SecretFile::new(PathBuf::from(path));
                file.get().map_err(cannot)?;
                Ok(Secret::file(file))
            }
            _ => Err(ConfigError::value_with_help(
                key,
                "is no name of a secret",
                "secrets do not stand in the configuration; write \"env:NAME\" or \"file:PATH\"",
            )),
        }
    }
}
