//! A request of a notifier, by the client of the `http` destination.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use destinations::http::{HttpDestination, Options};
use destinations::{ErrorClass, OutgoingDelivery, Secret};
use event::EventId;
use http::HeaderMap;
use parking_lot::Mutex;

use super::NotifyError;

/// Connections that are kept open: a notifier sends one request at a time.
const CONNECTIONS: usize = 1;

/// Where to send, which may be a secret: the address of a chat's webhook is all that is needed to write to it.
#[derive(Clone)]
pub struct Address {
    url: Secret,
    ca: Option<Arc<Vec<u8>>>,
    timeout: Duration,
    /// The client for the address as it was last; a rotated one gets a new client.
    client: Arc<Mutex<Option<Known>>>,
}

/// A client, and the address that it was made for.
struct Known {
    url: Arc<str>,
    client: HttpDestination,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(..)")
    }
}

impl Address {
    /// An address, with certificates (PEM) of private authorities to trust besides the system's.
    pub fn new(url: Secret, ca: Option<Vec<u8>>, timeout: Duration) -> Self {
        Self { url, ca: ca.map(Arc::new), timeout, client: Arc::default() }
    }

    /// Whether a client can be made for it.
    ///
    /// # Errors
    /// What is wrong with it, without the address itself.
    pub fn check(&self) -> Result<(), String> {
        self.client().map(drop).map_err(|error| error.to_string())
    }

    /// Sends a body of JSON; `id` is the same when it is sent again.
    pub(super) async fn post(&self, id: EventId, body: Bytes, headers: HeaderMap) -> Result<(), NotifyError> {
        let delivery = OutgoingDelivery {
            event: id,
            source: Arc::from("aftercall"),
            topic: Arc::from("alarm"),
            conversation: None,
            received: event::Timestamp::default(),
            behind_dead: false,
            payload: body,
            replayed: false,
            trace: None,
        };
        let sent = self.client()?.send_with(delivery, headers).await;
        sent.map(drop).map_err(|error| match error.class {
            ErrorClass::Transient | ErrorClass::NotYet(_) => {
                NotifyError::Transient { message: error.message, retry_after: error.retry_after }
            }
            ErrorClass::Permanent => NotifyError::Permanent(error.message),
        })
    }

    fn client(&self) -> Result<HttpDestination, NotifyError> {
        let url = self.url.get().map_err(|error| NotifyError::transient(error.to_string()))?;
        let mut known = self.client.lock();
        if let Some(known) = known.as_ref().filter(|known| known.url == url) {
            return Ok(known.client.clone());
        }
        if url.contains(['{', '}']) {
            return Err(NotifyError::Permanent("its url has a brace; percent-encode it".to_owned()));
        }
        // The reason could quote the address.
        let unusable = || NotifyError::Permanent("its url cannot be used; write https://HOST/PATH".to_owned());
        let mut options = Options::new(url.parse().map_err(|_| unusable())?);
        options.timeout = self.timeout;
        options.connections = CONNECTIONS;
        options.ca_pem = self.ca.as_deref().cloned();
        let client = HttpDestination::open(options).map_err(|error| NotifyError::Permanent(error.to_string()))?;
        *known = Some(Known { url, client: client.clone() });
        Ok(client)
    }
}
