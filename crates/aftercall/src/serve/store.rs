//! Where the queue is: in the data directory, or in a table on AWS. Opened here, whoever asks.
//!
//! A queue on AWS is shared, and what a server keeps beside it is not: the quarantine, the spool, pauses, tokens, the state
//! of alarms and of the archive stay in its own data directory, which it locks as the embedded queue does.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use queue::Queue;
use queue::moving::Standing;
use queue_sqlite::SqliteQueue;

use crate::config::{QueueParts, QueuePlace};

/// The name of the file that the embedded queue locks; two servers of different kinds share no directory either.
const LOCK: &str = "queue.lock";

/// Opens the queue to work on it. One on AWS is asked once, so that a table that is not there is told at the start. One that
/// is a part of a move is refused.
pub(crate) async fn open(parts: &QueueParts) -> anyhow::Result<Arc<dyn Queue>> {
    let queue = open_any(parts).await?;
    refuse_moving(&*queue).await?;
    Ok(queue)
}

/// Refuses a queue that is a part of a move: two would work on the same events.
async fn refuse_moving(queue: &dyn Queue) -> anyhow::Result<()> {
    match Standing::of(queue).await? {
        Some(standing) => anyhow::bail!(standing.refusal()),
        None => Ok(()),
    }
}

/// Opens the queue, whatever is done with it.
pub(crate) async fn open_any(parts: &QueueParts) -> anyhow::Result<Arc<dyn Queue>> {
    match &parts.place {
        QueuePlace::Embedded => {
            let options = queue_sqlite::Options {
                dir: parts.dir.clone(),
                queue: parts.queue,
                audit_retention: parts.audit_retention,
            };
            let opened = tokio::task::spawn_blocking(move || SqliteQueue::open(&options)).await?;
            Ok(Arc::new(opened.with_context(|| format!("opening the queue in {}", parts.dir.display()))?))
        }
        #[cfg(feature = "aws")]
        QueuePlace::Aws(place) => Ok(Arc::new(table(parts, place).await?)),
    }
}

/// Opens the queue in a table to work on it.
#[cfg(feature = "lambda")]
pub(crate) async fn open_table(
    parts: &QueueParts,
    place: &crate::config::AwsPlace,
) -> anyhow::Result<queue_aws::AwsQueue> {
    let queue = table(parts, place).await?;
    refuse_moving(&queue).await?;
    Ok(queue)
}

#[cfg(feature = "aws")]
async fn table(parts: &QueueParts, place: &crate::config::AwsPlace) -> anyhow::Result<queue_aws::AwsQueue> {
    let client = client(place).await;
    let ownership = Some(queue_aws::OWNERSHIP);
    let options = queue_aws::Options {
        queue: parts.queue,
        table: place.table.clone(),
        ownership,
        bodies: bodies(place)?,
        audit_retention: parts.audit_retention,
    };
    let opened = queue_aws::AwsQueue::open(&client, options)?;
    opened.probe().await.with_context(|| format!("opening the queue in the table `{}`", place.table))?;
    Ok(opened)
}

/// The bucket of what is too large for the table.
#[cfg(feature = "aws")]
fn bodies(place: &crate::config::AwsPlace) -> anyhow::Result<Option<queue_aws::Bodies>> {
    use queue_aws::{Bodies, INLINE_BYTES, UNUSED_FOR};

    /// A sender waits for it.
    const PATIENCE: storage::Patience = storage::Patience { timeout: std::time::Duration::from_secs(15), retries: 3 };

    let Some(location) = &place.bodies else { return Ok(None) };
    let store = location.open(PATIENCE).context("queue.bodies")?;
    Ok(Some(Bodies { store, inline_bytes: INLINE_BYTES, unused_for: UNUSED_FOR }))
}

/// Asks the service that a queue on AWS is in.
#[cfg(feature = "aws")]
pub(crate) async fn client(place: &crate::config::AwsPlace) -> queue_aws::Client {
    queue_aws::Client::new(&place.access.config(queue_aws::OPERATION_TIME).await)
}

/// A data directory beside a queue that is elsewhere; locked for as long as this exists, however the process ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    _lock: Option<File>,
}

impl DataDir {
    /// Makes and locks it, unless the queue does. Blocks on the disk.
    pub(crate) fn take(parts: &QueueParts) -> anyhow::Result<Self> {
        match parts.place {
            QueuePlace::Embedded => Ok(Self { _lock: None }),
            #[cfg(feature = "aws")]
            QueuePlace::Aws(_) => Ok(Self { _lock: Some(lock(&parts.dir)?) }),
        }
    }
}

#[cfg_attr(
    not(feature = "aws"),
    expect(dead_code, reason = "only a queue that is elsewhere leaves this to the server")
)]
fn lock(dir: &Path) -> anyhow::Result<File> {
    let failed = || format!("{}: it must be a directory that the user who runs Aftercall can write to", dir.display());
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(failed)?;
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(dir.join(LOCK));
    let file = file.with_context(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(error).with_context(failed),
        Err(TryLockError::WouldBlock) => anyhow::bail!(
            "{} is in use by another Aftercall; stop it, or name another data_dir: each server has its own",
            dir.display()
        ),
    }
}
