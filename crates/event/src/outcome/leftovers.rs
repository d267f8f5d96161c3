//! What an outcome keeps as it was written: values that could not be understood, and members that it does not know.

use std::fmt;

use super::seat::Seat;
use super::value::Member;
use crate::json::{Raw, Text};

/// A value as it is written, and where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leftover<'a> {
    /// Where it stands in the body.
    pub path: Path<'a>,
    /// The value.
    pub value: Raw<'a>,
}

/// Where a value stands in a body: a member, an element of it if it is a list, and a member of that, or of the member
/// itself. Shows as a JSON pointer.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    seat: Seat,
    member: Option<Text<'a>>,
    element: Option<usize>,
    inner: Option<Text<'a>>,
}

impl<'a> Path<'a> {
    /// A whole seat.
    pub(super) const fn seat(seat: Seat) -> Self {
        Self { seat, member: None, element: None, inner: None }
    }

    /// A member of a seat.
    pub(super) const fn member(seat: Seat, member: Text<'a>) -> Self {
        Self { seat, member: Some(member), element: None, inner: None }
    }

    /// An element of the list that stands here.
    pub(super) const fn element(self, element: usize) -> Self {
        Self { element: Some(element), ..self }
    }

    /// A member of the object that stands here.
    pub(super) const fn inner(self, inner: Text<'a>) -> Self {
        Self { inner: Some(inner), ..self }
    }

    /// The pointer with a `*` for the number of an element, so that all elements of a list have the same.
    pub fn general(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, true);
        text
    }

    /// Appends the pointer, or the [general](Self::general) one.
    pub(super) fn write(&self, out: &mut String, is_general: bool) {
        out.push_str(self.seat.pointer());
        if let Some(member) = self.member {
            write_name(out, member);
        }
        match self.element {
            Some(_) if is_general => out.push_str("/*"),
            Some(element) => {
                out.push('/');
                out.push_str(itoa::Buffer::new().format(element));
            }
            None => {}
        }
        if let Some(inner) = self.inner {
            write_name(out, inner);
        }
    }
}

fn write_name(out: &mut String, name: Text<'_>) {
    out.push('/');
    let name = name.read();
    if !name.contains(['~', '/']) {
        return out.push_str(&name);
    }
    name.chars().for_each(|char| match char {
        '~' => out.push_str("~0"),
        '/' => out.push_str("~1"),
        other => out.push(other),
    });
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text, false);
        f.pad(&text)
    }
}

impl PartialEq for Path<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

/// What is kept, while an outcome is made.
#[derive(Default)]
pub(super) struct Leftovers<'a> {
    unrecognised: Vec<Leftover<'a>>,
    extra: Vec<Leftover<'a>>,
}

impl<'a> Leftovers<'a> {
    /// A value of a known name that cannot be understood.
    pub(super) fn unrecognised(&mut self, Member { path, value }: Member<'a>) {
        self.unrecognised.push(Leftover { path, value });
    }

    /// A member of an unknown name.
    pub(super) fn extra(&mut self, Member { path, value }: Member<'a>) {
        self.extra.push(Leftover { path, value });
    }

    /// Room for so many more members of unknown names.
    pub(super) fn reserve_extra(&mut self, members: usize) {
        self.extra.reserve(members);
    }

    /// What could not be understood, and what is not known.
    pub(super) fn into_parts(self) -> (Vec<Leftover<'a>>, Vec<Leftover<'a>>) {
        (self.unrecognised, self.extra)
    }
}
