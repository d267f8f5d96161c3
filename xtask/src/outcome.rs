//! Counting what passed and what failed, from the lines that tools print.

use std::fmt;
use std::ops::AddAssign;

/// How many passed and how many failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Outcome {
    pub(crate) const ONE_FAILED: Self = Self { passed: 0, failed: 1 };

    /// From a line of the test harness, like `test result: ok. 3 passed; 0 failed; 0 ignored; …`.
    pub(crate) fn of_test_result(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        Self::of_counts(counts.split("; "))
    }

    /// From a line that is nothing but `N passed, N failed`.
    pub(crate) fn of_summary(line: &str) -> Option<Self> {
        (line.split(", ").count() == 2).then(|| Self::of_counts(line.split(", ")))?
    }

    fn of_counts<'a>(mut counts: impl Iterator<Item = &'a str>) -> Option<Self> {
        let passed = counts.next()?.strip_suffix(" passed")?.parse().ok()?;
        let failed = counts.next()?.strip_suffix(" failed")?.parse().ok()?;
        Some(Self { passed, failed })
    }
}

impl AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harness_is_understood() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(Outcome::of_test_result(line), Some(Outcome { passed: 12, failed: 3 }));
        assert_eq!(Outcome::of_test_result("test a::b ... ok"), None);
    }

    #[test]
    fn a_summary_is_a_line_by_itself() {
        assert_eq!(Outcome::of_summary("1400 passed, 0 failed"), Some(Outcome { passed: 1_400, failed: 0 }));
        for line in ["a 1 passed, 2 failed", "1 passed", "1 passed, 2 failed, 3 late", "passed, failed", ""] {
            assert_eq!(Outcome::of_summary(line), None, "{line}");
        }
    }

    #[test]
    fn it_prints_what_it_reads() {
        let mut sum = Outcome { passed: 2, failed: 0 };
        sum += Outcome::ONE_FAILED;
        assert_eq!(Outcome::of_summary(&sum.to_string()), Some(Outcome { passed: 2, failed: 1 }));
    }
}
