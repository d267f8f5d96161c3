//! Making a field's index: every different test once, in the structure that finds it fastest.

use hashbrown::HashMap;

use super::super::affixes::Affixes;
use super::super::mask::{Mask, bits};
use super::{Effect, FieldIndex, Group, Guarded, Refusal};
use crate::pattern::{Alternative, Field, Folded, Test};

/// Collects what combinations ask of one field.
#[derive(Default)]
pub(super) struct Builder {
    total: usize,
    tests: Vec<Test>,
    /// By test: the combinations that it satisfies, and the `anything-but`s that it refuses.
    grants: Vec<Vec<u32>>,
    refuses: Vec<Vec<u32>>,
    number_of_test: HashMap<String, u32>,
    number_of_anything_but: HashMap<String, u32>,
    /// By the `anything-but`s in it, ascending.
    group_of: HashMap<Vec<u32>, u32>,
    groups: Vec<Vec<u32>>,
    named: Vec<u32>,
    absent: Vec<u32>,
    present: Vec<u32>,
}

impl Builder {
    pub(super) fn build(mut self, fields: &[(u32, &Field)], total: usize) -> FieldIndex {
        self.total = total;
        for (combination, field) in fields {
            self.named.push(*combination);
            let mut refusable = Vec::new();
            for alternative in &field.alternatives {
                match alternative {
                    Alternative::Is(test) => {
                        let test = self.test(test);
                        self.grants[test as usize].push(*combination);
                    }
                    Alternative::AnythingBut(tests) => refusable.push(self.anything_but(tests)),
                    Alternative::Present => self.present.push(*combination),
                    Alternative::Absent => self.absent.push(*combination),
                }
            }
            self.group(refusable, *combination);
        }
        self.finish()
    }

    fn test(&mut self, test: &Test) -> u32 {
        let test = normal(test);
        let new = self.tests.len() as u32;
        let number = *self.number_of_test.entry(format!("{test:?}")).or_insert(new);
        if number == new {
            self.tests.push(test);
            self.grants.push(Vec::new());
            self.refuses.push(Vec::new());
        }
        number
    }

    fn anything_but(&mut self, tests: &[Test]) -> u32 {
        let new = self.number_of_anything_but.len() as u32;
        let number = *self.number_of_anything_but.entry(format!("{tests:?}")).or_insert(new);
        if number == new {
            for test in tests {
                let test = self.test(test);
                self.refuses[test as usize].push(number);
            }
        }
        number
    }

    fn group(&mut self, mut refusable: Vec<u32>, combination: u32) {
        if refusable.is_empty() {
            return;
        }
        refusable.sort_unstable();
        refusable.dedup();
        let group = *self.group_of.entry(refusable).or_insert_with(|| {
            self.groups.push(Vec::new());
            self.groups.len() as u32 - 1
        });
        self.groups[group as usize].push(combination);
    }

    fn finish(mut self) -> FieldIndex {
        let words = self.total.div_ceil(64);
        let mut index = FieldIndex::default();
        let named = bits(&self.named, words);
        index.indifferent = named.iter().map(|word| !word).collect();
        let absent = bits(&self.absent, words);
        index.open_without_values = index.indifferent.iter().zip(&absent).map(|(one, other)| one | other).collect();
        index.absent = Mask::new(std::mem::take(&mut self.absent), self.total);
        index.present = Mask::new(std::mem::take(&mut self.present), self.total);
        index.anything_but = Mask::new(self.groups.concat(), self.total);
        index.groups = self.finish_groups();
        index.effects = self.finish_effects();
        let mut affixes = AffixBuilders::default();
        for (effect, test) in (0..).zip(&self.tests) {
            place(&mut index, &mut affixes, effect, test);
        }
        index.ranges.sort_by(|(left, _), (right, _)| left.low.total_cmp(&right.low));
        affixes.finish(&mut index);
        index
    }

    fn finish_groups(&self) -> Vec<Group> {
        let mut sizes = vec![0; self.groups.len()];
        for (refusable, group) in &self.group_of {
            sizes[*group as usize] = refusable.len() as u32;
        }
        let group = |(combinations, size): (&Vec<u32>, u32)| Group {
            size,
            combinations: Mask::new(combinations.clone(), self.total),
        };
        self.groups.iter().zip(sizes).map(group).collect()
    }

    fn finish_effects(&self) -> Vec<Effect> {
        let mut groups_with: Vec<Vec<u32>> = vec![Vec::new(); self.number_of_anything_but.len()];
        for (refusable, group) in &self.group_of {
            for anything_but in refusable {
                groups_with[*anything_but as usize].push(*group);
            }
        }
        let refusal =
            |number: &u32| Refusal { anything_but: *number, groups: groups_with[*number as usize].as_slice().into() };
        self.grants
            .iter()
            .zip(&self.refuses)
            .map(|(grants, refuses)| Effect {
                grants: Mask::new(grants.clone(), self.total),
                refuses: refuses.iter().map(refusal).collect(),
            })
            .collect()
    }
}

/// The same test for everything that accepts the same values: ASCII text without case is kept in lower case.
fn normal(test: &Test) -> Test {
    let lower = |text: &Folded| text.ascii_lowercase().map_or_else(|| text.clone(), |lower| Folded::new(&lower));
    match test {
        Test::IgnoreCase(text) => Test::IgnoreCase(lower(text)),
        Test::PrefixIgnoreCase(text) => Test::PrefixIgnoreCase(lower(text)),
        Test::SuffixIgnoreCase(text) => Test::SuffixIgnoreCase(lower(text)),
        other => other.clone(),
    }
}

/// Puts one test where values will find it.
fn place(index: &mut FieldIndex, affixes: &mut AffixBuilders, effect: u32, test: &Test) {
    match test {
        Test::Text(text) => drop(index.texts.insert(text.as_bytes().into(), effect)),
        Test::IgnoreCase(text) => match text.ascii_lowercase() {
            Some(lower) => drop(index.lowercase_texts.insert(lower.into_bytes().into(), effect)),
            None => index.other.push((test.clone(), effect)),
        },
        Test::Prefix(text) => affixes.prefixes.add(text.as_bytes(), effect, None),
        Test::Suffix(text) => affixes.suffixes.add(text.as_bytes(), effect, None),
        Test::PrefixIgnoreCase(text) => match text.ascii_lowercase() {
            Some(lower) => affixes.lowercase_prefixes.add(lower.as_bytes(), effect, None),
            None => index.other.push((test.clone(), effect)),
        },
        Test::SuffixIgnoreCase(text) => match text.ascii_lowercase() {
            Some(lower) => affixes.lowercase_suffixes.add(lower.as_bytes(), effect, None),
            None => index.other.push((test.clone(), effect)),
        },
        // A wildcard is only asked where its longer literal end fits already.
        Test::Wildcard(text) if text.prefix().len() + text.suffix().len() == 0 => {
            index.other.push((test.clone(), effect));
        }
        Test::Wildcard(text) if text.prefix().len() >= text.suffix().len() => {
            affixes.prefixes.add(text.prefix(), effect, Some(test));
        }
        Test::Wildcard(text) => affixes.suffixes.add(text.suffix(), effect, Some(test)),
        Test::Network(network) => match network.as_single() {
            Some(address) => drop(index.addresses.insert(address, effect)),
            None => index.networks.push((*network, effect)),
        },
        Test::Number(number) => drop(index.numbers.insert(number.to_bits(), effect)),
        Test::NumberAsWritten(text) => drop(index.numbers_as_written.insert(text.as_bytes().into(), effect)),
        Test::Range(range) => index.ranges.push((*range, effect)),
        Test::True => index.true_ = Some(effect),
        Test::False => index.false_ = Some(effect),
        Test::Null => index.null = Some(effect),
    }
}

#[derive(Default)]
struct AffixBuilders {
    prefixes: AffixBuilder,
    suffixes: AffixBuilder,
    lowercase_prefixes: AffixBuilder,
    lowercase_suffixes: AffixBuilder,
}

impl AffixBuilders {
    fn finish(self, index: &mut FieldIndex) {
        index.prefixes = self.prefixes.finish(false);
        index.suffixes = self.suffixes.finish(true);
        index.lowercase_prefixes = self.lowercase_prefixes.finish(false);
        index.lowercase_suffixes = self.lowercase_suffixes.finish(true);
        let lowercase_affixes = [&index.lowercase_prefixes, &index.lowercase_suffixes];
        index.needs_lowercase =
            !index.lowercase_texts.is_empty() || lowercase_affixes.iter().any(|affixes| !affixes.is_empty());
    }
}

#[derive(Default)]
struct AffixBuilder {
    tests: HashMap<Box<[u8]>, Guarded>,
}

impl AffixBuilder {
    fn add(&mut self, text: &[u8], effect: u32, only_if: Option<&Test>) {
        self.tests.entry(text.into()).or_default().push((effect, only_if.cloned()));
    }

    fn finish(self, backwards: bool) -> Affixes<Guarded> {
        Affixes::new(self.tests.into_iter().collect(), backwards)
    }
}
