//! The `file` kind: one line of compact JSON for each delivery, appended to a file (NDJSON).
//!
//! What it guarantees: a delivery that is reported done is on the disk (`fdatasync`), and every line is whole. A crash
//! in the middle of a write leaves a torn last line, which is cut off when the file is opened again; its delivery was
//! not reported done, so it comes again. A line may be there twice: at-least-once, like every destination.

mod compact;
mod options;
mod send;
#[cfg(test)]
mod tests;
mod writer;

pub use options::Options;
pub use send::FileDestination;
