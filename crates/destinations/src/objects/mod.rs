//! The `objects` kind: each delivery is one object of an object store.
//!
//! What it guarantees: a delivery that is reported done is a whole object; an object is made once and never written over. A
//! repeated delivery finds its own object and is done. One that finds another content under its key fails for good, so
//! neither is lost. No value of an event leads out of the folder that the key's template says.
//!
//! A crash in the middle leaves an object or none; the delivery comes again.

mod erase;
mod key;
mod options;
mod send;
#[cfg(test)]
mod tests;

pub use options::{DEFAULT_KEY, Options};
pub use send::ObjectsDestination;
