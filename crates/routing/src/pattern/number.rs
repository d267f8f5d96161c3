//! Numbers as patterns compare them: by value, whatever way they are written.

/// The value of a JSON number literal, if a 64-bit float holds it exactly enough to be told from its neighbours: the
/// shortest decimal that names the float must be the literal's own value. `None` for anything else, for example an id
/// of twenty digits; such literals are compared as text. Zero has no sign.
pub(crate) fn comparable(literal: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(literal).ok()?.parse().ok()?;
    if !value.is_finite() {
        return None;
    }
    // A decimal of up to 15 digits always survives the way to a float and back.
    if literal.len() <= 15 && !literal.iter().any(|byte| matches!(byte, b'e' | b'E')) {
        return Some(value + 0.0);
    }
    let shortest = format!("{value:e}");
    (Decimal::of(literal)? == Decimal::of(shortest.as_bytes())?).then_some(value + 0.0)
}

/// A decimal without its writing: sign, digits without zeros around them, and the power of ten of the last digit.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn of(literal: &[u8]) -> Option<Self> {
        let (mantissa, exponent) = match literal.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&literal[..at], std::str::from_utf8(&literal[at + 1..]).ok()?.parse().ok()?),
            None => (literal, 0_i64),
        };
        let negative = mantissa.starts_with(b"-");
        let fraction = mantissa.iter().position(|byte| *byte == b'.').map_or(0, |dot| mantissa.len() - dot - 1);
        let mut digits: Vec<u8> = mantissa.iter().copied().filter(u8::is_ascii_digit).collect();
        let mut exponent = exponent.checked_sub(fraction as i64)?;
        while digits.last() == Some(&b'0') {
            digits.pop();
            exponent = exponent.checked_add(1)?;
        }
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        if digits.is_empty() {
            return Some(Self { negative: false, digits, exponent: 0 });
        }
        Some(Self { negative, digits, exponent })
    }
}

/// Which numbers a `numeric` test accepts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NumberRange {
    pub(crate) low: f64,
    pub(crate) low_open: bool,
    pub(crate) high: f64,
    pub(crate) high_open: bool,
}

impl NumberRange {
    /// Every comparable number; each bound is then narrowed.
    pub(crate) const ALL: Self = Self { low: f64::MIN, low_open: false, high: f64::MAX, high_open: false };

    pub(crate) fn contains(&self, value: f64) -> bool {
        let above = value > self.low || (value == self.low && !self.low_open);
        let below = value < self.high || (value == self.high && !self.high_open);
        above && below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_of_writing_does_not_count() {
        for literal in ["300", "300.0", "3e2", "3E+2", "0.3e3", "30000e-2"] {
            assert_eq!(comparable(literal.as_bytes()), Some(300.0), "{literal}");
        }
        assert_eq!(comparable(b"-0").map(f64::to_bits), Some(0));
        assert_eq!(comparable(b"0e999999999999").map(f64::to_bits), Some(0));
    }

    #[test]
    fn numbers_a_float_cannot_hold_are_not_comparable() {
        for literal in ["12345678901234567890", "0.1234567890123456789", "1e400", "1e-400", "9007199254740993"] {
            assert_eq!(comparable(literal.as_bytes()), None, "{literal}");
        }
        assert_eq!(comparable(b"1773957888128000000"), Some(1_773_957_888_128_000_000.0));
        assert_eq!(comparable(b"0.30000000000000004"), Some(0.300_000_000_000_000_04));
    }

    #[test]
    fn open_bounds_exclude_themselves() {
        let range = NumberRange { low: 1.0, low_open: true, high: 2.0, high_open: false };
        assert_eq!([0.9, 1.0, 1.5, 2.0, 2.1].map(|value| range.contains(value)), [false, false, true, true, false]);
    }
}
