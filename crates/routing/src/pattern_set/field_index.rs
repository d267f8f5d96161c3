//! All that a set of patterns asks of one field, arranged so that a value finds its answers by lookup.

mod build;

use std::net::IpAddr;

use hashbrown::HashMap;

use super::affixes::Affixes;
use super::mask::Mask;
use crate::pattern::{Field, Network, NumberRange, Test, Value, comparable, parse_address};

/// Answers which combinations a value of one field satisfies.
#[derive(Debug, Default)]
pub(super) struct FieldIndex {
    /// What follows when a test passes; tests are named by their place here.
    effects: Vec<Effect>,
    /// The bits of combinations that do not name the field.
    indifferent: Box<[u64]>,
    /// Combinations that may do without the field.
    absent: Mask,
    /// Those bits and the indifferent ones together.
    open_without_values: Box<[u64]>,
    /// Combinations that any value satisfies.
    present: Mask,
    /// Combinations with an `anything-but`, which hold until refused.
    anything_but: Mask,
    groups: Vec<Group>,

    texts: HashMap<Box<[u8]>, u32>,
    lowercase_texts: HashMap<Box<[u8]>, u32>,
    prefixes: Affixes<Guarded>,
    suffixes: Affixes<Guarded>,
    lowercase_prefixes: Affixes<Guarded>,
    lowercase_suffixes: Affixes<Guarded>,
    addresses: HashMap<IpAddr, u32>,
    networks: Vec<(Network, u32)>,
    numbers: HashMap<u64, u32>,
    numbers_as_written: HashMap<Box<[u8]>, u32>,
    /// By their lower bound, ascending.
    ranges: Vec<(NumberRange, u32)>,
    true_: Option<u32>,
    false_: Option<u32>,
    null: Option<u32>,
    /// Tests of texts that no lookup fits.
    other: Vec<(Test, u32)>,
    needs_lowercase: bool,
}

/// The tests that hang on one affix: the affix itself, and wildcards that begin or end with it, which are still asked.
type Guarded = Vec<(u32, Option<Test>)>;

/// What a passed test means.
#[derive(Debug, Default)]
struct Effect {
    /// These combinations are satisfied.
    grants: Mask,
    /// These `anything-but`s are not.
    refuses: Box<[Refusal]>,
}

/// One `anything-but` and the groups that it is part of.
#[derive(Debug, Clone)]
struct Refusal {
    anything_but: u32,
    groups: Box<[u32]>,
}

/// Combinations that have the same `anything-but`s for this field: unsatisfied by them once all are refused.
#[derive(Debug)]
struct Group {
    size: u32,
    combinations: Mask,
}

/// Reusable memory for [`FieldIndex::grant`].
#[derive(Debug, Default)]
pub(super) struct ValueScratch {
    passed: Vec<u32>,
    refused: Vec<u32>,
    refusals_of_group: Vec<u32>,
    left: Vec<u64>,
    lowercase: Vec<u8>,
}

impl FieldIndex {
    /// Arranges what the combinations (by number, out of `total`) ask of the field.
    pub(super) fn new(fields: &[(u32, &Field)], total: usize) -> Self {
        build::Builder::default().build(fields, total)
    }

    /// Turns on the bits of the combinations that the value satisfies.
    #[inline]
    pub(super) fn grant(&self, value: Value<'_>, granted: &mut [u64], scratch: &mut ValueScratch) {
        self.present.add_to(granted);
        let ValueScratch { passed, lowercase, .. } = scratch;
        passed.clear();
        match value {
            Value::Text(text) => self.pass_text(text, passed, lowercase),
            Value::Number(literal) => self.pass_number(literal, passed),
            Value::True => passed.extend(self.true_),
            Value::False => passed.extend(self.false_),
            Value::Null => passed.extend(self.null),
        }
        scratch.refused.clear();
        for index in 0..scratch.passed.len() {
            let effect = &self.effects[scratch.passed[index] as usize];
            effect.grants.add_to(granted);
            if !effect.refuses.is_empty() {
                scratch.refused.push(scratch.passed[index]);
            }
        }
        if scratch.refused.is_empty() {
            self.anything_but.add_to(granted);
        } else {
            self.grant_unrefused(granted, scratch);
        }
    }

    /// Grants the `anything-but`s that are left when some tests inside of them passed.
    fn grant_unrefused(&self, granted: &mut [u64], scratch: &mut ValueScratch) {
        let ValueScratch { refused, refusals_of_group, left, passed, .. } = scratch;
        left.clear();
        left.resize(granted.len(), 0);
        self.anything_but.add_to(left);
        refusals_of_group.clear();
        refusals_of_group.resize(self.groups.len(), 0);
        // From here on `passed` holds the `anything-but`s that were counted; one may be refused by several tests.
        passed.clear();
        for effect in refused.iter() {
            for refusal in &self.effects[*effect as usize].refuses {
                if passed.contains(&refusal.anything_but) {
                    continue;
                }
                passed.push(refusal.anything_but);
                for group in &refusal.groups {
                    let count = &mut refusals_of_group[*group as usize];
                    *count += 1;
                    if *count == self.groups[*group as usize].size {
                        self.groups[*group as usize].combinations.remove_from(left);
                    }
                }
            }
        }
        for (granted, left) in granted.iter_mut().zip(left) {
            *granted |= *left;
        }
    }

    /// Turns on the bits of the combinations that may do without the field.
    pub(super) fn grant_absence(&self, granted: &mut [u64]) {
        self.absent.add_to(granted);
    }

    /// Turns off the bits of the combinations that name the field and were not granted.
    #[inline]
    pub(super) fn close_all_but(&self, granted: &[u64], open: &mut [u64]) {
        for ((open, granted), indifferent) in open.iter_mut().zip(granted).zip(&self.indifferent) {
            *open &= granted | indifferent;
        }
    }

    /// Turns off the bits of the combinations that need a value.
    #[inline]
    pub(super) fn close_without_values(&self, open: &mut [u64]) {
        for (open, without) in open.iter_mut().zip(&self.open_without_values) {
            *open &= without;
        }
    }

    /// Collects the tests that a text passes.
    #[inline]
    fn pass_text(&self, text: &[u8], passed: &mut Vec<u32>, lowercase: &mut Vec<u8>) {
        if !self.texts.is_empty() {
            passed.extend(self.texts.get(text));
        }
        self.pass_affixes(&self.prefixes, text, text, passed);
        self.pass_affixes(&self.suffixes, text, text, passed);
        if self.needs_lowercase {
            lowercase.clear();
            lowercase.extend(text.iter().map(u8::to_ascii_lowercase));
            passed.extend(self.lowercase_texts.get(lowercase.as_slice()));
            self.pass_affixes(&self.lowercase_prefixes, lowercase, text, passed);
            self.pass_affixes(&self.lowercase_suffixes, lowercase, text, passed);
        }
        if !(self.addresses.is_empty() && self.networks.is_empty()) {
            self.pass_address(text, passed);
        }
        for (test, effect) in &self.other {
            if test.accepts(Value::Text(text)) {
                passed.push(*effect);
            }
        }
    }

    #[inline]
    fn pass_affixes(&self, affixes: &Affixes<Guarded>, value: &[u8], text: &[u8], passed: &mut Vec<u32>) {
        if affixes.is_empty() {
            return;
        }
        affixes.of(value, |tests| {
            for (effect, only_if) in tests {
                if only_if.as_ref().is_none_or(|test| test.accepts(Value::Text(text))) {
                    passed.push(*effect);
                }
            }
        });
    }

    fn pass_address(&self, text: &[u8], passed: &mut Vec<u32>) {
        let Some(address) = std::str::from_utf8(text).ok().and_then(parse_address) else { return };
        passed.extend(self.addresses.get(&address));
        passed.extend(self.networks.iter().filter(|(network, _)| network.contains(address)).map(|(_, effect)| *effect));
    }

    /// Collects the tests that a number passes.
    fn pass_number(&self, literal: &[u8], passed: &mut Vec<u32>) {
        if self.numbers.is_empty() && self.ranges.is_empty() && self.numbers_as_written.is_empty() {
            return;
        }
        let Some(number) = comparable(literal) else {
            passed.extend(self.numbers_as_written.get(literal));
            return;
        };
        passed.extend(self.numbers.get(&number.to_bits()));
        let candidates = self.ranges.iter().take_while(|(range, _)| range.low <= number);
        passed.extend(candidates.filter(|(range, _)| range.contains(number)).map(|(_, effect)| *effect));
    }
}
