//! The way of a body that is too large for memory: into the spool, compared with its signature on the way, looked through
//! for anything that is no event, accepted, and published some events at a time ([`publish`]).
//!
//! What arrives is never whole in memory. Nothing is published before all of the body has been found good and its file
//! is durable under the name of an accepted one, so a crash in the middle of publishing loses no event of it: the rest is
//! published after the next start ([`resume`]). A body that is refused leaves nothing.

mod publish;
mod resume;

use std::io;
use std::sync::Arc;

use aws_lc_rs::digest;
use event::{LargeError, LargeLimits, Outline, Timestamp};
use http::HeaderMap;
use hyper::body::Incoming;
use tokio::task::spawn_blocking;

use crate::activity::Reading;
use crate::auth::{self, Proof};
use crate::body::{BodyFailure, Longer};
use crate::options::{BUSY_RETRY, SPOOL_RETRY, SPOOL_WRITE_BYTES};
use crate::problem::{Answer, Reason, Refusal};
use crate::receive::{charge, internal, unread};
use crate::respond;
use crate::server::Peer;
use crate::signature::{Comparing, SignatureFailure};
use crate::source::{Auth, ServedSource};
use crate::spool::{Digest, Head, Spool, SpoolFailure, Spooled};
use publish::Publishing;

pub(crate) use resume::resume;

/// A request with a large body.
pub(crate) struct Large<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) served: &'a Arc<ServedSource>,
    pub(crate) headers: &'a HeaderMap,
    /// Bytes that the body may have.
    pub(crate) max: usize,
    pub(crate) spool: &'a Arc<Spool>,
}

/// A body while it is written to the spool.
struct Arriving {
    spooled: Spooled,
    digest: digest::Context,
    comparing: Option<Comparing>,
}

enum Failure {
    Body(BodyFailure),
    Spool(SpoolFailure),
    Bug,
}

impl From<BodyFailure> for Failure {
    fn from(failure: BodyFailure) -> Self {
        Self::Body(failure)
    }
}

impl Large<'_> {
    /// Takes the rest of the body, and answers when all of its events are durable.
    pub(crate) async fn accept(
        self,
        proof: Proof,
        longer: Longer,
        body: &mut Incoming,
        reading: Reading<'_>,
    ) -> Result<Answer, Refusal> {
        let (shared, source) = (&self.peer.shared, &self.served.source);
        let comparing = match (&proof, &source.auth) {
            (Proof::Claimed(claim), Auth::Signature { scheme, keyring }) => {
                Some(scheme.begin(claim, self.headers, keyring))
            }
            _ => None,
        };
        let arrived = self.write(comparing, longer, body).await?;
        drop(reading);
        let received = (shared.clock)();
        let Arriving { spooled, digest, comparing } = arrived;
        let (spooled, signer) = match comparing {
            Some(comparing) => self.signer(spooled, comparing, received).await?,
            None => (spooled, None),
        };
        let proof = match (proof, signer) {
            (Proof::Complete(proof), _) | (Proof::Claimed(_), Some(proof)) => proof,
            (Proof::Claimed(_), None) => auth::open(),
        };
        self.served.counters.authentic(usize::try_from(spooled.body_bytes()).unwrap_or(usize::MAX));
        if !matches!(source.auth, Auth::Open) {
            self.peer.activity.prove();
        }
        charge(self.served, received)?;
        let mut whole = Digest::default();
        whole.copy_from_slice(digest.finish().as_ref());
        let head = Head {
            source: source.name.to_string(),
            received,
            proof: proof.to_string(),
            bytes: spooled.body_bytes(),
            digest: whole,
            split: source.split.clone(),
        };
        let (spooled, outline) = self.keep(spooled, &head).await?;
        let publishing = Publishing::new(shared, spooled, &head, self.served.splitter.clone(), outline);
        let (ids, duplicates) = publishing.answered().await?;
        Ok(respond::accepted_batch(&ids, duplicates))
    }

    /// Writes the body to the spool as it arrives.
    async fn write(
        &self,
        comparing: Option<Comparing>,
        longer: Longer,
        body: &mut Incoming,
    ) -> Result<Arriving, Refusal> {
        let spool = Arc::clone(self.spool);
        let begun = spawn_blocking(move || spool.begin()).await.map_err(|_| internal())?;
        let spooled = begun.map_err(|error| refusal(SpoolFailure::Disk(error)))?;
        let arriving = Arriving { spooled, digest: digest::Context::new(&digest::SHA256), comparing };
        let write = |mut arriving: Arriving, piece: Vec<u8>| {
            let written = spawn_blocking(move || {
                arriving.digest.update(&piece);
                if let Some(comparing) = &mut arriving.comparing {
                    comparing.update(&piece);
                }
                arriving.spooled.write(&piece).map(|()| (arriving, piece))
            });
            async { written.await.map_err(|_| Failure::Bug)?.map_err(Failure::Spool) }
        };
        let drained = longer.drain(body, (SPOOL_WRITE_BYTES, self.max), arriving, write).await;
        drained.map_err(|failure| match failure {
            Failure::Body(BodyFailure::TooLarge) => crate::head::too_large(self.max),
            Failure::Body(failure) => unread(&failure, self.max, &self.peer.shared),
            Failure::Spool(failure) => refusal(failure),
            Failure::Bug => internal(),
        })
    }

    /// The key that has made the signature. If none has and there are other keys now, the body is read once more.
    async fn signer(
        &self,
        spooled: Spooled,
        mut comparing: Comparing,
        now: Timestamp,
    ) -> Result<(Spooled, Option<Arc<str>>), Refusal> {
        let Auth::Signature { scheme, keyring } = &self.served.source.auth else { return Ok((spooled, None)) };
        let mut signer = comparing.end(now);
        if signer.is_none() && (auth::keys_changed(keyring, now).await || !comparing.is_current()) {
            let stored = spooled.stored();
            let compare = move || -> io::Result<_> {
                comparing.again();
                stored.for_each(|piece| comparing.update(piece))?;
                Ok(comparing.end(now))
            };
            let compared = spawn_blocking(compare).await.map_err(|_| internal())?;
            signer = compared.map_err(|error| refusal(SpoolFailure::Disk(error)))?;
        }
        if signer.is_none() {
            if let Some(quarantine) = self.peer.shared.quarantine.get() {
                quarantine.too_large(&self.served.source.name);
            }
            return Err(auth::unsigned(scheme, &SignatureFailure::Mismatch));
        }
        Ok((spooled, signer))
    }

    /// Looks through the body, and accepts it.
    async fn keep(&self, mut spooled: Spooled, head: &Head) -> Result<(Spooled, Outline), Refusal> {
        let (splitter, head) = (self.served.splitter.clone(), head.clone());
        let keep = move || {
            let outline = splitter.outline(spooled.stored(), LargeLimits::default()).map_err(|error| match error {
                LargeError::Body(error) => {
                    let reason = if error.is_size() { Reason::BodyTooLarge } else { Reason::BatchUnreadable };
                    Refusal::new(reason, format!("{error}. Nothing of it was stored"))
                }
                LargeError::Read(error) => refusal(SpoolFailure::Disk(error)),
            })?;
            spooled.accept(&head).map_err(refusal)?;
            Ok((spooled, outline))
        };
        spawn_blocking(keep).await.map_err(|_| internal())?
    }
}

/// The refusal of a body that was not spooled. What exactly happened is for the log.
fn refusal(failure: SpoolFailure) -> Refusal {
    match failure {
        SpoolFailure::NoRoom => {
            let detail = "as much is being received in large bodies as `spool` allows; send it again later";
            Refusal::new(Reason::SpoolFull, detail).retry_after(SPOOL_RETRY)
        }
        SpoolFailure::Twice => pending().because("the same body was sent again while it is being published".to_owned()),
        SpoolFailure::Disk(error) => {
            use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
            let full = matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge);
            let (reason, happened) = match full {
                true => (Reason::QueueFull, "the disk is full"),
                false => (Reason::QueueBusy, "storing failed for the moment"),
            };
            let detail = format!("{happened}; nothing of this request was stored, send it again later");
            let wait = if full { SPOOL_RETRY } else { BUSY_RETRY };
            Refusal::new(reason, detail).retry_after(wait).because(format!("writing to the spool: {error}"))
        }
    }
}

/// The refusal of a body that was accepted and is not in the queue yet.
fn pending() -> Refusal {
    let detail = "this batch was accepted, and its events are still being published; none is lost. Send it again later to \
                  learn their ids, they will be duplicates";
    Refusal::new(Reason::BatchPending, detail).retry_after(SPOOL_RETRY)
}
