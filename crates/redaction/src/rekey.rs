//! What bodies of before a change of keys would be now.
//!
//! An event that is sent again is compared with what was stored of it. Hashes and tokens of another key are other texts for
//! the same values, so without this every event that is sent again behind a change of keys would look like another one.
//! The values themselves are at hand just then: the tokens' come from the tokens, and those of hashes from the body that is
//! being published.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::redactor::Redactor;
use crate::rule::How;

/// The rules of a source that has several keys, and the bodies of events that are being published, as they came.
pub struct Rekey {
    redactor: Arc<Redactor>,
    events: Vec<Bytes>,
    /// For each hash with another key that a value of the events may have, that with the first. Made when first asked.
    hashes: OnceLock<HashMap<String, String>>,
}

impl Rekey {
    /// `None` if there is but one key, so that nothing can differ.
    pub fn new(redactor: &Arc<Redactor>, events: impl IntoIterator<Item = Bytes>) -> Option<Self> {
        let several = redactor.keys().ids().nth(1).is_some();
        let rekey =
            || Self { redactor: Arc::clone(redactor), events: events.into_iter().collect(), hashes: OnceLock::new() };
        several.then(rekey)
    }

    /// A stored body, as if the first key had made it. What cannot be told stays as it is.
    pub fn now<'b>(&self, stored: &'b [u8]) -> Cow<'b, [u8]> {
        let Ok(places) = self.redactor.places(stored) else { return Cow::Borrowed(stored) };
        let (mut now, mut done) = (Vec::new(), 0);
        for place in places {
            let text = place.value.string().unwrap_or_default();
            let changed = match self.redactor.how(place.path) {
                How::Hash => self.hashes().get(&*text).cloned(),
                How::Tokenise => self.redactor.keys().renew(&text),
                How::Drop | How::Mask { .. } => None,
            };
            let Some(changed) = changed else { continue };
            now.extend_from_slice(&stored[done..place.at.start]);
            now.push(b'"');
            now.extend_from_slice(changed.as_bytes());
            now.push(b'"');
            done = place.at.end;
        }
        if done == 0 {
            return Cow::Borrowed(stored);
        }
        now.extend_from_slice(&stored[done..]);
        Cow::Owned(now)
    }

    fn hashes(&self) -> &HashMap<String, String> {
        self.hashes.get_or_init(|| {
            let mut hashes = HashMap::new();
            for event in &self.events {
                for place in self.redactor.places(event).unwrap_or_default() {
                    if self.redactor.how(place.path) == How::Hash {
                        let mut made = self.redactor.keys().all().map(|key| key.hash_of(place.value));
                        let first = made.next().unwrap_or_default();
                        hashes.extend(made.map(|other| (other, first.clone())));
                    }
                }
            }
            hashes
        })
    }
}
