//! A transcript as a stream: valid JSON of any size, made while it is sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Bytes of a piece, about.
const PIECE: usize = 64 * 1024;
/// What follows the phrases.
const TAIL: &str = "]}]}";

/// What is left of a transcript to be sent.
#[derive(Debug)]
pub(crate) struct TranscriptBody {
    head: Option<String>,
    phrases: u64,
    /// Bytes after the head, the tail included.
    left: u64,
    /// After how many bytes it ends too early, and how.
    early: Option<(u64, End)>,
}

/// How a transcript ends that ends too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The connection breaks off.
    Error,
    /// Nothing comes any more.
    Silence,
    /// As if that were all.
    AsIfAll,
}

impl TranscriptBody {
    /// A transcript of so many bytes; a little more if not even one without phrases would fit.
    pub(super) fn new(conversation: &str, communication: &str, bytes: u64) -> Self {
        let head = format!(
            "{{\"conversationId\":\"{conversation}\",\"communicationId\":\"{communication}\",\"mediaType\":\"call\",\
             \"transcripts\":[{{\"transcriptId\":\"{communication}\",\"language\":\"en-us\",\"phrases\":["
        );
        let left = bytes.saturating_sub(head.len() as u64).max(TAIL.len() as u64);
        Self { head: Some(head), phrases: 0, left, early: None }
    }

    /// Ends too early.
    pub(super) fn until(self, bytes: u64, end: End) -> Self {
        Self { early: Some((bytes, end)), ..self }
    }

    /// The next piece; empty at the end.
    fn piece(&mut self) -> String {
        let mut piece = self.head.take().unwrap_or_default();
        while piece.len() < PIECE && self.left > 0 {
            let comma = if self.phrases == 0 { "" } else { "," };
            let purpose = if self.phrases.is_multiple_of(2) { "internal" } else { "external" };
            let phrase = format!(
                "{comma}{{\"phraseIndex\":{},\"participantPurpose\":\"{purpose}\",\"text\":\"so i called about it\",\
                 \"confidence\":0.9,\"startTimeMs\":{}}}",
                self.phrases,
                self.phrases * 2_500
            );
            if self.left >= (phrase.len() + TAIL.len()) as u64 {
                self.phrases += 1;
                self.left -= phrase.len() as u64;
                piece.push_str(&phrase);
            } else {
                // White space between the last phrase and the end.
                let padding = usize::try_from(self.left).unwrap_or(usize::MAX).saturating_sub(TAIL.len());
                piece.push_str(&" ".repeat(padding));
                piece.push_str(TAIL);
                self.left = 0;
            }
        }
        piece
    }
}

impl Body for TranscriptBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match self.early {
            Some((0, End::Error)) => return Poll::Ready(Some(Err(std::io::Error::other("told to break off")))),
            // Whoever waits gives up some time.
            Some((0, End::Silence)) => return Poll::Pending,
            Some((0, End::AsIfAll)) => return Poll::Ready(None),
            _ => {}
        }
        let mut piece = self.piece();
        if let Some((bytes, _)) = &mut self.early {
            piece.truncate(usize::try_from(*bytes).unwrap_or(usize::MAX));
            *bytes -= piece.len() as u64;
        }
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(Bytes::from(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.early.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if matches!(self.early, Some((_, End::AsIfAll))) {
            return SizeHint::default();
        }
        SizeHint::with_exact(self.left + self.head.as_ref().map_or(0, |head| head.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(bytes: u64) -> String {
        let mut body = TranscriptBody::new("c-1", "l-1", bytes);
        let promised = body.size_hint().exact().unwrap();
        let mut text = String::new();
        loop {
            let piece = body.piece();
            if piece.is_empty() {
                assert_eq!(promised, text.len() as u64);
                return text;
            }
            assert!(piece.len() < 2 * PIECE, "it is not held in memory");
            text.push_str(&piece);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_size_is_valid_json_of_that_size(bytes in 0u64..300_000) {
            let text = whole(bytes);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&value["conversationId"], "c-1");
            prop_assert!(text.len() as u64 == bytes || bytes < 250, "{} for {}", text.len(), bytes);
        }
    }
}
