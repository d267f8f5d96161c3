//! What can be set on a `postgres` destination, and the check of it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::SslMode as Mode;

use super::sql::Name;
use super::value::Kind;
use crate::{OpenError, Secret};

/// Default time for one attempt, connecting included; delivery's own default.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// Default number of connections. One is busy while the other writes; more only help a database that is far away.
pub(super) const DEFAULT_CONNECTIONS: usize = 2;
/// Most connections: a server allows 100 in all by default.
pub(super) const MAX_CONNECTIONS: usize = 32;
/// Default for the rows of a statement. Beyond it a statement is hardly cheaper per row, and its first row waits.
pub(super) const DEFAULT_MAX_ROWS: usize = 500;
/// Most rows of a statement.
pub(super) const MAX_ROWS: usize = 10_000;
/// Default for the bytes of a statement: it is built in memory here and there.
pub(super) const DEFAULT_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Columns of a table: as many as PostgreSQL allows.
const MAX_COLUMNS: usize = 1_600;
/// Schemes of an address.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the database is: `postgres://USER@HOST:PORT/DATABASE`, without a password.
    pub url: String,
    /// The password.
    pub password: Option<Secret>,
    /// Whether and how the connection is encrypted.
    pub ssl: SslMode,
    /// Certificates (PEM) of private authorities to trust besides the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// The table: `NAME` or `SCHEMA.NAME`.
    pub table: String,
    /// The columns that tell rows apart; the table has a unique index on exactly these.
    pub key: Vec<String>,
    /// The columns that are written, with their types. Without any, those of the table that have no default.
    pub columns: BTreeMap<String, String>,
    /// The column that says which of two rows with the same key is newer.
    pub version: Option<String>,
    /// What a row leaves of the one that it updates.
    pub keep: Keep,
    /// The column (jsonb) that takes the members that no column is called after.
    pub extra: Option<String>,
    /// Whether the table is made if it is missing.
    pub create: bool,
    /// How many connections write.
    pub connections: usize,
    /// Most rows of one statement.
    pub max_rows: usize,
    /// Most bytes of one statement; a single row may have more.
    pub max_bytes: usize,
    /// How long one attempt may take, connecting included.
    pub timeout: Duration,
}

/// What a row leaves of the one that it updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Nothing: all columns are those of the newer row.
    #[default]
    Nothing,
    /// What it has no value for. So several kinds of events fill one row. Of two values the newer row's counts, and an older
    /// row fills only what is empty.
    Present,
}

/// Whether and how the connection is encrypted; named as PostgreSQL's own clients name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// Not at all. For loopback addresses, and networks that encrypt by themselves.
    Disable,
    /// Encrypted; who answers is not verified.
    Require,
    /// Encrypted, and the server's certificate and name are verified.
    #[default]
    VerifyFull,
}

impl Options {
    /// The defaults, for a table of a database and the columns that tell its rows apart.
    pub fn new(url: impl Into<String>, table: impl Into<String>, key: Vec<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            ssl: SslMode::default(),
            ca_pem: None,
            table: table.into(),
            key,
            columns: BTreeMap::new(),
            version: None,
            keep: Keep::default(),
            extra: None,
            create: false,
            connections: DEFAULT_CONNECTIONS,
            max_rows: DEFAULT_MAX_ROWS,
            max_bytes: DEFAULT_MAX_BYTES,
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Checks everything that can be known without the database, and takes it apart.
    pub(super) fn check(&self) -> Result<Checked, OpenError> {
        let address = self.address()?;
        if self.ca_pem.is_some() && self.ssl != SslMode::VerifyFull {
            return Err(OpenError::option(
                "ca",
                "is only used with sslmode = \"verify-full\"; set that, or take it out",
            ));
        }
        let table = Name::parse(&self.table).map_err(|problem| OpenError::option("table", problem))?;
        let wanted = self.wanted()?;
        within("connections", self.connections, MAX_CONNECTIONS)?;
        within("max_rows", self.max_rows, MAX_ROWS)?;
        within("max_bytes", self.max_bytes, usize::MAX)?;
        if self.timeout.is_zero() {
            return Err(OpenError::option("timeout", "is zero; give the database some time, such as 5 s"));
        }
        Ok(Checked { address, table, wanted })
    }

    fn address(&self) -> Result<Config, OpenError> {
        let refuse = |problem: String| Err(OpenError::option("url", problem));
        let example = "write postgres://USER@HOST:5432/DATABASE";
        if !SCHEMES.iter().any(|scheme| self.url.starts_with(scheme)) {
            return refuse(format!("is no address of a PostgreSQL database; {example}"));
        }
        if self.url.contains("sslmode=") {
            return refuse("has an `sslmode`; set sslmode = \"verify-full\" beside it instead".to_owned());
        }
        let mut config: Config = match self.url.parse() {
            Ok(config) => config,
            // What is wrong may be the password.
            Err(_) => return refuse(format!("cannot be understood; {example}")),
        };
        if config.get_password().is_some() {
            let cure = "take it out and set password = \"env:NAME\" or \"file:PATH\"";
            return refuse(format!("has a password, which does not stand in the configuration; {cure}"));
        }
        if config.get_hosts().is_empty() {
            return refuse(format!("names no host; {example}"));
        }
        config.ssl_mode(if self.ssl == SslMode::Disable { Mode::Disable } else { Mode::Require });
        Ok(config)
    }

    /// The columns that the table must have.
    fn wanted(&self) -> Result<Wanted, OpenError> {
        if self.key.is_empty() {
            return Err(OpenError::option("key", "names no column; name those that tell rows apart"));
        }
        let mut columns = BTreeMap::new();
        for (name, kind) in &self.columns {
            let kind =
                Kind::parse(kind).map_err(|problem| OpenError::option("columns", format!("`{name}` {problem}")))?;
            columns.insert(name.clone(), kind);
        }
        if let Some(extra) = &self.extra
            && !columns.is_empty()
            && *columns.entry(extra.clone()).or_insert(Kind::Jsonb) != Kind::Jsonb
        {
            return Err(OpenError::option("extra", format!("is `{extra}`, which `columns` does not make a jsonb")));
        }
        if columns.len() > MAX_COLUMNS {
            return Err(OpenError::option("columns", format!("has more than {MAX_COLUMNS}, which PostgreSQL refuses")));
        }
        let named = self.key.iter().map(|key| ("key", key));
        let mut named: Vec<_> = named.chain(self.version.iter().map(|version| ("version", version))).collect();
        named.extend(self.extra.iter().map(|extra| ("extra", extra)));
        for (place, (setting, name)) in named.iter().enumerate() {
            if let Some((other, _)) = named[..place].iter().find(|(_, known)| known == name) {
                return Err(OpenError::option(setting, format!("names `{name}`, which `{other}` names already")));
            }
            if !columns.is_empty() && !columns.contains_key(*name) {
                return Err(OpenError::option(
                    setting,
                    format!("names `{name}`, which is not in `columns`; add it there"),
                ));
            }
        }
        if self.create && columns.is_empty() {
            let cure = "name the columns and their types, such as columns = { id = \"text\" }";
            return Err(OpenError::option("create", format!("is true, but `columns` is missing; {cure}")));
        }
        let keep = self.keep == Keep::Present;
        Ok(Wanted { columns, key: self.key.clone(), version: self.version.clone(), keep, extra: self.extra.clone() })
    }
}

fn within(key: &'static str, value: usize, most: usize) -> Result<(), OpenError> {
    match value {
        0 => Err(OpenError::option(key, "is 0; it must be at least 1")),
        value if value > most => Err(OpenError::option(key, format!("is more than {most}"))),
        _ => Ok(()),
    }
}

/// Options that make sense by themselves.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) address: Config,
    pub(super) table: Name,
    pub(super) wanted: Wanted,
}

/// What the table must have.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Empty: whatever the table has.
    pub(super) columns: BTreeMap<String, Kind>,
    pub(super) key: Vec<String>,
    pub(super) version: Option<String>,
    /// Whether a row leaves what it has no value for.
    pub(super) keep: bool,
    pub(super) extra: Option<String>,
}
