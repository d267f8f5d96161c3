//! What can be set on a source of tokens, and the check of it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use outbound::Secret;
use url::{Host, Url};

use crate::OptionsError;
use crate::limits::REQUEST_TIMEOUT;

/// Names of parameters that this crate sets by itself.
const OWN_PARAMETERS: [&str; 5] = ["grant_type", "client_id", "client_secret", "scope", "audience"];

/// How the client proves itself to the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Credentials {
    /// `Authorization: Basic …` (RFC 6749 §2.3.1).
    #[default]
    Basic,
    /// `client_id` and `client_secret` in the form, for endpoints that do not know the other way.
    Form,
}

/// What can be set.
#[derive(Clone)]
pub struct Options {
    /// The token endpoint. `https`, unless it is on this machine.
    pub token_url: Url,
    /// Who asks.
    pub client_id: String,
    /// How it is proved. Asked for at every request to the endpoint.
    pub client_secret: Secret,
    /// Where id and secret stand in the request.
    pub credentials: Credentials,
    /// What the token is to be good for, separated by spaces.
    pub scope: Option<String>,
    /// Whom the token is for, at endpoints that want to know.
    pub audience: Option<String>,
    /// Further parameters of the form.
    pub parameters: Vec<(String, String)>,
    /// How long one request may take. Default 10 s.
    pub timeout: Duration,
    /// Certificates (PEM) of private authorities to trust besides the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// A file in which processes on this machine share the token; one for each set of credentials.
    pub cache_file: Option<PathBuf>,
}

impl Options {
    /// The defaults, for an endpoint and credentials.
    ///
    /// # Errors
    /// If the address is none.
    pub fn new(token_url: &str, client_id: impl Into<String>, client_secret: Secret) -> Result<Self, OptionsError> {
        let token_url =
            token_url.parse().map_err(|error| OptionsError::option("token_url", format!("is no address: {error}")))?;
        Ok(Self {
            token_url,
            client_id: client_id.into(),
            client_secret,
            credentials: Credentials::default(),
            scope: None,
            audience: None,
            parameters: Vec::new(),
            timeout: REQUEST_TIMEOUT,
            ca_pem: None,
            cache_file: None,
        })
    }

    /// Whether a source can be made of it.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn check(&self) -> Result<(), OptionsError> {
        let refuse = |key, problem: &str| Err(OptionsError::option(key, problem));
        let url = &self.token_url;
        match url.scheme() {
            "https" => {}
            "http" if is_here(url) => {}
            "http" => {
                return refuse(
                    "token_url",
                    "would send the secret unencrypted; use https:// (http:// is for this machine only)",
                );
            }
            _ => return refuse("token_url", "is no address; it begins with https://"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("token_url", "has a user in it; write `client_id` and `client_secret` instead");
        }
        if url.fragment().is_some() {
            return refuse("token_url", "has a fragment (#…), which an address of an endpoint cannot have");
        }
        if self.client_id.trim().is_empty() {
            return refuse("client_id", "is empty");
        }
        if self.timeout.is_zero() {
            return refuse("timeout", "is zero; give the token endpoint some time, such as 10 s");
        }
        match self.parameters.iter().find(|(name, _)| OWN_PARAMETERS.contains(&name.as_str())) {
            Some((name, _)) => {
                let problem = format!("has `{name}`, which is set by itself or has a key of its own");
                Err(OptionsError::option("parameters", problem))
            }
            None => Ok(()),
        }
    }

    /// The endpoint as messages name it: without a query, which may hold what is nobody's business.
    pub(crate) fn place(&self) -> String {
        let mut place = self.token_url.clone();
        place.set_query(None);
        place.to_string()
    }
}

/// Whether the address is one of this machine's.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("token_url", &self.place())
            .field("client_id", &self.client_id)
            .field("credentials", &self.credentials)
            .field("scope", &self.scope)
            .field("audience", &self.audience)
            .field("timeout", &self.timeout)
            .field("cache_file", &self.cache_file)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> Options {
        Options::new(url, "an-id", Secret::fixed("hunter2")).unwrap()
    }

    fn refused(options: &Options) -> &'static str {
        match options.check() {
            Err(OptionsError::Option { key, .. }) => key,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_name() {
        for good in [
            "https://login.example.com/oauth/token",
            "http://127.0.0.1:9/t",
            "http://[::1]/t",
            "http://localhost/t?a=b",
        ] {
            assert_eq!(options(good).check(), Ok(()), "{good}");
        }
        for bad in [
            "http://login.example.com/oauth/token",
            "http://127.0.0.1.example.com/",
            "ftp://a.b/",
            "https://u:p@a.b/",
            "https://a.b/#c",
        ] {
            assert_eq!(refused(&options(bad)), "token_url", "{bad}");
        }
        assert!(matches!(
            Options::new("not an address", "i", Secret::fixed("s")),
            Err(OptionsError::Option { key: "token_url", .. })
        ));
        let with = |change: &dyn Fn(&mut Options)| {
            let mut options = options("https://a.b/");
            change(&mut options);
            refused(&options)
        };
        assert_eq!(with(&|o| o.client_id = " ".into()), "client_id");
        assert_eq!(with(&|o| o.timeout = Duration::ZERO), "timeout");
        assert_eq!(with(&|o| o.parameters.push(("scope".into(), "a".into()))), "parameters");
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", options("https://a.b/?key=opensesame"));
        assert!(!shown.contains("hunter2") && !shown.contains("opensesame"), "{shown}");
    }
}
