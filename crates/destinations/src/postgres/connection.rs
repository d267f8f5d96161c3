//! One connection: how it is made, what is set on it, and that a statement which nobody waits for any more is cancelled.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement};

use super::row::Row;
use super::table::{self, NoTable, Table};
use super::target::Target;
use super::tls::Tls;
use super::value::Value;

/// How long a statement may take to be cancelled; then the connection is cut, and the server ends the statement by its
/// own `statement_timeout`.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection, and what is prepared on it.
pub(super) struct Connection {
    client: Client,
    driver: AbortHandle,
    tls: Tls,
    /// A statement is under way.
    busy: bool,
    prepared: Option<(Arc<Table>, Statement)>,
}

impl Connection {
    /// Connects, logs in, and sets what every statement goes by.
    pub(super) async fn open(target: &Target, password: Option<&str>) -> Result<Self, Error> {
        let mut config = target.checked.address.clone();
        if let Some(password) = password {
            config.password(password);
        }
        config.connect_timeout(target.timeout).tcp_user_timeout(target.timeout);
        config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE / 3).keepalives_retries(3);
        if config.get_application_name().is_none() {
            config.application_name("aftercall");
        }
        let (client, connection) = config.connect(target.tls.clone()).await?;
        // Why it ended is told by the statements on it.
        let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        let mut made = Self { client, driver, tls: target.tls.clone(), busy: true, prepared: None };
        made.client.batch_execute(&settings(target.timeout)).await?;
        made.busy = false;
        Ok(made)
    }

    /// Whether the other side is known to be gone.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Looks at the table.
    pub(super) async fn look(&mut self, target: &Target, create: bool) -> Result<Table, NoTable> {
        self.busy = true;
        let found = table::look(&self.client, &target.checked, create).await;
        self.busy = false;
        found
    }

    /// Gets ready to write rows of a table.
    pub(super) async fn prepare(&mut self, table: &Arc<Table>) -> Result<(), Error> {
        if self.prepared.as_ref().is_some_and(|(prepared, _)| Arc::ptr_eq(prepared, table)) {
            return Ok(());
        }
        self.busy = true;
        let statement = self.client.prepare(&table.insert).await;
        self.busy = false;
        self.prepared = Some((Arc::clone(table), statement?));
        Ok(())
    }

    /// Writes rows of the table that it is ready for, all or none.
    pub(super) async fn insert(&mut self, rows: &[&Row]) -> Result<(), Error> {
        let Some((table, statement)) = &self.prepared else { return Ok(()) };
        let column = |place: usize| rows.iter().map(|row| row.values[place].as_ref()).collect();
        let columns: Vec<Vec<Option<&Value>>> = (0..table.columns.len()).map(column).collect();
        let parameters: Vec<&(dyn ToSql + Sync)> = columns.iter().map(|column| column as _).collect();
        self.busy = true;
        let written = self.client.execute(statement, &parameters).await;
        self.busy = false;
        written.map(drop)
    }
}

/// With three more tries it is found out within a minute that the other side is gone, however long nothing is sent.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// A row's lock is waited for so long: this part of the timeout, so that there is time to find the row and to write the
/// others.
const LOCK_SHARE: u32 = 10;

/// What every statement goes by, whatever is set for the user or the database. Notices, which a trigger may fill with values,
/// are not even sent.
fn settings(timeout: Duration) -> String {
    let (statement, lock) = (timeout.as_millis().max(1), (timeout / LOCK_SHARE).as_millis().max(1));
    format!(
        "SET client_min_messages = error; SET statement_timeout = {statement}; SET lock_timeout = {lock}; \
         SET timezone = 'UTC'; SET datestyle = 'ISO'; \
         SELECT pg_catalog.set_config('synchronous_commit', 'on', false) \
         WHERE pg_catalog.current_setting('synchronous_commit') = 'off'"
    )
}

impl Drop for Connection {
    /// Idle, it ends by itself when its client is dropped. In the middle of a statement that is cancelled first, so that
    /// it does not hold its locks until it is done, and nobody can use the connection after it.
    fn drop(&mut self) {
        if !self.busy {
            return;
        }
        let (token, tls, driver) = (self.client.cancel_token(), self.tls.clone(), self.driver.clone());
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                // Whether it was in time shows in the database only.
                let _ = tokio::time::timeout(CANCEL_TIMEOUT, token.cancel_query(tls)).await;
                driver.abort();
            })),
            Err(_) => driver.abort(),
        }
    }
}
