//! The bar of a move.

use indicatif::ProgressBar;
use queue::moving::Tally;
use queue::{Queue, QueueError};

use crate::{output, serve};

/// How far a move has come, of what there was at its begin.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) async fn begin(from: &dyn Queue) -> anyhow::Result<Self> {
        let retained: Result<u64, QueueError> = from.status(serve::now()).await.map(|status| status.retained);
        Ok(Self { bar: output::bar(retained?, "moving")? })
    }

    pub(super) fn show(&self, tally: &Tally) {
        if self.bar.length().is_some_and(|length| length < tally.looked_at) {
            self.bar.set_length(tally.looked_at);
        }
        self.bar.set_position(tally.looked_at);
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
