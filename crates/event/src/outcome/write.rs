//! The writing of JSON: objects, and the values in them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::{Deref, DerefMut};

use jiff::fmt::temporal::DateTimePrinter;

use super::Number;
use crate::json::Raw;
use crate::{EventId, Timestamp};

/// With milliseconds.
const TIMES: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// Where an outcome is written to.
pub(super) struct Out<'t> {
    pub(super) text: &'t mut String,
    /// Members that are null or empty are left out.
    pub(super) is_sparse: bool,
}

impl Deref for Out<'_> {
    type Target = String;

    fn deref(&self) -> &String {
        self.text
    }
}

impl DerefMut for Out<'_> {
    fn deref_mut(&mut self) -> &mut String {
        self.text
    }
}

/// Has a form as JSON.
pub(super) trait Write {
    fn write(&self, out: &mut Out<'_>);

    /// Whether it is null or an empty list.
    fn is_nothing(&self) -> bool {
        false
    }
}

/// An object that is being written.
pub(super) struct Object<'o, 't> {
    out: &'o mut Out<'t>,
    is_empty: bool,
}

impl<'o, 't> Object<'o, 't> {
    pub(super) fn new(out: &'o mut Out<'t>) -> Self {
        out.push('{');
        Self { out, is_empty: true }
    }

    /// A member; `name` needs no escapes.
    pub(super) fn put(self, name: &str, value: &(impl Write + ?Sized)) -> Self {
        if self.out.is_sparse && value.is_nothing() { self } else { self.put_always(name, value) }
    }

    fn put_always(self, name: &str, value: &(impl Write + ?Sized)) -> Self {
        self.put_with(name, |out| value.write(out)).0
    }

    /// A member whose value is written by `write`, and what that returns; `name` needs no escapes.
    pub(super) fn put_with<T>(mut self, name: &str, write: impl FnOnce(&mut Out<'_>) -> T) -> (Self, T) {
        self.out.push_str(if self.is_empty { "\"" } else { ",\"" });
        self.is_empty = false;
        self.out.push_str(name);
        self.out.push_str("\":");
        let written = write(self.out);
        (self, written)
    }

    /// An object, which may turn out to be empty.
    pub(super) fn put_object(self, name: &str, value: &impl Write) -> Self {
        let (before, was_empty) = (self.out.len(), self.is_empty);
        let this = self.put_always(name, value);
        if this.out.is_sparse && this.out[before..].ends_with(":{}") {
            this.out.truncate(before);
            return Self { is_empty: was_empty, ..this };
        }
        this
    }

    pub(super) fn end(self) {
        self.out.push('}');
    }
}

impl<T: Write> Write for Option<T> {
    fn write(&self, out: &mut Out<'_>) {
        match self {
            Some(value) => value.write(out),
            None => out.push_str("null"),
        }
    }

    fn is_nothing(&self) -> bool {
        self.is_none()
    }
}

impl<T: Write> Write for Vec<T> {
    fn write(&self, out: &mut Out<'_>) {
        out.push('[');
        for (at, value) in self.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            value.write(out);
        }
        out.push(']');
    }

    fn is_nothing(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Write + ?Sized> Write for &T {
    fn write(&self, out: &mut Out<'_>) {
        (**self).write(out);
    }
}

impl Write for Cow<'_, str> {
    fn write(&self, out: &mut Out<'_>) {
        (**self).write(out);
    }
}

impl Write for str {
    fn write(&self, out: &mut Out<'_>) {
        out.push('"');
        let mut rest = self;
        while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
            let (plain, special) = (&rest[..at], rest.as_bytes()[at]);
            out.push_str(plain);
            // Writing to a string cannot fail.
            let _ = match special {
                b'"' | b'\\' => write!(out, "\\{}", char::from(special)),
                control => write!(out, "\\u{control:04x}"),
            };
            rest = &rest[at + 1..];
        }
        out.push_str(rest);
        out.push('"');
    }
}

impl Write for Raw<'_> {
    fn write(&self, out: &mut Out<'_>) {
        out.push_str(self.as_str());
    }
}

impl Write for Number<'_> {
    fn write(&self, out: &mut Out<'_>) {
        out.push_str(self.as_str());
    }
}

impl Write for i64 {
    fn write(&self, out: &mut Out<'_>) {
        out.push_str(itoa::Buffer::new().format(*self));
    }
}

/// Finite, as every score is.
impl Write for f64 {
    fn write(&self, out: &mut Out<'_>) {
        // Writing to a string cannot fail.
        let _ = write!(out, "{self}");
    }
}

impl Write for EventId {
    fn write(&self, out: &mut Out<'_>) {
        out.push('"');
        self.append_to(out);
        out.push('"');
    }
}

/// In UTC, like `"2026-03-02T08:15:00.123Z"`.
impl Write for Timestamp {
    fn write(&self, out: &mut Out<'_>) {
        match jiff::Timestamp::from_millisecond(self.as_millis()) {
            Ok(time) => {
                out.push('"');
                // Writing to a string cannot fail.
                let _ = TIMES.print_timestamp(&time, &mut *out.text);
                out.push('"');
            }
            Err(_) => out.push_str("null"),
        }
    }
}
