//! The limits of redaction.

/// Rules of one source. Each costs a little for every event, and nobody reads more.
pub const MAX_RULES: usize = 256;

/// Keys at once: one in use, and those that tokens in the archive were made with.
pub const MAX_KEYS: usize = 32;

/// Characters of a key, at least: 32 hexadecimal digits are 128 bits, if they are random.
pub const MIN_KEY_CHARACTERS: usize = 32;

/// How often the bytes of a body its redacted events may have, beside [`ROOM_BYTES`]. A hash is longer than a digit, so a
/// sender could have a body of many small values grow without bound. Tokens of long values have 4/3 of their bytes.
pub const MAX_GROWTH: usize = 4;

/// Bytes by which even a small body may grow: some 700 hashes.
pub const ROOM_BYTES: usize = 64 * 1024;

/// The bytes that the redacted events of a body of `bytes` may have together.
pub const fn redacted_max(bytes: usize) -> usize {
    bytes.saturating_mul(MAX_GROWTH).saturating_add(ROOM_BYTES)
}
