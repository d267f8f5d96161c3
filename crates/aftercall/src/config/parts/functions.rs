//! What a function of AWS Lambda is made of: the same as a server, without what needs a disk of its own, and with each
//! destination opened only where it is delivered to.

use std::sync::Arc;

use queue::Consumer;

use super::super::file::{DestinationKind, File, SourceKind};
use super::super::queue::QueueKind;
use super::super::{ConfigError, Platform};
use super::{DestinationParts, Opened, RouteParts, destination, source};

/// Everything that all functions have.
pub(crate) struct FunctionParts {
    pub(crate) intake: intake::Options,
    pub(crate) sources: Vec<intake::Source>,
    /// The destinations, as the queue knows them.
    pub(crate) consumers: Vec<Consumer>,
    pub(crate) routes: Vec<RouteParts>,
    pub(crate) redaction: Option<Arc<::redaction::Keys>>,
}

impl File {
    /// Makes everything but destinations. Refuses what [`File::parts`] refuses of it.
    pub(crate) fn function_parts(&self) -> Result<FunctionParts, ConfigError> {
        self.check_completeness()?;
        self.check_paths()?;
        let redaction = self.redaction_keys()?;
        let mut intake = self.intake_options();
        (intake.spool, intake.tls) = (None, None);
        let source = |(name, table): (&String, _)| source::make(name, table, redaction.as_ref(), &intake);
        let sources = self.sources.iter().map(source).collect::<Result<_, _>>()?;
        let consumer = |(name, table): (&String, _)| destination::consumer(Arc::from(name.as_str()), table);
        let consumers = self.destinations.iter().map(consumer).collect::<Result<_, _>>()?;
        let routes = self.routes.iter().enumerate().map(|(number, table)| self.route(number, table));
        let routes = routes.collect::<Result<_, _>>()?;
        self.check_sources_are_routed()?;
        self.check_transcripts()?;
        Ok(FunctionParts { intake, sources, consumers, routes, redaction })
    }

    /// Opens one destination; `None` if there is none of this name.
    pub(crate) fn function_destination(&self, name: &str) -> Option<Result<DestinationParts, ConfigError>> {
        let table = self.destinations.get(name)?;
        let platform: Result<Option<Platform>, _> = self.platform(None);
        let make = |platform: Option<Platform>| {
            destination::make(name, table, &self.data_dir(), platform.as_ref(), &Opened::default())
        };
        Some(platform.and_then(make))
    }

    /// The destinations that write to a disk of the machine, which no function has.
    pub(crate) fn local_destinations(&self) -> Vec<Arc<str>> {
        let is_local = |kind| matches!(kind, DestinationKind::File | DestinationKind::Parquet);
        let local = self.destinations.iter().filter(|(_, table)| is_local(table.kind));
        local.map(|(name, _)| Arc::from(name.as_str())).collect()
    }

    /// Whether anybody is to be told of alarms.
    pub(crate) fn notifies(&self) -> bool {
        !self.notifiers.is_empty()
    }

    /// How long a delivery to this destination may wait for what it is about.
    pub(crate) fn patience_of(&self, name: &str) -> std::time::Duration {
        let table = self.destinations.get(name).filter(|table| table.kind == DestinationKind::Transcripts);
        table.map(|table| table.schedule().give_up).unwrap_or_default()
    }

    /// The sources that are queues of SQS, with the addresses of these.
    pub(crate) fn queue_sources(&self) -> Vec<(Arc<str>, String)> {
        let sources = self.sources.iter().filter(|(_, table)| table.kind == SourceKind::Sqs);
        sources.map(|(name, table)| (Arc::from(name.as_str()), table.queue_url.clone().unwrap_or_default())).collect()
    }

    /// Puts the queue into DynamoDB, and into this table and this bucket if they are named, whatever is configured.
    pub(crate) fn use_table(&mut self, table: Option<&str>, bodies: Option<&str>) {
        self.queue.kind = QueueKind::Aws;
        if let Some(table) = table {
            self.queue.table = Some(table.to_owned());
        }
        if let Some(bucket) = bodies {
            self.queue.bodies.url = Some(format!("s3://{bucket}"));
        }
    }
}
