//! Seeded chance: the same seed gives the same throws on every machine and with every version of the generator's crate.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use crate::Uuid;

/// A seeded random number generator of a fixed algorithm.
///
/// Only raw 64-bit words are taken from the crate; how they become choices is decided here, so an update of the crate
/// does not change what a seed means.
#[derive(Debug, Clone)]
pub(crate) struct Dice(Xoshiro256PlusPlus);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A number below `end`; 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.0.next_u64()) * u128::from(end);
        (wide >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        let unit = (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        unit < probability
    }

    /// One of `choices`, which must not be empty.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len() as u64) as usize]
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        Uuid::random(u128::from(self.0.next_u64()) << 64 | u128::from(self.0.next_u64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_algorithm_behind_a_seed_is_fixed() {
        let mut dice = Dice::new(1);
        let throws: Vec<u64> = (0..4).map(|_| dice.below(1_000_000)).collect();
        assert_eq!(throws, [811_612, 747_104, 100_150, 746_216]);
    }

    #[test]
    fn throws_stay_in_their_range() {
        let mut dice = Dice::new(2);
        assert_eq!(dice.below(0), 0);
        assert!((0..1_000).all(|_| (3..=5).contains(&dice.between(3, 5))));
        assert!((0..1_000).all(|_| !dice.chance(0.0) && dice.chance(1.0)));
    }
}
