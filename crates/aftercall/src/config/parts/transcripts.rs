//! What a configuration with destinations of kind `transcripts` has besides them: a source of their update events, and what
//! asks for a transcript if a route does not say so.

use ::transcripts::SOURCE;
use routing::Pattern;

use super::super::ConfigError;
use super::super::file::{DestinationKind, File, On, RouteTable};

/// What asks for a transcript: work after a call, and the end of its analysis.
const ASKING: &str = r#"{"conversation_id": [{"wildcard": "*"}],
    "topic": [{"suffix": ".acw"}, "conversation.analytics.completed"]}"#;

impl File {
    /// Whether something may come in by a source of this name.
    pub(super) fn is_source(&self, name: &str) -> bool {
        self.sources.contains_key(name) || (name == SOURCE && self.tellers().next().is_some())
    }

    /// The pattern of a route that leads to transcripts and has none, and what it looks at.
    pub(super) fn asking(&self, route: &RouteTable) -> Option<(Option<Pattern>, On)> {
        let is_one =
            |name: &String| self.destinations.get(name).is_some_and(|t| t.kind == DestinationKind::Transcripts);
        let asking = Pattern::parse(ASKING).ok().filter(|_| route.pattern.is_none() && is_one(&route.destination))?;
        Some((Some(asking), On::Outcome))
    }

    /// Refuses what would lose events or transcripts.
    pub(super) fn check_transcripts(&self) -> Result<(), ConfigError> {
        let retention = self.queue_options()?.queue.retention;
        for (name, table) in self.destinations.iter().filter(|(_, table)| table.kind == DestinationKind::Transcripts) {
            let give_up = table.schedule().give_up;
            if give_up >= retention {
                return Err(ConfigError::value_with_help(
                    format!("destinations.{name}.schedule"),
                    "gives up later than queue.retention, which would drop the event before",
                    "make give_up shorter, or queue.retention longer",
                ));
            }
        }
        let Some(name) = self.tellers().next() else { return Ok(()) };
        if self.sources.contains_key(SOURCE) {
            return Err(ConfigError::value_with_help(
                format!("sources.{SOURCE}"),
                format!("is the source of the update events of destinations.{name}"),
                "give it another name",
            ));
        }
        let takes = |route: &&RouteTable| {
            let is_other =
                self.destinations.get(&route.destination).is_none_or(|t| t.kind != DestinationKind::Transcripts);
            is_other && (route.sources.is_empty() || route.sources.iter().any(|source| source == SOURCE))
        };
        match self.routes.iter().find(takes) {
            Some(_) => Ok(()),
            None => Err(ConfigError::value_with_help(
                format!("destinations.{name}.update"),
                "no route takes its update events, so nobody would learn where transcripts are",
                format!("add [[routes]] with sources = [\"{SOURCE}\"], or write update = false"),
            )),
        }
    }

    /// The destinations that publish update events.
    fn tellers(&self) -> impl Iterator<Item = &String> {
        let tells = self.destinations.iter().filter(|(_, table)| table.kind == DestinationKind::Transcripts);
        tells.filter(|(_, table)| table.update != Some(false)).map(|(name, _)| name)
    }
}
