//! The archive at work beside the other parts.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use archive::{Archive, Store};
use delivery::PutAside;
use event::Timestamp;
use queue::{BoxFuture, Queue, Stored};
use storage::Location;

use super::now;

/// How long it may take to put deliveries aside: well within their lease, or they would be put aside twice.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens the archive, and has the queue keep what is not in it.
pub(crate) async fn open(
    location: Option<Location>,
    dir: &std::path::Path,
    queue: &Arc<dyn Queue>,
) -> anyhow::Result<Option<Arc<Archive>>> {
    let Some(location) = location else { return Ok(None) };
    let opened = tokio::task::spawn_blocking(move || Store::open(&location)).await?;
    let store = opened.map_err(anyhow::Error::msg).context("archive.url")?;
    let archive = Archive::new(store, dir);
    archive.guard(&**queue);
    Ok(Some(archive))
}

/// Exports closed hours until `stop` is ready.
pub(crate) async fn run(archive: Arc<Archive>, queue: Arc<dyn Queue>, stop: impl Future<Output = ()>) {
    archive.run(&*queue, now, stop).await;
}

/// Puts deliveries aside in the archive.
pub(crate) struct Aside(pub(crate) Arc<Archive>);

impl PutAside for Aside {
    fn put_aside(
        &self,
        destination: Arc<str>,
        events: Vec<Arc<Stored>>,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<(), String>> {
        let archive = Arc::clone(&self.0);
        Box::pin(async move {
            match tokio::time::timeout(PATIENCE, archive.put_aside(&destination, &events, now)).await {
                Ok(put) => put.map_err(|error| error.to_string()),
                Err(_) => Err(format!("the archive did not take them within {} s", PATIENCE.as_secs())),
            }
        })
    }
}
