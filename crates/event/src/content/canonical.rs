//! The canonical form of a JSON value: the same bytes for the same content, different bytes for different content.
//!
//! Every part carries its kind and its length. Members stand in the order of their names. A container that is longer
//! than [`INLINE_BYTES`] is replaced by its SHA-256, so that sorting never moves more than a little for each member,
//! however a value is nested.

use aws_lc_rs::digest;

use crate::json::{Container, Raw, Scanner, Text, Visit};

/// Containers up to this length stand in their parent as they are, because hashing costs more than copying them.
const INLINE_BYTES: usize = 64;

/// A value nested deeper is hashed as it is written. EventBridge allows 1,100 levels; each level costs 24 bytes here.
const MAX_LEVELS: usize = 200_000;

/// The canonical form of `value`; the members of these names, right inside `value`, are left out.
pub(super) fn canonical(value: Raw<'_>, leave_out: &[&str]) -> Vec<u8> {
    let mut form = Form { out: Vec::with_capacity(value.as_str().len()), leave_out, ..Form::default() };
    let walked = Scanner::new(value.as_str()).walk(&mut form);
    if walked.is_err() || form.too_deep {
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
    too_deep: bool,
}

struct Open {
    container: Container,
    /// Where it begins in `out`.
    start: usize,
    /// Its first member in `members`.
    first_member: usize,
}

/// A member in `out`: its name from `start`, its value from `value`, up to where the next member starts.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    value: usize,
}

/// Bytes before a part: its kind and its length.
const HEAD_BYTES: usize = 9;

impl Form<'_> {
    fn put(&mut self, kind: u8, bytes: &[u8]) {
        self.out.push(kind);
        self.out.extend((bytes.len() as u64).to_be_bytes());
        self.out.extend_from_slice(bytes);
    }

    fn put_text(&mut self, kind: u8, text: Text<'_>) {
        let start = self.out.len();
        self.put(kind, &[]);
        text.write_to(&mut self.out);
        let len = (self.out.len() - start - HEAD_BYTES) as u64;
        self.out[start + 1..start + HEAD_BYTES].copy_from_slice(&len.to_be_bytes());
    }

    /// Brings the members of the innermost object into order, the last of each name only.
    fn sort(&mut self, object: &Open) {
        let end = self.out.len();
        let members = &self.members[object.first_member..];
        let leave_out = if self.open.is_empty() { self.leave_out } else { &[] };
        let name = |member: &Member| &self.out[member.start + HEAD_BYTES..member.value];
        let left_out = |member: &Member| leave_out.iter().any(|left_out| left_out.as_bytes() == name(member));
        let in_order = members.is_sorted_by(|one, next| name(one) < name(next));
        if in_order && !members.iter().any(left_out) {
            return;
        }
        let ends = members.iter().skip(1).map(|next| next.start).chain([end]);
        let mut sorted: Vec<(Member, usize)> = members.iter().copied().zip(ends).collect();
        sorted.sort_by(|(one, _), (other, _)| name(one).cmp(name(other)));
        let mut ordered = Vec::with_capacity(end - object.start);
        for (at, (member, end)) in sorted.iter().enumerate() {
            let overridden = sorted.get(at + 1).is_some_and(|(next, _)| name(next) == name(member));
            if !overridden && !left_out(member) {
                ordered.extend_from_slice(&self.out[member.start..*end]);
            }
        }
        self.out.truncate(object.start);
        self.out.append(&mut ordered);
    }
}

impl<'a> Visit<'a> for Form<'_> {
    fn open(&mut self, container: Container) {
        self.too_deep |= self.open.len() >= MAX_LEVELS;
        if !self.too_deep {
            self.open.push(Open { container, start: self.out.len(), first_member: self.members.len() });
        }
    }

    fn close(&mut self) {
        let Some(closed) = self.open.pop() else { return };
        let (whole, hashed) = match closed.container {
            Container::Object => {
                self.sort(&closed);
                self.members.truncate(closed.first_member);
                (b'O', b'o')
            }
            Container::Array => (b'A', b'a'),
        };
        let inside = self.out.split_off(closed.start);
        if inside.len() <= INLINE_BYTES {
            self.put(whole, &inside);
        } else {
            self.put(hashed, digest::digest(&digest::SHA256, &inside).as_ref());
        }
    }

    fn key(&mut self, name: Text<'a>) {
        let start = self.out.len();
        self.put_text(b'k', name);
        self.members.push(Member { start, value: self.out.len() });
    }

    fn string(&mut self, string: Text<'a>) {
        self.put_text(b's', string);
    }

    fn bare(&mut self, word: &'a str) {
        self.put(b'b', word.as_bytes());
    }
}
