//! The interpreter's values, each with a bound on how large and how deep it is.
//!
//! Values share their parts, so a small program can make one that takes a terabyte when it is written, compared or
//! copied. Therefore a value knows its size as if nothing were shared, and none above the limit comes into being.

use std::cmp::Ordering;
use std::fmt;

use jaq_core::box_iter::BoxIter;
use jaq_core::path::Opt;
use jaq_core::val::Range;
use jaq_core::{Error, Exn, ValR, ValX};
use jaq_json::{Map, Rc, Val};

use super::meter::{charge, charge_bytes};
use super::size::{MEMBER_BYTES, Size};
use super::trace;

/// A value and its measure.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    json: Val,
    /// Of a part of another value, that one's: it is only measured when it is needed.
    bound: Size,
    is_measured: bool,
}

impl Value {
    /// Measures and checks a value.
    pub(crate) fn from_json(json: Val) -> Self {
        let bound = Size::of(&json).check();
        Self { json, bound, is_measured: true }
    }

    /// A value whose size is known, at least as a bound.
    pub(super) fn sized(json: Val, size: Size) -> Self {
        Self { json, bound: size.check(), is_measured: true }
    }

    /// A part of a value of this size.
    fn part(json: Val, whole: Size) -> Self {
        match json {
            Val::Arr(_) | Val::Obj(_) => Self { json, bound: whole, is_measured: false },
            _ => Self::from_json(json),
        }
    }

    pub(crate) fn json(&self) -> &Val {
        &self.json
    }

    pub(super) fn into_json(self) -> Val {
        self.json
    }

    pub(super) fn size(&self) -> Size {
        if self.is_measured { self.bound } else { Size::of(&self.json) }
    }

    fn text(text: impl Into<bytes::Bytes>) -> Self {
        let text = text.into();
        charge_bytes(text.len() as u64);
        Self::from_json(Val::utf8_str(text))
    }

    /// The place in an array of this length that the value names; negative ones count from the end.
    fn place(&self, length: usize) -> Option<usize> {
        let Val::Num(number) = &self.json else { return None };
        let place = number.as_isize()?;
        usize::try_from(place).ok().or_else(|| length.checked_sub(place.unsigned_abs())).filter(|place| *place < length)
    }
}

/// The interpreter's error with our values in it.
pub(super) fn wrap_error(error: Error<Val>) -> Error<Value> {
    Error::new(Value::from_json(error.into_val()))
}

/// A result that the interpreter's own value type gave, measured.
pub(super) fn wrap(result: Result<Val, Error<Val>>) -> ValR<Value> {
    result.map(Value::from_json).map_err(wrap_error)
}

fn cannot_iterate(value: Value) -> Error<Value> {
    Error::typ(value, "iterable (array or object)")
}

impl jaq_core::ValT for Value {
    fn from_num(literal: &str) -> ValR<Self> {
        wrap(Val::from_num(literal))
    }

    fn from_map<I: IntoIterator<Item = (Self, Self)>>(members: I) -> ValR<Self> {
        let mut size = Size::container();
        let members = members.into_iter().inspect(|(name, value)| {
            charge(1);
            size = size.with(name.size(), MEMBER_BYTES).with(value.size(), 0);
        });
        let members = members.map(|(name, value)| (name.json, value.json)).collect();
        Ok(Self::sized(Val::obj(members), size))
    }

    fn key_values(self) -> BoxIter<'static, Result<(Self, Self), Error<Self>>> {
        charge_bytes(self.bound.bytes / 4);
        let wrap = |(key, value)| (Self::from_json(key), Self::from_json(value));
        Box::new(self.json.key_values().map(move |pair| pair.map(wrap).map_err(wrap_error)))
    }

    fn values(self) -> Box<dyn Iterator<Item = ValR<Self>>> {
        // A container with other owners is copied, level by level.
        let children = match &self.json {
            Val::Arr(elements) => elements.len(),
            Val::Obj(members) => members.len(),
            _ => 0,
        };
        charge(1 + children as u64 / 2);
        trace::read_all(trace::place(&self.json), &self.json);
        Box::new(self.json.values().map(wrap))
    }

    fn index(self, index: &Self) -> ValR<Self> {
        if let (Val::Arr(_), Val::Arr(_)) = (&self.json, &index.json) {
            let (bytes, wanted) = (self.size().bytes, index.size().bytes);
            charge_bytes(bytes.saturating_add(bytes.saturating_mul(wanted) / 256));
        }
        let (whole, place) = (self.bound, trace::place(&self.json));
        let part = self.json.index(&index.json);
        if place.is_some() {
            trace::read(place, &index.json, part.as_ref().ok());
        }
        part.map(|part| Self::part(part, whole)).map_err(wrap_error)
    }

    fn range(self, range: Range<&Self>) -> ValR<Self> {
        charge_bytes(self.bound.bytes / 4);
        wrap(self.json.range(range.start.map(Self::json)..range.end.map(Self::json)))
    }

    fn map_values<'a, I: Iterator<Item = ValX<'a, Self>>>(self, opt: Opt, f: impl Fn(Self) -> I) -> ValX<'a, Self> {
        charge_bytes(self.bound.bytes / 4);
        match self.json {
            Val::Arr(elements) => {
                let elements = Rc::unwrap_or_clone(elements).into_iter().map(Self::from_json);
                elements.flat_map(f).collect()
            }
            Val::Obj(members) => {
                let members = Rc::unwrap_or_clone(members).into_iter();
                let mapped = members.filter_map(|(name, value)| {
                    let value = f(Self::from_json(value)).next()?;
                    Some(value.map(|value| (Self::from_json(name), value)))
                });
                Ok(Self::from_map(mapped.collect::<Result<Vec<_>, _>>()?)?)
            }
            _ => opt.fail(self, |value| Exn::from(cannot_iterate(value))),
        }
    }

    fn map_index<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        index: &Self,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        let bound = self.bound;
        charge_bytes(bound.bytes / 4);
        match (self.json, &index.json) {
            (Val::Null, Val::TStr(_)) => Self::from_json(Val::obj(Map::default())).map_index(index, opt, f),
            (Val::Obj(mut members), name @ Val::TStr(_)) => {
                let old = members.get(name).cloned().map_or(Self::from_json(Val::Null), Self::from_json);
                let own = Rc::make_mut(&mut members);
                match f(old).next().transpose()? {
                    Some(new) => drop(own.insert(name.clone(), new.json)),
                    None => drop(own.shift_remove(name)),
                }
                Ok(Self::from_json(Val::Obj(members)))
            }
            (Val::Arr(mut elements), Val::Num(_)) => {
                let Some(place) = index.place(elements.len()) else {
                    let array = Self { json: Val::Arr(elements), bound, is_measured: false };
                    let message = || format!("index {index} is out of bounds");
                    return opt.fail(array, |_| Exn::from(Error::str(message())));
                };
                let own = Rc::make_mut(&mut elements);
                match f(Self::from_json(std::mem::take(&mut own[place]))).next().transpose()? {
                    Some(new) => own[place] = new.json,
                    None => drop(own.remove(place)),
                }
                Ok(Self::from_json(Val::Arr(elements)))
            }
            (json @ Val::Arr(_), Val::Obj(bounds)) => {
                let end_of = |name: &str| bounds.get(&Val::utf8_str(name.to_owned())).cloned().map(Self::from_json);
                let (start, end) = (end_of("start"), end_of("end"));
                Self { json, bound, is_measured: false }.map_range(start.as_ref()..end.as_ref(), opt, f)
            }
            (json, _) => {
                let value = Self { json, bound, is_measured: false };
                opt.fail(value, |value| Exn::from(Error::index(value, index.clone())))
            }
        }
    }

    fn map_range<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        range: Range<&Self>,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        let (Val::Arr(elements), Ok(part)) = (&self.json, self.clone().range(range.clone())) else {
            return opt.fail(self, |value| Exn::from(Error::typ(value, "array with a range of integers")));
        };
        let from = range.start.filter(|start| !matches!(start.json, Val::Null)).map_or(0, |start| {
            let Val::Num(number) = &start.json else { return 0 };
            let start = number.as_isize().unwrap_or(0);
            usize::try_from(start).unwrap_or_else(|_| elements.len().saturating_sub(start.unsigned_abs()))
        });
        let from = from.min(elements.len());
        let length = if let Val::Arr(part) = &part.json { part.len() } else { 0 };
        let new = match f(part).next().transpose()? {
            None => Vec::new(),
            Some(Self { json: Val::Arr(new), .. }) => Rc::unwrap_or_clone(new),
            Some(other) => return Err(Error::typ(other, "array").into()),
        };
        let mut elements = (**elements).clone();
        elements.splice(from..from + length, new);
        Ok(Self::from_json(elements.into_iter().collect()))
    }

    fn as_bool(&self) -> bool {
        self.json.as_bool()
    }

    fn into_string(self) -> Self {
        charge_bytes(self.size().bytes);
        Self::from_json(self.json.into_string())
    }
}

impl jaq_std::ValT for Value {
    fn into_seq<S: FromIterator<Self>>(self) -> Result<S, Self> {
        match self.json {
            Val::Arr(elements) => {
                charge(1 + elements.len() as u64 / 2);
                Ok(Rc::unwrap_or_clone(elements).into_iter().map(Self::from_json).collect())
            }
            _ => Err(self),
        }
    }

    fn is_int(&self) -> bool {
        self.json.is_int()
    }

    fn as_isize(&self) -> Option<isize> {
        self.json.as_isize()
    }

    fn as_f64(&self) -> Option<f64> {
        self.json.as_f64()
    }

    fn is_utf8_str(&self) -> bool {
        self.json.is_utf8_str()
    }

    fn as_bytes(&self) -> Option<&[u8]> {
        charge_bytes(self.bound.bytes);
        self.json.as_bytes()
    }

    fn as_sub_str(&self, sub: &[u8]) -> Self {
        Self::from_json(self.json.as_sub_str(sub))
    }

    fn from_utf8_bytes(bytes: impl AsRef<[u8]> + Send + 'static) -> Self {
        Self::text(bytes::Bytes::from_owner(bytes))
    }
}

impl FromIterator<Self> for Value {
    fn from_iter<T: IntoIterator<Item = Self>>(elements: T) -> Self {
        let mut size = Size::container();
        let elements = elements.into_iter().inspect(|element| {
            charge(1);
            size = size.with(element.size(), 0).check();
        });
        let json = elements.map(|element| element.json).collect();
        Self::sized(json, size)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::from_json(Val::Bool(value))
    }
}

impl From<isize> for Value {
    fn from(value: isize) -> Self {
        Self::from_json(Val::from(value))
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::from_json(Val::from(value))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::from_json(Val::from(value))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::text(value)
    }
}

impl From<Range<Self>> for Value {
    fn from(range: Range<Self>) -> Self {
        Self::from_json(Val::from(range.start.map(Self::into_json)..range.end.map(Self::into_json)))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        charge_bytes(self.size().bytes);
        self.json.fmt(f)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        charge_bytes(self.size().bytes.min(other.size().bytes));
        self.json == other.json
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        // Objects are compared with their names sorted.
        charge_bytes(self.size().bytes.saturating_add(other.size().bytes));
        self.json.cmp(&other.json)
    }
}
