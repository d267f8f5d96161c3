//! Many patterns at once: one pass over the event, then sets of bits, so that cost hardly grows with their number.
//!
//! Every combination of every pattern has a bit. Each value found in the event turns on, for its path, the bits of all
//! combinations that it satisfies; a combination matches if its bit is on for every path that it names. That is exact
//! as long as no value lies in an array's element; where one does, the combinations that are left are searched for a
//! consistent choice of elements.

mod affixes;
mod field_index;
mod mask;

#[cfg(test)]
mod tests;

use hashbrown::HashMap;

use self::field_index::{FieldIndex, ValueScratch};
use self::mask::set_bits_from;
use crate::consistency::{Answer, Search};
use crate::extract::{ExtractScratch, Extraction, MatchError, NONE};
use crate::path_tree::PathTree;
use crate::pattern::{Field, Pattern};

/// Patterns that are asked together. Shareable between threads; each thread brings its own [`MatchScratch`].
#[derive(Debug)]
pub struct PatternSet {
    tree: PathTree,
    /// By path number.
    indexes: Vec<FieldIndex>,
    patterns: Vec<Pattern>,
    combinations: Vec<Combination>,
}

/// One way to satisfy one pattern.
#[derive(Debug)]
struct Combination {
    pattern: u32,
    /// Path number and index into the pattern's fields, in the order in which elements are chosen.
    fields: Box<[(u32, u32)]>,
}

/// Reusable memory for [`PatternSet::matches`]; after some events nothing is allocated any more.
#[derive(Debug, Default)]
pub struct MatchScratch {
    extract: ExtractScratch,
    value: ValueScratch,
    /// Combinations that nothing spoke against so far.
    open: Vec<u64>,
    /// For each path met: the combinations that one of its values satisfies.
    granted: Vec<u64>,
    /// By path: which stretch of `granted` is its own, or [`NONE`].
    granted_of: Vec<u32>,
    matches: MatchSet,
}

/// Which patterns of a set an event matches, by their place in the set.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct MatchSet {
    words: Vec<u64>,
}

impl MatchSet {
    /// Whether no pattern matches.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// How many patterns match.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether the pattern at this place of the set matches.
    pub fn contains(&self, index: usize) -> bool {
        self.words.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// The places of the patterns that match, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        set_bits_from(&self.words, 0)
    }

    fn clear(&mut self, patterns: usize) {
        self.words.clear();
        self.words.resize(patterns.div_ceil(64), 0);
    }

    /// Takes the first `patterns` bits as they are.
    fn copy_from(&mut self, bits: &[u64], patterns: usize) {
        for (own, bits) in self.words.iter_mut().zip(bits) {
            *own = *bits;
        }
        if let (Some(last), spare @ 1..) = (self.words.last_mut(), patterns.div_ceil(64) * 64 - patterns) {
            *last &= u64::MAX >> spare;
        }
    }

    fn insert(&mut self, index: usize) {
        self.words[index / 64] |= 1 << (index % 64);
    }
}

impl PatternSet {
    /// Compiles the patterns into one set. A pattern's place in `patterns` is how [`MatchSet`] names it.
    pub fn new(patterns: Vec<Pattern>) -> Self {
        let used = |pattern: &'_ Pattern| -> Vec<usize> { pattern.combinations.iter().flatten().copied().collect() };
        let paths = patterns.iter().flat_map(|pattern| {
            used(pattern).into_iter().map(|field| pattern.fields[field].path.as_str()).collect::<Vec<_>>()
        });
        let (tree, numbers) = PathTree::new(paths);
        let combinations = combinations(&patterns, &numbers);
        let mut fields_of_path: Vec<Vec<(u32, &Field)>> = vec![Vec::new(); numbers.len()];
        for (bit, combination) in (0..).zip(&combinations) {
            for (path, field) in &combination.fields {
                let field = &patterns[combination.pattern as usize].fields[*field as usize];
                fields_of_path[*path as usize].push((bit, field));
            }
        }
        let indexes = fields_of_path.iter().map(|fields| FieldIndex::new(fields, combinations.len())).collect();
        Self { tree, indexes, combinations, patterns }
    }

    /// How many patterns are in the set.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// Whether there is no pattern in the set.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Which patterns the event matches. The event is JSON text, with or without a byte order mark in front.
    ///
    /// # Errors
    /// If the event is not a JSON object, or exceeds a limit; see [`MatchError`].
    pub fn matches<'s>(&self, event: &[u8], scratch: &'s mut MatchScratch) -> Result<&'s MatchSet, MatchError> {
        let MatchScratch { extract, value, open, granted, granted_of, matches } = scratch;
        let extraction = Extraction::read(&self.tree, event, extract)?;
        matches.clear(self.patterns.len());

        granted.clear();
        granted_of.clear();
        granted_of.resize(self.indexes.len(), NONE);
        let words = self.combinations.len().div_ceil(64);
        for found in extraction.found() {
            let index = &self.indexes[found.path as usize];
            let start = &mut granted_of[found.path as usize];
            if *start == NONE {
                *start = granted.len() as u32;
                granted.resize(granted.len() + words, 0);
            }
            let granted = &mut granted[*start as usize..][..words];
            index.grant(extraction.value(found), granted, value);
            if found.element != NONE {
                // Whether the field counts as absent depends on the elements chosen: the search finds out.
                index.grant_absence(granted);
            }
        }

        open.clear();
        open.resize(words, u64::MAX);
        for (index, start) in self.indexes.iter().zip(granted_of.iter()) {
            match *start {
                NONE => index.close_without_values(open),
                start => index.close_all_but(&granted[start as usize..][..words], open),
            }
        }
        if let (Some(last), spare @ 1..) = (open.last_mut(), words * 64 - self.combinations.len()) {
            *last &= u64::MAX >> spare;
        }
        self.collect(&extraction, open, matches)?;
        Ok(matches)
    }

    /// From the combinations that nothing speaks against to the patterns that match.
    fn collect(&self, extraction: &Extraction<'_>, open: &[u64], matches: &mut MatchSet) -> Result<(), MatchError> {
        if extraction.elements().is_empty() {
            matches.copy_from(open, self.patterns.len());
            for bit in set_bits_from(open, self.patterns.len()) {
                matches.insert(self.combinations[bit].pattern as usize);
            }
            return Ok(());
        }
        let search = Search::new(extraction);
        for bit in set_bits_from(open, 0) {
            let combination = &self.combinations[bit];
            if !matches.contains(combination.pattern as usize) && self.is_consistent(&search, combination)? {
                matches.insert(combination.pattern as usize);
            }
        }
        Ok(())
    }

    fn is_consistent(&self, search: &Search<'_>, combination: &Combination) -> Result<bool, MatchError> {
        if !combination.fields.iter().any(|(path, _)| search.has_elements(*path)) {
            return Ok(true);
        }
        let pattern = &self.patterns[combination.pattern as usize];
        let fields = combination.fields.iter().map(|(path, field)| (*path, &pattern.fields[*field as usize]));
        Ok(search.run(fields)? == Answer::Satisfied)
    }
}

/// All combinations of the patterns. The first of each pattern stands at the pattern's own place, so that the bits of
/// the first combinations are those of the answer; further ones follow behind.
fn combinations(patterns: &[Pattern], numbers: &HashMap<Box<str>, u32>) -> Vec<Combination> {
    let combination = |number: usize, fields: &[usize]| {
        let path = |field: &usize| numbers.get(patterns[number].fields[*field].path.as_str());
        let fields = fields.iter().filter_map(|field| path(field).map(|path| (*path, *field as u32))).collect();
        Combination { pattern: number as u32, fields }
    };
    let all = || patterns.iter().enumerate().map(|(number, pattern)| (number, pattern.combinations.split_first()));
    let first = all().map(|(number, split)| combination(number, split.map_or(&[], |(first, _)| first)));
    let further = all().flat_map(|(number, split)| {
        split.map_or(&[][..], |(_, further)| further).iter().map(move |fields| (number, fields))
    });
    first.chain(further.map(|(number, fields)| combination(number, fields))).collect()
}
