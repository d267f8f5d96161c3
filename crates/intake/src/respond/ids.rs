//! The body of an answer: whole, or a long list of ids that is written as it is sent. The text of such a list has four
//! hundredths of the bytes of its batch, and several senders may be slow to read theirs.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use bytes::Bytes;
use event::EventId;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

/// Ids that are written at once: 39 KB.
const AT_ONCE: usize = 1_000;
/// Bytes of an id with its quotes.
const ID_BYTES: usize = 38;

/// The body of an answer.
pub(crate) enum AnswerBody {
    /// In one piece.
    Whole(Full<Bytes>),
    /// With a list of ids.
    Ids(Ids),
}

/// `{"accepted":n,"duplicates":n,"events":[ids]}`, the ids in the order of the events.
pub(crate) struct Ids {
    /// What stands before the next id.
    before: String,
    ids: vec::IntoIter<EventId>,
    left: u64,
}

impl Ids {
    pub(crate) fn new(ids: Vec<EventId>, duplicates: usize) -> Self {
        let accepted = ids.len() - duplicates;
        let before = format!(r#"{{"accepted":{accepted},"duplicates":{duplicates},"events":["#);
        let commas = ids.len().saturating_sub(1);
        let left = (before.len() + ids.len() * ID_BYTES + commas + END.len()) as u64;
        Self { before, ids: ids.into_iter(), left }
    }

    fn next(&mut self) -> Option<Bytes> {
        if self.left == 0 {
            return None;
        }
        let mut text = std::mem::take(&mut self.before);
        text.reserve(AT_ONCE.min(self.ids.len()) * (ID_BYTES + 1) + END.len());
        for id in self.ids.by_ref().take(AT_ONCE) {
            // Writing to a string does not fail.
            let _ = write!(text, "\"{id}\",");
        }
        if self.ids.len() == 0 {
            // There is a comma unless there was no id at all.
            let len = text.trim_end_matches(',').len();
            text.truncate(len);
            text.push_str(END);
        }
        self.left = self.left.saturating_sub(text.len() as u64);
        Some(text.into())
    }
}

/// What stands behind the ids.
const END: &str = "]}";

impl From<Bytes> for AnswerBody {
    fn from(whole: Bytes) -> Self {
        Self::Whole(Full::new(whole))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(whole) => Pin::new(whole).poll_frame(context),
            Self::Ids(ids) => Poll::Ready(ids.next().map(|text| Ok(Frame::data(text)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Ids(ids) => ids.left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Ids(ids) => SizeHint::with_exact(ids.left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_in_pieces_is_as_long_as_it_says_and_json() {
        for count in [0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE] {
            let ids: Vec<_> = (0..count).map(|n| EventId::from_identity("t", [n.to_string().as_bytes()])).collect();
            let mut list = Ids::new(ids.clone(), 0);
            let announced = list.left;
            let mut text = Vec::new();
            while let Some(piece) = list.next() {
                text.extend_from_slice(&piece);
            }
            assert_eq!(text.len() as u64, announced, "{count}");
            let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(json["accepted"], count);
            let read: Vec<_> = json["events"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
            assert!(read.into_iter().eq(ids.iter().map(ToString::to_string).collect::<Vec<_>>().iter()), "{count}");
        }
    }
}
