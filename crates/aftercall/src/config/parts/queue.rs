//! What the queue is opened with. A build without the feature `aws` refuses a queue on AWS, and says so.

use std::path::PathBuf;
use std::time::Duration;

use super::super::ConfigError;
use super::super::file::{DestinationTable, File};
use super::super::queue::{QueueKind, QueueTable};
#[cfg(feature = "aws")]
use super::super::storage::Place;

/// Settings of the queue, wherever it is.
#[derive(Debug)]
pub(crate) struct QueueParts {
    /// The data directory: of the queue itself, or of what a server keeps beside one that is elsewhere.
    pub(crate) dir: PathBuf,
    pub(crate) queue: queue::Options,
    /// For how long the audit trail is kept.
    pub(crate) audit_retention: Duration,
    pub(crate) place: QueuePlace,
}

/// Where the queue is.
#[derive(Debug)]
pub(crate) enum QueuePlace {
    /// In files of the data directory.
    Embedded,
    /// In a table of Amazon DynamoDB.
    #[cfg(feature = "aws")]
    Aws(Box<AwsPlace>),
}

/// A table of DynamoDB.
#[cfg(feature = "aws")]
#[derive(Debug)]
pub(crate) struct AwsPlace {
    pub(crate) table: String,
    pub(crate) access: destinations::AwsAccess,
    /// Where bodies are that are too large for the table.
    pub(crate) bodies: Option<storage::Location>,
}

impl File {
    /// Settings of the queue.
    pub(crate) fn queue_options(&self) -> Result<QueueParts, ConfigError> {
        let mut options = queue::Options::default();
        if let Some(window) = self.queue.dedupe_window {
            options.dedupe_window = window.0;
        }
        if let Some(retention) = self.queue.retention {
            options.retention = retention.0;
        }
        if options.retention < options.dedupe_window {
            return Err(ConfigError::value_with_help(
                "queue.retention",
                "is shorter than queue.dedupe_window, so that a conflict could not be told from a duplicate",
                "make it at least as long",
            ));
        }
        // A lease must outlive every attempt, or a slow destination would get the same event twice at once.
        let longest = self.destinations.values().filter_map(DestinationTable::attempt).max();
        options.times.lease = options.times.lease.max(longest.unwrap_or_default() * 2);
        let waits = self.destinations.values().filter_map(DestinationTable::longest_wait).max();
        options.times.longest_wait = options.times.longest_wait.max(waits.unwrap_or_default());
        let audit_retention = self.audit.retention.map_or(queue_sqlite::Options::AUDIT_RETENTION, |time| time.0);
        let place = place(&self.queue)?;
        self.check_body_sizes()?;
        Ok(QueueParts { dir: self.data_dir(), queue: options, audit_retention, place })
    }
}

impl File {
    /// Bytes of a body that the queue takes, if that is less than what intake takes without a setting.
    pub(super) fn body_bytes_of_queue(&self) -> Option<usize> {
        #[cfg(feature = "aws")]
        if self.queue.kind == QueueKind::Aws && self.queue.bodies.url.is_none() {
            return Some(queue_aws::BODY_BYTES_MAX);
        }
        None
    }

    /// Refuses limits of bodies beyond what the queue takes: their senders would be told to try again, in vain.
    fn check_body_sizes(&self) -> Result<(), ConfigError> {
        let Some(most) = self.body_bytes_of_queue() else { return Ok(()) };
        let of_sources = self.sources.iter().map(|(name, table)| (format!("sources.{name}.max_body"), table.max_body));
        let mut all = of_sources.chain([("intake.limits.body".to_owned(), self.intake.limits.body)]);
        match all.find(|(_, size)| size.is_some_and(|size| size.0 > most)) {
            Some((key, _)) => Err(ConfigError::value_with_help(
                key,
                format!("is more than the {most} bytes that an item of DynamoDB takes"),
                "name a bucket for what is larger in [queue.bodies], or make it smaller",
            )),
            None => Ok(()),
        }
    }
}

fn place(table: &QueueTable) -> Result<QueuePlace, ConfigError> {
    match table.kind {
        QueueKind::Embedded => embedded(table),
        QueueKind::Aws => aws(table),
    }
}

fn embedded(table: &QueueTable) -> Result<QueuePlace, ConfigError> {
    let keys = [
        ("table", table.table.is_some()),
        ("region", table.region.is_some()),
        ("endpoint", table.endpoint.is_some()),
        ("access_key", table.access_key.is_some()),
        ("secret_key", table.secret_key.is_some()),
        ("bodies", table.bodies != Default::default()),
    ];
    match keys.iter().find(|(_, set)| *set) {
        Some((key, _)) => Err(ConfigError::value(
            format!("queue.{key}"),
            "means something for kind = \"aws\" only; remove it, or set that kind",
        )),
        None => Ok(QueuePlace::Embedded),
    }
}

#[cfg(not(feature = "aws"))]
fn aws(_: &QueueTable) -> Result<QueuePlace, ConfigError> {
    Err(ConfigError::value_with_help(
        "queue.kind",
        "is \"aws\", which this build of aftercall cannot do",
        "use a build with the cargo feature `aws`: cargo build --release --features aws",
    ))
}

#[cfg(feature = "aws")]
fn aws(table: &QueueTable) -> Result<QueuePlace, ConfigError> {
    use super::super::aws::{Keys, access};

    /// What DynamoDB takes as a name.
    const NAME_CHARS: std::ops::RangeInclusive<usize> = 3..=255;

    let name = table.table_name();
    let is_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !NAME_CHARS.contains(&name.len()) || !name.chars().all(is_char) {
        return Err(ConfigError::value_with_help(
            "queue.table",
            format!("`{name}` is no name of a table"),
            "write 3 to 255 letters, digits, `_`, `-` and `.`, without the address or the account",
        ));
    }
    let keys = Keys {
        region: table.region.as_deref(),
        endpoint: table.endpoint.as_deref(),
        access_key: table.access_key.as_deref(),
        secret_key: table.secret_key.as_deref(),
    };
    let access = access("queue", &keys)?;
    Ok(QueuePlace::Aws(Box::new(AwsPlace { table: name.to_owned(), access, bodies: bodies(table)? })))
}

/// Where large bodies are: what is not said there is what the queue's table says.
#[cfg(feature = "aws")]
fn bodies(table: &QueueTable) -> Result<Option<storage::Location>, ConfigError> {
    let bodies = &table.bodies;
    let has_key = bodies.access_key.is_some() || bodies.secret_key.is_some();
    let place = |whole: bool| Place {
        at: "queue.bodies".to_owned(),
        url: bodies.url.as_ref(),
        endpoint: bodies.endpoint.as_ref(),
        region: bodies.region.as_ref().or(table.region.as_ref().filter(|_| whole)),
        access_key: bodies.access_key.as_ref().or(table.access_key.as_ref().filter(|_| whole && !has_key)),
        secret_key: bodies.secret_key.as_ref().or(table.secret_key.as_ref().filter(|_| whole && !has_key)),
    };
    let Some(url) = &bodies.url else {
        place(false).refuse_bucket_keys("means nothing without queue.bodies.url")?;
        return Ok(None);
    };
    let help = "write \"s3://BUCKET/PREFIX\", which all servers reach";
    if !url.starts_with("s3://") {
        return Err(ConfigError::value_with_help("queue.bodies.url", format!("`{url}` is no bucket of S3"), help));
    }
    place(true).location().map(Some)
}
