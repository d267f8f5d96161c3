//! What watches a running server: alarms, and who is told of them.
//!
//! [`alarms`] decides: a [`Reading`](alarms::Reading) of the server, the [`State`](alarms::State) so far and the time go
//! in, and notices come out: an alarm opened, changed, or is resolved. It is pure. [`notifier`] tells: each notifier has
//! an outbox and a task of its own, so one that hangs delays no other. [`store`] keeps both over a restart.
//! [`rounds`] is for those who keep nothing in memory between two readings.
//!
//! A crash at any point leaves the last saved file behind. What was not confirmed by a notifier is told again.

pub mod alarms;
pub mod notifier;
pub mod rounds;
pub mod store;

use std::future::Future;
use std::pin::Pin;

/// A future that can be sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
