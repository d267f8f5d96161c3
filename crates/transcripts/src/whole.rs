//! Whether a download was all of it. A length that was announced is not always there, and a page that says what is wrong is
//! no transcript. JSON tells by itself where it ends: that is looked at while the bytes go by.
//!
//! Only the outline is looked at: that there is one object or array, that it ends, and that nothing follows it. What is in
//! it is for those to judge who read it.

/// Nesting that is followed; a transcript has about ten levels.
const DEPTH_MAX: u32 = 10_000;

/// How far a text has come.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    depth: u32,
    place: Place,
    broken: Option<&'static str>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Before,
    Inside,
    String,
    Escape,
    Behind,
}

impl Outline {
    /// Looks at the next bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while self.broken.is_none() && !bytes.is_empty() {
            bytes = match self.place {
                Place::String => match memchr::memchr2(b'"', b'\\', bytes) {
                    None => return,
                    Some(at) => {
                        self.place = if bytes[at] == b'"' { Place::Inside } else { Place::Escape };
                        &bytes[at + 1..]
                    }
                },
                Place::Escape => {
                    self.place = Place::String;
                    &bytes[1..]
                }
                Place::Inside => self.inside(bytes),
                Place::Before | Place::Behind => {
                    self.outside(bytes[0]);
                    &bytes[1..]
                }
            };
        }
    }

    /// Whether it was whole, or what is wrong.
    pub(crate) fn finish(&self) -> Result<(), &'static str> {
        match (self.broken, self.place) {
            (Some(problem), _) => Err(problem),
            (None, Place::Behind) => Ok(()),
            (None, Place::Before) => Err("there is nothing in it"),
            (None, _) => Err("it ends in the middle"),
        }
    }

    fn outside(&mut self, byte: u8) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            // A byte order mark.
            0xef | 0xbb | 0xbf if self.place == Place::Before => {}
            b'{' | b'[' if self.place == Place::Before => (self.depth, self.place) = (1, Place::Inside),
            _ if self.place == Place::Before => self.broken = Some("it is no JSON"),
            _ => self.broken = Some("something follows its end"),
        }
    }

    /// Goes on to the next string, or to the end; what is left.
    fn inside<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'"' => {
                    self.place = Place::String;
                    return &bytes[at + 1..];
                }
                b'{' | b'[' if self.depth >= DEPTH_MAX => {
                    self.broken = Some("it is nested without end");
                    return &[];
                }
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.place = Place::Behind;
                        return &bytes[at + 1..];
                    }
                }
                _ => {}
            }
        }
        &[]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn outline(pieces: &[&[u8]]) -> Result<(), &'static str> {
        let mut outline = Outline::default();
        pieces.iter().for_each(|piece| outline.feed(piece));
        outline.finish()
    }

    #[test]
    fn what_is_cut_off_or_something_else_is_known() {
        for (text, expected) in [
            (&b"{\"a\":[1,\"}\\\"\",{}]}\n "[..], Ok(())),
            (b"[]", Ok(())),
            (b"\xef\xbb\xbf{}", Ok(())),
            (b"", Err("there is nothing in it")),
            (b" \n", Err("there is nothing in it")),
            (b"<html>", Err("it is no JSON")),
            (b"null", Err("it is no JSON")),
            (b"{\"a\":\"}", Err("it ends in the middle")),
            (b"{\"a\":[}", Err("it ends in the middle")),
            (b"{}{}", Err("something follows its end")),
            (b"{}x", Err("something follows its end")),
        ] {
            assert_eq!(outline(&[text]), expected, "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(outline(&[&vec![b'['; 20_000]]), Err("it is nested without end"));
    }

    proptest! {
        /// A text is whole at its end and nowhere before it, in whatever pieces it comes.
        #[test]
        fn a_text_is_whole_at_its_end_alone(strings in prop::collection::vec(".*", 0..6), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let text = json!({"phrases": strings, "more": {"a": [[], {}]}}).to_string().into_bytes();
            for cut in cuts {
                let (one, other) = text.split_at(cut.index(text.len()));
                prop_assert_eq!(outline(&[one, other]), Ok(()));
                prop_assert!(outline(&[one]).is_err());
            }
        }

        #[test]
        fn no_bytes_are_too_much_for_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = outline(&[&bytes]);
        }
    }
}
