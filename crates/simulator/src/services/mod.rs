//! Salesforce, HubSpot and Dataverse, as far as records are upserted there: strict, with a table and a ledger, and ready to
//! fail on command.
//!
//! Each refuses what the real one is documented to refuse (the rules stand in the module of its name), writes down in
//! [`Report::malformed`] what no client may send, and keeps everything in memory on a thread of its own.
//!
//! Two rules are everybody's: a field that the object does not have makes the whole call fail, and a field with the text
//! [`REFUSED`] makes its record fail alone.

mod books;
mod dataverse;
mod hubspot;
mod salesforce;
mod serve;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::SimulatorError;
use crate::error::loopback;
use books::Books;
pub use books::{Call, Fault, Report, Row};

/// The id of the client that gets tokens.
pub const CLIENT_ID: &str = "3MVG9-simulated-consumer-key";
/// Its secret. Known to everyone, good for nothing else.
pub const CLIENT_SECRET: &str = "service-client-secret_0";
/// The token of a private app of HubSpot's.
pub const PRIVATE_APP_TOKEN: &str = "pat-simulated-0f1e2d3c";
/// A record that has this text in a field is refused.
pub const REFUSED: &str = "refuse this record";
/// The tenant of Dataverse's token endpoint.
pub const TENANT: &str = "5b1c0a9e-2f43-4c77-9d5e-7f3f0f6a1b20";

/// Which service it plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Salesforce: single upserts, and collections of up to 200.
    Salesforce,
    /// HubSpot: batch upserts of up to 100.
    HubSpot,
    /// Dataverse: single upserts.
    Dataverse,
}

/// Settings of a [`Service`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Which service.
    pub kind: Kind,
    /// Where to listen; loopback only. Default 127.0.0.1 with a port of the system's choice.
    pub listen: SocketAddr,
    /// The object that is there.
    pub object: String,
    /// The fields that say which record is meant.
    pub key: Vec<String>,
    /// Its other fields.
    pub fields: Vec<String>,
    /// A field with a number that may only grow in a record; what goes back is counted.
    pub sequence: Option<String>,
    /// How long a token is valid.
    pub token_lifetime: Duration,
    /// Keys that several records have.
    pub several: Vec<String>,
}

impl Options {
    /// The defaults, for an object.
    pub fn new(kind: Kind, object: &str, key: &str, fields: &[&str]) -> Self {
        Self {
            kind,
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            object: object.to_owned(),
            key: vec![key.to_owned()],
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            sequence: None,
            token_lifetime: Duration::from_secs(7_200),
            several: Vec::new(),
        }
    }
}

/// A service that is running. It stops when this is dropped.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    books: Arc<Mutex<Books>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts a service; it accepts connections when this returns.
    ///
    /// # Errors
    /// If the address is not a loopback address or is taken, or no thread can be started.
    pub fn start(options: Options) -> Result<Self, SimulatorError> {
        let listen = loopback(options.listen)?;
        let listener = TcpListener::bind(listen).map_err(SimulatorError::io(format!("listening on {listen}")))?;
        let address = listener.local_addr().map_err(SimulatorError::io("asking for the service's address"))?;
        listener.set_nonblocking(true).map_err(SimulatorError::io("preparing the service's socket"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(SimulatorError::io("starting the service's runtime"))?;
        let books = Arc::new(Mutex::new(Books::new(options, address)));
        let (stop, stopped) = watch::channel(false);
        let serving = Arc::clone(&books);
        let thread = std::thread::Builder::new()
            .name("service".to_owned())
            .spawn(move || runtime.block_on(serve::serve(listener, serving, stopped)))
            .map_err(SimulatorError::io("starting the service's thread"))?;
        Ok(Self { address, books, stop, thread: Some(thread) })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of its token endpoint; HubSpot's has none here.
    pub fn token_url(&self) -> String {
        match self.books.lock().options.kind {
            Kind::Dataverse => format!("{}/{TENANT}/oauth2/v2.0/token", self.url()),
            Kind::Salesforce | Kind::HubSpot => format!("{}/services/oauth2/token", self.url()),
        }
    }

    /// Does this instead of its work, until it is told `None`.
    pub fn fail(&self, fault: Option<Fault>) {
        self.books.lock().fault = fault;
    }

    /// Refuses every token that was issued until now.
    pub fn revoke_tokens(&self) {
        self.books.lock().tokens.clear();
    }

    /// What it was asked.
    pub fn report(&self) -> Report {
        self.books.lock().report.clone()
    }

    /// The records, by their keys as they were written first.
    pub fn rows(&self) -> Vec<(String, Row)> {
        let books = self.books.lock();
        books.table.values().cloned().collect()
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.books.lock().table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn halt(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed, and there is nothing left to clean up.
            let _ = thread.join();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.halt();
    }
}
