//! An object inside a member or an element, of which a few members are known.

use super::leftovers::Leftovers;
use super::members::last_of_each;
use super::value::Member;
use crate::json::{Fault, Kind, Raw, Scanner, Text};

/// Most members of such an object; one with more cannot be understood. No real one has more than a dozen, and a body can
/// hold many.
pub const MAX_INNER_MEMBERS: usize = 1_000;

/// Its members.
pub(super) struct Object<'a> {
    at: Member<'a>,
    members: Vec<Inner<'a>>,
}

struct Inner<'a> {
    name: Text<'a>,
    value: Raw<'a>,
    is_taken: bool,
}

impl<'a> Object<'a> {
    /// None if the value is no object, or has too many members.
    pub(super) fn read(at: Member<'a>) -> Option<Self> {
        if at.value.kind() != Kind::Object {
            return None;
        }
        let mut members = Vec::new();
        let read = Scanner::new(at.value.as_str()).members(|scanner, name| {
            let value = scanner.skip()?;
            if members.len() == MAX_INNER_MEMBERS {
                return Err(Fault { problem: "too many members", at: 0 });
            }
            members.push(Inner { name, value, is_taken: false });
            Ok(())
        });
        read.ok().map(|()| Self { at, members })
    }

    /// Takes the last member of this name, so that it is not left over. Null counts as missing.
    pub(super) fn take(&mut self, name: &str) -> Option<Member<'a>> {
        let mut last = None;
        for inner in &mut self.members {
            if *inner.name.bytes() == *name.as_bytes() {
                inner.is_taken = true;
                last = Some(Member { path: self.at.path.inner(inner.name), value: inner.value });
            }
        }
        last.filter(|member| member.value.kind() != Kind::Null)
    }

    /// Everything that was not taken is left over.
    pub(super) fn leave(self, left: &mut Leftovers<'a>) {
        let remaining: Vec<_> = self.members.iter().filter(|inner| !inner.is_taken).collect();
        for inner in last_of_each(&remaining, |inner| ((), inner.name)) {
            left.extra(Member { path: self.at.path.inner(inner.name), value: inner.value });
        }
    }
}
