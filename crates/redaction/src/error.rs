//! What can be wrong with rules, keys, bodies and tokens. No message says anything of a value or a key.

use event::BodyError;
use event::json::ParsePointerError;

use crate::limits::{MAX_GROWTH, MAX_KEYS, MAX_RULES, MIN_KEY_CHARACTERS, ROOM_BYTES};

/// Something cannot be redacted, sealed or revealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A rule's path is no pointer.
    #[error(transparent)]
    Path(#[from] ParsePointerError),
    /// A rule for everything.
    #[error("leads to the whole event; name a field, such as `/detail/eventBody/ani`, or `/*` for all of them")]
    WholeEvent,
    /// `keep_last` without a mask.
    #[error("`keep_last` goes with how = \"mask\" only; remove it")]
    KeepLastOfNoMask,
    /// `keep_last = 0`.
    #[error("`keep_last` is 0; leave it out to mask the whole value")]
    KeepLastOfNothing,
    /// Two rules for the same path.
    #[error("two rules have the path `{0}`; remove one of them")]
    SamePath(String),
    /// Too many rules.
    #[error("there are more than {MAX_RULES} rules; use `*`, or name an object around the fields")]
    TooManyRules,
    /// There is no key.
    #[error("there is no key; make one with `openssl rand -hex 32` and name where it is")]
    NoKeys,
    /// Too many keys.
    #[error("there are more than {MAX_KEYS} keys; remove those whose tokens nobody needs any more")]
    TooManyKeys,
    /// A key that can be guessed.
    #[error("a key has fewer than {MIN_KEY_CHARACTERS} characters; make one with `openssl rand -hex 32`")]
    ShortKey,
    /// The same key twice.
    #[error("two keys have the id {0}; name each key once")]
    SameKey(String),
    /// The body cannot be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// What is put in place of values is too long.
    #[error(
        "hashes and tokens would make its events longer than {max} bytes ({MAX_GROWTH} times the body and {ROOM_BYTES}); \
         have a rule lead to the array or object around many small values, not to each of them"
    )]
    TooLarge {
        /// How long they may be.
        max: usize,
    },
    /// The text is no token.
    #[error("is no token; tokens begin with `token1:`")]
    NotAToken,
    /// Made with a key that is not there.
    #[error("was made with the key {0}, which is not among those of `redaction.key`; add that key again")]
    NoKey(String),
    /// Not as it was made.
    #[error("was changed since it was made, or made for something else; take it from where it came again")]
    Changed,
    /// The cipher failed, which it does only for inputs that are longer than any body.
    #[error("could not be encrypted; report it as a bug")]
    Cipher,
}
