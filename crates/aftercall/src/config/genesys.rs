//! Genesys Cloud: the organisation whose platform is asked, and the OAuth client that asks.

use std::path::PathBuf;
use std::time::Duration;

use ::genesys::{Client, GenesysError, Options, Region};
use schemars::JsonSchema;
use serde::Deserialize;

use super::file::File;
use super::oauth::cache_file;
use super::units::Time;
use super::{ConfigError, Secrets};

/// The table, as it is written. What each key means stands in `default.toml`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GenesysTable {
    region: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    login_url: Option<String>,
    api_url: Option<String>,
    cache_file: Option<PathBuf>,
    requests_per_minute: Option<u32>,
    timeout: Option<Time>,
    ca: Option<PathBuf>,
}

/// A platform at work: the client that everybody shares, since its budget is that of all of them.
#[derive(Debug, Clone)]
pub(crate) struct Platform {
    /// What it was made of.
    pub(crate) table: GenesysTable,
    pub(crate) client: Client,
}

/// A platform that is configured.
pub(crate) struct GenesysParts {
    /// The region, unless only addresses are given.
    pub(crate) region: Option<Region>,
    pub(crate) options: Options,
}

impl GenesysParts {
    /// A client that waits for its turn no longer than this.
    pub(crate) fn client(&self, wait_max: Duration) -> Result<Client, ConfigError> {
        client(&Options { wait_max, ..self.options.clone() })
    }
}

impl File {
    /// The platform's client: that of a running server if nothing has changed, so that its budget stays.
    pub(crate) fn platform(&self, known: Option<&Platform>) -> Result<Option<Platform>, ConfigError> {
        let Some(parts) = self.genesys_parts()? else { return Ok(None) };
        if let Some(known) = known.filter(|known| known.table == self.genesys) {
            return Ok(Some(known.clone()));
        }
        let client = client(&parts.options)?;
        Ok(Some(Platform { table: self.genesys.clone(), client }))
    }

    /// The platform, if one is configured. Connects to nothing.
    pub(crate) fn genesys_parts(&self) -> Result<Option<GenesysParts>, ConfigError> {
        let table = &self.genesys;
        if *table == GenesysTable::default() {
            return Ok(None);
        }
        let region = table.region.as_deref().map(Region::find).transpose();
        let region = region.map_err(|error| ConfigError::value("genesys.region", error))?;
        let client_id = table.client_id.clone().ok_or_else(|| missing("client_id", "the id of an OAuth client"))?;
        let secret = table.client_secret.as_deref();
        let secret = secret.ok_or_else(|| missing("client_secret", "\"env:NAME\" or \"file:PATH\""))?;
        let secret = Secrets::find("genesys.client_secret", secret)?;
        let address = |set: &Option<String>, of: fn(&Region) -> String, key: &str| match (set, &region) {
            (Some(url), _) => Ok(url.clone()),
            (None, Some(region)) => Ok(of(region)),
            (None, None) => Err(ConfigError::value_with_help(
                "genesys.region",
                format!("is missing, and so is genesys.{key}"),
                "write region = \"eu-central-1\" or the like; both addresses follow from it",
            )),
        };
        let login_url = address(&table.login_url, Region::login_url, "login_url")?;
        let api_url = address(&table.api_url, Region::api_url, "api_url")?;
        let mut options = Options::new(region.unwrap_or(::genesys::REGIONS[0]), client_id, secret);
        (options.login_url, options.api_url) = (login_url, api_url);
        let path = table.cache_file.as_deref();
        options.cache_file = path.map(|path| cache_file("genesys.cache_file", path)).transpose()?;
        options.requests_per_minute = table.requests_per_minute.unwrap_or(options.requests_per_minute);
        if options.requests_per_minute == 0 {
            return Err(ConfigError::value("genesys.requests_per_minute", "is 0; nothing could be asked"));
        }
        options.timeout = table.timeout.map_or(options.timeout, |time| time.0);
        let read = |path: &PathBuf| {
            let cannot = |error| ConfigError::value("genesys.ca", format!("{}: {error}", path.display()));
            std::fs::read(path).map_err(cannot)
        };
        options.ca_pem = table.ca.as_ref().map(read).transpose()?;
        client(&options)?;
        Ok(Some(GenesysParts { region, options }))
    }
}

fn client(options: &Options) -> Result<Client, ConfigError> {
    Client::new(options).map_err(|error| match error {
        GenesysError::Option { key, problem } => ConfigError::value(format!("genesys.{key}"), problem),
        error => ConfigError::value("genesys", error),
    })
}

fn missing(key: &str, what: &str) -> ConfigError {
    ConfigError::value(format!("genesys.{key}"), format!("is missing; write {what}"))
}
