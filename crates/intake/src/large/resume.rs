//! Publishes after a start what was accepted before it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest;
use event::{LargeLimits, Splitter};
use tokio::task::spawn_blocking;

use super::publish::Publishing;
use crate::server::{Mode, Shared};
use crate::spool::Spool;

/// Publishes the bodies in these files, one after the other. Stops when the server does.
pub(crate) async fn resume(shared: Arc<Shared>, accepted: Vec<PathBuf>) {
    let Some(spool) = shared.spool.clone() else { return };
    for path in accepted {
        if *shared.mode.borrow() >= Mode::Draining {
            return;
        }
        let file = path.display().to_string();
        let (opening, spool) = (Arc::clone(&shared), Arc::clone(&spool));
        let opened = spawn_blocking(move || open(&opening, &spool, path)).await;
        match opened {
            Ok(Ok(publishing)) => {
                tracing::info!(file, "a batch that was accepted before the start is being published");
                publishing.run().await;
            }
            Ok(Err(error)) => tracing::error!(
                file, %error,
                "a batch that was accepted before the start cannot be published; its sender got no answer and should send \
                 it again, then remove the file"
            ),
            Err(error) => tracing::error!(file, %error, "opening an accepted batch failed by a fault in Aftercall"),
        }
    }
}

/// Makes sure that the file is what was accepted, and looks through it again.
fn open(shared: &Arc<Shared>, spool: &Arc<Spool>, path: PathBuf) -> io::Result<Publishing> {
    let (spooled, head) = spool.reopen(path)?;
    let mut digest = digest::Context::new(&digest::SHA256);
    spooled.stored().for_each(|piece| digest.update(piece))?;
    if digest.finish().as_ref() != head.digest {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the body's checksum is wrong"));
    }
    let splitter = Splitter::new(&head.split);
    let outline = splitter.outline(spooled.stored(), LargeLimits::default()).map_err(io::Error::other)?;
    Ok(Publishing::new(shared, spooled, &head, splitter, outline))
}
