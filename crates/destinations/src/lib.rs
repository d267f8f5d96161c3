//! Where events go: one folder for each kind of destination.
//!
//! A [`Destination`] makes one attempt and says how it ended. It does not retry, keeps no order and knows no queue:
//! that is the business of delivery. Every kind has the same files: `options.rs` (what can be set), `send.rs` (one
//! attempt), `tests.rs` and a `README.md` for its users.

mod batch;
#[cfg(feature = "parquet")]
mod clock;
mod erase;
mod error;
#[cfg(feature = "aws")]
pub mod eventbridge;
#[cfg(feature = "aws")]
#[cfg(test)]
mod fake_aws;
pub mod file;
pub mod http;
pub mod objects;
mod outcomes;
#[cfg(feature = "parquet")]
pub mod parquet;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod recipe;
#[cfg(feature = "aws")]
pub mod sqs;
mod store;
#[cfg(feature = "aws")]
mod told;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use event::{EventId, Timestamp};

pub use erase::{Erased, Erasure, Unerased};
pub use error::{ErrorClass, OpenError, Patience, SendError};
#[cfg(feature = "aws")]
pub use outbound::aws::Access as AwsAccess;
pub use outbound::{Secret, SecretError};
pub use outcomes::{TakesOutcomes, Took};

/// A future that can be sent between threads; it keeps [`Destination`] usable as a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A place that events are delivered to.
///
/// May be called from any number of tasks at once. Dropping the future gives the attempt up; the destination may have
/// got it all the same.
pub trait Destination: Send + Sync {
    /// Makes one attempt. `Ok` means that the destination has taken the delivery over for good.
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>>;

    /// What takes the outcomes of many events at once, where that is cheaper than one by one.
    fn outcomes(&self) -> Option<&dyn TakesOutcomes> {
        None
    }

    /// Whether [`Self::erase`] can erase anything.
    fn erases(&self) -> bool {
        false
    }

    /// Erases what is kept of a conversation, or only counts it, a part at a time; none where nothing can be erased by
    /// this program. It may be asked again, however far it came.
    fn erase(&self, _: Erasure) -> BoxFuture<'_, Result<Option<Erased>, SendError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// What was taken over and is on its way; none where nothing is kept.
    fn standing(&self) -> Option<Standing> {
        None
    }
}

/// One event on its way to one destination.
#[derive(Debug, Clone)]
pub struct OutgoingDelivery {
    /// The event's id; the same at every attempt, so a destination can recognise a repetition by it.
    pub event: EventId,
    /// The source it came in by.
    pub source: Arc<str>,
    /// What kind of event it is; may be empty.
    pub topic: Arc<str>,
    /// The conversation it belongs to.
    pub conversation: Option<Arc<str>>,
    /// When it was received.
    pub received: Timestamp,
    /// An earlier event of its conversation is a dead letter at this destination.
    pub behind_dead: bool,
    /// What to deliver: JSON, as the mapping made it.
    pub payload: Bytes,
    /// Whether it was delivered, or put aside, before and is replayed.
    pub replayed: bool,
    /// The attempt's place among spans, for whoever goes on with the trace; none if there are no traces.
    pub trace: Option<spans::Place>,
}

/// What a destination keeps of its own until it is where it belongs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Deliveries that were taken over.
    pub rows: u64,
    /// Bytes of what they are kept in.
    pub bytes: u64,
    /// Why they are still here, or what else is wrong.
    pub problem: Option<String>,
}

/// How a delivery was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// HTTP status, of destinations that have one.
    pub status: Option<u16>,
}
