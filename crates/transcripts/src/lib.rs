//! Transcripts as a claim check: from Genesys Cloud straight into an object store, and an event that says where they are.
//!
//! [`Transcripts`] is a destination. An event that is delivered to it asks for the transcripts of its conversation. So what
//! holds for deliveries holds for transcripts: none is lost, one that is not there yet is waited for, one that never comes is
//! a dead letter with its reason.
//!
//! What it guarantees:
//!
//! - A transcript is never in memory as a whole: a part of it is, of a fixed size ([`upload`]).
//! - What stands under a key is whole. Less than was announced, more than is allowed, or JSON that does not end where the
//!   download does, is given up before it can be seen ([`whole`]).
//! - The update event is durable before the delivery is settled, and it is the same event however often it is published: its
//!   id is made of conversation, communication, recording and content ([`update`]).
//! - No id leads out of its folder ([`key`]), no address of the platform to this machine or to anything unencrypted, and none
//!   is shown.
//!
//! A crash leaves the old object or the new one, at worst with the record of the old one; the delivery comes again and makes
//! both new. What a kill leaves of an object that was being written is removed before the next one of that name, or by
//! retention.

mod key;
mod legs;
mod options;
mod record;
mod send;
mod shelf;
mod sort;
mod sweep;
mod turns;
mod update;
mod upload;
mod whole;

pub use options::{Options, Schedule};
pub use record::{Found, Record};
pub use send::{Clock, Transcripts};
pub use shelf::{Erased, ShelfError, Text};
pub use sweep::Swept;
pub use update::{SOURCE, TOPIC};
