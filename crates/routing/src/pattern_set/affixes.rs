//! All prefixes (or suffixes) of a value among many, in one binary search.

use std::cmp::Ordering;

/// Texts that values are to begin (or end) with, each with something that hangs on it.
#[derive(Debug)]
pub(super) struct Affixes<T> {
    /// Ascending; suffixes are kept backwards.
    entries: Vec<Entry<T>>,
    backwards: bool,
}

impl<T> Default for Affixes<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), backwards: false }
    }
}

#[derive(Debug)]
struct Entry<T> {
    text: Box<[u8]>,
    hanging: T,
    /// The longest other entry that is a prefix of this one.
    shorter: Option<u32>,
}

impl<T> Affixes<T> {
    /// `texts` must differ from each other.
    pub(super) fn new(texts: Vec<(Box<[u8]>, T)>, backwards: bool) -> Self {
        let mut entries: Vec<Entry<T>> = texts
            .into_iter()
            .map(|(mut text, hanging)| {
                if backwards {
                    text.reverse();
                }
                Entry { text, hanging, shorter: None }
            })
            .collect();
        entries.sort_by(|left, right| left.text.cmp(&right.text));
        for index in 1..entries.len() {
            let mut shorter = Some(index as u32 - 1);
            while let Some(candidate) = shorter {
                if entries[index].text.starts_with(&entries[candidate as usize].text) {
                    break;
                }
                shorter = entries[candidate as usize].shorter;
            }
            entries[index].shorter = shorter;
        }
        Self { entries, backwards }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Calls `each` with what hangs on every entry that the value begins (or ends) with.
    #[inline]
    pub(super) fn of(&self, value: &[u8], mut each: impl FnMut(&T)) {
        // The last entry not above the value: if any entry is a prefix, it is this one or one that this one leads to.
        let behind = self.entries.partition_point(|entry| self.compare(&entry.text, value) != Ordering::Greater);
        let mut next = behind.checked_sub(1).map(|index| index as u32);
        while let Some(index) = next {
            let entry = &self.entries[index as usize];
            if self.begins(value, &entry.text) {
                each(&entry.hanging);
            }
            next = entry.shorter;
        }
    }

    fn compare(&self, text: &[u8], value: &[u8]) -> Ordering {
        if self.backwards { text.iter().cmp(value.iter().rev()) } else { text.cmp(value) }
    }

    fn begins(&self, value: &[u8], text: &[u8]) -> bool {
        if self.backwards {
            value.len() >= text.len() && text.iter().eq(value.iter().rev().take(text.len()))
        } else {
            value.starts_with(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Affixes;

    proptest! {
        #[test]
        fn every_affix_is_found_and_nothing_else(
            texts in prop::collection::hash_set("[ab]{0,4}", 0..12),
            value in "[ab]{0,6}",
            backwards: bool,
        ) {
            let texts: Vec<String> = texts.into_iter().collect();
            let entries = texts.iter().zip(0..).map(|(text, number)| (text.as_bytes().into(), number)).collect();
            let mut found = Vec::new();
            Affixes::new(entries, backwards).of(value.as_bytes(), |number: &usize| found.push(texts[*number].clone()));
            found.sort();
            let is_affix = |text: &&String| if backwards { value.ends_with(*text) } else { value.starts_with(*text) };
            let mut wanted: Vec<String> = texts.iter().filter(is_affix).cloned().collect();
            wanted.sort();
            prop_assert_eq!(found, wanted);
        }
    }
}
