//! What can be set on an `http` destination, and the check of it.

use std::time::Duration;

use http::{HeaderName, Method, header};
use oauth::TokenSource;

use super::{Statuses, UrlTemplate};
use crate::{OpenError, Secret};

/// Default time for connecting and reading the answer. Genesys Cloud itself gives a receiver this long.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Default number of idle connections kept; equals delivery's default concurrency, so none is opened anew under load.
pub(super) const DEFAULT_CONNECTIONS: usize = 50;

/// Header that carries the event's id by default (draft-ietf-httpapi-idempotency-key-header).
pub(super) const DEFAULT_IDEMPOTENCY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// Headers that frame a message or steer a connection: the HTTP library sets them.
const FRAMING_HEADERS: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to send.
    pub url: UrlTemplate,
    /// `POST`, `PUT`, `PATCH` or `DELETE`; a `DELETE` carries no body.
    pub method: Method,
    /// Headers for every request. `Content-Type` is `application/json` unless it is among them.
    pub headers: Vec<(HeaderName, HeaderText)>,
    /// How requests are authorised.
    pub auth: Auth,
    /// The header that carries the event's id, so that the destination can recognise a repetition.
    pub idempotency_header: Option<HeaderName>,
    /// Statuses that mean "taken over".
    pub success: Statuses,
    /// Statuses worth another attempt, besides 408, 425, 429 and 5xx.
    pub transient: Statuses,
    /// How long connecting and reading the answer may take together.
    pub timeout: Duration,
    /// How many idle connections are kept.
    pub connections: usize,
    /// Certificates (PEM) of private authorities to trust besides the system's.
    pub ca_pem: Option<Vec<u8>>,
}

impl Options {
    /// The defaults, for an address.
    pub fn new(url: UrlTemplate) -> Self {
        Self {
            url,
            method: Method::POST,
            headers: Vec::new(),
            auth: Auth::None,
            idempotency_header: Some(DEFAULT_IDEMPOTENCY_HEADER),
            success: Statuses::success(),
            transient: Statuses::default(),
            timeout: DEFAULT_TIMEOUT,
            connections: DEFAULT_CONNECTIONS,
            ca_pem: None,
        }
    }

    pub(super) fn check(&self) -> Result<(), OpenError> {
        if ![Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&self.method) {
            let problem = format!("is `{}`; use POST, PUT, PATCH or DELETE", self.method);
            return Err(OpenError::option("method", problem));
        }
        if self.success.is_empty() {
            return Err(OpenError::option("success", "is empty; name a status, such as `2xx`"));
        }
        if self.timeout.is_zero() {
            return Err(OpenError::option("timeout", "is zero; give the destination some time, such as 5 s"));
        }
        self.check_headers()
    }

    fn check_headers(&self) -> Result<(), OpenError> {
        let auth = match &self.auth {
            Auth::None => None,
            Auth::Bearer(_) | Auth::Basic { .. } | Auth::OAuth(_) => Some(header::AUTHORIZATION),
            Auth::ApiKey { header, .. } => Some(header.clone()),
        };
        let mut names: Vec<_> = auth.iter().chain(&self.idempotency_header).collect();
        names.extend(self.headers.iter().map(|(name, _)| name));
        for (i, name) in names.iter().enumerate() {
            if FRAMING_HEADERS.contains(name) {
                return Err(OpenError::option("headers", format!("has `{name}`, which cannot be set; remove it")));
            }
            if names[..i].contains(name) {
                let problem = format!("has `{name}` twice (`auth` and `idempotency_header` set headers too)");
                return Err(OpenError::option("headers", problem));
            }
        }
        Ok(())
    }
}

/// The text of a header.
#[derive(Debug, Clone)]
pub enum HeaderText {
    /// As it stands.
    Plain(String),
    /// A secret; never shown.
    Secret(Secret),
}

/// How requests are authorised.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Not at all.
    None,
    /// `Authorization: Bearer …`
    Bearer(Secret),
    /// `Authorization: Basic …` (RFC 7617)
    Basic {
        /// User name; has no colon.
        user: String,
        /// Password.
        password: Secret,
    },
    /// A key in a header of its own.
    ApiKey {
        /// The header, such as `x-api-key`.
        header: HeaderName,
        /// The key.
        key: Secret,
    },
    /// `Authorization: Bearer …` with a token that is fetched by client credentials. On 401 it is replaced and the
    /// attempt repeated once.
    OAuth(TokenSource),
}
