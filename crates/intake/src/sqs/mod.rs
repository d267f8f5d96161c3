//! Sources that are queues of Amazon SQS: asked by long polls, for what an EventBridge rule puts there.
//!
//! What it guarantees: a message is deleted only after its events are durable, or after it is a dead letter because it
//! cannot be read. While publishing has to wait, for a disk that is full for example, the messages that were received stay
//! invisible to others and are tried again in their order, so a FIFO queue's order is the order of publishing. A message
//! that SQS hands out twice is a duplicate like any other. Never more than `concurrency` times ten messages are in memory.
//!
//! A crash between the two leaves a message in the queue whose events are durable: it comes again when its visibility
//! timeout is over, is known, and is deleted then. At a stop, what was received is published and deleted; what cannot be
//! is given back to the queue.

mod options;
mod outage;
mod pollers;
mod queue;
mod receiver;

pub use options::{CONCURRENCY_MAX, MESSAGES_MAX, SqsQueue, VISIBILITY_MAX, VISIBILITY_MIN, WAIT_MAX};
pub(crate) use pollers::poll;
