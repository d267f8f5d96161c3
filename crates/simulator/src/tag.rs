//! The tag that every simulated event carries, so that what arrives at the CRM can be compared with what was sent.

use std::fmt;

use memchr::memmem;

use crate::Uuid;

/// Names one event: its conversation and its place in it, counted from 0 in the order of events of that conversation.
///
/// It travels in the body as the text member `externalTag` (a free text of that name is part of a Genesys
/// conversation), written `<conversation>#<ordinal>`: a mapping that keeps this one member keeps all that is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    conversation: Uuid,
    ordinal: u32,
}

impl Tag {
    /// The name of the JSON member that holds it.
    pub const MEMBER: &str = "externalTag";

    /// How many digits an ordinal has at least, so that a tag below 10,000 has a fixed length.
    const DIGITS: usize = 4;

    /// Length of a tag's text in bytes, for ordinals below 10,000.
    pub const TEXT_LEN: usize = Uuid::TEXT_LEN + 1 + Self::DIGITS;

    /// The tag of the event at `ordinal` in `conversation`.
    pub const fn new(conversation: Uuid, ordinal: u32) -> Self {
        Self { conversation, ordinal }
    }

    /// The conversation of the event.
    pub const fn conversation(&self) -> Uuid {
        self.conversation
    }

    /// The event's place in its conversation.
    pub const fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// The tag of the first member [`Tag::MEMBER`] in a JSON text, at whatever depth a mapping has put it.
    ///
    /// The text is searched and not parsed, which is cheap enough for the sink of a benchmark. A quotation mark inside
    /// a JSON string is always escaped, so a member's name inside a string is not mistaken for a member.
    pub fn find_in(body: &[u8]) -> Option<Self> {
        thread_local! {
            static QUOTED: memmem::Finder<'static> = memmem::Finder::new(b"\"externalTag\"");
        }
        QUOTED.with(|quoted| {
            quoted
                .find_iter(body)
                .find_map(|at| member_value(&body[at + Self::MEMBER.len() + 2..]).and_then(Self::from_text))
        })
    }

    fn from_text(text: &[u8]) -> Option<Self> {
        let (conversation, rest) = text.split_at_checked(Uuid::TEXT_LEN)?;
        let digits = rest.strip_prefix(b"#")?;
        let ordinal = std::str::from_utf8(digits).ok()?.parse().ok()?;
        Some(Self { conversation: Uuid::from_text(conversation)?, ordinal })
    }
}

/// The text between quotation marks in `: "…"`.
fn member_value(after_name: &[u8]) -> Option<&[u8]> {
    let value = after_name.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    memchr::memchr(b'"', value).map(|end| &value[..end])
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{:0width$}", self.conversation, self.ordinal, width = Self::DIGITS)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONVERSATION: Uuid = Uuid::random(0x1234_5678_9abc);

    #[test]
    fn has_the_length_that_templates_rely_on() {
        assert_eq!(Tag::new(CONVERSATION, 9_999).to_string().len(), Tag::TEXT_LEN);
    }

    #[test]
    fn is_found_wherever_a_mapping_puts_it() {
        let tag = Tag::new(CONVERSATION, 7);
        for body in [
            format!(r#"{{"externalTag":"{tag}"}}"#),
            format!("{{\"a\":[{{\"externalTag\" :\n \"{tag}\" }}]}}"),
            format!(r#"{{"note":"say \"externalTag\": \"no\"","externalTag":"{tag}"}}"#),
            format!(r#"{{"keys":["externalTag"],"externalTag":"{tag}"}}"#),
        ] {
            assert_eq!(Tag::find_in(body.as_bytes()), Some(tag), "{body}");
        }
    }

    #[test]
    fn is_not_found_where_there_is_none() {
        for body in
            ["", "{}", r#""externalTag""#, r#"{"externalTag":5}"#, r#"{"externalTag":"x#1"}"#, r#"{"externalTag":"#]
        {
            assert_eq!(Tag::find_in(body.as_bytes()), None, "{body}");
        }
        let no_number = format!(r#"{{"externalTag":"{CONVERSATION}#"}}"#);
        assert_eq!(Tag::find_in(no_number.as_bytes()), None);
    }

    proptest! {
        #[test]
        fn text_and_back(bits: u128, ordinal: u32) {
            let tag = Tag::new(Uuid::from_bits(bits), ordinal);
            prop_assert_eq!(Tag::from_text(tag.to_string().as_bytes()), Some(tag));
        }

        #[test]
        fn any_bytes_are_searched_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..80), at in 0usize..80) {
            let at = at.min(bytes.len());
            bytes.splice(at..at, *b"\"externalTag\":\"");
            let _ = Tag::find_in(&bytes);
        }
    }
}
