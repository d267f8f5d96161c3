//! One attempt: makes a row of the payload, and waits until the statement that it is in is committed.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::lane::Lane;
use super::options::Options;
use super::refusal;
use super::row::{Misfit, Row};
use super::table::NoTable;
use super::target::Target;
use crate::batch::{Batcher, Limits};
use crate::{BoxFuture, Destination, OpenError, OutgoingDelivery, Receipt, SendError};

/// How long the look at the table may take when the destination is opened. A database that does not answer within it
/// counts as down: the server starts all the same, and deliveries wait.
const FIRST_LOOK: Duration = Duration::from_secs(3);
/// Rows that wait or are under way on one connection, for each row of a statement: those that are written, and those that
/// gather meanwhile.
const WAITING_BATCHES: usize = 2;

/// A table of PostgreSQL. Cheap to clone.
#[derive(Clone)]
pub struct PostgresDestination(Arc<Inner>);

struct Inner {
    target: Arc<Target>,
    /// Each key has one, so the statements that write a row come one after the other, in the order of arrival.
    lanes: Vec<Batcher<Lane>>,
}

impl PostgresDestination {
    /// Checks the options, and the table if the database can be reached: makes it if it is missing and may be made, and
    /// refuses one that does not fit. Blocks for up to three seconds.
    ///
    /// # Errors
    /// What is wrong with an option or with the table. A database that cannot be reached is no error.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let target = Target::new(&options)?;
        // Down, or somebody has to mend it: deliveries wait, and say why.
        let _unseen = first_look(&target, target.creates())?;
        let target = Arc::new(target);
        let limits =
            Limits { items: options.max_rows, bytes: options.max_bytes, waiting: options.max_rows * WAITING_BATCHES };
        let lane = |_| Batcher::new(Lane::new(Arc::clone(&target)), limits);
        let lanes = (0..options.connections).map(lane).collect();
        Ok(Self(Arc::new(Inner { target, lanes })))
    }

    /// Whether [`Self::open`] would do it. Makes no table. Returns why the database cannot be asked, if so: deliveries would
    /// wait.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn check(options: &Options) -> Result<Option<String>, OpenError> {
        first_look(&Target::new(options)?, false)
    }
}

/// Looks at the table on a thread of its own: whoever opens a destination may or may not be inside a runtime. Returns why
/// it could not, if so.
fn first_look(target: &Target, create: bool) -> Result<Option<String>, OpenError> {
    let within = FIRST_LOOK.min(target.timeout);
    match blocking(async { timeout(within, target.look(create)).await })? {
        Ok(Ok(_)) => Ok(None),
        // It will be made.
        Ok(Err(NoTable::Missing(_))) if target.creates() => Ok(None),
        Ok(Err(NoTable::Missing(problem) | NoTable::Misfit(problem))) => Err(OpenError::place("table", problem)),
        Ok(Err(problem @ (NoTable::Database(_) | NoTable::Unreachable(_)))) => {
            Ok(Some(refusal::of_table(&problem).message))
        }
        Err(_) => Ok(Some(no_answer(within).message)),
    }
}

fn blocking<T: Send>(work: impl Future<Output = T> + Send) -> Result<T, OpenError> {
    let failed = |detail: String| OpenError::Client { detail };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(work)).map_err(|error| error.to_string())
        });
        thread.join().map_err(|_| failed("the first look at the table ended early".to_owned()))?.map_err(failed)
    })
}

impl Inner {
    async fn attempt(&self, payload: &[u8]) -> Result<Receipt, SendError> {
        let came = Instant::now();
        let table = self.target.table(None).await?;
        let row = match Row::new(&table, payload) {
            // A column may have been added since, or changed.
            Err(Misfit::Unknown(_) | Misfit::Member { .. }) if self.target.may_change() => {
                let table = self.target.table(Some(came)).await?;
                Row::new(&table, payload)
            }
            made => made,
        };
        let row = row.map_err(refusal::of_payload)?;
        let lane = lane(&row.key, self.lanes.len());
        self.lanes[lane].send(row, payload.len()).await
    }
}

/// The place of the connection that writes a key.
fn lane(key: &[u8], lanes: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    // Fewer than there are lanes.
    (hasher.finish() % lanes.max(1) as u64) as usize
}

pub(super) fn no_answer(within: Duration) -> SendError {
    SendError::transient(format!("PostgreSQL has not answered within {} s", within.as_secs_f32()))
}

impl Destination for PostgresDestination {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        Box::pin(async move {
            let within = self.0.target.timeout;
            timeout(within, self.0.attempt(&delivery.payload)).await.unwrap_or_else(|_| Err(no_answer(within)))
        })
    }
}
