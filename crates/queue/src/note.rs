//! Notes of destinations: what whoever delivers wants to find again after a restart. See [`crate::Queue::remember`].

use crate::QueueError;

/// Bytes of a note: a few numbers and names. One is written by itself, so it must be small beside what an event writes.
pub const NOTE_BYTES_MAX: usize = 4 << 10;

/// Refuses a note that is too large.
///
/// # Errors
/// [`QueueError::Invalid`].
pub fn check_note(note: Option<&[u8]>) -> Result<(), QueueError> {
    match note.map_or(0, <[u8]>::len) {
        0..=NOTE_BYTES_MAX => Ok(()),
        bytes => Err(QueueError::Invalid(format!(
            "a note of a destination has {bytes} bytes, and the most that is kept are {NOTE_BYTES_MAX}"
        ))),
    }
}
