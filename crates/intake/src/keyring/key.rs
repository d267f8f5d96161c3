//! One key: what is made of a secret to check requests with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_lc_rs::{constant_time, digest, hmac};
use event::Timestamp;

use super::KeyStatus;
use crate::secret::Secret;

/// Never used yet.
const NEVER: i64 = i64::MIN;

/// A prepared HMAC key and a digest; the secret itself is gone.
pub(super) struct Key {
    hmac: hmac::Key,
    digest: [u8; 32],
    origin: Arc<str>,
    last_used: AtomicI64,
}

impl Key {
    pub(super) fn new(secret: &Secret, origin: Arc<str>) -> Self {
        Self {
            hmac: hmac::Key::new(hmac::HMAC_SHA256, secret.expose()),
            digest: digest(secret.expose()),
            origin,
            last_used: AtomicI64::new(NEVER),
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

    pub(super) fn has_digest(&self, digest: &[u8; 32]) -> bool {
        equal(&self.digest, digest)
    }

    pub(super) fn used(&self, now: Timestamp) {
        self.last_used.fetch_max(now.as_millis(), Ordering::Relaxed);
    }

    pub(super) fn status(&self) -> KeyStatus {
        let last_used = self.last_used.load(Ordering::Relaxed);
        KeyStatus {
            origin: self.origin.to_string(),
            fingerprint: hex::encode(&self.digest[..4]),
            last_used: (last_used != NEVER).then(|| Timestamp::from_millis(last_used)),
        }
    }
}

/// SHA-256. Comparing digests hides where two secrets differ, and their lengths.
pub(super) fn digest(secret: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, secret).as_ref());
    bytes
}

/// In constant time.
pub(super) fn equal(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}
