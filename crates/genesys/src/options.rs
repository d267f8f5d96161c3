//! What can be set on a client, and the check of it.

use std::path::PathBuf;
use std::time::Duration;

use outbound::Secret;
use url::Url;

use crate::{GenesysError, Region};

/// Requests a minute that one client of Genesys Cloud may make (client.credentials.token.rate.per.minute).
const REQUESTS_PER_MINUTE: u32 = 300;
/// How long one request may take. Queries of analytics are slow at times.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a call waits for its turn: a whole window and a little more, so that the budget alone refuses nobody.
const WAIT_MAX: Duration = Duration::from_secs(65);
/// The path of the token endpoint below `login.`.
const TOKEN_PATH: &str = "/oauth/token";

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where tokens are issued: a host, or the whole address of the endpoint if it has a path of its own, such as
    /// `https://HOST/api/v2/oauth/token`.
    pub login_url: String,
    /// Where the API is.
    pub api_url: String,
    /// The id of the OAuth client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// A file in which processes on this machine share the token.
    pub cache_file: Option<PathBuf>,
    /// Certificates (PEM) of private authorities to trust besides the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Requests in any minute, at most. Default 300. Less leaves something for others that use the same OAuth client;
    /// more only helps if Genesys has raised the limit.
    pub requests_per_minute: u32,
    /// How long one request may take. Default 30 s.
    pub timeout: Duration,
    /// How long a call waits for its turn before it is refused. Default 65 s.
    pub wait_max: Duration,
}

impl Options {
    /// The defaults, for a region and an OAuth client.
    pub fn new(region: Region, client_id: impl Into<String>, client_secret: Secret) -> Self {
        Self {
            login_url: region.login_url(),
            api_url: region.api_url(),
            client_id: client_id.into(),
            client_secret,
            cache_file: None,
            ca_pem: None,
            requests_per_minute: REQUESTS_PER_MINUTE,
            timeout: TIMEOUT,
            wait_max: WAIT_MAX,
        }
    }

    /// The address of the token endpoint.
    pub(crate) fn token_url(&self) -> String {
        match self.login_url.parse::<Url>() {
            Ok(url) if matches!(url.path(), "" | "/") => {
                format!("{}{TOKEN_PATH}", self.login_url.trim_end_matches('/'))
            }
            _ => self.login_url.clone(),
        }
    }

    /// Where the API is, without a slash at the end.
    pub(crate) fn api(&self) -> Result<String, GenesysError> {
        let refuse = |problem: &str| Err(GenesysError::option("api_url", problem));
        let Ok(url) = self.api_url.parse::<Url>() else {
            return refuse("is no address; write https://api.DOMAIN, or name a region");
        };
        match url.scheme() {
            "https" => {}
            "http" if is_here(&url) => {}
            _ => return refuse("would send tokens unencrypted; use https:// (http:// is for this machine only)"),
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return refuse("is more than an address; write https://api.DOMAIN");
        }
        Ok(url.as_str().trim_end_matches('/').to_owned())
    }

    pub(crate) fn oauth(&self) -> Result<oauth::Options, GenesysError> {
        // People know these settings by other names.
        let renamed = |error: oauth::OptionsError| match error {
            oauth::OptionsError::Option { key: "token_url", problem } => GenesysError::option("login_url", problem),
            oauth::OptionsError::Option { key, problem } => GenesysError::option(key, problem),
            oauth::OptionsError::Client(error) => GenesysError::Setup(error),
        };
        let options = oauth::Options::new(&self.token_url(), self.client_id.clone(), self.client_secret.clone());
        let mut options = options.map_err(renamed)?;
        options.ca_pem.clone_from(&self.ca_pem);
        options.cache_file.clone_from(&self.cache_file);
        options.check().map_err(renamed)?;
        Ok(options)
    }
}

/// Whether an address is on this machine.
pub(crate) fn is_here(url: &Url) -> bool {
    url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "[::1]" | "localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options::new(Region::find("eu-central-1").unwrap(), "id", Secret::fixed("hunter2"))
    }

    #[test]
    fn addresses_are_derived_from_the_region_or_taken_as_they_are() {
        let mut options = options();
        assert_eq!(options.token_url(), "https://login.mypurecloud.de/oauth/token");
        assert_eq!(options.api().unwrap(), "https://api.mypurecloud.de");
        options.login_url = "https://api.example.com/api/v2/oauth/token".into();
        options.api_url = "http://127.0.0.1:9/".into();
        assert_eq!(options.token_url(), "https://api.example.com/api/v2/oauth/token");
        assert_eq!(options.api().unwrap(), "http://127.0.0.1:9");
        assert_eq!(options.oauth().unwrap().token_url.as_str(), options.token_url());
        assert!(!format!("{options:?}").contains("hunter2"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_name() {
        let refused = |change: &dyn Fn(&mut Options)| {
            let mut options = options();
            change(&mut options);
            match options.api().map(drop).and_then(|()| options.oauth().map(drop)) {
                Err(GenesysError::Option { key, .. }) => key,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refused(&|o| o.api_url = "api.mypurecloud.de".into()), "api_url");
        assert_eq!(refused(&|o| o.api_url = "http://api.mypurecloud.de".into()), "api_url");
        assert_eq!(refused(&|o| o.api_url = "https://api.mypurecloud.de/?a".into()), "api_url");
        assert_eq!(refused(&|o| o.login_url = "login.mypurecloud.de".into()), "login_url");
        assert_eq!(refused(&|o| o.login_url = "http://login.mypurecloud.de".into()), "login_url");
        assert_eq!(refused(&|o| o.client_id = String::new()), "client_id");
    }
}
