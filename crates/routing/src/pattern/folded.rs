//! Text that is compared without regard to case.

/// A text whose every character also stands for its lower and its upper case.
///
/// As in Event Ruler the folding is per character of the pattern: `ß` accepts `ß` and `SS`, while `ss` accepts no `ß`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Folded {
    /// As written in the pattern.
    written: Box<str>,
    characters: Box<[[Box<str>; 2]]>,
}

impl Folded {
    pub(crate) fn new(written: &str) -> Self {
        let characters = written
            .chars()
            .map(|character| {
                let lower: String = character.to_lowercase().collect();
                let upper: String = character.to_uppercase().collect();
                [lower.into_boxed_str(), upper.into_boxed_str()]
            })
            .collect();
        Self { written: written.into(), characters }
    }

    /// As written in the pattern.
    pub(crate) fn written(&self) -> &str {
        &self.written
    }

    /// The text in lower case, if it is all ASCII: then comparing ASCII lower case is all there is to it.
    pub(crate) fn ascii_lowercase(&self) -> Option<String> {
        self.written.is_ascii().then(|| self.written.to_ascii_lowercase())
    }

    pub(crate) fn equals(&self, value: &[u8]) -> bool {
        self.strip_from_front(value).is_some_and(<[u8]>::is_empty)
    }

    pub(crate) fn is_prefix_of(&self, value: &[u8]) -> bool {
        self.strip_from_front(value).is_some()
    }

    pub(crate) fn is_suffix_of(&self, value: &[u8]) -> bool {
        let strip = |rest: &'_ [u8], character: &[Box<str>; 2]| {
            character.iter().find_map(|case| rest.strip_suffix(case.as_bytes()).map(<[u8]>::len))
        };
        let mut rest = value;
        self.characters.iter().rev().all(|character| match strip(rest, character) {
            Some(length) => {
                rest = &rest[..length];
                true
            }
            None => false,
        })
    }

    fn strip_from_front<'v>(&self, value: &'v [u8]) -> Option<&'v [u8]> {
        self.characters
            .iter()
            .try_fold(value, |rest, character| character.iter().find_map(|case| rest.strip_prefix(case.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::Folded;

    #[test]
    fn both_cases_of_every_character_count() {
        let text = Folded::new("Café 1");
        assert!(text.equals("CAFÉ 1".as_bytes()) && text.equals("café 1".as_bytes()));
        assert!(!text.equals("cafe 1".as_bytes()) && !text.equals("café 1 ".as_bytes()));
        assert!(text.is_prefix_of("cAFé 10".as_bytes()) && text.is_suffix_of("ein Café 1".as_bytes()));
        assert!(!text.is_suffix_of(b"1") && !text.is_prefix_of(b"CAF"));
    }

    #[test]
    fn sharp_s_stands_for_itself_and_two_capitals() {
        let text = Folded::new("Straße");
        assert!(text.equals("STRASSE".as_bytes()) && text.equals("straße".as_bytes()));
        assert!(!text.equals("strasse".as_bytes()) && !Folded::new("STRASSE").equals("Straße".as_bytes()));
        assert!(text.is_suffix_of("Hauptstrasse".to_uppercase().as_bytes()));
    }

    #[test]
    fn only_ascii_has_an_ascii_form() {
        assert_eq!(Folded::new("K9").ascii_lowercase().as_deref(), Some("k9"));
        assert_eq!(Folded::new("\u{212A}9").ascii_lowercase(), None);
    }
}
