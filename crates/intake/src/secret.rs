//! Secrets and where they come from. A secret's bytes are wiped when it is dropped and never appear in `Debug`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::signature::STANDARD_BASE64;

/// The bytes of one secret. Never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the text of a secret, as it stands in a variable or a file, without the white space around it.
    pub fn parse(text: &[u8], format: SecretFormat) -> Result<Self, SecretError> {
        let text = text.trim_ascii();
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        let bytes = match format {
            SecretFormat::Plain => text.to_vec(),
            SecretFormat::Whsec => {
                let encoded = text.strip_prefix(b"whsec_").ok_or(SecretError::NoWhsec)?;
                STANDARD_BASE64.decode(encoded).map_err(|_| SecretError::NotBase64)?
            }
        };
        if bytes.is_empty() {
            return Err(SecretError::Empty);
        }
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// The bytes, to make a key of.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// How the text of a secret becomes its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecretFormat {
    /// The text itself.
    #[default]
    Plain,
    /// `whsec_` and base64, as Standard Webhooks writes it.
    Whsec,
}

/// A text that is no secret. Says nothing of the text itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing but white space.
    #[error("it is empty")]
    Empty,
    /// Standard Webhooks secrets begin with `whsec_`.
    #[error("it does not begin with `whsec_`")]
    NoWhsec,
    /// What follows `whsec_` cannot be decoded.
    #[error("what follows `whsec_` is not base64")]
    NotBase64,
}

/// A secret that a service keeps for us, with the one before it while both are good.
pub trait KeptSecret: Send + Sync {
    /// How the configuration names it.
    fn name(&self) -> &str;

    /// The texts that are good, the one in use first, never none. With `again` the service is asked, since what was known
    /// does not do; that may block for some seconds.
    ///
    /// # Errors
    /// If none is known. The text says why, and nothing of a secret.
    fn texts(&self, again: bool) -> Result<Vec<SecretText>, String>;

    /// Why it could not be asked for last, if so; what was known before is in force then.
    fn failing(&self) -> Option<String> {
        None
    }
}

/// The text of a secret; it is wiped when it is dropped.
pub type SecretText = Zeroizing<String>;

/// Where a secret comes from.
#[derive(Clone)]
pub enum SecretSource {
    /// An environment variable, read at start.
    Env(String),
    /// A file with one secret per line, read again when it changes.
    File(PathBuf),
    /// The text itself. Anyone who can read the configuration can read it; meant for generated secrets.
    Value(Zeroizing<String>),
    /// A service that is asked for it from time to time.
    Kept(Arc<dyn KeptSecret>),
}

impl PartialEq for SecretSource {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Env(one), Self::Env(other)) => one == other,
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Value(one), Self::Value(other)) => one == other,
            (Self::Kept(one), Self::Kept(other)) => one.name() == other.name(),
            _ => false,
        }
    }
}

impl Eq for SecretSource {}

impl SecretSource {
    /// A literal secret.
    pub fn value(mut text: String) -> Self {
        let source = Self::Value(Zeroizing::new(text.clone()));
        text.zeroize();
        source
    }
}

impl FromStr for SecretSource {
    type Err = SecretSourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            _ => Err(SecretSourceError),
        }
    }
}

/// The text names no source of a secret. It is not repeated, because it may be the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is named by `env:NAME` or `file:PATH`, not written out")]
pub struct SecretSourceError;

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Value(_) => f.write_str("a literal value"),
            Self::Kept(secret) => f.write_str(secret.name()),
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretSource({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_trimmed_and_never_empty() {
        assert_eq!(Secret::parse(b"  hunter2\r\n", SecretFormat::Plain).unwrap().expose(), b"hunter2");
        assert_eq!(Secret::parse(b" \n", SecretFormat::Plain), Err(SecretError::Empty));
        assert_eq!(Secret::parse(b"whsec_", SecretFormat::Whsec), Err(SecretError::Empty));
    }

    #[test]
    fn whsec_secrets_are_decoded() {
        assert_eq!(Secret::parse(b"whsec_aGVsbG8=", SecretFormat::Whsec).unwrap().expose(), b"hello");
        assert_eq!(Secret::parse(b"whsec_aGVsbG8", SecretFormat::Whsec).unwrap().expose(), b"hello");
        assert_eq!(Secret::parse(b"aGVsbG8=", SecretFormat::Whsec), Err(SecretError::NoWhsec));
        assert_eq!(Secret::parse(b"whsec_*", SecretFormat::Whsec), Err(SecretError::NotBase64));
        assert_eq!(Secret::parse(b"whsec_aGVsbG8=", SecretFormat::Plain).unwrap().expose(), b"whsec_aGVsbG8=");
    }

    #[test]
    fn secrets_are_hidden() {
        let source = SecretSource::value("hunter2".to_owned());
        let secret = Secret::parse(b"hunter2", SecretFormat::Plain).unwrap();
        assert!(!format!("{source:?} {source} {secret:?}").contains("hunter2"));
        let refused = "hunter2".parse::<SecretSource>().unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }

    #[test]
    fn sources_are_named() {
        assert_eq!("env:KEY".parse(), Ok(SecretSource::Env("KEY".to_owned())));
        assert_eq!("file:/run/key".parse(), Ok(SecretSource::File("/run/key".into())));
        assert!("env:".parse::<SecretSource>().is_err());
        assert!("http://x".parse::<SecretSource>().is_err());
    }
}
