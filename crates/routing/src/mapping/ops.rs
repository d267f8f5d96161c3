//! Arithmetic on values: sizes are looked at before anything is made.

use std::ops::{Add, Div, Mul, Neg, Rem, Sub};

use jaq_core::ValR;
use jaq_json::{Num, Rc, Val};

use super::error::MappingLimit;
use super::meter::{charge_bytes, exhaust};
use super::size::Size;
use super::value::{Value, wrap};
use crate::limits::MAX_VALUE_BYTES;

impl Add for Value {
    type Output = ValR<Self>;

    fn add(self, other: Self) -> ValR<Self> {
        // What nobody else owns is extended in place; all else is copied, but not below its first level.
        let kept = match self.json() {
            Val::Arr(elements) if Rc::strong_count(elements) == 1 => 0,
            Val::Obj(members) if Rc::strong_count(members) == 1 => 0,
            Val::Arr(elements) => elements.len() as u64 * 16,
            Val::Obj(members) => members.len() as u64 * 64,
            _ => self.size().bytes,
        };
        charge_bytes(kept + other.size().bytes);
        let size = self.size().and(other.size());
        let is_container = matches!(self.json(), Val::Arr(_) | Val::Obj(_));
        if is_container && size.bytes <= MAX_VALUE_BYTES {
            return (self.into_json() + other.into_json())
                .map(|sum| Self::sized(sum, size))
                .map_err(super::value::wrap_error);
        }
        if !is_container {
            size.check();
        }
        wrap(self.into_json() + other.into_json())
    }
}

impl Sub for Value {
    type Output = ValR<Self>;

    fn sub(self, other: Self) -> ValR<Self> {
        // Each element is looked up in a sorted set.
        charge_bytes(self.size().and(other.size()).bytes.saturating_mul(8));
        wrap(self.into_json() - other.into_json())
    }
}

impl Mul for Value {
    type Output = ValR<Self>;

    fn mul(self, other: Self) -> ValR<Self> {
        let repeated = |text: &Self, times: &Self| match (text.json(), times.json()) {
            (Val::TStr(text) | Val::BStr(text), Val::Num(number)) => {
                let times = number.as_isize().map_or_else(|| if is_big(number) { u64::MAX } else { 0 }, positive);
                Some((text.len() as u64).saturating_mul(times))
            }
            _ => None,
        };
        let bytes = repeated(&self, &other).or_else(|| repeated(&other, &self));
        if bytes.is_some_and(|bytes| bytes > MAX_VALUE_BYTES) {
            exhaust(MappingLimit::ValueSize);
        }
        let both: Size = self.size().and(other.size());
        charge_bytes(bytes.unwrap_or_default().saturating_add(both.bytes));
        wrap(self.into_json() * other.into_json())
    }
}

fn is_big(number: &Num) -> bool {
    matches!(number, Num::BigInt(_))
}

fn positive(times: isize) -> u64 {
    u64::try_from(times).unwrap_or(0)
}

impl Div for Value {
    type Output = ValR<Self>;

    fn div(self, other: Self) -> ValR<Self> {
        // Splitting a text makes a value of every part.
        charge_bytes(self.size().and(other.size()).bytes.saturating_mul(32));
        wrap(self.into_json() / other.into_json())
    }
}

impl Rem for Value {
    type Output = ValR<Self>;

    fn rem(self, other: Self) -> ValR<Self> {
        charge_bytes(self.size().and(other.size()).bytes);
        wrap(self.into_json() % other.into_json())
    }
}

impl Neg for Value {
    type Output = ValR<Self>;

    fn neg(self) -> ValR<Self> {
        wrap(-self.into_json())
    }
}
