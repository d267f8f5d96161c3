//! The `sqs` kind: each delivery is a message of a queue of Amazon SQS, up to ten of them in one request.
//!
//! What it guarantees: a delivery that is reported done was taken over by the queue. In a FIFO queue the messages of a
//! conversation are one group, in the order of delivery, and a repetition within five minutes is dropped by SQS, since
//! its deduplication id is the event's id. A message that SQS refuses does not touch the others of its request, and is
//! tried again, or given up, alone.
//!
//! A crash in the middle leaves messages sent or not; their deliveries come again. A standard queue then holds a second
//! message, with the same attribute `event_id`.

mod lane;
mod message;
mod options;
mod send;
#[cfg(test)]
mod tests;

pub use options::Options;
pub use send::SqsDestination;
