//! The sources that intake serves: who may send under which name, and how much.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use http::HeaderName;
use ipnet::IpNet;

use crate::counters::Counters;
use crate::error::Error;
use crate::keyring::{Keyring, KeyringError};
use crate::rate::RateLimit;
use crate::secret::{SecretFormat, SecretSource};
use crate::signature::SignatureScheme;

/// One configured source; requests reach it at `/in/{name}`.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name: letters, digits, `-`, `_` and `.`.
    pub name: Arc<str>,
    /// How its requests prove where they come from.
    pub auth: Auth,
    /// The networks it may send from; empty: any.
    pub allow: Vec<IpNet>,
    /// How its bodies become events.
    pub split: event::SplitSettings,
    /// What of its events is not to be stored as it came.
    pub redaction: Option<Arc<redaction::Redactor>>,
    /// Largest body, instead of [`crate::Limits::body_bytes`].
    pub max_body_bytes: Option<usize>,
    /// How many authentic requests it may send.
    pub max_requests_per_second: Option<NonZeroU32>,
}

/// How requests prove where they come from.
#[derive(Debug, Clone)]
pub enum Auth {
    /// An HMAC over the body.
    Signature {
        /// Where it stands and what it covers.
        scheme: SignatureScheme,
        /// Its keys.
        keyring: Arc<Keyring>,
    },
    /// A secret in a header of its own.
    ApiKey {
        /// The header.
        header: HeaderName,
        /// The secrets.
        keyring: Arc<Keyring>,
    },
    /// A secret as `Authorization: Bearer …`.
    Bearer {
        /// The secrets.
        keyring: Arc<Keyring>,
    },
    /// `Authorization: Basic …`; each secret is `user:password`.
    Basic {
        /// The secrets.
        keyring: Arc<Keyring>,
    },
    /// Nobody can send by HTTP: it is read from a queue of Amazon SQS, and whoever may write there is believed.
    #[cfg(feature = "aws")]
    Queue(Arc<crate::sqs::SqsQueue>),
    /// Everyone is believed. Refused unless intake listens on the loopback interface.
    Open,
}

impl Auth {
    /// A signature with the secrets of `sources`, read in the scheme's format.
    pub fn signature(
        scheme: SignatureScheme,
        sources: impl IntoIterator<Item = SecretSource>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, KeyringError> {
        let keyring = Arc::new(Keyring::load(sources, scheme.secrets, env)?);
        Ok(Self::Signature { scheme, keyring })
    }

    /// An API key in `header`.
    pub fn api_key(
        header: HeaderName,
        sources: impl IntoIterator<Item = SecretSource>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, KeyringError> {
        Ok(Self::ApiKey { header, keyring: Arc::new(Keyring::load(sources, SecretFormat::Plain, env)?) })
    }

    /// A bearer token.
    pub fn bearer(
        sources: impl IntoIterator<Item = SecretSource>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, KeyringError> {
        Ok(Self::Bearer { keyring: Arc::new(Keyring::load(sources, SecretFormat::Plain, env)?) })
    }

    /// User and password, written `user:password`.
    pub fn basic(
        sources: impl IntoIterator<Item = SecretSource>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, KeyringError> {
        Ok(Self::Basic { keyring: Arc::new(Keyring::load(sources, SecretFormat::Plain, env)?) })
    }

    /// The keys, if there are any.
    pub fn keyring(&self) -> Option<&Arc<Keyring>> {
        match self {
            Self::Signature { keyring, .. }
            | Self::ApiKey { keyring, .. }
            | Self::Bearer { keyring }
            | Self::Basic { keyring } => Some(keyring),
            #[cfg(feature = "aws")]
            Self::Queue(_) => None,
            Self::Open => None,
        }
    }
}

impl Source {
    /// Whether requests may come from this address.
    pub(crate) fn allows(&self, peer: IpAddr) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|net| net.contains(&peer))
    }

    fn validate(&self, loopback: bool) -> Result<(), Error> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || !self.name.chars().all(fits) {
            return Err(Error::SourceName { name: self.name.to_string() });
        }
        if matches!(self.auth, Auth::Open) && !loopback {
            return Err(Error::OpenSource { name: self.name.to_string() });
        }
        match &self.auth {
            Auth::Signature { scheme, .. } => {
                scheme.validate().map_err(|reason| Error::SignatureScheme { name: self.name.to_string(), reason })
            }
            _ => Ok(()),
        }
    }
}

/// A source with what is counted about it.
#[derive(Debug)]
pub(crate) struct ServedSource {
    pub(crate) source: Source,
    pub(crate) splitter: event::Splitter,
    pub(crate) counters: Arc<Counters>,
    pub(crate) rate: Option<RateLimit>,
}

/// All sources, by name.
pub(crate) type Sources = HashMap<Arc<str>, Arc<ServedSource>>;

/// Checks the sources and makes them ready; `counters` finds those of a source that was served before.
pub(crate) fn serve(
    sources: Vec<Source>,
    loopback: bool,
    mut counters: impl FnMut(&Arc<str>) -> Arc<Counters>,
) -> Result<Sources, Error> {
    let mut served = Sources::with_capacity(sources.len());
    for source in sources {
        source.validate(loopback)?;
        let name = Arc::clone(&source.name);
        if served.contains_key(&name) {
            return Err(Error::DuplicateSource { name: name.to_string() });
        }
        let rate = source.max_requests_per_second.map(RateLimit::per_second);
        let splitter = event::Splitter::new(&source.split);
        let counters = counters(&name);
        served.insert(name, Arc::new(ServedSource { source, splitter, counters, rate }));
    }
    Ok(served)
}
