//! Waiting for the queue's own threads in the middle of a step.

/// Waits for a future that threads of the queue complete. Of the runtime's budget for the task it takes nothing: once that
/// is used up, the runtime would want the task to yield, which it cannot do here, and wait for that for ever.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    futures::executor::block_on(tokio::task::unconstrained(future))
}
