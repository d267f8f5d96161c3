//! The scanner: one cursor over the text, with a method per piece of JSON grammar.

use super::JsonError;

/// A string's content, between its quotes and still escaped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Whether there is a backslash in it.
    pub(crate) escaped: bool,
}

/// A value without children.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scalar {
    Text(Text),
    /// The literal as written, from its first to behind its last byte.
    Number(usize, usize),
    True,
    False,
    Null,
}

/// A cursor over JSON text. It never moves behind the text's end.
#[derive(Clone)]
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Where the cursor stands.
    pub(crate) const fn offset(&self) -> usize {
        self.at
    }

    /// The byte under the cursor; 0, which no JSON has outside of strings, at the end of the text.
    #[inline]
    pub(crate) fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Moves over the byte that [`Scanner::peek`] showed.
    #[inline]
    pub(crate) fn advance(&mut self) {
        self.at = (self.at + 1).min(self.text.len());
    }

    /// The next byte that is not white space.
    #[inline]
    pub(crate) fn peek_token(&mut self) -> u8 {
        while let b' ' | b'\n' | b'\r' | b'\t' = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    /// An error at the cursor.
    #[cold]
    pub(crate) fn error(&self, what: &'static str) -> JsonError {
        JsonError { offset: self.at, what }
    }

    /// Moves over `wanted`, or fails.
    #[inline]
    pub(crate) fn expect(&mut self, wanted: u8, what: &'static str) -> Result<(), JsonError> {
        if self.peek_token() == wanted {
            self.at += 1;
            Ok(())
        } else {
            Err(self.error(what))
        }
    }

    /// Nothing but white space may follow.
    pub(crate) fn expect_end(&mut self) -> Result<(), JsonError> {
        self.peek_token();
        if self.at == self.text.len() { Ok(()) } else { Err(self.error("unexpected text behind the value")) }
    }

    /// Moves over a member's name and the colon behind it.
    #[inline]
    pub(crate) fn member_name(&mut self) -> Result<Text, JsonError> {
        self.expect(b'"', "expected a member name in quotes")?;
        let name = self.string()?;
        self.expect(b':', "expected a colon")?;
        Ok(name)
    }

    /// Moves over a value that is neither an object nor an array.
    #[inline]
    pub(crate) fn scalar(&mut self) -> Result<Scalar, JsonError> {
        match self.peek_token() {
            b'"' => {
                self.at += 1;
                self.string().map(Scalar::Text)
            }
            b'-' | b'0'..=b'9' => {
                let start = self.at;
                self.number()?;
                Ok(Scalar::Number(start, self.at))
            }
            b't' => self.word(b"true", Scalar::True),
            b'f' => self.word(b"false", Scalar::False),
            b'n' => self.word(b"null", Scalar::Null),
            _ => Err(self.error("expected a value")),
        }
    }

    fn word(&mut self, word: &'static [u8], value: Scalar) -> Result<Scalar, JsonError> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(self.error("expected a value"))
        }
    }

    /// Moves over a string whose opening quote was just read.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Text, JsonError> {
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = next_special(self.text, self.at);
            match self.peek() {
                b'"' => {
                    let end = self.at;
                    self.at += 1;
                    return Ok(Text { start, end, escaped });
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ if self.at == self.text.len() => return Err(self.error("the text ends inside a string")),
                _ => return Err(self.error("a control character in a string must be escaped")),
            }
        }
    }

    #[cold]
    fn escape(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.at += 1;
                Ok(())
            }
            b'u' => match self.text.get(self.at + 1..self.at + 5) {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {
                    self.at += 5;
                    Ok(())
                }
                _ => Err(self.error("\\u needs four hexadecimal digits")),
            },
            _ => Err(self.error("unknown escape in a string")),
        }
    }

    fn number(&mut self) -> Result<(), JsonError> {
        if self.peek() == b'-' {
            self.at += 1;
        }
        match self.peek() {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits(),
            _ => return Err(self.error("a number needs a digit here")),
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.some_digits()?;
        }
        if let b'e' | b'E' = self.peek() {
            self.at += 1;
            if let b'+' | b'-' = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), JsonError> {
        if !self.peek().is_ascii_digit() {
            return Err(self.error("a number needs a digit here"));
        }
        self.digits();
        Ok(())
    }

    /// Moves over any value. `nesting` is scratch memory: one bit per open level, so no depth overflows the stack.
    pub(crate) fn skip_value(&mut self, nesting: &mut Vec<u64>) -> Result<(), JsonError> {
        match self.peek_token() {
            b'{' | b'[' => self.skip_container(nesting),
            _ => self.scalar().map(drop),
        }
    }

    fn skip_container(&mut self, nesting: &mut Vec<u64>) -> Result<(), JsonError> {
        let mut depth = 0_usize;
        nesting.clear();
        loop {
            // Here a value is due.
            match self.peek_token() {
                open @ (b'{' | b'[') => {
                    self.at += 1;
                    let is_object = open == b'{';
                    push_bit(nesting, depth, is_object);
                    depth += 1;
                    if self.peek_token() != closing(is_object) {
                        if is_object {
                            self.member_name()?;
                        }
                        continue;
                    }
                }
                _ => self.scalar().map(drop)?,
            }
            // Here a value has ended: close what ends with it, or go on to the next one.
            loop {
                let is_object = bit(nesting, depth - 1);
                match self.peek_token() {
                    b',' => {
                        self.at += 1;
                        if is_object {
                            self.member_name()?;
                        }
                        break;
                    }
                    close if close == closing(is_object) => {
                        self.at += 1;
                        depth -= 1;
                        if depth == 0 {
                            return Ok(());
                        }
                    }
                    _ => return Err(self.error("expected a comma or the end of the object or array")),
                }
            }
        }
    }
}

fn closing(is_object: bool) -> u8 {
    if is_object { b'}' } else { b']' }
}

fn push_bit(bits: &mut Vec<u64>, depth: usize, value: bool) {
    if bits.len() <= depth / 64 {
        bits.push(0);
    }
    let mask = 1 << (depth % 64);
    let word = &mut bits[depth / 64];
    *word = if value { *word | mask } else { *word & !mask };
}

fn bit(bits: &[u64], depth: usize) -> bool {
    bits[depth / 64] >> (depth % 64) & 1 == 1
}

/// The index of the first quote, backslash or control character at or behind `from`; the text's length if none is.
///
/// Looks at eight bytes at once: subtracting a byte's pattern from every byte borrows into the top bit exactly where
/// the byte is smaller (controls) or, after an exclusive or, zero (quote, backslash).
#[inline]
fn next_special(text: &[u8], from: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let mut at = from;
    while let Some(chunk) = text.get(at..at + 8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()) {
        let word = u64::from_le_bytes(chunk);
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let found = found & TOPS;
        if found != 0 {
            // Borrows can only set a wrong bit above a right one, so the lowest is always right.
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    text[at.min(text.len())..]
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
        .map_or(text.len(), |index| at + index)
}
