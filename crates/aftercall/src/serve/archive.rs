//! The archive at work beside the other parts.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use archive::{Archive, Error, Store};
use delivery::{Group, Last, NotPutAside, PutAside};
use queue::{BoxFuture, Queue, Seq};
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
pub(crate) struct Aside {
    pub(crate) archive: Arc<Archive>,
    pub(crate) queue: Arc<dyn Queue>,
}

impl PutAside for Aside {
    fn put_aside(&self, group: Group) -> BoxFuture<'static, Result<Arc<str>, NotPutAside>> {
        let (archive, queue) = (Arc::clone(&self.archive), Arc::clone(&self.queue));
        Box::pin(async move {
            let Group { destination, events, erasures, now } = group;
            let at_work = Arc::clone(&archive);
            // On a task that goes on to its end when nobody waits any more, so that an erasure knows that it is writing.
            let work = async move { at_work.put_aside(&*queue, &destination, &events, erasures, now).await };
            let late = || Error::Unreachable(format!("it did not take them within {} s", PATIENCE.as_secs()));
            let put = match tokio::time::timeout(PATIENCE, tokio::spawn(work)).await {
                Ok(ended) => ended.unwrap_or_else(|error| Err(Error::Unreachable(error.to_string()))),
                Err(_) => Err(late()),
            };
            match put {
                Ok(part) => {
                    archive.put_aside_ended(None, now);
                    Ok(Arc::from(part))
                }
                Err(Error::Erased) => Err(NotPutAside::Erased),
                Err(error) => {
                    archive.put_aside_ended(Some(&error), now);
                    Err(NotPutAside::Failed(error.to_string()))
                }
            }
        })
    }

    fn last(&self, destination: Arc<str>) -> BoxFuture<'static, Result<Option<Last>, String>> {
        let archive = Arc::clone(&self.archive);
        Box::pin(async move {
            let last = archive.last_put_aside(&destination).await.map_err(|error| error.to_string())?;
            let last = last
                .map(|(part, places)| Last { part: Arc::from(part), places: places.into_iter().map(Seq).collect() });
            Ok(last)
        })
    }
}
