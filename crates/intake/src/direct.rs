//! Intake that listens nowhere: for requests that somebody else has received, and for messages of a queue that somebody else
//! reads. What becomes of them is decided by the same code as behind a socket.
//!
//! It has no spool, so a body may have as many bytes as are handled in memory. What is answered or taken is durable first; a
//! crash before that leaves a request without an answer, or a message in its queue.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use event::Timestamp;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use queue::{DeadLetterId, Failure, FailureClass, Queue, Rejection, Stage};

use crate::activity::Activity;
use crate::connection;
use crate::counters::SourceCounts;
use crate::error::Error;
use crate::handle::Handle;
use crate::memory::Reserved;
use crate::options::Options;
use crate::problem::{Reason, Refusal};
use crate::receive;
use crate::redact::{self, Events};
use crate::server::{Clock, Peer, Shared};
use crate::source::{ServedSource, Source};
use crate::traced::Traced;

/// What is logged as the sender of a message; it came over no connection.
const NOWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// Takes what others have received.
#[derive(Clone)]
pub struct Direct {
    shared: Arc<Shared>,
}

/// A message was not taken; it has to stay where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct NotTaken {
    /// Why.
    pub reason: Reason,
    /// The cause and what to do about it.
    pub detail: String,
}

impl NotTaken {
    /// Whether the same message may be taken later, without anybody doing something about the message itself.
    pub fn passes(&self) -> bool {
        !matches!(self.reason, Reason::Internal)
    }
}

impl From<Refusal> for NotTaken {
    fn from(refusal: Refusal) -> Self {
        let Refusal { reason, detail, cause, .. } = refusal;
        let detail = cause.map_or_else(|| detail.to_string(), |cause| format!("{detail} ({cause})"));
        Self { reason, detail }
    }
}

impl Direct {
    /// Checks the settings, and opens nothing. Where `options` wants to listen, its certificate and its spool mean nothing.
    ///
    /// # Errors
    /// If a source cannot be served, for example because it believes everyone.
    pub fn new(options: Options, sources: Vec<Source>, queue: Arc<dyn Queue>, clock: Clock) -> Result<Self, Error> {
        let shared = Shared::unbound(options, queue, clock);
        shared.set_sources(sources)?;
        Ok(Self { shared })
    }

    /// Serves these sources from now on.
    ///
    /// # Errors
    /// As [`Self::new`]; then the ones before stay.
    pub fn set_sources(&self, sources: Vec<Source>) -> Result<(), Error> {
        self.shared.set_sources(sources)
    }

    /// The hand on it, as on one that listens. There is no address in it, and nothing to shut down.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared), (NOWHERE, 0).into())
    }

    /// What each source has sent since start, and last, without a name, what named none.
    pub fn counts(&self) -> Vec<SourceCounts> {
        self.shared.counts()
    }

    /// Answers a request that came from `sender`, when all of its events are durable.
    pub async fn answer(&self, sender: IpAddr, request: Request<Bytes>) -> Response<Bytes> {
        let peer = Peer {
            shared: Arc::clone(&self.shared),
            address: sender.to_canonical(),
            activity: Arc::new(Activity::new()),
            reserve: false,
        };
        let (asked, body) = request.into_parts();
        let (head, body) = connection::answer(&peer, &asked, &mut Full::new(body)).await.into_parts();
        let body = match body.collect().await {
            Ok(whole) => whole.to_bytes(),
            Err(never) => match never {},
        };
        Response::from_parts(head, body)
    }

    /// Publishes the events of a message of a source, or makes a dead letter of one that cannot be read; `proof` is what the
    /// audit trail says of where it came from. It may be deleted when this returns.
    ///
    /// # Errors
    /// If nothing of it was stored.
    pub async fn take(&self, source: &str, proof: &str, body: Bytes) -> Result<(), NotTaken> {
        let Some(served) = self.served(source) else { return Err(not_served(source)) };
        served.counters.request();
        receive_message(&self.shared, &served, Arc::from(proof), &body).await.map_err(|refusal| {
            served.counters.refused(&refusal, source, NOWHERE, self.now());
            refusal.into()
        })
    }

    /// Makes a dead letter of stage `intake` of a message that could not be taken, for the reason `why`.
    ///
    /// # Errors
    /// If it was not stored.
    pub async fn bury(&self, source: &str, proof: &str, body: Bytes, why: &str) -> Result<DeadLetterId, NotTaken> {
        let body = match self.served(source) {
            Some(served) => redact::unreadable(&served.source, body)
                .map_err(|error| NotTaken::from(receive::internal().because(error.to_string())))?,
            None => body,
        };
        let failure = Failure::new(Stage::Intake, FailureClass::Permanent, why);
        let rejection =
            Rejection { source: Arc::from(source), received: self.now(), proof: Arc::from(proof), failure, body };
        self.shared.queue.reject(rejection).await.map_err(|error| receive::not_stored(&error).into())
    }

    fn served(&self, source: &str) -> Option<Arc<ServedSource>> {
        self.shared.sources.load().get(source).cloned()
    }

    fn now(&self) -> Timestamp {
        (self.shared.clock)()
    }
}

fn not_served(source: &str) -> NotTaken {
    let detail = format!("no source is called `{source}`; compare it with the configured sources");
    NotTaken { reason: Reason::UnknownSource, detail }
}

/// A refusal by whoever received a request before it came here, as intake writes them. Nothing is counted.
pub fn refused(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Response<Bytes> {
    let refusal = Refusal::new(reason, detail);
    refusal.answer(false).map(|_| refusal.body())
}

/// Publishes the events of one message, or makes a dead letter of it.
pub(crate) async fn receive_message(
    shared: &Shared,
    served: &Arc<ServedSource>,
    proof: Arc<str>,
    body: &Bytes,
) -> Result<(), Refusal> {
    let traced = Traced::message();
    let taken = take_message(shared, served, proof, body, traced.as_ref()).await;
    if let Some(traced) = traced {
        traced.taken(&served.source.name, taken.as_ref().err());
    }
    taken
}

async fn take_message(
    shared: &Shared,
    served: &Arc<ServedSource>,
    proof: Arc<str>,
    body: &Bytes,
    traced: Option<&Traced>,
) -> Result<(), Refusal> {
    let (size, received) = (body.len(), (shared.clock)());
    let mut reserved = Reserved::nothing(&shared.memory);
    reserved.grow_to(size).map_err(|_| receive::busy())?;
    let events = receive::split_apart(served, body).await?;
    if served.source.redaction.is_some() {
        reserved.grow_to(size + events.as_ref().map_or(size, Events::bytes)).map_err(|_| receive::busy())?;
    }
    match events {
        Ok(events) => receive::publish(shared, served, proof, events, received, traced).await.map(drop)?,
        Err(error) => receive::reject(shared, served, proof, &error, body.clone(), received).await.map(drop)?,
    }
    served.counters.authentic(size);
    Ok(())
}
