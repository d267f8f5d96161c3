//! What a token looks like, and what is kept of it.
//!
//! A token is `act_ID_SECRET`. The id is for people, to tell which token it is; the secret has 256 bits of the system's
//! randomness. Nobody can guess one or try them all, so one SHA-256 is enough to keep it: slow hashes are for passwords
//! that people choose.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::{constant_time, digest, rand};
use event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Error;

/// What every token begins with, so that scanners and people recognise one that has leaked.
const PREFIX: &str = "act_";
/// Hexadecimal digits of the id.
const ID_DIGITS: usize = 8;
/// Hexadecimal digits of the secret: 256 bits.
const SECRET_DIGITS: usize = 64;

/// What a token allows; each scope includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To look.
    Read,
    /// To change what is delivered: redrive, discard.
    Operate,
    /// To administer: see who has tokens.
    Admin,
}

impl Scope {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Read, Self::Operate, Self::Admin].into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is no scope; there are read, operate and admin"))
    }
}

/// A token in the open: shown once, when it is made, and sent by those who have it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new one.
    pub(crate) fn generate() -> Result<Self, Error> {
        let mut bytes = [0; (ID_DIGITS + SECRET_DIGITS) / 2];
        rand::fill(&mut bytes).map_err(|_| Error::Randomness)?;
        let (id, secret) = bytes.split_at(ID_DIGITS / 2);
        Ok(Self(format!("{PREFIX}{}_{}", hex::encode(id), hex::encode(secret))))
    }

    /// What has the form of a token.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let is = |text: &str, digits| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
        (is(id, ID_DIGITS) && is(secret, SECRET_DIGITS)).then(|| Self(text.to_owned()))
    }

    /// The part of it that is no secret.
    pub fn id(&self) -> &str {
        self.0.get(PREFIX.len()..PREFIX.len() + ID_DIGITS).unwrap_or_default()
    }

    /// All of it, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn hash(&self) -> digest::Digest {
        digest::digest(&digest::SHA256, self.0.as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({PREFIX}{}_…)", self.id())
    }
}

/// What is kept of a token. Times are milliseconds of Unix time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Who has it; no two have the same name.
    pub name: String,
    /// The part of the token that is no secret.
    pub id: String,
    /// What it allows.
    pub scope: Scope,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is worth nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    sha256: String,
}

impl Entry {
    pub(crate) fn of(token: &Token, name: &str, scope: Scope, created: Timestamp, expires: Option<Timestamp>) -> Self {
        let (name, id) = (name.to_owned(), token.id().to_owned());
        Self { name, id, scope, created, expires, sha256: hex::encode(token.hash()) }
    }

    /// Whether this is of that token. Takes the same time wherever they differ.
    pub(crate) fn is_of(&self, token: &Token) -> bool {
        self.id == token.id()
            && hex::decode(&self.sha256)
                .is_ok_and(|kept| constant_time::verify_slices_are_equal(&kept, token.hash().as_ref()).is_ok())
    }

    /// Whether it is worth nothing any more.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// What is wrong with it, if it was not written by this program.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let is_hash = self.sha256.len() == 64 && hex::decode(&self.sha256).is_ok();
        if !is_hash || self.id.len() != ID_DIGITS { Some("is not as `aftercall tokens` writes it") } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(token: &Token) -> Entry {
        Entry::of(token, "deploy", Scope::Operate, Timestamp::from_millis(1), Some(Timestamp::from_millis(10)))
    }

    #[test]
    fn a_token_is_recognised_and_no_other_is() {
        let (token, other) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert_ne!(token, other);
        assert_eq!(Token::parse(token.reveal()), Some(token.clone()));
        assert!(entry(&token).is_of(&token) && !entry(&token).is_of(&other));
        // The same id with another secret.
        let forged = format!("act_{}_{}", token.id(), "0".repeat(SECRET_DIGITS));
        assert!(!entry(&token).is_of(&Token::parse(&forged).unwrap()));
    }

    #[test]
    fn what_has_no_form_of_a_token_is_none() {
        let token = Token::generate().unwrap();
        let text = token.reveal();
        for wrong in
            ["", "act_", "act__", &text[1..], &text[..text.len() - 1], &format!("{text}0"), &text.replace("act", "ACT")]
        {
            assert_eq!(Token::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_kept_and_what_is_debugged_hold_no_secret() {
        let token = Token::generate().unwrap();
        let secret = token.reveal().rsplit('_').next().unwrap();
        let kept = format!("{}{:?}{token:?}", toml::to_string(&entry(&token)).unwrap(), entry(&token));
        assert!(!kept.contains(secret) && kept.contains(token.id()), "{kept}");
    }

    #[test]
    fn a_token_is_worth_nothing_from_its_end_on() {
        let entry = entry(&Token::generate().unwrap());
        assert!(!entry.is_expired(Timestamp::from_millis(9)) && entry.is_expired(Timestamp::from_millis(10)));
    }

    #[test]
    fn scopes_include_those_before_them() {
        assert!(Scope::Read < Scope::Operate && Scope::Operate < Scope::Admin);
        assert_eq!("operate".parse(), Ok(Scope::Operate));
        assert!("root".parse::<Scope>().unwrap_err().contains("read, operate and admin"));
    }
}
