//! By what entries are found: keys of eight bytes for events, conversations, places and dead letters, so that whoever keeps
//! an index need not know what an entry is about. Two things may have the same key; that costs a look, and no more.

use event::EventId;

use crate::{Conversation, What};

/// See the module. Stored, so it never changes what it is of something.
pub type Key = u64;

/// What a key is of, so that place 7 and dead letter 7 are told apart.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Event = 1,
    Conversation = 2,
    Place = 3,
    Letter = 4,
}

/// An id is a hash already; its beginning says that it is one.
pub(crate) fn event(id: EventId) -> Key {
    let last = id.as_bytes().last_chunk::<8>().copied().unwrap_or_default();
    mixed(Kind::Event, u64::from_le_bytes(last))
}

pub(crate) fn conversation(conversation: Conversation) -> Key {
    mixed(Kind::Conversation, conversation.number())
}

pub(crate) fn place(seq: u64) -> Key {
    mixed(Kind::Place, seq)
}

pub(crate) fn letter(letter: u64) -> Key {
    mixed(Kind::Letter, letter)
}

/// The finaliser of splitmix64: near numbers have keys that are far apart.
fn mixed(kind: Kind, number: u64) -> Key {
    let mut key = number ^ ((kind as u64) << 56);
    key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    key ^ (key >> 31)
}

impl<T> What<T> {
    /// The keys of everything that makes it belong to a [`Story`](crate::Story).
    pub fn keys(&self, mut each: impl FnMut(Key)) {
        match self {
            Self::Received { seq, event: id, conversation: of, conflict_of, .. } => {
                each(place(*seq));
                each(event(*id));
                conflict_of.iter().for_each(|id| each(event(*id)));
                of.iter().for_each(|of| each(conversation(*of)));
            }
            Self::Duplicate { event: id, .. } => each(event(*id)),
            Self::Attempted { seq, .. } | Self::Died { seq, .. } => each(place(*seq)),
            Self::Redriven { letter: dead, seq, .. } => {
                each(letter(*dead));
                each(place(*seq));
            }
            Self::Replayed { event: id, conversation: of, .. } => {
                each(event(*id));
                of.iter().for_each(|of| each(conversation(*of)));
            }
            Self::Edited { letter: dead, .. } => each(letter(*dead)),
            Self::Discarded { letter: dead, seq, .. } => {
                each(letter(*dead));
                seq.iter().for_each(|seq| each(place(*seq)));
            }
            Self::Erased { conversation: of, places, .. } => {
                each(conversation(*of));
                places.iter().for_each(|seq| each(place(*seq)));
            }
            Self::Rejected { .. } | Self::Done { .. } | Self::Dropped { .. } => {}
        }
    }
}
