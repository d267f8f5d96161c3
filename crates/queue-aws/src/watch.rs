//! Noticing what other servers do: nobody tells a server that something was published elsewhere, so it looks.
//!
//! The head shows what is published, redriven and replayed. That another server has crashed shows nowhere: its leases
//! end by their time, and retries that it has set fall due. So every destination looks at its state from time to time.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::inner::Inner;

/// How often the head is read: as long does an event wait at most for a server that it did not come in by. It costs a
/// read unit.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After so many looks every destination is told to look itself.
const TELL_ALL_AFTER: u32 = 10;

/// Looks until the queue is closed or gone.
pub(crate) async fn watch(inner: Weak<Inner>) {
    let (mut last, mut looks) = (None, 0);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(inner) = inner.upgrade().filter(|inner| !inner.closed.load(Ordering::SeqCst)) else { return };
        looks += 1;
        // If it cannot be read, whoever wants something of the table is told so.
        let head = inner.head().await.ok().map(|(head, _)| head);
        if head.is_some() && head != last || looks >= TELL_ALL_AFTER {
            looks = 0;
            inner.wired.read().tell_all();
        }
        last = head.or(last);
    }
}
