//! Which small files of a folder are merged, and when. Decided by what is in the folder and the time alone.

use std::time::Duration;

use super::lake::Found;

/// Bytes of files that are merged at once: the merged file is made in memory.
const MOST_BYTES: u64 = 128 * 1024 * 1024;
/// Files that are merged at once; each takes three requests.
const MOST_FILES: usize = 1_000;

/// When files are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// So many small files of a folder are merged; none is if it is zero.
    pub(super) files: usize,
    /// Smaller files than this are small.
    pub(super) below: u64,
    /// When so long has passed since a folder's day or hour ended, and since it got a file, two are enough.
    pub(super) after: Duration,
    /// Most bytes of files that are merged at once.
    pub(super) most: u64,
}

impl Rules {
    /// The most, if there may be so many bytes of them in memory.
    pub(super) fn most(memory: u64) -> u64 {
        MOST_BYTES.min(memory)
    }

    /// Whether files are merged at all.
    pub(super) fn are_in_force(&self) -> bool {
        self.files > 0
    }

    /// Whether no more is awaited in a folder that ends at a time, and got its last file at another.
    pub(super) fn is_over(&self, ends: i64, written: i64, now: i64) -> bool {
        let after = i64::try_from(self.after.as_millis()).unwrap_or(i64::MAX);
        ends.max(written).saturating_add(after) <= now
    }

    /// Those that are merged now, of the files of a folder, sorted by name.
    pub(super) fn choose(&self, files: Vec<Found>, is_over: bool) -> Vec<Found> {
        let (mut bytes, mut chosen) = (0_u64, Vec::new());
        for file in files.into_iter().filter(|file| file.bytes < self.below).take(MOST_FILES) {
            bytes = bytes.saturating_add(file.bytes);
            if bytes > self.most {
                break;
            }
            chosen.push(file);
        }
        let needed = if is_over { 2 } else { self.files.max(2) };
        if self.are_in_force() && chosen.len() >= needed { chosen } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules { files: 4, below: 100, after: Duration::from_secs(1), most: MOST_BYTES };

    fn found(bytes: &[u64]) -> Vec<Found> {
        bytes
            .iter()
            .enumerate()
            .map(|(at, bytes)| Found { name: format!("{at:04}"), bytes: *bytes, written: 0 })
            .collect()
    }

    #[test]
    fn a_folder_is_over_when_its_time_is_and_nothing_has_come_for_a_while() {
        assert!(!RULES.is_over(5_000, 0, 5_999) && RULES.is_over(5_000, 0, 6_000));
        assert!(!RULES.is_over(5_000, 7_000, 7_999) && RULES.is_over(5_000, 7_000, 8_000));
        let never = Rules { after: Duration::MAX, ..RULES };
        assert!(!never.is_over(0, 0, i64::MAX - 1));
    }

    proptest! {
        #[test]
        fn only_small_files_are_merged_and_one_never_is(
            bytes in prop::collection::vec(0_u64..200, 0..12),
            is_over in any::<bool>(),
            files in 0_usize..6,
        ) {
            let rules = Rules { files, ..RULES };
            let chosen = rules.choose(found(&bytes), is_over);
            let small = bytes.iter().filter(|bytes| **bytes < 100).count();
            let is_due = files > 0 && small >= if is_over { 2 } else { files.max(2) };
            prop_assert_eq!(chosen.len(), if is_due { small } else { 0 });
            prop_assert!(chosen.iter().all(|file| file.bytes < 100));
        }

        #[test]
        fn no_more_is_merged_than_memory_may_take(bytes in prop::collection::vec(0_u64..MOST_BYTES, 0..20)) {
            let rules = Rules { below: u64::MAX, ..RULES };
            let chosen = rules.choose(found(&bytes), true);
            prop_assert!(chosen.iter().map(|file| file.bytes).sum::<u64>() <= MOST_BYTES);
        }
    }
}
