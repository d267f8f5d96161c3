//! Opening both queues of a move, with the same destinations and routes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use queue::moving::{Move, Shared, Standing};
use queue::{ConsumerId, Queue};

use super::Store;
use crate::config::{Parts, QueueParts, QueuePlace};
use crate::router::Table;
use crate::serve::{self, store};

/// The database of the embedded queue in its directory.
const DATABASE: &str = "queue.db";
/// Where a server notes how far its archive has come.
const ARCHIVE: &str = "archive.json";

/// Both queues, open.
pub(super) struct Both {
    pub(super) from: Arc<dyn Queue>,
    pub(super) to: Arc<dyn Queue>,
    pub(super) shared: Vec<Shared>,
    /// The dedupe window.
    pub(super) window: Duration,
    names: (Arc<str>, Arc<str>),
}

impl Both {
    pub(super) async fn open(from: Store, parts: &mut Parts) -> anyhow::Result<Self> {
        let aws = &parts.queue;
        let table = table_of(aws)?;
        let QueueParts { dir, queue, audit_retention, .. } = aws;
        let embedded = QueueParts {
            dir: dir.clone(),
            queue: *queue,
            audit_retention: *audit_retention,
            place: QueuePlace::Embedded,
        };
        let shown = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
        let here = Arc::from(format!("the data directory {}", shown.display()));
        let there = Arc::from(format!("the table `{table}`"));
        if parts.archive.is_some() {
            fits_archive(dir)?;
        }
        let (from, to, names) = match from {
            Store::Sqlite => {
                ensure!(
                    dir.join(DATABASE).is_file(),
                    "{} has no queue: name the data directory of the server in the configuration or with --data",
                    shown.display()
                );
                (store::open_any(&embedded).await?, store::open_any(aws).await?, (here, there))
            }
            // The embedded one first, because it locks the directory.
            Store::Aws => {
                let to = store::open_any(&embedded).await?;
                (store::open_any(aws).await?, to, (there, here))
            }
        };
        let window = queue.dedupe_window;
        let shared = configure(&from, &to, parts).await?;
        Ok(Self { from, to, shared, window, names })
    }

    /// The move that is begun now, if none is under way.
    pub(super) fn the_move(&self) -> Move {
        Move { from: Arc::clone(&self.names.0), to: Arc::clone(&self.names.1), began: serve::now() }
    }

    pub(super) fn to_name(&self) -> &str {
        &self.names.1
    }

    /// Whether everything was moved before, and only the other queue does not say so yet.
    pub(super) async fn has_moved(&self) -> anyhow::Result<bool> {
        Ok(matches!(Standing::of(&*self.from).await?, Some(Standing::MovedTo(_))))
    }

    /// Takes over all destinations of a queue that servers share, and refuses when another one delivers to one: what it
    /// delivers now would be delivered again.
    pub(super) async fn refuse_other_servers(&self) -> anyhow::Result<()> {
        for Shared { name, from, .. } in &self.shared {
            // Leases nothing.
            self.from.lease(*from, 0, serve::now()).await?;
            if self.from.stands_by(*from) {
                bail!(
                    "another server delivers to `{name}`: stop all servers on {}; one that was killed is given up after 45 s",
                    self.names.0
                );
            }
        }
        Ok(())
    }

    pub(super) async fn close(&self) -> anyhow::Result<()> {
        self.from.close().await.with_context(|| format!("closing {}", self.names.0))?;
        self.to.close().await.with_context(|| format!("closing {}", self.names.1))
    }
}

/// The name of the table on AWS.
#[cfg(feature = "aws")]
fn table_of(parts: &QueueParts) -> anyhow::Result<&str> {
    match &parts.place {
        QueuePlace::Aws(place) => Ok(&place.table),
        QueuePlace::Embedded => bail!(
            "the configuration names no queue on AWS: write kind = \"aws\" and its table into [queue], for a move in either \
             direction"
        ),
    }
}

#[cfg(not(feature = "aws"))]
fn table_of(_: &QueueParts) -> anyhow::Result<&str> {
    bail!("this build of aftercall has no queue on AWS: use one with the cargo feature `aws`")
}

/// The places of an archive are those of one queue.
fn fits_archive(dir: &Path) -> anyhow::Result<()> {
    let noted = dir.join(ARCHIVE);
    ensure!(
        !noted.exists(),
        "{} says how far the archive has come, in places of the old queue, which mean something else in the new one: let \
         [archive] name another folder, and put that file away once the last hour is exported (`aftercall archive export`)",
        noted.display()
    );
    Ok(())
}

async fn configure(from: &Arc<dyn Queue>, to: &Arc<dyn Queue>, parts: &mut Parts) -> anyhow::Result<Vec<Shared>> {
    let names: Vec<Arc<str>> = parts.destinations.iter().map(|parts| Arc::clone(&parts.name)).collect();
    let table = Arc::new(Table::new(names.clone(), std::mem::take(&mut parts.routes), Arc::default()));
    let mut ids: Vec<Vec<ConsumerId>> = Vec::new();
    for queue in [from, to] {
        ids.push(serve::configure(queue, &parts.destinations, &table).await.map_err(anyhow::Error::msg)?);
    }
    let pairs = names.into_iter().zip(ids[0].iter().zip(&ids[1]));
    Ok(pairs.map(|(name, (from, to))| Shared { name, from: *from, to: *to }).collect())
}
