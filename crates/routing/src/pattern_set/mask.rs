//! Sets of combinations as bits, kept small where they are sparse.

/// A set of combinations.
#[derive(Debug, Default)]
pub(super) enum Mask {
    #[default]
    Empty,
    /// Few of many: their numbers.
    Few(Box<[u32]>),
    /// One bit each.
    Words(Box<[u64]>),
}

impl Mask {
    /// The set of these numbers, all below `total`.
    pub(super) fn new(mut numbers: Vec<u32>, total: usize) -> Self {
        numbers.sort_unstable();
        numbers.dedup();
        let words = total.div_ceil(64);
        if numbers.is_empty() {
            Self::Empty
        } else if numbers.len() < words {
            Self::Few(numbers.into())
        } else {
            Self::Words(bits(&numbers, words))
        }
    }

    /// Turns the set's bits on.
    #[inline]
    pub(super) fn add_to(&self, words: &mut [u64]) {
        match self {
            Self::Empty => {}
            Self::Few(numbers) => {
                for number in numbers {
                    words[*number as usize / 64] |= 1 << (number % 64);
                }
            }
            Self::Words(own) => {
                for (word, own) in words.iter_mut().zip(own) {
                    *word |= own;
                }
            }
        }
    }

    /// Turns the set's bits off.
    #[inline]
    pub(super) fn remove_from(&self, words: &mut [u64]) {
        match self {
            Self::Empty => {}
            Self::Few(numbers) => {
                for number in numbers {
                    words[*number as usize / 64] &= !(1 << (number % 64));
                }
            }
            Self::Words(own) => {
                for (word, own) in words.iter_mut().zip(own) {
                    *word &= !own;
                }
            }
        }
    }
}

/// The numbers as one bit each.
pub(super) fn bits(numbers: &[u32], words: usize) -> Box<[u64]> {
    let mut bits = vec![0_u64; words];
    for number in numbers {
        bits[*number as usize / 64] |= 1 << (number % 64);
    }
    bits.into()
}

/// The places of the bits that are on, ascending, from a place on.
pub(super) fn set_bits_from(words: &[u64], from: usize) -> impl Iterator<Item = usize> + '_ {
    words.iter().enumerate().skip(from / 64).flat_map(move |(index, word)| {
        let mut rest = if index == from / 64 { word & (u64::MAX << (from % 64)) } else { *word };
        std::iter::from_fn(move || {
            let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(index * 64 + bit)
        })
    })
}
