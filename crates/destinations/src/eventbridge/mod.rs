//! The `eventbridge` kind: each delivery is an event on a bus of Amazon EventBridge, up to ten of them in one request.
//!
//! What it guarantees: a delivery that is reported done was taken over by the bus. An entry that EventBridge refuses does
//! not touch the others of its request, and is tried again, or given up, alone. Templates cannot fail at a bus: what they
//! make is checked against EventBridge's limits before it is sent.
//!
//! A crash in the middle leaves events put or not; their deliveries come again, and a rule may see such an event twice. The
//! resource `aftercall:event:ID` is the same both times.

mod entry;
mod lane;
mod options;
mod send;
mod template;
#[cfg(test)]
mod tests;

pub use options::Options;
pub use send::EventBridgeDestination;
