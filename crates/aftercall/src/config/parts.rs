//! From the file's tables to the parts that the server is made of. Whatever cannot be made says which key is wrong.

mod alarms;
mod alone;
mod archive;
mod console;
mod destination;
#[cfg(feature = "lambda")]
mod functions;
mod opened;
mod quarantine;
mod queue;
mod redaction;
mod route;
mod source;
mod transcripts;
mod unusable;

use std::path::PathBuf;
use std::sync::Arc;

use routing::{Mapping, Pattern};

pub(crate) use self::alarms::{Action, AlarmParts};
pub(crate) use self::alone::ConsoleParts;
#[cfg(feature = "parquet")]
pub(crate) use self::destination::{PARQUET_JOURNALS, parquet_options};
#[cfg(feature = "lambda")]
pub(crate) use self::functions::FunctionParts;
pub(crate) use self::opened::{Opened, Setting, same_files};
#[cfg(feature = "aws")]
pub(crate) use self::queue::AwsPlace;
pub(crate) use self::queue::{QueueParts, QueuePlace};
pub(crate) use self::source::scheme as signature_scheme;
pub(crate) use self::unusable::{Fetching, Made, Trouble};
use super::file::{File, On, RouteTable};
use super::{ConfigError, Platform, TraceOptions};

/// Where the data is, without a setting.
const DATA_DIR: &str = "aftercall-data";
/// Destinations of one configuration; each has a cursor, a window in memory and a loop of its own.
const MAX_DESTINATIONS: usize = 256;
/// Routes of one configuration.
const MAX_ROUTES: usize = 10_000;

/// Everything that a configuration describes.
pub(crate) struct Parts {
    pub(crate) queue: QueueParts,
    pub(crate) quarantine: quarantine_sqlite::Options,
    pub(crate) intake: intake::Options,
    pub(crate) console: std::net::SocketAddr,
    pub(crate) sources: Vec<intake::Source>,
    pub(crate) destinations: Vec<DestinationParts>,
    pub(crate) routes: Vec<RouteParts>,
    pub(crate) alarms: AlarmParts,
    pub(crate) archive: Option<storage::Location>,
    /// What hashes, tokenises and seals, and opens it again.
    pub(crate) redaction: Option<Arc<::redaction::Keys>>,
    /// The platform that is asked for what no event tells.
    pub(crate) platform: Option<Platform>,
    pub(crate) traces: Option<TraceOptions>,
}

/// One destination.
pub(crate) struct DestinationParts {
    pub(crate) name: Arc<str>,
    pub(crate) order: ::queue::Order,
    pub(crate) behind_dead: ::queue::BehindDead,
    pub(crate) delivery: delivery::Options,
    pub(crate) destination: Made,
    /// What it was made of.
    pub(crate) setting: Setting,
}

/// One route.
pub(crate) struct RouteParts {
    pub(crate) name: Arc<str>,
    /// Place of its destination.
    pub(crate) destination: usize,
    pub(crate) pattern: Option<Pattern>,
    /// What its pattern looks at.
    pub(crate) on: On,
    /// Only events of these sources, if any are named.
    pub(crate) sources: Vec<Arc<str>>,
    pub(crate) mapping: Option<Arc<Mapping>>,
    /// The hash of the mapping's text.
    pub(crate) version: Option<Arc<str>>,
}

impl File {
    /// Where the data is.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| PathBuf::from(DATA_DIR))
    }

    /// Where the console listens.
    pub(crate) fn console_listen(&self) -> std::net::SocketAddr {
        self.console.listen.unwrap_or_else(|| std::net::SocketAddr::from(([127, 0, 0, 1], 8081)))
    }

    /// Settings of intake.
    pub(crate) fn intake_options(&self) -> intake::Options {
        let mut options = intake::Options::default();
        let table = &self.intake;
        options.listen = table.listen.unwrap_or(options.listen);
        options.drain = table.drain.map_or(options.drain, |time| time.0);
        options.tls = table.tls.clone().map(|tls| intake::TlsFiles { certificate: tls.certificate, key: tls.key });
        let (limits, set) = (&mut options.limits, &table.limits);
        limits.body_bytes = set.body.map_or(limits.body_bytes, |size| size.0);
        limits.body_bytes = limits.body_bytes.min(self.body_bytes_of_queue().unwrap_or(usize::MAX));
        limits.header_bytes = set.headers.map_or(limits.header_bytes, |size| size.0);
        limits.header_timeout = set.header_timeout.map_or(limits.header_timeout, |time| time.0);
        limits.body_timeout = set.body_timeout.map_or(limits.body_timeout, |time| time.0);
        limits.body_stall = set.body_stall.map_or(limits.body_stall, |time| time.0);
        limits.idle_timeout = set.idle_timeout.map_or(limits.idle_timeout, |time| time.0);
        limits.connections = set.connections.unwrap_or(limits.connections);
        limits.requests = set.requests.unwrap_or(limits.requests);
        limits.body_memory = set.body_memory.map_or(limits.body_memory, |size| size.0);
        let bytes = set.spool.map_or(intake::SpoolOptions::BYTES, |size| size.0 as u64);
        options.spool = Some(intake::SpoolOptions { dir: self.data_dir().join("spool"), bytes });
        options
    }

    /// Makes everything. Destinations that a running server has `opened` are taken over from it.
    pub(crate) fn parts(&self, opened: &Opened) -> Result<Parts, ConfigError> {
        self.check_completeness()?;
        self.check_paths()?;
        let quarantine = self.quarantine_options()?;
        let archive = self.archive_location()?;
        let redaction = self.redaction_keys()?;
        let intake = self.intake_options();
        let source = |(name, table): (&String, _)| source::make(name, table, redaction.as_ref(), &intake);
        let sources = self.sources.iter().map(source).collect::<Result<_, _>>()?;
        let platform = self.platform(opened.platform.as_ref())?;
        let (data, asked) = (self.data_dir(), platform.as_ref());
        let make = |(name, table): (&String, _)| destination::make(name, table, &data, asked, opened);
        let destinations: Vec<_> = self.destinations.iter().map(make).collect::<Result<_, _>>()?;
        let routes = self.routes.iter().enumerate().map(|(number, table)| self.route(number, table));
        let (routes, queue) = (routes.collect::<Result<_, _>>()?, self.queue_options()?);
        self.check_sources_are_routed()?;
        self.check_console()?;
        self.check_transcripts()?;
        Ok(Parts {
            queue,
            quarantine,
            intake,
            console: self.console_listen(),
            sources,
            routes,
            destinations,
            alarms: self.alarm_parts()?,
            archive,
            redaction,
            platform,
            traces: self.trace_options()?,
        })
    }

    /// Whether [`Self::parts`] would make everything, without opening what a running server may hold.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.check_completeness()?;
        self.check_paths()?;
        self.queue_options()?;
        self.quarantine_options()?;
        self.archive_location()?;
        let keys = self.redaction_keys()?;
        let intake = self.intake_options();
        self.sources
            .iter()
            .try_for_each(|(name, table)| source::make(name, table, keys.as_ref(), &intake).map(drop))?;
        let data = self.data_dir();
        let platform = self.platform(None)?;
        let check = |(name, table): (&String, _)| destination::check(name, table, &data, platform.as_ref());
        self.destinations.iter().try_for_each(check)?;
        self.routes.iter().enumerate().try_for_each(|(number, table)| self.route(number, table).map(drop))?;
        self.check_sources_are_routed()?;
        self.alarm_parts()?;
        self.trace_options()?;
        self.check_transcripts()?;
        self.check_console()
    }

    /// Refuses what would accept events that nobody gets.
    fn check_completeness(&self) -> Result<(), ConfigError> {
        if self.sources.is_empty() {
            return Err(ConfigError::value_with_help(
                "sources",
                "there is none, so nothing could be received",
                "add a [sources.NAME]; `aftercall config` prints an example",
            ));
        }
        if self.destinations.len() > MAX_DESTINATIONS {
            return Err(ConfigError::value("destinations", format!("there are more than {MAX_DESTINATIONS}")));
        }
        if self.routes.len() > MAX_ROUTES {
            return Err(ConfigError::value("routes", format!("there are more than {MAX_ROUTES}")));
        }
        let unused = self.destinations.keys().find(|name| !self.routes.iter().any(|route| route.destination == **name));
        if let Some(name) = unused {
            return Err(ConfigError::value_with_help(
                format!("destinations.{name}"),
                "no route leads to it, so it would get nothing",
                format!("add [[routes]] with destination = \"{name}\", or remove it"),
            ));
        }
        Ok(())
    }

    /// Refuses two destinations that would write one file, or one FIFO queue.
    fn check_paths(&self) -> Result<(), ConfigError> {
        let mut paths = std::collections::HashMap::new();
        let mut queues = std::collections::HashMap::new();
        for (name, table) in &self.destinations {
            // SQS would take the second message of an event for a repetition of the first, and drop it.
            let fifo =
                table.queue_url.as_ref().map(|url| url.trim_end_matches('/')).filter(|url| url.ends_with(".fifo"));
            if let Some(other) = fifo.and_then(|url| queues.insert(url, name)) {
                let key = format!("destinations.{name}.queue_url");
                let problem = "a FIFO queue drops the second message of an event, so name another queue";
                return Err(ConfigError::value(key, format!("is that of destination `{other}`; {problem}")));
            }
            if let Some(other) = table.path.as_ref().and_then(|path| paths.insert(path, name)) {
                let key = format!("destinations.{name}.path");
                return Err(ConfigError::value(key, format!("is that of destination `{other}`; name another file")));
            }
            if let Some(other) = table.journal.as_ref().and_then(|path| paths.insert(path, name)) {
                let key = format!("destinations.{name}.journal");
                return Err(ConfigError::value(
                    key,
                    format!("is that of destination `{other}`; name another directory"),
                ));
            }
        }
        Ok(())
    }

    /// Refuses sources whose events no route takes. Comes last: what is wrong with a source itself is said first.
    fn check_sources_are_routed(&self) -> Result<(), ConfigError> {
        let takes = |route: &RouteTable, source: &String| route.sources.is_empty() || route.sources.contains(source);
        let unrouted = self.sources.keys().find(|source| !self.routes.iter().any(|route| takes(route, source)));
        match unrouted {
            Some(name) => Err(ConfigError::value_with_help(
                format!("sources.{name}"),
                "no route takes its events, so they would be accepted and reach nobody",
                format!(
                    "add [[routes]] without `sources` or with sources = [\"{name}\"], to a destination such as \
                     {{ kind = \"file\", path = \"events.ndjson\" }}"
                ),
            )),
            None => Ok(()),
        }
    }

    fn route(&self, number: usize, table: &RouteTable) -> Result<RouteParts, ConfigError> {
        let name = table.name.clone().unwrap_or_else(|| format!("{}", number + 1));
        let key = |key: &str| format!("routes[{name}].{key}");
        let destination = self.destinations.keys().position(|known| *known == table.destination).ok_or_else(|| {
            let known: Vec<_> = self.destinations.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            ConfigError::value_with_help(
                key("destination"),
                format!("there is no destination `{}`; there are: {known}", table.destination),
                format!("add [destinations.{}], or name one that is there", table.destination),
            )
        })?;
        if let Some(unknown) = table.sources.iter().find(|name| !self.is_source(name)) {
            return Err(ConfigError::value(key("sources"), format!("there is no source `{unknown}`")));
        }
        let (pattern, on) = self.asking(table).map_or_else(|| Ok((route::pattern(&name, table)?, table.on)), Ok)?;
        let mapping = table.mapping.as_deref().map(Mapping::compile).transpose();
        let mapping = mapping.map_err(|error| ConfigError::value(key("mapping"), error))?;
        Ok(RouteParts {
            name: Arc::from(name.as_str()),
            destination,
            pattern,
            on,
            sources: table.sources.iter().map(|name| Arc::from(name.as_str())).collect(),
            mapping: mapping.map(Arc::new),
            version: table.mapping.as_deref().map(version),
        })
    }
}

/// Tells mappings apart: 12 hexadecimal digits, enough for people to compare and for no two to be alike by chance.
fn version(mapping: &str) -> Arc<str> {
    let hash = format!("{:016x}", ::queue::body_hash(mapping.as_bytes()));
    Arc::from(&hash[..12])
}

/// Refuses a key that means nothing for this kind of destination.
fn refuse(name: &str, kind: &str, keys: &[(&str, bool)]) -> Result<(), ConfigError> {
    match keys.iter().find(|(_, set)| *set) {
        Some((key, _)) => Err(ConfigError::value(
            format!("destinations.{name}.{key}"),
            format!("means nothing for kind = \"{kind}\"; remove it"),
        )),
        None => Ok(()),
    }
}
