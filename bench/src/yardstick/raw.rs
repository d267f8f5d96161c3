//! Appends bodies to a file and syncs it, once for all that came while the last sync went on.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

type Waiting = Vec<(Bytes, oneshot::Sender<bool>)>;

/// A file with one writer thread.
pub(super) struct Journal(Arc<Inbox>);

#[derive(Default)]
struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

impl Journal {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("opening {}", path.display()))?;
        let inbox = Arc::new(Inbox::default());
        let own = Arc::clone(&inbox);
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || write(file, &own))
            .context("starting the writer")?;
        Ok(Self(inbox))
    }

    /// Appends a body; true when it is durable.
    pub(super) async fn append(&self, body: Bytes) -> bool {
        let (reply, answer) = oneshot::channel();
        let was_empty = {
            let mut waiting = self.0.waiting.lock();
            waiting.push((body, reply));
            waiting.len() == 1
        };
        if was_empty {
            self.0.arrived.notify_one();
        }
        answer.await.unwrap_or(false)
    }
}

fn write(mut file: File, inbox: &Inbox) {
    let mut bytes = Vec::new();
    loop {
        let group: Waiting = {
            let mut waiting = inbox.waiting.lock();
            inbox.arrived.wait_while(&mut waiting, |waiting| waiting.is_empty());
            std::mem::take(&mut *waiting)
        };
        bytes.clear();
        for (body, _) in &group {
            bytes.extend_from_slice(body);
        }
        let durable = file.write_all(&bytes).and_then(|()| file.sync_data()).is_ok();
        for (_, reply) in group {
            // The request may be gone.
            let _ = reply.send(durable);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workplace::Workplace;

    #[test]
    fn what_is_acknowledged_is_in_the_file() {
        let place = Workplace::make(&std::env::temp_dir(), "bench-journal-test").unwrap();
        let path = place.folder().join("journal");
        let journal = Journal::open(&path).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = Bytes::from_static(b"0123456789");
        let all = runtime.block_on(async {
            let (first, second) = tokio::join!(journal.append(body.clone()), journal.append(body.clone()));
            first && second && journal.append(body.clone()).await
        });
        assert!(all);
        assert_eq!(std::fs::read(&path).unwrap(), body.repeat(3));
    }
}
