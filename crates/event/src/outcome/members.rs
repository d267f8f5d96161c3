//! The members of a body's seats, found in one pass over its text.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::leftovers::{Leftovers, Path};
use super::names::Name;
use super::object::Object;
use super::seat::Seat;
use super::value::Member;
use crate::json::{self, Fault, Kind, Raw, Scanner, Text};

/// Most members of unknown names that are kept one by one. In a body with more of them an object whose members did not
/// fit is kept whole instead. Real events have fewer than a hundred; each takes some 60 bytes here.
pub const MAX_EXTRA: usize = 10_000;

/// What EventBridge wraps around an event, besides `detail` and `time`.
const ENVELOPE: [Name; 7] =
    [Name::Version, Name::Id, Name::DetailType, Name::Source, Name::Account, Name::Region, Name::Resources];
/// What Genesys wraps around an event when it is published, besides `eventBody` and `timestamp`.
const PUBLISHED: [Name; 3] = [Name::PublishedTopic, Name::Version, Name::Metadata];
/// No entry.
const NONE: u32 = u32::MAX;
/// Members that ordinary events have, with some to spare.
const USUAL: usize = 48;
/// Up to so many members are compared with each other; of more a sorted set is made.
const FEW: usize = 32;

/// All members of all seats, by their names.
pub(super) struct Members<'a> {
    entries: Vec<Entry<'a>>,
    /// By name: the entry that counts, or [`NONE`].
    counting: [u32; Name::COUNT],
    /// By seat: how often it was begun anew, because a later member of the same name overrides an earlier one.
    generations: [u32; Seat::COUNT],
    /// By seat: the whole of it, if not all of its members are in `entries`.
    crowded: [bool; Seat::COUNT],
    whole: [Option<Raw<'a>>; Seat::COUNT],
    unknown: usize,
}

#[derive(Clone, Copy)]
struct Entry<'a> {
    name: Text<'a>,
    known: Option<Name>,
    value: Raw<'a>,
    seat: Seat,
    generation: u32,
    is_taken: bool,
}

/// How much a value says. Null counts as missing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Says {
    Nothing,
    /// A list of violations that has none.
    None,
    Something,
}

impl Entry<'_> {
    fn says(&self) -> Says {
        let inner = || self.value.as_str().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_empty = || inner().is_some_and(|inner| inner.trim_ascii().is_empty());
        match self.value.kind() {
            Kind::Null => Says::Nothing,
            Kind::Array if self.known.is_some_and(Name::is_never_overlooked) && is_empty() => Says::None,
            _ => Says::Something,
        }
    }
}

impl<'a> Members<'a> {
    /// Those of a body; none if it is no JSON object.
    pub(super) fn of(body: &'a [u8]) -> Self {
        let mut members = Self::none();
        let Ok(text) = json::text(body) else { return members };
        let mut scanner = Scanner::new(text);
        if scanner.peek().map(Kind::of) != Some(Kind::Object) {
            return members;
        }
        members.entries.reserve(USUAL);
        match members.scan(&mut scanner, Seat::Body).and_then(|()| scanner.end()) {
            Ok(()) => members,
            Err(_) => Self::none(),
        }
    }

    const fn none() -> Self {
        Self {
            entries: Vec::new(),
            counting: [NONE; Name::COUNT],
            generations: [0; Seat::COUNT],
            crowded: [false; Seat::COUNT],
            whole: [None; Seat::COUNT],
            unknown: 0,
        }
    }

    /// Recurses once for each wrapper, of which three are the most.
    fn scan(&mut self, scanner: &mut Scanner<'a>, seat: Seat) -> Result<(), Fault> {
        let whole = scanner.spanned(|scanner| {
            scanner.members(|scanner, name| {
                let known = Name::of(&name.bytes());
                let inside = known.and_then(|known| seat.inside(known));
                if let Some(inside) = inside {
                    self.begin(inside);
                    if scanner.peek() == Some(b'{') {
                        self.forget(seat, known);
                        return self.scan(scanner, inside);
                    }
                }
                let value = scanner.skip()?;
                let is_wrapper = matches!(known, Some(Name::Detail | Name::EventBody | Name::Data));
                self.push(seat, known.filter(|_| !is_wrapper || inside.is_some()), name, value);
                Ok(())
            })
        })?;
        self.whole[seat as usize] = Some(whole);
        Ok(())
    }

    /// Whatever was in a seat does not count any more.
    fn begin(&mut self, seat: Seat) {
        for &inside in seat.with_those_inside() {
            let inside = inside as usize;
            self.generations[inside] += 1;
            self.crowded[inside] = false;
            self.whole[inside] = None;
        }
    }

    /// An earlier member of this name does not count any more.
    fn forget(&mut self, seat: Seat, name: Option<Name>) {
        let counting = name.map_or(NONE, |name| self.counting[name as usize]);
        if let Some(entry) = self.entries.get_mut(counting as usize).filter(|entry| entry.seat == seat) {
            entry.is_taken = true;
        }
    }

    fn push(&mut self, seat: Seat, known: Option<Name>, name: Text<'a>, value: Raw<'a>) {
        let generation = self.generations[seat as usize];
        let entry = Entry { name, known, value, seat, generation, is_taken: false };
        if let Some(known) = known {
            let counting = self.counting[known as usize];
            match self.entries.get_mut(counting as usize) {
                Some(other) if other.generation != self.generations[other.seat as usize] => {
                    *other = entry;
                    return;
                }
                // What says less hides nothing.
                Some(other) if entry.says() != other.says() && (other.seat != seat || known.is_never_overlooked()) => {
                    if entry.says() > other.says() {
                        *other = entry;
                    }
                    return;
                }
                Some(other) if other.seat == seat => {
                    let earlier = std::mem::replace(other, entry);
                    if known.is_never_overlooked() && earlier.says() == Says::Something {
                        self.entries.push(earlier);
                    }
                    return;
                }
                Some(other) if other.seat > seat => {}
                _ => {
                    // Bodies have at most 4 GiB, and members at least four bytes.
                    self.counting[known as usize] = self.entries.len() as u32;
                    self.entries.push(entry);
                    return;
                }
            }
        }
        self.unknown += 1;
        if self.unknown > MAX_EXTRA {
            self.crowded[seat as usize] = true;
        } else {
            self.entries.push(entry);
        }
    }

    /// Takes the member of this name that counts, so that it is not left over. Null counts as missing.
    pub(super) fn take(&mut self, name: Name) -> Option<Member<'a>> {
        let entry = self.entries.get_mut(self.counting[name as usize] as usize)?;
        if entry.generation != self.generations[entry.seat as usize] || entry.is_taken {
            return None;
        }
        entry.is_taken = true;
        let member = Member { path: Path::member(entry.seat, entry.name), value: entry.value };
        (entry.value.kind() != Kind::Null).then_some(member)
    }

    /// Takes a member that names something.
    pub(super) fn name(&mut self, name: Name, left: &mut Leftovers<'a>) -> Option<Cow<'a, str>> {
        self.take(name)?.name(left)
    }

    /// Takes a word of a list that may grow, in upper case: Genesys writes it so in events, and in lower case elsewhere.
    pub(super) fn word(&mut self, name: Name, left: &mut Leftovers<'a>) -> Option<Cow<'a, str>> {
        let word = self.take(name)?.text(left)?;
        let is_upper = !word.bytes().any(|byte| byte.is_ascii_lowercase());
        Some(if is_upper { word } else { word.to_ascii_uppercase().into() }).filter(|word| !word.trim().is_empty())
    }

    /// Takes the first of these members that `read` can read; the ones after it are left over.
    pub(super) fn first<T>(
        &mut self,
        names: impl IntoIterator<Item = Name>,
        read: impl Fn(Member<'a>, &mut Leftovers<'a>) -> Option<T>,
        left: &mut Leftovers<'a>,
    ) -> Option<T> {
        names.into_iter().find_map(|name| read(self.take(name)?, left))
    }

    /// What EventBridge wraps around an event is no part of its outcome, nor is what says of what topic it is.
    pub(super) fn drop_envelope(&mut self, topic: &str) {
        let is_there = |seat: Seat| self.whole[seat as usize].is_some();
        let is_envelope = is_there(Seat::Detail) && self.has(Name::DetailType, Seat::Body);
        let is_notification = is_there(Seat::Notification) && self.has(Name::PublishedTopic, Seat::Body);
        if !is_envelope || !self.has(Name::Time, Seat::Body) {
            // The `time` of something else means what only its sender knows.
            self.counting[Name::Time as usize] = NONE;
        }
        for entry in &mut self.entries {
            let dropped: &[Name] = match entry.seat {
                Seat::Body if is_envelope => &ENVELOPE,
                Seat::Detail if is_envelope => &PUBLISHED,
                Seat::Body if is_notification => &PUBLISHED,
                Seat::Body => {
                    let says_topic = || entry.value.string().is_some_and(|said| said == topic);
                    let name = entry.known;
                    entry.is_taken |= matches!(name, Some(Name::EventType | Name::DetailType)) && says_topic();
                    continue;
                }
                _ => continue,
            };
            entry.is_taken |= entry.known.is_some_and(|name| dropped.contains(&name));
        }
    }

    fn has(&self, name: Name, seat: Seat) -> bool {
        let entry = self.entries.get(self.counting[name as usize] as usize);
        entry.is_some_and(|entry| entry.seat == seat)
    }

    /// Takes what says of which conversation the event is, unless it says something else than what is known.
    pub(super) fn conversation(&mut self, known: Option<&str>, left: &mut Leftovers<'a>) {
        let says_it = |member: &Member<'a>| member.value.name().is_some_and(|name| known == Some(&*name));
        let mut keep = |member: Member<'a>| match member.value.name() {
            Some(_) if known.is_some() => left.extra(member),
            // A blank text names nothing.
            None if member.value.kind() == Kind::String => {}
            _ => left.unrecognised(member),
        };
        self.take(Name::ConversationId).filter(|member| !says_it(member)).into_iter().for_each(&mut keep);
        let Some(member) = self.take(Name::Conversation) else { return };
        match Object::read(member) {
            Some(mut object) => {
                object.take("id").filter(|member| !says_it(member)).into_iter().for_each(&mut keep);
                object.leave(left);
            }
            None => left.unrecognised(member),
        }
    }

    /// Everything that was not taken is left over: of members with the same name the last.
    pub(super) fn leave(self, left: &mut Leftovers<'a>) {
        for &seat in Seat::Body.with_those_inside() {
            if let Some(whole) = self.whole[seat as usize].filter(|_| self.crowded[seat as usize]) {
                left.extra(Member { path: Path::seat(seat), value: whole });
            }
        }
        let is_left = |entry: &&Entry<'a>| {
            let seat = entry.seat as usize;
            let inside = entry.known.and_then(|name| entry.seat.inside(name));
            // An earlier member of the name of a seat does not count.
            let is_overridden = inside.is_some_and(|inside| self.whole[inside as usize].is_some());
            let is_there = entry.generation == self.generations[seat] && !self.crowded[seat];
            is_there && !entry.is_taken && !is_overridden
        };
        let remaining: Vec<&Entry<'a>> = self.entries.iter().filter(is_left).collect();
        left.reserve_extra(remaining.len());
        let last = last_of_each(&remaining, |entry| (entry.seat, entry.name));
        for entry in last {
            let member = Member { path: Path::member(entry.seat, entry.name), value: entry.value };
            // Only one list of violations can be read; another is not passed over in silence.
            match entry.known.is_some_and(Name::is_never_overlooked) && entry.says() == Says::Something {
                true => left.unrecognised(member),
                false => left.extra(member),
            }
        }
    }
}

/// The items without those that a later one of the same place and name overrides.
pub(super) fn last_of_each<'a, 'i, T, P: Ord + Copy>(
    items: &'i [T],
    name: impl Fn(&T) -> (P, Text<'a>) + Copy + 'i,
) -> impl Iterator<Item = &'i T> {
    let mut is_overridden = vec![false; items.len()];
    if items.len() <= FEW {
        let same = |one: &T, other: &T| {
            let ((place, one), (other_place, other)) = (name(one), name(other));
            place == other_place && one.bytes() == other.bytes()
        };
        for (at, item) in items.iter().enumerate() {
            is_overridden[at] = items[at + 1..].iter().any(|later| same(item, later));
        }
    } else {
        let mut later = BTreeSet::new();
        for (at, item) in items.iter().enumerate().rev() {
            let (place, name) = name(item);
            is_overridden[at] = !later.insert((place, name.bytes()));
        }
    }
    items.iter().zip(is_overridden).filter(|(_, is_overridden)| !is_overridden).map(|(item, _)| item)
}
