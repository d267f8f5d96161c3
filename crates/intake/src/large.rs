//! The way of a body that is too large for memory: into the spool, compared with its signature on the way, looked through
//! for anything that is no event and accepted ([`accept`]), and published some events at a time ([`publish`]).
//!
//! What arrives is never whole in memory. Nothing is published before all of the body has been found good and its file
//! is durable under the name of an accepted one, so a crash in the middle of publishing loses no event of it: the rest is
//! published after the next start ([`resume`]). A body that is refused leaves nothing.
//!
//! A body that does not announce its size goes the same way at first; if it turns out to be small enough it is read back
//! and treated like any other.

mod accept;
mod erase;
mod pending;
mod publish;
mod resume;

use std::io;
use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use event::Timestamp;
use http::HeaderMap;
use hyper::body::Body;
use tokio::task::spawn_blocking;

use crate::activity::Reading;
use crate::auth::{self, Proof};
use crate::body::{BodyFailure, Longer};
use crate::memory::Reserved;
use crate::options::{QUARANTINED_HEAD_BYTES, SPOOL_WRITE_BYTES};
use crate::problem::{Answer, Refusal};
use crate::receive::{charge, internal, offer_beginning, unread};
use crate::server::Peer;
use crate::signature::{Comparing, SignatureFailure};
use crate::source::{Auth, ServedSource};
use crate::spool::{Digest, Head, Spool, SpoolFailure, Spooled};

pub(crate) use accept::refusal;
pub(crate) use erase::erase;
pub(crate) use pending::Pending;
pub(crate) use resume::{Left, resume};

/// A request with a large body.
pub(crate) struct Large<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) served: &'a Arc<ServedSource>,
    pub(crate) headers: &'a HeaderMap,
    /// Bytes that the body may have.
    pub(crate) max: usize,
    pub(crate) spool: &'a Arc<Spool>,
}

/// What became of it.
pub(crate) enum Taken {
    /// All of its events are durable, or it is a dead letter.
    Answered(Answer),
    /// It has turned out to be small.
    Small(Proof, Bytes, Reserved),
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
    pub(crate) async fn take<B: Body<Data = Bytes> + Unpin>(
        self,
        proof: Proof,
        longer: Longer,
        body: &mut B,
        reading: Reading<'_>,
    ) -> Result<Taken, Refusal> {
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
        if spooled.body_bytes() <= shared.options.limits.spool_above as u64 {
            let (body, reserved) = self.read_back(spooled).await?;
            return Ok(Taken::Small(proof, body, reserved));
        }
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
        accept::answered(shared, self.served, spooled, head).await.map(Taken::Answered)
    }

    /// Writes the body to the spool as it arrives.
    async fn write<B: Body<Data = Bytes> + Unpin>(
        &self,
        comparing: Option<Comparing>,
        longer: Longer,
        body: &mut B,
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

    /// The body of a spooled file, which is small, in memory.
    async fn read_back(&self, spooled: Spooled) -> Result<(Bytes, Reserved), Refusal> {
        let shared = &self.peer.shared;
        let mut reserved = Reserved::nothing(&shared.memory);
        let bytes = usize::try_from(spooled.body_bytes()).unwrap_or(usize::MAX);
        reserved.grow_to(bytes).map_err(|exhausted| unread(&exhausted.into(), self.max, shared))?;
        let read = spawn_blocking(move || spooled.stored().first(bytes)).await.map_err(|_| internal())?;
        Ok((read.map_err(|error| refusal(SpoolFailure::Disk(error)))?.into(), reserved))
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
            let refusal = auth::unsigned(scheme, &SignatureFailure::Mismatch);
            self.quarantine(spooled, &refusal, now).await;
            return Err(refusal);
        }
        Ok((spooled, signer))
    }

    /// Offers the beginning of a body with a wrong signature to the quarantine.
    async fn quarantine(&self, spooled: Spooled, refusal: &Refusal, now: Timestamp) {
        let bytes = spooled.body_bytes();
        let begins = spawn_blocking(move || spooled.stored().first(QUARANTINED_HEAD_BYTES));
        if let Ok(Ok(begins)) = begins.await {
            offer_beginning(self.peer, &self.served.source, refusal, self.headers, (&begins.into(), bytes), now);
        }
    }
}
