//! Where tokens come from: the token endpoint, and the cache file before it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use outbound::{ClientOptions, HttpClient, Secret, SecretError, client, now, read, root_cause};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::answer::{Answer, Grant, judge};
use crate::cache_file::CacheFile;
use crate::kept::{Found, whose};
use crate::limits::ANSWER_MAX;
use crate::request::{confidential, request};
use crate::token::TokenText;
use crate::{Class, Options, OptionsError, TokenError};

/// A future that can be sent between threads.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whoever issues tokens. A trait, so that the rest can be tested without a network and in virtual time.
pub(crate) trait Issuer: Send + Sync {
    /// A token that is not the rejected one.
    fn issue(&self, rejected: Option<Arc<TokenText>>) -> BoxFuture<'_, Result<Grant, TokenError>>;

    /// Whether the secret is another than the one that was refused. Asked often, so it must be quick.
    fn is_mended(&self) -> bool {
        false
    }
}

/// The token endpoint.
pub(crate) struct Endpoint {
    options: Options,
    client: HttpClient,
    file: Option<CacheFile>,
    /// The secret that was refused last.
    refused: Mutex<Option<Arc<str>>>,
}

impl Endpoint {
    pub(crate) fn new(options: Options) -> Result<Self, OptionsError> {
        options.check()?;
        let tls = options.token_url.scheme() == "https";
        let client = client(ClientOptions { tls, ca_pem: options.ca_pem.as_deref(), connections: 1 })?;
        let file = options.cache_file.clone().map(|path| CacheFile::new(path, whose(&options)));
        Ok(Self { options, client, file, refused: Mutex::new(None) })
    }

    /// Takes the token that another process has fetched, or fetches one for all.
    async fn shared(&self, file: &CacheFile, rejected: Option<Arc<TokenText>>) -> Result<Grant, TokenError> {
        let lock = file.lock().await;
        let found = file.read().await;
        if let Found::Token(grant) = &found
            && rejected.is_none_or(|rejected| *rejected != grant.text)
        {
            return Ok(grant.clone());
        }
        if let Found::Nothing(why) = found {
            tracing::debug!(why, "no access token is taken from the cache file");
        }
        let grant = self.fetch().await?;
        match found {
            Found::Foreign => tracing::warn!("a token's file is of another version of this program and is left alone"),
            Found::Token(_) | Found::Nothing(_) if lock.is_some() => file.write(&grant).await,
            Found::Token(_) | Found::Nothing(_) => {}
        }
        Ok(grant)
    }

    /// Asks the endpoint. If it refuses the secret, the secret's source is asked again, and a new one tried at once.
    async fn fetch(&self) -> Result<Grant, TokenError> {
        let secret = &self.options.client_secret;
        let tried = secret.get().map_err(|error| missing(&error))?;
        let mut outcome = self.fetch_with(&tried).await;
        let mut last = tried;
        if let Err(TokenError { class: Class::Refused, .. }) = outcome
            && let Ok(again) = reread(secret).await
            && again != last
        {
            outcome = self.fetch_with(&again).await;
            last = again;
        }
        let is_refused = matches!(outcome, Err(TokenError { class: Class::Refused, .. }));
        *self.refused.lock() = is_refused.then_some(last);
        outcome
    }

    async fn fetch_with(&self, secret: &str) -> Result<Grant, TokenError> {
        let place = self.options.place();
        let request = request(&self.options, secret)?;
        let began = Instant::now();
        let deadline = began + self.options.timeout;
        let answer = match timeout_at(deadline, self.client.request(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let what = if error.is_connect() { "cannot be reached" } else { "closed the connection" };
                let cause = root_cause(&error);
                return Err(TokenError::transient(format!("token endpoint {what}: {cause}; it is {place}")));
            }
            Err(_) => {
                let seconds = self.options.timeout.as_secs_f32();
                let message = format!("token endpoint did not answer within {seconds} s; it is {place}");
                return Err(TokenError::transient(message));
            }
        };
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = read(answer, ANSWER_MAX, ANSWER_MAX, deadline).await;
        let answer = Answer { status, headers: &headers, body: &body, took: began.elapsed() };
        judge(&answer, &place, &confidential(&self.options, secret), now())
    }
}

impl Issuer for Endpoint {
    fn issue(&self, rejected: Option<Arc<TokenText>>) -> BoxFuture<'_, Result<Grant, TokenError>> {
        Box::pin(async move {
            match &self.file {
                Some(file) => self.shared(file, rejected).await,
                None => self.fetch().await,
            }
        })
    }

    fn is_mended(&self) -> bool {
        let refused = self.refused.lock().clone();
        refused.is_some_and(|refused| self.options.client_secret.get().is_ok_and(|secret| secret != refused))
    }
}

/// Asks the secret's source, which may be a file on a slow disk.
async fn reread(secret: &Secret) -> Result<Arc<str>, SecretError> {
    let secret = secret.clone();
    let gone = |_| SecretError("it was not read".to_owned());
    tokio::task::spawn_blocking(move || secret.get_again()).await.map_err(gone)?
}

fn missing(error: &SecretError) -> TokenError {
    TokenError::new(Class::Refused, format!("the client's secret is missing: {error}"))
}
