//! Strings inside JSON: finding their end, and reading what they say.

use std::borrow::Cow;

use super::Fault;

/// What stands between the quotes of a string.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    inner: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// The string whose opening quote is byte `at` of `text`.
    pub(crate) fn at(text: &'a str, at: usize) -> Result<Self, Fault> {
        let bytes = text.as_bytes();
        let start = at + 1;
        let mut end = start;
        let mut escaped = false;
        loop {
            end = plain_end(bytes, end);
            match bytes.get(end) {
                Some(b'"') => return Ok(Self { inner: &text[start..end], escaped }),
                Some(b'\\') => {
                    escaped = true;
                    end += escape_len(&bytes[end..]).ok_or(Fault { problem: "an escape is not valid", at: end })?;
                }
                Some(_) => return Err(Fault { problem: "a control character in a string is not escaped", at: end }),
                None => return Err(Fault { problem: "the text ends inside a string", at: bytes.len() }),
            }
        }
    }

    /// The string that this is, quotes included; it must be one as a whole.
    pub(crate) fn of(quoted: &'a str) -> Option<Self> {
        let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
        Some(Self { inner, escaped: inner.as_bytes().contains(&b'\\') })
    }

    /// How many bytes it takes in the text, quotes included.
    pub(super) fn quoted_len(self) -> usize {
        self.inner.len() + 2
    }

    /// What it says, in the bytes that [`Text::write_to`] gives.
    pub(crate) fn bytes(self) -> Cow<'a, [u8]> {
        if !self.escaped {
            return Cow::Borrowed(self.inner.as_bytes());
        }
        let mut said = Vec::with_capacity(self.inner.len());
        self.write_to(&mut said);
        Cow::Owned(said)
    }

    /// What it says; each surrogate without its other half reads as U+FFFD.
    pub(crate) fn read(self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.inner);
        }
        let mut read = String::with_capacity(self.inner.len());
        self.unescape(|piece| match piece {
            Piece::Plain(text) => read.push_str(text),
            Piece::Code(code) => read.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)),
        });
        Cow::Owned(read)
    }

    /// Appends what it says in UTF-8, and each surrogate without its other half in the three bytes that UTF-8 would
    /// have for it, so that different strings stay different.
    pub(crate) fn write_to(self, out: &mut Vec<u8>) {
        if !self.escaped {
            return out.extend_from_slice(self.inner.as_bytes());
        }
        self.unescape(|piece| match piece {
            Piece::Plain(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Code(code) => match char::from_u32(code) {
                Some(char) => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
                None => {
                    out.extend([0xe0 | (code >> 12) as u8, 0x80 | (code >> 6 & 63) as u8, 0x80 | (code & 63) as u8])
                }
            },
        });
    }

    fn unescape(self, mut each: impl FnMut(Piece<'a>)) {
        let mut rest = self.inner;
        while let Some(at) = rest.find('\\') {
            each(Piece::Plain(&rest[..at]));
            let (code, len) = code(&rest.as_bytes()[at..]);
            each(Piece::Code(code));
            rest = &rest[at + len..];
        }
        each(Piece::Plain(rest));
    }
}

enum Piece<'a> {
    Plain(&'a str),
    /// A code point, possibly one half of a surrogate pair.
    Code(u32),
}

/// How long the escape at the start is, if it is one.
fn escape_len(text: &[u8]) -> Option<usize> {
    match text.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => text.get(2..6)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

/// What the escape at the start stands for, and how long it is; two that make up a surrogate pair count as one.
fn code(text: &[u8]) -> (u32, usize) {
    let short = match text.get(1) {
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(b'n') => 0x0a,
        Some(b'r') => 0x0d,
        Some(b't') => 0x09,
        Some(b'u') => {
            let first = unit(text);
            return match text.get(6..) {
                Some(second @ [b'\\', b'u', ..]) if (0xd800..0xdc00).contains(&first) => match unit(second) {
                    low @ 0xdc00..0xe000 => (0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00), 12),
                    _ => (first, 6),
                },
                _ => (first, 6),
            };
        }
        Some(&itself) => u32::from(itself),
        None => u32::from(b'\\'),
    };
    (short, 2.min(text.len()))
}

/// The UTF-16 unit of a `\uXXXX`.
fn unit(text: &[u8]) -> u32 {
    let digits = text.get(2..6).unwrap_or_default();
    digits.iter().fold(0, |unit, &digit| unit << 4 | char::from(digit).to_digit(16).unwrap_or(0))
}

/// The first byte from `at` on that is a quote, a backslash or a control character, or the end of the text.
fn plain_end(text: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = text[at..].first_chunk::<8>() {
        let special = special_bytes(u64::from_le_bytes(*chunk));
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + text[at..].iter().take_while(|&&byte| byte >= 0x20 && byte != b'"' && byte != b'\\').count()
}

/// Eight bytes at once: sets the top bit of each special one, exact up to and including the lowest.
const fn special_bytes(chunk: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    let quote = chunk ^ (ONES * b'"' as u64);
    let backslash = chunk ^ (ONES * b'\\' as u64);
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_backslash = backslash.wrapping_sub(ONES) & !backslash;
    let is_control = chunk.wrapping_sub(ONES * 0x20) & !chunk;
    (is_quote | is_backslash | is_control) & TOPS
}
