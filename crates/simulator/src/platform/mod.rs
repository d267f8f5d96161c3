//! Genesys Cloud's platform: a token endpoint, the part of the API that is needed after a call, and transcripts behind
//! addresses that end.
//!
//! It is strict: what a client must not send gets an error and is written down in [`Report::malformed`]. It counts what
//! it is asked, limits how often, and holds no transcript in memory, however large. Like the CRM it runs on a thread of
//! its own and keeps everything in memory.
//!
//! | path | what |
//! |---|---|
//! | `POST /oauth/token`, `POST /api/v2/oauth/token` | access tokens for client credentials |
//! | `GET /api/v2/tokens/me` | what the token is good for |
//! | `GET /api/v2/speechandtextanalytics/conversations/ID` | metrics |
//! | `GET …/ID/communications/ID/transcripturl`, `…/transcripturls` | where the transcript is, for a time |
//! | `GET /api/v2/analytics/conversations/ID/details`, `GET /api/v2/conversations/ID` | participants and sessions |
//! | `GET /transcripts/…?signature=…` | the transcript; refuses a request that says who it is |

mod answer;
mod api;
mod books;
mod ratelimit;
mod serve;
#[cfg(test)]
mod tests;
mod token;
mod transcript;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::SimulatorError;
use crate::error::loopback;
pub(crate) use answer::{Asked, Body, empty_answer, json_answer, read, set};
use books::Books;
pub use books::{Communication, Conversation, Fault, Report, Transcript};
pub(crate) use token::{credentials, decode, form};

/// The id of the client that is known by default.
pub const CLIENT_ID: &str = "5f0c7a52-4d1e-4c38-9f06-1a8a3d1f7b20";
/// Its secret. Known to everyone, good for nothing else.
pub const CLIENT_SECRET: &str = "platform-client-secret_0";

/// Settings of a [`Platform`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; loopback only. Default 127.0.0.1 with a port of the system's choice.
    pub listen: SocketAddr,
    /// Ids and secrets that are accepted. An id may have several secrets, as in a rotation.
    pub credentials: Vec<(String, String)>,
    /// Whether credentials may stand in the form, as some endpoints that are not Genesys Cloud's want it.
    pub form_credentials: bool,
    /// How long a token is valid. Default: a day less a second, as it is seen in the wild.
    pub token_lifetime: Duration,
    /// Requests for tokens in a window. Default 300.
    pub token_limit: u32,
    /// Requests to the API in a window. Default 300.
    pub api_limit: u32,
    /// How long a window of the limits is. Default 60 s.
    pub window: Duration,
    /// How long the address of a transcript is good. Default an hour.
    pub url_lifetime: Duration,
    /// What tokens are good for.
    pub scopes: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            credentials: vec![(CLIENT_ID.to_owned(), CLIENT_SECRET.to_owned())],
            form_credentials: false,
            token_lifetime: Duration::from_secs(86_399),
            token_limit: 300,
            api_limit: 300,
            window: Duration::from_secs(60),
            url_lifetime: Duration::from_secs(3_600),
            scopes: vec!["analytics:readonly".to_owned(), "speech-and-text-analytics:readonly".to_owned()],
        }
    }
}

/// A platform that is running. It stops when this is dropped.
#[derive(Debug)]
pub struct Platform {
    address: SocketAddr,
    books: Arc<Mutex<Books>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Platform {
    /// Starts a platform; it accepts connections when this returns.
    ///
    /// # Errors
    /// If the address is not a loopback address or is taken, or no thread can be started.
    pub fn start(options: Options) -> Result<Self, SimulatorError> {
        let listen = loopback(options.listen)?;
        let listener = TcpListener::bind(listen).map_err(SimulatorError::io(format!("listening on {listen}")))?;
        let address = listener.local_addr().map_err(SimulatorError::io("asking for the platform's address"))?;
        listener.set_nonblocking(true).map_err(SimulatorError::io("preparing the platform's socket"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(SimulatorError::io("starting the platform's runtime"))?;
        let books = Arc::new(Mutex::new(Books::new(options, address)));
        let (stop, stopped) = watch::channel(false);
        let serving = Arc::clone(&books);
        let thread = std::thread::Builder::new()
            .name("platform".to_owned())
            .spawn(move || runtime.block_on(serve::serve(listener, serving, stopped)))
            .map_err(SimulatorError::io("starting the platform's thread"))?;
        Ok(Self { address, books, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of its token endpoint.
    pub fn token_url(&self) -> String {
        format!("http://{}/oauth/token", self.address)
    }

    /// Accepts these credentials from now on, beside those it knows.
    pub fn allow(&self, id: &str, secret: &str) {
        self.books.lock().options.credentials.push((id.to_owned(), secret.to_owned()));
    }

    /// Refuses these credentials from now on. Tokens that were issued for them stay valid.
    pub fn withdraw(&self, id: &str, secret: &str) {
        self.books.lock().options.credentials.retain(|known| (known.0.as_str(), known.1.as_str()) != (id, secret));
    }

    /// Refuses every token that was issued until now.
    pub fn revoke_tokens(&self) {
        self.books.lock().tokens.clear();
    }

    /// How long tokens are valid that are issued from now on.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.books.lock().options.token_lifetime = lifetime;
    }

    /// How many requests for tokens a window has from now on.
    pub fn set_token_limit(&self, limit: u32) {
        self.books.lock().options.token_limit = limit;
    }

    /// How many requests to the API a window has from now on.
    pub fn set_api_limit(&self, limit: u32) {
        self.books.lock().options.api_limit = limit;
    }

    /// Answers every request for a token with this status, until it is told `None`.
    pub fn fail_tokens(&self, status: Option<u16>) {
        self.books.lock().token_failure = status;
    }

    /// Answers so many requests to the API with this status, and then as usual.
    pub fn fail_api(&self, status: u16, times: u32) {
        self.books.lock().api_failure = (status, times);
    }

    /// Something is wrong with the next downloads, and then nothing is.
    pub fn fail_downloads(&self, fault: Fault, times: u32) {
        self.books.lock().download_fault = (times > 0).then_some((fault, times));
    }

    /// How long addresses of transcripts are good that are given out from now on.
    pub fn set_url_lifetime(&self, lifetime: Duration) {
        self.books.lock().options.url_lifetime = lifetime;
    }

    /// Addresses of transcripts begin with this from now on; with `None` with this platform's own.
    pub fn set_elsewhere(&self, base: Option<&str>) {
        self.books.lock().elsewhere = base.map(str::to_owned);
    }

    /// Knows this conversation from now on; its transcripts begin to be made.
    pub fn add(&self, conversation: Conversation) {
        self.books.lock().add(conversation, Instant::now());
    }

    /// Whether the text of an `Authorization` header is that of a valid token.
    pub fn accepts(&self, authorization: &str) -> bool {
        self.books.lock().accepts(authorization, Instant::now())
    }

    /// The numbers so far.
    pub fn report(&self) -> Report {
        self.books.lock().report.clone()
    }

    fn halt(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed, and there is nothing left to clean up.
            let _ = thread.join();
        }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.halt();
    }
}
