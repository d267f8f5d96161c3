//! Redaction: fields of an event are dropped, masked, hashed or tokenised before anything of it is stored.
//!
//! | module | what it is for |
//! |---|---|
//! | [`rule`](Rule) | which places, and what becomes of them |
//! | [`redactor`](Redactor) | the rules of one source, applied to the bytes of an event |
//! | [`keys`](Keys) | the keys, and what is derived of them |
//! | [`rekey`](Rekey) | what bodies of before a change of keys would be now |
//! | [`token`](Keys::reveal) | values that whoever has the key can have back |
//! | [`seal`](Keys::seal) | whole bodies, for those that no rule can read |
//!
//! What no rule leads to keeps its exact bytes. The same event gives the same bytes as long as rules and keys stay the
//! same: nothing here is random. Two equal values can therefore be seen to be equal, and nothing else of them.
//!
//! This crate is pure: keys and bodies come in, bytes go out.

mod error;
mod keys;
pub mod limits;
mod redactor;
mod rekey;
mod rule;
mod seal;
#[cfg(test)]
mod tests;
mod token;

pub use error::Error;
pub use keys::Keys;
pub use redactor::Redactor;
pub use rekey::Rekey;
pub use rule::{How, Rule};
pub use seal::is_sealed;
pub use token::Revealed;
