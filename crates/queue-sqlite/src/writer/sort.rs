//! Sorting identities, beside the commits.

use std::sync::Arc;
use std::thread;

use super::Writer;
use crate::dedupe;
use crate::inbox::Op;
use crate::options::SORT_NICENESS;

impl Writer {
    /// Has a full table of identities sorted by a thread of its own.
    pub(super) fn sort(&self, number: i64, table: Arc<dedupe::Table>) {
        let shared = Arc::clone(&self.shared);
        let sort = move || {
            let sealed = dedupe::sort(number, &table);
            // Fails only when the queue is closed; the identities are still in their log then.
            let _ = shared.inbox.submit(Op::Sealed(Box::new(sealed)));
        };
        let aside = sort.clone();
        let started = thread::Builder::new().name("queue-sort".to_owned()).spawn(move || {
            // Nobody waits for it, and requests need the processor. Without the right to do so it is only less polite.
            let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), SORT_NICENESS);
            aside();
        });
        if started.is_err() {
            // No thread to be had: commits wait for a tenth of a second.
            sort();
        }
    }
}
