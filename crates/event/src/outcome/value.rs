//! One value of a known name, read as what it should be. What it is not is kept as unrecognised.

use std::borrow::Cow;

use super::leftovers::{Leftovers, Path};
use crate::json::{Kind, Raw, Scanner};

/// A value and where it stands. Never null.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'a> {
    pub(super) path: Path<'a>,
    pub(super) value: Raw<'a>,
}

/// A number as it is written; it fits a 64-bit float.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number<'a>(&'a str);

impl<'a> Number<'a> {
    /// Its digits.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The nearest 64-bit float; finite.
    pub fn as_f64(self) -> f64 {
        self.0.parse().unwrap_or_default()
    }
}

impl<'a> Member<'a> {
    /// A text.
    pub(super) fn text(self, left: &mut Leftovers<'a>) -> Option<Cow<'a, str>> {
        self.or_unrecognised(self.value.string(), left)
    }

    /// What names something: a text, or a number's digits. A blank text names nothing and counts as missing.
    pub(super) fn name(self, left: &mut Leftovers<'a>) -> Option<Cow<'a, str>> {
        match self.value.kind() {
            Kind::String | Kind::Number => self.value.name(),
            _ => self.or_unrecognised(None, left),
        }
    }

    /// A number.
    pub(super) fn number(self, left: &mut Leftovers<'a>) -> Option<Number<'a>> {
        let number = (self.value.kind() == Kind::Number).then(|| Number(self.value.as_str()));
        self.or_unrecognised(number.filter(|number| number.0.parse().is_ok_and(f64::is_finite)), left)
    }

    /// A whole number, however it is written.
    pub(super) fn whole(self, left: &mut Leftovers<'a>) -> Option<i64> {
        self.or_unrecognised(self.as_whole(), left)
    }

    pub(super) fn as_whole(self) -> Option<i64> {
        /// Up to here every whole number is a 64-bit float.
        const EXACT: f64 = (1u64 << 53) as f64;
        if self.value.kind() != Kind::Number {
            return None;
        }
        let text = self.value.as_str();
        let as_float = || text.parse().ok().filter(|float: &f64| float.fract() == 0.0 && float.abs() <= EXACT);
        text.parse().ok().or_else(|| as_float().map(|float| float as i64))
    }

    /// Calls `each` for every element that is not null. False, and unrecognised, if it is no list.
    pub(super) fn elements(
        self,
        left: &mut Leftovers<'a>,
        mut each: impl FnMut(Member<'a>, &mut Leftovers<'a>),
    ) -> bool {
        if self.value.kind() != Kind::Array {
            left.unrecognised(self);
            return false;
        }
        let mut scanner = Scanner::new(self.value.as_str());
        let (mut index, mut more) = (0, scanner.enter_array());
        while more {
            // The body was read before, so nothing can be wrong with it.
            let Ok(value) = scanner.skip() else { return true };
            if value.kind() != Kind::Null {
                each(Member { path: self.path.element(index), value }, left);
            }
            index += 1;
            more = scanner.next_element().unwrap_or(false);
        }
        true
    }

    pub(super) fn or_unrecognised<T>(self, read: Option<T>, left: &mut Leftovers<'a>) -> Option<T> {
        if read.is_none() {
            left.unrecognised(self);
        }
        read
    }
}
