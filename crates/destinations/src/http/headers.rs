//! The headers of a request. What does not change is made once; secrets are asked for at every attempt.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use event::EventId;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use outbound::USER_AGENT;

use super::{Auth, HeaderText, Options};
use crate::{OpenError, Secret};

/// Makes the headers of every request.
pub(super) struct Headers {
    fixed: HeaderMap,
    secret: Vec<(HeaderName, Scheme, Secret)>,
    idempotency: Option<HeaderName>,
}

/// How a secret becomes a header's text.
enum Scheme {
    Plain,
    Bearer,
    Basic { user: String },
}

impl Scheme {
    fn value(&self, name: &HeaderName, secret: &str) -> Result<HeaderValue, String> {
        let text = match self {
            Self::Plain => secret.to_owned(),
            Self::Bearer => format!("Bearer {secret}"),
            Self::Basic { user } => format!("Basic {}", STANDARD.encode(format!("{user}:{secret}"))),
        };
        let mut value = HeaderValue::try_from(text)
            .map_err(|_| format!("the secret for the header `{name}` has a line break or non-ASCII character"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl Headers {
    pub(super) fn new(options: &Options) -> Result<Self, OpenError> {
        let mut fixed = HeaderMap::new();
        let mut secret = Vec::new();
        fixed.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        fixed.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        for (name, text) in &options.headers {
            match text {
                HeaderText::Plain(text) => {
                    let value = HeaderValue::from_str(text).map_err(|_| {
                        OpenError::option("headers", format!("has a control or non-ASCII character in `{name}`"))
                    })?;
                    fixed.insert(name.clone(), value);
                }
                HeaderText::Secret(value) => secret.push((name.clone(), Scheme::Plain, value.clone())),
            }
        }
        match &options.auth {
            // Its token is asked for by whoever makes the attempt, which may have to wait for it.
            Auth::None | Auth::OAuth(_) => {}
            Auth::Bearer(token) => secret.push((header::AUTHORIZATION, Scheme::Bearer, token.clone())),
            Auth::Basic { user, password } => {
                if user.contains(':') {
                    return Err(OpenError::option("auth", "has a user name with a colon, which basic cannot carry"));
                }
                secret.push((header::AUTHORIZATION, Scheme::Basic { user: user.clone() }, password.clone()));
            }
            Auth::ApiKey { header, key } => secret.push((header.clone(), Scheme::Plain, key.clone())),
        }
        Ok(Self { fixed, secret, idempotency: options.idempotency_header.clone() })
    }

    /// The headers for one attempt, for an event if there is a single one. The error names a secret that cannot be used,
    /// and not what it is.
    pub(super) fn make(&self, event: Option<EventId>) -> Result<HeaderMap, String> {
        let mut headers = self.fixed.clone();
        if let (Some(name), Some(event)) = (&self.idempotency, event) {
            let id = HeaderValue::try_from(event.to_string()).map_err(|e| e.to_string())?;
            headers.insert(name.clone(), id);
        }
        for (name, scheme, secret) in &self.secret {
            let secret = secret.get().map_err(|e| format!("the secret for the header `{name}` is missing: {e}"))?;
            headers.insert(name.clone(), scheme.value(name, &secret)?);
        }
        Ok(headers)
    }

    /// Whether there are secrets in them.
    pub(super) fn have_secrets(&self) -> bool {
        !self.secret.is_empty()
    }

    /// The headers whose secrets are others than those that were `sent` and refused, when their sources are asked again;
    /// none if all are the same. May wait for a file or a service.
    pub(super) async fn renewed(&self, sent: &HeaderMap) -> HeaderMap {
        let mut renewed = HeaderMap::new();
        for (name, scheme, secret) in &self.secret {
            let secret = secret.clone();
            // What cannot be had or sent now is as good as the same.
            let Ok(Ok(secret)) = tokio::task::spawn_blocking(move || secret.get_again()).await else { continue };
            let Ok(value) = scheme.value(name, &secret) else { continue };
            if sent.get(name) != Some(&value) {
                renewed.insert(name.clone(), value);
            }
        }
        renewed
    }

    /// What must not appear in an excerpt: a server may echo the request's headers.
    pub(super) fn secrets(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for (_, scheme, secret) in &self.secret {
            let Ok(secret) = secret.get() else { continue };
            if let Scheme::Basic { user } = scheme {
                texts.push(STANDARD.encode(format!("{user}:{secret}")));
            }
            texts.push(secret.to_string());
        }
        texts
    }
}
