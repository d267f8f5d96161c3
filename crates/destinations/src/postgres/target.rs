//! Where a destination writes to: the database, the login, and the table as it was last seen.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;
use super::options::{Checked, Options};
use super::refusal;
use super::table::{NoTable, Table};
use super::tls::Tls;
use crate::{OpenError, Secret, SendError};

/// What all connections of a destination share.
pub(super) struct Target {
    pub(super) checked: Checked,
    pub(super) tls: Tls,
    pub(super) timeout: Duration,
    password: Option<Secret>,
    create: bool,
    known: RwLock<Option<Known>>,
    /// Held by who looks at the table; others wait for what it finds.
    looking: tokio::sync::Mutex<()>,
}

/// The table as it was when somebody began to look.
#[derive(Clone)]
struct Known {
    table: Arc<Table>,
    looked: Instant,
}

impl Target {
    pub(super) fn new(options: &Options) -> Result<Self, OpenError> {
        Ok(Self {
            checked: options.check()?,
            tls: Tls::new(options)?,
            timeout: options.timeout,
            password: options.password.clone(),
            create: options.create,
            known: RwLock::default(),
            looking: tokio::sync::Mutex::default(),
        })
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Connection, SendError> {
        // A secret that is missing is missing for every delivery: they wait until it is back.
        let password = self.password.as_ref().map(Secret::get).transpose();
        let password = password.map_err(|error| SendError::transient(error.to_string()))?;
        Connection::open(self, password.as_deref()).await.map_err(|error| refusal::of_all(&error))
    }

    /// The table. With a time, as it was then or later.
    pub(super) async fn table(&self, not_before: Option<Instant>) -> Result<Arc<Table>, SendError> {
        let fresh = || self.known().filter(|known| not_before.is_none_or(|at| known.looked >= at));
        if let Some(known) = fresh() {
            return Ok(known.table);
        }
        let _looking = self.looking.lock().await;
        match fresh() {
            Some(known) => Ok(known.table),
            None => self.look(self.create).await.map_err(|problem| refusal::of_table(&problem)),
        }
    }

    /// Whether another look may find another table than the last one did.
    pub(super) fn may_change(&self) -> bool {
        self.checked.wanted.columns.is_empty()
    }

    /// The table is not what it was.
    pub(super) fn forget(&self) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Looks at the table, and makes it if it is missing and may be made.
    pub(super) async fn look(&self, create: bool) -> Result<Arc<Table>, NoTable> {
        let looked = Instant::now();
        let mut connection = self.connect().await.map_err(NoTable::Unreachable)?;
        let found = connection.look(self, create).await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // The same is kept: what was prepared for it, and rows that wait, go on.
        let table = match known.take() {
            Some(old) if old.table.insert == found.insert && old.table.columns == found.columns => old.table,
            _ => Arc::new(found),
        };
        *known = Some(Known { table: Arc::clone(&table), looked });
        Ok(table)
    }

    /// Whether the table may be made.
    pub(super) fn creates(&self) -> bool {
        self.create
    }

    fn known(&self) -> Option<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
