//! Every limit of this crate, with its unit and the reason for its value.

/// Longest pattern text, in bytes. EventBridge itself allows 2 KiB to 4 KiB; this leaves room for generated lists.
pub const MAX_PATTERN_BYTES: usize = 64 * 1024;

/// Deepest nesting of a pattern, in levels. No event that a person writes a pattern for comes near it.
pub const MAX_PATTERN_DEPTH: usize = 64;

/// Most different fields that one combination of a pattern may name; the bound that Event Ruler sets too.
pub const MAX_PATTERN_FIELDS: usize = 256;

/// Most combinations that the `$or`s of one pattern may multiply to; the bound that EventBridge sets too.
pub const MAX_COMBINATIONS: usize = 1_000;

/// Deepest nesting of arrays inside a field that a pattern names, in levels. Deeper fields that no pattern names are
/// skipped at any depth. It bounds the scratch memory of one event to about 4 MB.
pub const MAX_FIELD_DEPTH: usize = 100_000;

/// Most steps spent in finding array elements of one event that satisfy one pattern. Ordinary events need
/// fewer than a hundred; an event that is built to make the search explode ends in an error instead of a stall.
pub const MAX_CONSISTENCY_STEPS: u64 = 1_000_000;

/// Longest event, in bytes, that can be matched; offsets are kept in 32 bits.
pub const MAX_EVENT_BYTES: usize = u32::MAX as usize;

/// How many of a field's values an explanation shows.
pub const MAX_EXPLAINED_VALUES: usize = 5;

/// Longest value that an explanation shows, in characters; the rest becomes an ellipsis.
pub const MAX_EXPLAINED_CHARS: usize = 80;
