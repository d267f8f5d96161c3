//! Refuses a console that others could reach without a token.

use ::console::TokenFile;

use super::ConfigError;
use super::File;

impl File {
    /// Others can reach the console's address only if somebody has a token. What is wrong with the tokens themselves is
    /// said here too, since a server that has them does not start with a damaged file.
    pub(super) fn check_console(&self) -> Result<(), ConfigError> {
        let (listen, dir) = (self.console_listen(), self.data_dir());
        let unusable = |error| ConfigError::value("console", error);
        let tokens = TokenFile::in_dir(&dir).read().map_err(unusable)?.unwrap_or_default();
        let now = crate::serve::now();
        if listen.ip().is_loopback() || tokens.iter().any(|entry| !entry.is_expired(now)) {
            return Ok(());
        }
        let why = if tokens.is_empty() { "there is no token" } else { "every token has expired" };
        Err(ConfigError::value_with_help(
            "console.listen",
            format!("{listen} can be reached by others, and {why}, so nobody could be told apart"),
            format!(
                "make a token first: aftercall tokens create NAME --scope admin --data {}; or listen on 127.0.0.1",
                dir.display()
            ),
        ))
    }
}
