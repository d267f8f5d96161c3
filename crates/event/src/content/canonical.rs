//! The canonical form of a JSON value: the same bytes for the same content, different bytes for different content.
//!
//! Every part carries its kind and its length. Members stand in the order of their names. A container that is longer
//! than [`INLINE_BYTES`] is replaced by its SHA-256, so that sorting never moves more than a little for each member,
//! however a value is nested.

use aws_lc_rs::digest;

use crate::json::{Container, Raw, Scanner, Text, Visit};

/// Containers up to this length stand in their parent as they are, because hashing costs more than copying them.
const INLINE_BYTES: usize = 64;

/// A value nested deeper goes by its bytes. EventBridge allows 1,100 levels; here each costs 24 bytes.
const MAX_LEVELS: usize = 200_000;

/// A value of which more members have to be remembered at once goes by its bytes. Each costs 32 bytes here.
const MAX_MEMBERS: usize = 500_000;

/// The canonical form of `value`; the members of these names, right inside `value`, are left out.
pub(super) fn canonical(value: Raw<'_>, leave_out: &[&str]) -> Vec<u8> {
    let mut form = Form { out: Vec::with_capacity(value.as_str().len()), leave_out, ..Form::default() };
    let walked = Scanner::new(value.as_str()).walk(&mut form);
    if walked.is_err() || form.too_large {
        form.out.clear();
        form.put(b'w', value.as_str().as_bytes());
    }
    form.out
}

#[derive(Default)]
struct Form<'n> {
    /// What is finished of the containers that are open, outermost first.
    out: Vec<u8>,
    open: Vec<Open>,
    /// The members of all objects that are open, outermost first.
    members: Vec<Member>,
    leave_out: &'n [&'n str],
    too_large: bool,
}

struct Open {
    container: Container,
    /// Where it begins in `out`.
    start: usize,
    /// Its first member in `members`.
    first_member: usize,
}

/// Where a member stands in `out`.
struct Member {
    start: usize,
    name: usize,
    value: usize,
    end: usize,
}

impl Member {
    fn name<'a>(&self, out: &'a [u8]) -> &'a [u8] {
        &out[self.name..self.value]
    }
}

impl Form<'_> {
    fn put(&mut self, kind: u8, bytes: &[u8]) {
        self.put_head(kind, bytes.len());
        self.out.extend_from_slice(bytes);
    }

    /// Kind and length, the length in groups of seven bits, all but the last with the top bit set.
    fn put_head(&mut self, kind: u8, mut len: usize) {
        self.out.push(kind);
        while len > 0x7f {
            self.out.push(0x80 | (len & 0x7f) as u8);
            len >>= 7;
        }
        self.out.push(len as u8);
    }

    /// Notes that the value of the innermost object's last member is complete.
    fn end_member(&mut self) {
        let first = self.open.last().map_or(0, |open| open.first_member);
        let end = self.out.len();
        if let Some(member) = self.members[first..].last_mut() {
            member.end = end;
        }
    }

    /// Brings the members of an object that has ended into order, the last of each name only.
    fn sort(&mut self, object: &Open) {
        let leave_out = if self.open.is_empty() { self.leave_out } else { &[] };
        let out = &self.out;
        let members = &mut self.members[object.first_member..];
        let left_out = |member: &Member| leave_out.iter().any(|left_out| left_out.as_bytes() == member.name(out));
        let in_order = members.is_sorted_by(|one, next| one.name(out) < next.name(out));
        if in_order && !members.iter().any(left_out) {
            return;
        }
        members.sort_by(|one, other| one.name(out).cmp(other.name(out)));
        let mut ordered = Vec::with_capacity(out.len() - object.start);
        for (at, member) in members.iter().enumerate() {
            let overridden = members.get(at + 1).is_some_and(|next| next.name(out) == member.name(out));
            if !overridden && !left_out(member) {
                ordered.extend_from_slice(&out[member.start..member.end]);
            }
        }
        self.out.truncate(object.start);
        self.out.append(&mut ordered);
    }

    /// Turns what stands from `start` on into one part.
    fn wrap(&mut self, start: usize, whole: u8, hashed: u8) {
        let inside = &self.out[start..];
        let mut short = [0; INLINE_BYTES];
        if let Some(copy) = short.get_mut(..inside.len()) {
            copy.copy_from_slice(inside);
            self.out.truncate(start);
            self.put(whole, copy);
        } else {
            let digest = digest::digest(&digest::SHA256, inside);
            self.out.truncate(start);
            self.put(hashed, digest.as_ref());
        }
    }
}

impl<'a> Visit<'a> for Form<'_> {
    fn open(&mut self, container: Container) {
        self.too_large |= self.open.len() >= MAX_LEVELS;
        if !self.too_large {
            self.open.push(Open { container, start: self.out.len(), first_member: self.members.len() });
        }
    }

    fn close(&mut self) {
        if self.too_large {
            return;
        }
        self.end_member();
        let Some(closed) = self.open.pop() else { return };
        match closed.container {
            Container::Object => {
                self.sort(&closed);
                self.members.truncate(closed.first_member);
                self.wrap(closed.start, b'O', b'o');
            }
            Container::Array => self.wrap(closed.start, b'A', b'a'),
        }
    }

    fn key(&mut self, name: Text<'a>) {
        self.too_large |= self.members.len() >= MAX_MEMBERS;
        if self.too_large {
            return;
        }
        self.end_member();
        let name = name.bytes();
        let start = self.out.len();
        self.put(b'k', &name);
        let end = self.out.len();
        self.members.push(Member { start, name: end - name.len(), value: end, end });
    }

    fn string(&mut self, string: Text<'a>) {
        if !self.too_large {
            self.put(b's', &string.bytes());
        }
    }

    fn bare(&mut self, word: &'a str) {
        if !self.too_large {
            self.put(b'b', word.as_bytes());
        }
    }
}
