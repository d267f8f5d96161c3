//! Where a mapping was when it failed: what it read last of the event. Followed only when a mapping that has failed is
//! run once more, so what succeeds costs nothing.
//!
//! The objects and arrays of the event are told by their addresses, and kept alive meanwhile so that no other value gets
//! one of them.

use std::cell::RefCell;
use std::collections::HashMap;

use jaq_json::{Rc, Val};

/// Parts of an event that are followed at most.
const PLACES_MAX: usize = 10_000;
/// Bytes of a place that is told.
const PLACE_MAX: usize = 200;

thread_local! {
    static TRACE: RefCell<Option<Trace>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Trace {
    /// Keeps the addresses.
    root: Option<Val>,
    places: HashMap<usize, String>,
    last: Option<String>,
}

/// Runs `run`, and tells which place of the event was read last.
pub(super) fn last_read<T>(run: impl FnOnce() -> T) -> (T, Option<String>) {
    TRACE.set(Some(Trace::default()));
    let result = run();
    let trace = TRACE.take();
    (result, trace.and_then(|trace| trace.last).filter(|place| place.len() <= PLACE_MAX))
}

/// The event begins here.
pub(super) fn root(body: &Val) {
    TRACE.with_borrow_mut(|trace| {
        if let Some(trace) = trace {
            trace.root = Some(body.clone());
            trace.places.extend(address(body).map(|address| (address, String::new())));
        }
    });
}

/// The place of a part of the event, if reading is followed.
pub(super) fn place(value: &Val) -> Option<String> {
    TRACE.with_borrow(|trace| trace.as_ref()?.places.get(&address(value)?).cloned())
}

/// A part of what is at `place` was read.
pub(super) fn read(place: Option<String>, index: &Val, part: Option<&Val>) {
    let Some((mut place, name)) = place.zip(name(index)) else { return };
    place.push('/');
    place.push_str(&name);
    TRACE.with_borrow_mut(|trace| {
        let Some(trace) = trace else { return };
        let address = part.and_then(address).filter(|_| trace.places.len() < PLACES_MAX);
        trace.places.extend(address.map(|address| (address, place.clone())));
        trace.last = Some(place);
    });
}

/// All elements or members of what is at `place` are read.
pub(super) fn read_all(place: Option<String>, value: &Val) {
    let Some(place) = place else { return };
    match value {
        Val::Arr(elements) => {
            for (at, part) in elements.iter().enumerate().take(PLACES_MAX) {
                read(Some(place.clone()), &Val::from(at as isize), Some(part));
            }
        }
        Val::Obj(members) => {
            for (name, part) in members.iter().take(PLACES_MAX) {
                read(Some(place.clone()), name, Some(part));
            }
        }
        _ => {}
    }
}

fn address(value: &Val) -> Option<usize> {
    match value {
        Val::Arr(elements) => Some(Rc::as_ptr(elements) as usize),
        Val::Obj(members) => Some(Rc::as_ptr(members) as usize),
        _ => None,
    }
}

fn name(index: &Val) -> Option<String> {
    match index {
        Val::TStr(name) => Some(String::from_utf8_lossy(name).replace('~', "~0").replace('/', "~1")),
        Val::Num(_) => Some(index.to_string()),
        _ => None,
    }
}
