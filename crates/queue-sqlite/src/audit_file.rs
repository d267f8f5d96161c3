//! Reading the audit trail of a data directory without its server: `aftercall audit --data DIR`.

use std::path::Path;

use queue::AuditPage;
use rusqlite::Connection;

use crate::failure::Failed;
use crate::{schema, trail};

/// The audit trail of a data directory, which may be in use.
#[derive(Debug)]
pub struct AuditFile(Connection);

impl AuditFile {
    /// Opens it to read.
    ///
    /// # Errors
    /// When there is no queue of the present format in the directory.
    pub fn open(dir: &Path) -> Result<Self, Failed> {
        schema::open_reader(dir).map(Self)
    }

    /// The blocks behind this number, at most so many.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn page(&self, after: u64, max: usize) -> Result<AuditPage, Failed> {
        trail::page(&self.0, after, max)
    }
}
