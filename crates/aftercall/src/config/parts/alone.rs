//! What the console needs that is alone on a queue: no secret of a source or a destination.

use std::net::SocketAddr;
use std::sync::Arc;

use super::super::ConfigError;
use super::super::file::File;
use super::queue::{QueueParts, QueuePlace};
use super::{RouteParts, destination};

/// Everything that a console alone is made of.
pub(crate) struct ConsoleParts {
    pub(crate) queue: QueueParts,
    pub(crate) listen: SocketAddr,
    pub(crate) consumers: Vec<queue::Consumer>,
    pub(crate) routes: Vec<RouteParts>,
    pub(crate) archive: Option<storage::Location>,
}

impl File {
    /// What a console alone is made of. Opens no destination and looks for no secret of one.
    pub(crate) fn console_parts(&self) -> Result<ConsoleParts, ConfigError> {
        let queue = self.queue_options()?;
        if matches!(queue.place, QueuePlace::Embedded) {
            return Err(ConfigError::value_with_help(
                "queue.kind",
                "is \"embedded\", and such a queue has one server, which has a console",
                "ask that one; --console-only is for kind = \"aws\"",
            ));
        }
        let consumer = |(name, table): (&String, _)| destination::consumer(Arc::from(name.as_str()), table);
        let consumers = self.destinations.iter().map(consumer).collect::<Result<_, _>>()?;
        let routes = self.routes.iter().enumerate().map(|(number, table)| self.route(number, table));
        let routes = routes.collect::<Result<_, _>>()?;
        let archive = self.archive_location()?;
        self.check_console()?;
        Ok(ConsoleParts { queue, listen: self.console_listen(), consumers, routes, archive })
    }
}
