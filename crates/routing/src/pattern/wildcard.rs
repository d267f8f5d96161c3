//! Text with `*`s in it, each standing for any number of characters.

use memchr::memmem;

/// The literal pieces between the `*`s, in order; one piece means that there is no `*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Wildcard {
    written: Box<str>,
    pieces: Box<[Box<[u8]>]>,
}

impl Wildcard {
    /// Reads the text. A backslash takes the meaning from a `*` or a backslash behind it. The error says what is needed.
    pub(crate) fn parse(written: &str) -> Result<Self, String> {
        let mut pieces = vec![Vec::new()];
        let mut bytes = written.bytes().enumerate().peekable();
        while let Some((at, byte)) = bytes.next() {
            let next = bytes.peek().map(|(_, next)| *next);
            match (byte, next) {
                (b'*', Some(b'*')) => return Err(format!("wildcard needs something between two `*` (at byte {at})")),
                (b'*', _) => pieces.push(Vec::new()),
                (b'\\', Some(literal @ (b'*' | b'\\'))) => {
                    bytes.next();
                    push(&mut pieces, literal);
                }
                (b'\\', _) => {
                    return Err(format!(
                        "wildcard needs `*` or `\\` behind the `\\` at byte {at}; write `\\\\` for a backslash"
                    ));
                }
                _ => push(&mut pieces, byte),
            }
        }
        Ok(Self { written: written.into(), pieces: pieces.into_iter().map(Vec::into_boxed_slice).collect() })
    }

    /// As written in the pattern.
    pub(crate) fn written(&self) -> &str {
        &self.written
    }

    /// What every accepted value begins with.
    pub(crate) fn prefix(&self) -> &[u8] {
        self.pieces.first().map_or(&[], |piece| piece)
    }

    /// What every accepted value ends with.
    pub(crate) fn suffix(&self) -> &[u8] {
        self.pieces.last().map_or(&[], |piece| piece)
    }

    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        let [first, middle @ .., last] = &*self.pieces else {
            return self.prefix() == value;
        };
        let Some(rest) = value.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last)) else {
            return false;
        };
        // Taking each piece at its first place leaves the most room for the ones behind it.
        middle
            .iter()
            .try_fold(rest, |rest, piece| memmem::find(rest, piece).map(|at| &rest[at + piece.len()..]))
            .is_some()
    }
}

fn push(pieces: &mut [Vec<u8>], byte: u8) {
    if let Some(piece) = pieces.last_mut() {
        piece.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::Wildcard;

    fn accepts(pattern: &str, value: &str) -> bool {
        Wildcard::parse(pattern).unwrap().matches(value.as_bytes())
    }

    #[test]
    fn stars_stand_for_anything() {
        assert!(accepts("*", "") && accepts("*", "anything"));
        assert!(accepts("a*", "a") && accepts("*a", "ba") && accepts("a*b*c", "a1b2c") && accepts("a*b*c", "abbc"));
        assert!(!accepts("a*a", "a") && !accepts("a*b*c", "acb") && !accepts("ab", "abc") && accepts("ab", "ab"));
        assert!(accepts("*x*", "axa") && !accepts("*x*", "aa"));
    }

    #[test]
    fn a_backslash_makes_a_star_plain() {
        assert!(accepts(r"a\*b", "a*b") && !accepts(r"a\*b", "axb") && accepts(r"a\\*", r"a\x"));
    }

    #[test]
    fn doubtful_stars_and_backslashes_are_refused() {
        for pattern in ["a**b", r"a\b", r"a\", r"\n"] {
            assert!(Wildcard::parse(pattern).is_err(), "{pattern}");
        }
    }
}
