//! `outcome` in a mapping: the record of the event that is mapped, made when it is first asked for and once at most.
//!
//! Making it is charged like reading the event, and it is a value like any other: it counts towards all limits.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeSet;

use bytes::Bytes;
use event::{Event, Outcome};
use jaq_core::{Error, ValR};

use super::input;
use super::meter::{charge, charge_bytes};
use super::value::Value;

/// The whole outcome as JSON text; notes whether something in it was not recognised.
pub(super) fn text(event: &Event, unrecognised: &mut bool) -> Bytes {
    let outcome = Outcome::of(event);
    *unrecognised |= !outcome.unrecognised.is_empty();
    Bytes::from(outcome.to_json())
}

/// The same, if reading it and writing it anew would change nothing but white space: no object in it has a name twice, and
/// none of what was taken over as it is written has an escape.
pub(super) fn plain(event: &Event, unrecognised: &mut bool) -> Option<Bytes> {
    let outcome = Outcome::of(event);
    let is_plain = |left: &event::outcome::Leftover<'_>| !left.value.as_str().contains(['{', '\\']);
    if !outcome.extra.iter().all(is_plain) {
        return None;
    }
    let mut text = String::new();
    if !outcome.write_json(&mut text).names_differ {
        return None;
    }
    *unrecognised |= !outcome.unrecognised.is_empty();
    Some(Bytes::from(text))
}

/// The outcome of the event that is mapped.
pub(super) struct OutcomeOf<'a> {
    event: &'a Event,
    /// The members that are asked for; none: all.
    members: Option<&'a BTreeSet<String>>,
    made: OnceCell<Value>,
    has_unrecognised: Cell<bool>,
}

impl<'a> OutcomeOf<'a> {
    /// Makes nothing yet.
    pub(super) const fn new(event: &'a Event, members: Option<&'a BTreeSet<String>>) -> Self {
        Self { event, members, made: OnceCell::new(), has_unrecognised: Cell::new(false) }
    }

    /// It as a value.
    pub(super) fn value(&self) -> ValR<Value> {
        charge(1);
        if let Some(made) = self.made.get() {
            return Ok(made.clone());
        }
        charge_bytes(self.event.body.len() as u64);
        let outcome = Outcome::of(self.event);
        self.has_unrecognised.set(!outcome.unrecognised.is_empty());
        let json = input::read_members(&Bytes::from(outcome.to_json()), self.members);
        let made = Value::from_json(json.map_err(|error| Error::str(format!("the outcome cannot be read: {error}")))?);
        Ok(self.made.get_or_init(|| made).clone())
    }

    /// Whether it was made, and something in it was not recognised.
    pub(super) const fn has_unrecognised(&self) -> bool {
        self.has_unrecognised.get()
    }
}
