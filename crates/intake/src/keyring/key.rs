//! One key: what is made of a secret to check requests with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use aws_lc_rs::{constant_time, digest, hmac};
use event::Timestamp;

use super::usage::Used;
use crate::secret::Secret;

/// Bytes of the digest that tell keys apart; too few to check a guess at a good secret by them.
const FINGERPRINT_BYTES: usize = 4;
/// Never used yet.
const NEVER: i64 = i64::MIN;

/// A prepared HMAC key and a digest; the secret itself is gone.
pub(super) struct Key {
    hmac: hmac::Key,
    digest: [u8; 32],
    fingerprint: String,
    /// What the audit trail says of a request that was verified with it.
    proof: Arc<str>,
    last_used: AtomicI64,
    uses: AtomicU64,
}

impl Key {
    pub(super) fn new(secret: &Secret) -> Self {
        let digest = digest(secret.expose());
        let fingerprint = hex::encode(&digest[..FINGERPRINT_BYTES]);
        Self {
            hmac: hmac::Key::new(hmac::HMAC_SHA256, secret.expose()),
            proof: format!("key {fingerprint}").into(),
            fingerprint,
            digest,
            last_used: AtomicI64::new(NEVER),
            uses: AtomicU64::new(0),
        }
    }

    /// The HMAC-SHA256 of the joined pieces.
    pub(super) fn sign(&self, pieces: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.hmac);
        for piece in pieces {
            context.update(piece);
        }
        context.sign()
    }

    /// The same, of pieces that come one by one.
    pub(super) fn begin(&self) -> hmac::Context {
        hmac::Context::with_key(&self.hmac)
    }

    pub(super) fn has_digest(&self, digest: &[u8; 32]) -> bool {
        equal(&self.digest, digest)
    }

    /// Whether `proof` is [`salted`] of this secret.
    pub(super) fn has_salted(&self, salt: &[u8], proof: &[u8; 32]) -> bool {
        equal(&salted(salt, &self.digest), proof)
    }

    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(super) fn proof(&self) -> Arc<str> {
        Arc::clone(&self.proof)
    }

    /// Takes note of a request that was verified with it.
    pub(super) fn used(&self, now: Timestamp) {
        self.last_used.fetch_max(now.as_millis(), Ordering::Relaxed);
        self.uses.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds what is known from before.
    pub(super) fn add(&self, past: &Used) {
        self.last_used.fetch_max(past.last.as_millis(), Ordering::Relaxed);
        self.uses.fetch_add(past.uses, Ordering::Relaxed);
    }

    /// How it was used, if it ever was.
    pub(super) fn usage(&self) -> Option<Used> {
        let last = self.last_used.load(Ordering::Relaxed);
        (last != NEVER).then(|| Used { last: Timestamp::from_millis(last), uses: self.uses.load(Ordering::Relaxed) })
    }
}

/// What is kept of a credential that was refused: enough to tell whether it is a secret, not to find it out. The salt
/// makes two of the same look different, and tables of known passwords useless.
pub(crate) fn salted(salt: &[u8], digest: &[u8; 32]) -> [u8; 32] {
    let mut proof = [0; 32];
    proof.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), digest).as_ref());
    proof
}

/// SHA-256. Comparing digests hides where two secrets differ, and their lengths.
pub(crate) fn digest(secret: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, secret).as_ref());
    bytes
}

/// In constant time.
pub(super) fn equal(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}
