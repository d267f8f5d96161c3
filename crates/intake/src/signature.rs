//! Signature schemes: where a sender puts the HMAC-SHA256 of what it sends, and over which bytes.
//!
//! Checking has two steps, so that a request without a usable signature is refused before its body is read:
//! [`SignatureScheme::claim`] reads the headers, [`SignatureScheme::check`] compares with the body.

mod content;
mod sign;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use event::Timestamp;
use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

use crate::keyring::{Keyring, Signing};
use crate::options::MAX_SIGNATURES;
use crate::secret::SecretFormat;

pub use content::{ContentError, SignedContent};

const PADDING_MAY_MISS: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
/// Base64 as in RFC 4648 §4; padding may be missing.
pub(crate) const STANDARD_BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PADDING_MAY_MISS);
/// Base64 as in RFC 4648 §5; padding may be missing.
const URL_BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, PADDING_MAY_MISS);

/// How requests are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureScheme {
    /// The header that carries the signature.
    pub header: HeaderName,
    /// What stands before the encoded signature; compared without regard to case.
    pub prefix: String,
    /// How the 32 bytes of the signature are written.
    pub encoding: Encoding,
    /// What is signed.
    pub content: SignedContent,
    /// The signed time, if there is one.
    pub timestamp: Option<SignedTime>,
    /// Whether the header may hold several signatures separated by spaces, of which one must be right. Those with
    /// another prefix are passed over.
    pub list: bool,
    /// How the secrets are written.
    pub secrets: SecretFormat,
}

/// A time that the sender signs, so that an old request cannot be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTime {
    /// The header with the seconds (or, from 11 digits on, milliseconds) of Unix time.
    pub header: HeaderName,
    /// How far it may lie in the past or in the future.
    pub tolerance: Duration,
}

/// How bytes are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal digits, upper or lower case.
    Hex,
    /// RFC 4648 §4; padding may be missing.
    Base64,
    /// RFC 4648 §5; padding may be missing.
    Base64Url,
}

impl Encoding {
    fn decode(self, text: &[u8]) -> Option<[u8; 32]> {
        // The decoder asks for room for whole groups of three bytes.
        let mut groups = [0; 36];
        let decoded = match self {
            Self::Hex => {
                let mut tag = [0; 32];
                return hex::decode_to_slice(text, &mut tag).ok().map(|()| tag);
            }
            Self::Base64 => STANDARD_BASE64.decode_slice(text, &mut groups),
            Self::Base64Url => URL_BASE64.decode_slice(text, &mut groups),
        };
        groups[..decoded.ok()?].try_into().ok()
    }

    fn encode(self, tag: &[u8]) -> String {
        match self {
            Self::Hex => hex::encode(tag),
            Self::Base64 => STANDARD_BASE64.encode(tag),
            Self::Base64Url => URL_BASE64.encode(tag),
        }
    }

    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hex => "64 hexadecimal digits",
            Self::Base64 => "32 bytes in base64",
            Self::Base64Url => "32 bytes in base64url",
        }
    }
}

impl SignatureScheme {
    /// `X-Genesys-Webhook-Signature`: hexadecimal, of the body.
    pub fn genesys() -> Self {
        Self::of_body(HeaderName::from_static("x-genesys-webhook-signature"), "", Encoding::Hex)
    }

    /// Genesys Cloud Open Messaging, `X-Hub-Signature-256`: `sha256=` and base64, of the body.
    pub fn open_messaging() -> Self {
        Self::of_body(HeaderName::from_static("x-hub-signature-256"), "sha256=", Encoding::Base64)
    }

    /// Standard Webhooks 1.0: `v1,` and base64, several allowed, of `webhook-id.webhook-timestamp.body`; five minutes
    /// of tolerance.
    pub fn standard_webhooks() -> Self {
        let timestamp = HeaderName::from_static("webhook-timestamp");
        Self {
            header: HeaderName::from_static("webhook-signature"),
            prefix: "v1,".to_owned(),
            encoding: Encoding::Base64,
            content: SignedContent::of_headers_and_body(
                [HeaderName::from_static("webhook-id"), timestamp.clone()],
                ".",
            ),
            timestamp: Some(SignedTime { header: timestamp, tolerance: Duration::from_secs(5 * 60) }),
            list: true,
            secrets: SecretFormat::Whsec,
        }
    }

    /// The preset of this name: `genesys`, `open-messaging` or `standard-webhooks`.
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "genesys" => Some(Self::genesys()),
            "open-messaging" => Some(Self::open_messaging()),
            "standard-webhooks" => Some(Self::standard_webhooks()),
            _ => None,
        }
    }

    /// One signature, of the body alone.
    pub fn of_body(header: HeaderName, prefix: &str, encoding: Encoding) -> Self {
        Self {
            header,
            prefix: prefix.to_owned(),
            encoding,
            content: SignedContent::body(),
            timestamp: None,
            list: false,
            secrets: SecretFormat::Plain,
        }
    }

    /// Refuses a scheme whose tolerance would protect nothing: the time must be signed.
    pub fn validate(&self) -> Result<(), ContentError> {
        match &self.timestamp {
            Some(time) if !self.content.headers().any(|header| *header == time.header) => {
                Err(ContentError::TimeNotSigned { header: time.header.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// All headers that take part.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        let time = self.timestamp.as_ref().map(|time| &time.header);
        std::iter::once(&self.header).chain(self.content.headers()).chain(time)
    }

    /// Whether the value of the signature's header has the form of one.
    pub(crate) fn could_be_signature(&self, value: &[u8]) -> bool {
        if self.list { !self.several(value).is_empty() } else { self.one(value).is_some() }
    }

    /// Reads and checks what can be checked without the body.
    ///
    /// A header that comes twice is refused: a proxy and this server could choose differently among them.
    pub fn claim(&self, headers: &HeaderMap, now: Timestamp) -> Result<Claim, SignatureFailure> {
        let value = only(headers, &self.header)?;
        for header in self.content.headers() {
            only(headers, header)?;
        }
        if let Some(time) = &self.timestamp {
            time.check(only(headers, &time.header)?, now)?;
        }
        let tags = if self.list { self.several(value) } else { self.one(value).into_iter().collect() };
        if tags.is_empty() || tags.len() > MAX_SIGNATURES {
            return Err(SignatureFailure::Malformed { header: self.header.clone() });
        }
        Ok(Claim { tags })
    }

    /// Compares a claim of these headers with the body's raw bytes, in constant time, with every key. Returns what the
    /// audit trail calls the key that fits. With a time it counts as use of that key.
    pub fn check(
        &self,
        claim: &Claim,
        headers: &HeaderMap,
        body: &[u8],
        keyring: &Keyring,
        used: Option<Timestamp>,
    ) -> Result<Arc<str>, SignatureFailure> {
        keyring.signer(&self.content.pieces(headers, body), &claim.tags, used).ok_or(SignatureFailure::Mismatch)
    }

    /// Begins to compare a claim with a body that comes piece by piece.
    pub(crate) fn begin(&self, claim: &Claim, headers: &HeaderMap, keyring: &Arc<Keyring>) -> Comparing {
        let (before, after) = self.content.around_body(headers);
        let mut signing = keyring.begin();
        signing.update(&before);
        Comparing { claim: claim.clone(), keyring: Arc::clone(keyring), before, after, signing }
    }

    /// Checks a whole request: [`SignatureScheme::claim`], then [`SignatureScheme::check`].
    pub fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        keyring: &Keyring,
        now: Timestamp,
    ) -> Result<(), SignatureFailure> {
        self.check(&self.claim(headers, now)?, headers, body, keyring, Some(now)).map(drop)
    }

    fn one(&self, text: &[u8]) -> Option<[u8; 32]> {
        let (prefix, encoded) = text.split_at_checked(self.prefix.len())?;
        prefix.eq_ignore_ascii_case(self.prefix.as_bytes()).then(|| self.encoding.decode(encoded))?
    }

    fn several(&self, text: &[u8]) -> Tags {
        text.split(|&byte| byte == b' ').take(MAX_SIGNATURES + 1).filter_map(|one| self.one(one)).collect()
    }
}

/// A claim that is being compared with a body.
pub(crate) struct Comparing {
    claim: Claim,
    keyring: Arc<Keyring>,
    before: Vec<u8>,
    after: Vec<u8>,
    signing: Signing,
}

impl Comparing {
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.signing.update(piece);
    }

    /// The key that fits, after the last piece. Counts as use of that key.
    pub(crate) fn end(&mut self, used: Timestamp) -> Option<Arc<str>> {
        self.signing.update(&self.after);
        self.signing.signer(&self.claim.tags, used)
    }

    /// Whether the keyring has had the same keys all the time.
    pub(crate) fn is_current(&self) -> bool {
        self.signing.is_current(&self.keyring)
    }

    /// Begins anew, with the keys of now.
    pub(crate) fn again(&mut self) {
        self.signing = self.keyring.begin();
        self.signing.update(&self.before);
    }
}

type Tags = SmallVec<[[u8; 32]; 2]>;

/// A well-formed signature that has not been compared with the body yet.
#[derive(Debug, Clone)]
pub struct Claim {
    tags: Tags,
}

impl SignedTime {
    fn check(&self, value: &[u8], now: Timestamp) -> Result<(), SignatureFailure> {
        let malformed = || SignatureFailure::Malformed { header: self.header.clone() };
        let signed = read_time(value).ok_or_else(malformed)?;
        if signed.minus(self.tolerance) > now {
            return Err(SignatureFailure::TooNew { by: now.until(signed), tolerance: self.tolerance });
        }
        if signed.plus(self.tolerance) < now {
            return Err(SignatureFailure::TooOld { by: signed.until(now), tolerance: self.tolerance });
        }
        Ok(())
    }
}

/// Seconds, or milliseconds if there are more than ten digits (ten last until the year 2286).
fn read_time(value: &[u8]) -> Option<Timestamp> {
    let plain = (1..=15).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let number: i64 = plain.then(|| std::str::from_utf8(value).ok()?.parse().ok())??;
    Some(Timestamp::from_millis(if value.len() > 10 { number } else { number * 1000 }))
}

/// The value of a header that must come exactly once.
fn only<'a>(headers: &'a HeaderMap, header: &HeaderName) -> Result<&'a [u8], SignatureFailure> {
    let mut values = headers.get_all(header).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.as_bytes()),
        (None, _) => Err(SignatureFailure::Missing { header: header.clone() }),
        (Some(_), Some(_)) => Err(SignatureFailure::Repeated { header: header.clone() }),
    }
}

/// Why a request is not authentic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFailure {
    /// A header that the scheme needs is not there.
    #[error("the header `{header}` is missing")]
    Missing {
        /// Which one.
        header: HeaderName,
    },
    /// A header that the scheme needs comes more than once.
    #[error("the header `{header}` comes more than once")]
    Repeated {
        /// Which one.
        header: HeaderName,
    },
    /// A header's value does not have the scheme's form.
    #[error("the header `{header}` does not have the configured form")]
    Malformed {
        /// Which one.
        header: HeaderName,
    },
    /// The signed time lies too far in the past.
    #[error("the request was signed {} s ago, more than the tolerance of {} s", by.as_secs(), tolerance.as_secs())]
    TooOld {
        /// How far.
        by: Duration,
        /// How far it may.
        tolerance: Duration,
    },
    /// The signed time lies too far in the future.
    #[error("the request's signed time is {} s ahead, more than the tolerance of {} s", by.as_secs(), tolerance.as_secs())]
    TooNew {
        /// How far.
        by: Duration,
        /// How far it may.
        tolerance: Duration,
    },
    /// No key made this signature.
    #[error("the signature does not match the body with any configured secret")]
    Mismatch,
}

#[cfg(test)]
mod tests;
