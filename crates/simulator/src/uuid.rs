//! 128-bit ids in their usual text form, made from given bits only.

use std::fmt;
use std::str::FromStr;

/// A 128-bit id: `8-4-4-4-12` hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// Length of the text form in bytes.
    pub const TEXT_LEN: usize = 36;

    /// These bits as they are; no version is marked.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits.to_be_bytes())
    }

    /// These bits marked as a random UUID (version 4, RFC 9562 §5.4), which leaves 122 of them.
    pub const fn random(bits: u128) -> Self {
        let mut bytes = bits.to_be_bytes();
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// The 16 bytes, most significant first.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The text form in lower case.
    pub fn text(&self) -> [u8; Self::TEXT_LEN] {
        let mut text = [b'-'; Self::TEXT_LEN];
        let mut at = 0;
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                at += 1;
            }
            text[at] = DIGITS[usize::from(byte >> 4)];
            text[at + 1] = DIGITS[usize::from(byte & 15)];
            at += 2;
        }
        text
    }

    /// Reads the text form, upper or lower case; `None` if it is anything else.
    pub fn from_text(text: &[u8]) -> Option<Self> {
        if text.len() != Self::TEXT_LEN || [8, 13, 18, 23].iter().any(|&at| text[at] != b'-') {
            return None;
        }
        let mut digits = [0; 32];
        for (at, &byte) in text.iter().filter(|byte| **byte != b'-').enumerate() {
            *digits.get_mut(at)? = byte;
        }
        let mut bytes = [0; 16];
        hex::decode_to_slice(digits, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().iter().try_for_each(|&byte| fmt::Write::write_char(f, char::from(byte)))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID: expected 32 hexadecimal digits in groups of 8-4-4-4-12")]
pub struct ParseUuidError;

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_text(text.as_bytes()).ok_or(ParseUuidError)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_is_no_uuid() {
        for text in ["", "-", "zzzzzzzz-0000-4000-8000-000000000000", "00000000-0000-4000-8000-00000000000-"] {
            assert!(text.parse::<Uuid>().is_err(), "{text}");
        }
    }

    #[test]
    fn marks_the_version() {
        assert_eq!(Uuid::random(0).to_string(), "00000000-0000-4000-8000-000000000000");
        assert_eq!(Uuid::from_bits(0xab).to_string(), "00000000-0000-0000-0000-0000000000ab");
    }

    proptest! {
        #[test]
        fn text_and_back(bits: u128) {
            let id = Uuid::from_bits(bits);
            prop_assert_eq!(id.to_string().parse::<Uuid>(), Ok(id));
            prop_assert_eq!(id.to_string().to_uppercase().parse::<Uuid>(), Ok(id));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 30..40)) {
            let _ = Uuid::from_text(&bytes);
        }
    }
}
