//! Access tokens by OAuth 2.0 client credentials, as a destination's table names them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ::oauth::{Credentials, Options, OptionsError, TokenSource};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, Secrets};

/// Where tokens come from, and for whom.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OAuthTable {
    token_url: String,
    client_id: String,
    client_secret: String,
    #[serde(default)]
    credentials: CredentialsPlace,
    scope: Option<String>,
    audience: Option<String>,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    cache_file: Option<PathBuf>,
}

/// Where id and secret stand in the request for a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum CredentialsPlace {
    #[default]
    Basic,
    Form,
}

impl OAuthTable {
    /// The source of tokens that the table at `key` describes.
    pub(super) fn source(&self, key: &str, ca_pem: Option<Vec<u8>>) -> Result<TokenSource, ConfigError> {
        let at = |name: &str| format!("{key}.{name}");
        let refuse = |error: OptionsError| match error {
            OptionsError::Option { key, problem } => ConfigError::value(at(key), problem),
            OptionsError::Client(error) => ConfigError::value(key, error),
        };
        let secret = Secrets::find(&at("client_secret"), &self.client_secret)?;
        let mut options = Options::new(&self.token_url, self.client_id.clone(), secret).map_err(refuse)?;
        options.credentials = match self.credentials {
            CredentialsPlace::Basic => Credentials::Basic,
            CredentialsPlace::Form => Credentials::Form,
        };
        options.scope.clone_from(&self.scope);
        options.audience.clone_from(&self.audience);
        options.parameters = self.parameters.clone().into_iter().collect();
        options.ca_pem = ca_pem;
        options.cache_file = self.cache_file.as_deref().map(|path| cache_file(&at("cache_file"), path)).transpose()?;
        TokenSource::new(options).map_err(refuse)
    }
}

/// A file that can be written: its directory is there.
pub(super) fn cache_file(key: &str, path: &Path) -> Result<PathBuf, ConfigError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.file_name().is_none() || path.is_dir() {
        return Err(ConfigError::value(key, format!("`{}` is no file; name one", path.display())));
    }
    match directory.is_dir() {
        true => Ok(path.to_owned()),
        false => Err(ConfigError::value_with_help(
            key,
            format!("the directory `{}` is not there", directory.display()),
            "make it, for the user that runs Aftercall alone, or name another file",
        )),
    }
}
