//! Event ids: 128 bits made from an event's identity, written as a UUID of version 8.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;

/// Names an event. Made from the event's identity by SHA-256, so the same event always has the same id,
/// whichever way and however often it arrives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId([u8; 16]);

impl EventId {
    /// Hashes the parts of an identity. Each part is preceded by its length, so `["ab", "c"]` and `["a", "bc"]` differ.
    ///
    /// `kind` separates the name spaces of the ways to identify an event (a webhook's id, a business key, a content hash).
    pub fn from_identity<'a>(kind: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(kind.as_bytes());
        for part in parts {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finish().as_ref()[..16]);
        Self::from_hash(bytes)
    }

    /// Takes 16 bytes of a hash and marks them as a UUID of version 8 (RFC 9562 §5.8), which leaves 122 of its bits.
    pub fn from_hash(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// Reads back what [`EventId::as_bytes`] gave.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes, as they are stored.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Appends it as it shows.
    pub(crate) fn append_to(&self, text: &mut String) {
        text.push_str(std::str::from_utf8(&self.text()).unwrap_or_default());
    }

    fn text(&self) -> [u8; 36] {
        let mut text = [0u8; 36];
        let mut at = 0;
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                text[at] = b'-';
                at += 1;
            }
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        text
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.text()).map_err(|_| fmt::Error)?)
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({self})")
    }
}

/// The text is not an event id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an event id: expected 32 hexadecimal digits in groups of 8-4-4-4-12")]
pub struct ParseEventIdError(String);

impl FromStr for EventId {
    type Err = ParseEventIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseEventIdError(text.chars().take(64).collect());
        let well_grouped = text.len() == 36 && [8, 13, 18, 23].iter().all(|&at| text.as_bytes()[at] == b'-');
        if !well_grouped {
            return Err(refuse());
        }
        let digits: String = text.split('-').collect();
        let mut bytes = [0; 16];
        hex::decode_to_slice(&digits, &mut bytes).map_err(|_| refuse())?;
        Ok(Self(bytes))
    }
}

impl serde::Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Compact formats get the 16 bytes.
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_bytes(&self.0) }
    }
}

impl<'de> serde::Deserialize<'de> for EventId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            return text.parse().map_err(serde::de::Error::custom);
        }
        let bytes = <&[u8]>::deserialize(deserializer)?;
        let bytes = bytes.try_into().map_err(|_| serde::de::Error::invalid_length(bytes.len(), &"16 bytes"))?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let id = EventId::from_identity("test", [b"a".as_slice(), b"b"]);
        assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
        assert_eq!(id.to_string().as_bytes()[14], b'8', "a UUID of version 8");
        assert!("".parse::<EventId>().is_err());
        assert!("zzzzzzzz-0000-8000-8000-000000000000".parse::<EventId>().is_err());
        assert!("€€€€€€€€€€€€".parse::<EventId>().is_err(), "36 bytes that are no digits");
    }

    #[test]
    fn parts_do_not_run_together() {
        let one = EventId::from_identity("test", [b"ab".as_slice(), b"c"]);
        let other = EventId::from_identity("test", [b"a".as_slice(), b"bc"]);
        assert_ne!(one, other);
    }
}
