//! A thousand seeds, and that a seed always does the same.
#![cfg(test)]

use simulation::{Backend, Summary, many, simulate};

/// A quarter of a minute to a minute, on two processors. `cargo xtask simulate` runs more.
const SEEDS: u64 = 1_000;

#[test]
fn whatever_happens_nothing_is_lost_doubled_or_out_of_order() {
    let (sum, failed) = many(0, SEEDS, |found| eprintln!("{found}\n"));
    assert_eq!(failed, 0, "of {SEEDS} seeds; each says above how it is run again");
    let Summary { on_sqlite, accepted, duplicates, conflicts, attempts, lives, dead, redriven, .. } = sum;
    // The faults have really happened.
    assert!(on_sqlite >= SEEDS / 10 && lives > 2 * SEEDS, "{sum:?}");
    assert!(accepted > 40 * SEEDS && duplicates > accepted / 10 && conflicts > SEEDS / 4, "{sum:?}");
    assert!(attempts > 2 * accepted && dead > SEEDS && redriven > SEEDS / 4, "{sum:?}");
}

#[test]
fn a_seed_always_does_the_same() {
    // Those on the embedded queue may differ in what its own threads do meanwhile.
    for seed in (0..48).filter(|seed| Backend::of(*seed) == Backend::Memory) {
        assert_eq!(simulate(seed).ok(), simulate(seed).ok(), "seed {seed}");
    }
}
