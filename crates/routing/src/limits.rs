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

/// Longest source of a mapping, in bytes. Mappings people write stay below 10 KB.
pub const MAX_MAPPING_BYTES: usize = 64 * 1024;

/// Default for how many steps one application of a mapping may take. A step evaluates one term, or handles some 64
/// bytes; a mapping of thirty fields takes about 300. Half a million take 0.2 s and hold 70 MB at the very worst.
pub const DEFAULT_MAPPING_STEPS: u64 = 500_000;

/// Default for the longest payload that a mapping may make, in bytes. CRM APIs take less.
pub const DEFAULT_MAPPING_OUTPUT_BYTES: usize = 1024 * 1024;

/// Largest value that a mapping may work with, in bytes of memory as if nothing in it were shared; an event of 3 MB
/// and more cannot be mapped.
pub const MAX_VALUE_BYTES: u64 = 24 * 1024 * 1024;

/// Deepest nesting of a value that a mapping may read or make, in levels. Reading, comparing, writing and freeing a
/// value recurse, and must fit in any thread's stack.
pub const MAX_VALUE_DEPTH: u32 = 256;

/// Steps that a mapping may take on the stack of its caller. What the interpreter chains together in so few steps can
/// be freed recursively there; a mapping that needs more starts over on a deep stack. Ordinary ones need a tenth.
pub const MAX_QUICK_STEPS: u64 = 10_000;

/// Stack that a mapping may use of its caller's before it starts over on a deep stack, in bytes: a quarter of the 2 MB
/// that threads have, so that the rest is left for work on values.
pub const MAX_QUICK_STACK_BYTES: usize = 512 * 1024;

/// Stack that a mapping may use before it counts as endless recursion, in bytes. A function that calls itself takes
/// about 1 KB a level.
pub const MAX_MAPPING_STACK_BYTES: usize = 16 * 1024 * 1024;

/// A deep stack, in bytes: for compiling mappings, whose nesting the parser follows with recursion, and for those that
/// take many steps. Of its memory only what is used is taken.
pub const DEEP_STACK_BYTES: usize = 512 * 1024 * 1024;

/// Longest integer that a mapping may calculate with, in bits; work on longer ones takes time with the square.
pub const MAX_INTEGER_BITS: u64 = 4096;

/// Longest regular expression, in bytes once its counted repetitions are written out.
pub const MAX_REGEX_BYTES: usize = 10_000;

/// Longest message of a failed mapping that is kept, in characters.
pub const MAX_MAPPING_MESSAGE_CHARS: usize = 500;
