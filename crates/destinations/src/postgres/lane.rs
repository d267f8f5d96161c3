//! One connection at work: writes the batches of its keys, one after the other.

use std::sync::{Arc, Mutex, PoisonError};

use super::connection::Connection;
use super::fold::{self, Group, Round};
use super::refusal::{self, Verdict};
use super::row::Row;
use super::table::Table;
use super::target::Target;
use crate::batch::{Batch, Batched};
use crate::{BoxFuture, Receipt, SendError};

/// After so many single rows that failed in a row, for reasons that may be anybody's, it is not the rows.
const UNCLEAR_MAX: usize = 3;

/// A connection, while nobody uses it. What is in the middle of a statement is never put back here.
pub(super) struct Lane {
    target: Arc<Target>,
    idle: Mutex<Option<Connection>>,
}

impl Lane {
    pub(super) fn new(target: Arc<Target>) -> Self {
        Self { target, idle: Mutex::default() }
    }

    async fn write(&self, batch: &mut Batch<Row>) -> Result<(), SendError> {
        let Some(last) = batch.len().checked_sub(1) else { return Ok(()) };
        let table = Arc::clone(&batch.item(last).table);
        let mut connection = self.connection(&table).await?;
        let mut pending = Vec::with_capacity(batch.len());
        for place in 0..batch.len() {
            match Arc::ptr_eq(&batch.item(place).table, &table) {
                true => pending.push(place),
                false => batch.settle(place, Err(SendError::transient("the table has changed; the row is made anew"))),
            }
        }
        while !pending.is_empty() {
            let Round { groups, later } = fold::round(&pending, |place| batch.item(place));
            pending = later;
            pending.extend(self.write_round(&mut connection, batch, groups).await?);
            pending.sort_unstable();
        }
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        Ok(())
    }

    /// Writes rows in one statement if they are all good, else in as few as it takes to find the bad ones. Gives the
    /// places of rows that a refused one stood for: they have yet to be written.
    async fn write_round(
        &self,
        connection: &mut Connection,
        batch: &mut Batch<Row>,
        groups: Vec<Group>,
    ) -> Result<Vec<usize>, SendError> {
        let mut uncovered = Vec::new();
        let alone = groups.len() == 1;
        // Single rows that have failed in an unclear way since a statement succeeded.
        let mut unclear = 0;
        let mut parts = vec![groups];
        while let Some(mut part) = parts.pop() {
            let rows: Vec<&Row> = part.iter().map(|group| batch.item(group.write)).collect();
            let Err(error) = connection.insert(&rows).await else {
                part.iter().for_each(|group| settle(batch, group, &Ok(Receipt::default())));
                unclear = 0;
                continue;
            };
            if refusal::is_of_the_table(&error) {
                self.target.forget();
            }
            match (refusal::verdict(&error), &part[..]) {
                (Verdict::All, _) => return Err(refusal::of_all(&error)),
                (Verdict::Unclear, [_]) if alone || unclear + 1 == UNCLEAR_MAX => return Err(refusal::of_all(&error)),
                (Verdict::Unclear, [group]) => {
                    unclear += 1;
                    settle(batch, group, &Err(refusal::of_all(&error)));
                }
                (Verdict::Row, [group]) => {
                    batch.settle(group.write, Err(refusal::of_row(&error)));
                    uncovered.extend(&group.covers);
                }
                (Verdict::RowForNow, [group]) => settle(batch, group, &Err(refusal::of_row_for_now(&error))),
                (Verdict::Row | Verdict::RowForNow | Verdict::Unclear, _) => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
            }
        }
        Ok(uncovered)
    }

    /// The connection of before, or a new one, ready to write rows of the table.
    async fn connection(&self, table: &Arc<Table>) -> Result<Connection, SendError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut connection = match idle.filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => self.target.connect().await?,
        };
        connection.prepare(table).await.map_err(|error| {
            if refusal::is_of_the_table(&error) {
                self.target.forget();
            }
            refusal::of_all(&error)
        })?;
        Ok(connection)
    }
}

/// The row that was written, and those that it stands for.
fn settle(batch: &mut Batch<Row>, group: &Group, result: &Result<Receipt, SendError>) {
    for place in group.covers.iter().chain([&group.write]) {
        batch.settle(*place, result.clone());
    }
}

impl Batched for Lane {
    type Item = Row;

    fn run<'a>(&'a self, batch: &'a mut Batch<Row>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let timeout = self.target.timeout;
            match tokio::time::timeout(timeout, self.write(batch)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => batch.fail(&error),
                Err(_) => batch.fail(&super::send::no_answer(timeout)),
            }
        })
    }
}
