//! Where services of AWS are and who asks them, as sources and destinations write it.

use destinations::AwsAccess;

use super::{ConfigError, Secrets};

/// The keys, as they are written.
pub(crate) struct Keys<'a> {
    pub(crate) region: Option<&'a str>,
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) access_key: Option<&'a str>,
    pub(crate) secret_key: Option<&'a str>,
}

/// What they say; `at` is the table that they stand in.
pub(crate) fn access(at: &str, keys: &Keys<'_>) -> Result<AwsAccess, ConfigError> {
    if let Some(endpoint) = keys.endpoint
        && !endpoint
            .parse::<http::Uri>()
            .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
    {
        let help = "write \"https://sqs.example.com\", or leave it out for Amazon's own";
        return Err(ConfigError::value_with_help(
            format!("{at}.endpoint"),
            format!("`{endpoint}` is no address"),
            help,
        ));
    }
    let find = |key: &str, name: &str| Secrets::find(&format!("{at}.{key}"), name);
    let key = match (keys.access_key, keys.secret_key) {
        (Some(access), Some(secret)) => Some((find("access_key", access)?, find("secret_key", secret)?)),
        (None, None) => None,
        _ => {
            return Err(ConfigError::value_with_help(
                at,
                "has only one of access_key and secret_key",
                "name both, or none to use the environment's or the machine's role",
            ));
        }
    };
    Ok(AwsAccess { region: keys.region.map(str::to_owned), endpoint: keys.endpoint.map(str::to_owned), key })
}
