//! How large and how deep a value is, as if nothing in it were shared.

use jaq_json::{Num, Val};

use super::error::MappingLimit;
use super::meter::{charge, exhaust};
use crate::limits::{MAX_INTEGER_BITS, MAX_VALUE_BYTES, MAX_VALUE_DEPTH};

/// How much memory a value takes, if nothing in it is shared, and how deep it is nested. Never less than the truth.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) bytes: u64,
    pub(super) depth: u32,
}

/// A value itself; text and containers have some more.
const VALUE_BYTES: u64 = 24;
/// What a member of an object takes besides its name and value.
pub(super) const MEMBER_BYTES: u64 = 32;

impl Size {
    /// Measures a value by going through it.
    pub(super) fn of(value: &Val) -> Self {
        match value {
            Val::Null | Val::Bool(_) | Val::Num(Num::Int(_) | Num::Float(_)) => Self { bytes: VALUE_BYTES, depth: 0 },
            Val::Num(Num::Dec(literal)) => Self { bytes: VALUE_BYTES + literal.len() as u64, depth: 0 },
            Val::Num(Num::BigInt(integer)) => {
                if integer.bits() > MAX_INTEGER_BITS {
                    exhaust(MappingLimit::Integer);
                }
                Self { bytes: VALUE_BYTES + integer.bits() / 8, depth: 0 }
            }
            Val::TStr(text) | Val::BStr(text) => Self { bytes: 2 * VALUE_BYTES + text.len() as u64, depth: 0 },
            Val::Arr(elements) => {
                charge(1 + elements.len() as u64 / 8);
                elements.iter().fold(Self::container(), |size, element| size.with(Self::of(element), 0))
            }
            Val::Obj(members) => {
                charge(1 + members.len() as u64 / 4);
                members.iter().fold(Self::container(), |size, (name, value)| {
                    size.with(Self::of(name), MEMBER_BYTES).with(Self::of(value), 0)
                })
            }
        }
    }

    /// An array or object with nothing in it.
    pub(super) fn container() -> Self {
        Self { bytes: 2 * VALUE_BYTES, depth: 1 }
    }

    /// The size with one more child.
    pub(super) fn with(self, child: Self, more: u64) -> Self {
        Self { bytes: self.bytes + child.bytes + more, depth: self.depth.max(child.depth + 1) }
    }

    /// The size of a value made of two of the same kind.
    pub(super) fn and(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, depth: self.depth.max(other.depth) }
    }

    /// Stops the mapping if this is too much.
    pub(super) fn check(self) -> Self {
        if self.bytes > MAX_VALUE_BYTES {
            exhaust(MappingLimit::ValueSize);
        }
        if self.depth > MAX_VALUE_DEPTH {
            exhaust(MappingLimit::Depth);
        }
        self
    }
}
