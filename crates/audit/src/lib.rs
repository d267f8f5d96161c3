//! The audit trail: what became of each event, and who did what.
//!
//! [`Entry`] is one thing that happened. Entries are stored in [`Block`]s, packed, each with a hash over its content and
//! the hash of the block before it; so whoever changes, drops or reorders one leaves a [`Break`] that [`Chain`] finds.
//!
//! The chain shows that the record is whole from one known hash to another. It can't show that a whole trail was not
//! made anew by someone who may write the file: for that, note the newest hash somewhere else from time to time.
//!
//! This crate is pure. It does no I/O and reads no clock.

mod block;
mod chain;
mod entry;
mod hash;
mod key;
mod story;

pub use block::{BLOCK_BYTES, Block, BlockBuilder, ERASED, Unreadable, Whose, Without};
pub use chain::{Break, Chain, Link};
pub use entry::{Entry, Failure, Outcome, What};
pub use hash::{Conversation, Digest};
pub use key::Key;
pub use story::{Story, Subject};
