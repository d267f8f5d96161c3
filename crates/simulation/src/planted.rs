//! Bugs that are planted on purpose, to prove that the oracle sees them.

use std::sync::Arc;

use bytes::Bytes;
use queue::{Lease, LeaseToken, Stored};

use crate::world::World;

/// A bug between the queue and those who use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// One settlement is called durable and never happens.
    LostSettlement,
    /// The queue keeps no order within a conversation.
    OutOfOrder,
    /// An event that was settled is delivered once more, instead of another.
    OnceMore,
    /// An event is settled without ever being delivered.
    ForgottenEvent,
    /// A byte of an event is changed.
    ChangedByte,
    /// The service allows itself one attempt more than the limit.
    OverTheLimit,
    /// What was answered is not on the disk yet when the power fails.
    UnsyncedAnswer,
    /// Identities are forgotten at once.
    NoDedupe,
    /// A sender is answered, and one of its events is dropped.
    LostPublication,
    /// Events die of the first failure that is charged.
    NoRetries,
    /// Nothing waits for a dead letter.
    NotHeld,
    /// An edited copy is called kept, and is not.
    LostEdit,
    /// A conversation is called erased, and is not.
    LostErasure,
    /// One event of a replay is left out.
    LostReplay,
    /// What is put aside is kept nowhere.
    LostAside,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::LostSettlement,
        Self::OutOfOrder,
        Self::OnceMore,
        Self::ForgottenEvent,
        Self::ChangedByte,
        Self::OverTheLimit,
        Self::UnsyncedAnswer,
        Self::NoDedupe,
        Self::LostPublication,
        Self::NoRetries,
        Self::NotHeld,
        Self::LostEdit,
        Self::LostErasure,
        Self::LostReplay,
        Self::LostAside,
    ];

    /// Changes what has been leased; `done` settles a lease as done.
    pub(crate) fn change(self, leases: &mut Vec<Lease>, world: &World, done: impl FnOnce(LeaseToken)) {
        let Some(last) = leases.last_mut() else { return };
        match self {
            Self::ForgottenEvent if world.strikes() => {
                done(last.token);
                leases.pop();
            }
            Self::ChangedByte if world.strikes() => {
                let mut stored = Stored::clone(&last.stored);
                let mut bytes = stored.event.body.to_vec();
                if let Some(byte) = bytes.last_mut() {
                    *byte ^= 1;
                }
                stored.event.body = Bytes::from(bytes);
                last.stored = Arc::new(stored);
            }
            Self::OnceMore => {
                let mut first = world.first_lease.lock();
                match &*first {
                    None => *first = Some(last.clone()),
                    Some(old) if old.token.consumer == last.token.consumer && world.strikes() => *last = old.clone(),
                    Some(_) => {}
                }
            }
            _ => {}
        }
    }
}
