//! Routes at work: which destinations get an event, and what is made of it for each.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use delivery::{MapError, Mapper};
use event::Event;
use queue::{Router, Routes, Stored, Target};
use routing::{MatchScratch, PatternSet};

use crate::config::RouteParts;

thread_local! {
    /// Memory for matching, so that nothing is allocated for an event.
    static SCRATCH: RefCell<MatchScratch> = RefCell::default();
}

/// All routes, compiled.
pub(crate) struct Table {
    routes: Vec<RouteParts>,
    patterns: PatternSet,
    /// The route of each pattern of the set, ascending.
    patterned: Vec<usize>,
    /// Routes without a pattern, ascending.
    unconditional: Vec<usize>,
}

impl Table {
    pub(crate) fn new(routes: Vec<RouteParts>) -> Self {
        let (patterned, unconditional) = (0..routes.len()).partition(|&route| routes[route].pattern.is_some());
        let patterns = PatternSet::new(routes.iter().filter_map(|route| route.pattern.clone()).collect());
        Self { routes, patterns, patterned, unconditional }
    }

    /// The routes that match, in their order.
    fn matching(&self, event: &Event, mut each: impl FnMut(usize)) {
        let mut take = |route: usize| {
            let sources = &self.routes[route].sources;
            if sources.is_empty() || sources.contains(&event.source) {
                each(route);
            }
        };
        let mut unconditional = self.unconditional.iter().copied().peekable();
        if !self.patterned.is_empty() {
            SCRATCH.with_borrow_mut(|scratch| match self.patterns.matches(&event.body, scratch) {
                Ok(matches) => {
                    for route in matches.iter().map(|pattern| self.patterned[pattern]) {
                        while let Some(before) = unconditional.next_if(|other| *other < route) {
                            take(before);
                        }
                        take(route);
                    }
                }
                // Intake accepts only what can be read, so this is an event beyond a limit of matching: it is kept, and
                // counted as unmatched unless a route without a pattern takes it.
                Err(error) => tracing::warn!(event = %event.id, %error, "an event cannot be matched against patterns"),
            });
        }
        unconditional.for_each(take);
    }
}

impl Router for Table {
    /// For each destination, the first route that matches.
    fn route(&self, event: &Event) -> Routes {
        let mut routes = Routes::new();
        self.matching(event, |route| {
            let numbers = (u16::try_from(self.routes[route].destination), u16::try_from(route));
            // The configuration's limits keep both in range.
            let (Ok(consumer), Ok(route)) = numbers else { return };
            if routes.iter().all(|target: &Target| target.consumer != consumer) {
                routes.push(Target { consumer, route });
            }
        });
        routes
    }
}

impl Mapper for Table {
    fn map(&self, stored: &Stored, route: u16) -> Result<Option<Bytes>, MapError> {
        let event = &stored.event;
        let route =
            self.routes.get(usize::from(route)).ok_or_else(|| MapError(format!("there is no route {route}")))?;
        match &route.mapping {
            None => as_it_came(&event.body).map(Some),
            Some(mapping) => {
                let failed = |error| MapError(format!("the mapping of route {}: {error}", route.name));
                apply(mapping, event).map(Some).map_err(failed)
            }
        }
    }
}

/// Applies a mapping to an event.
pub(crate) fn apply(mapping: &routing::Mapping, event: &Event) -> Result<Bytes, routing::MappingError> {
    mapping.apply(event)
}

/// The event's own JSON, without a byte order mark, which receivers need not understand.
fn as_it_came(body: &Bytes) -> Result<Bytes, MapError> {
    let text = event::json::text(body).map_err(|error| MapError(error.to_string()))?;
    Ok(body.slice_ref(text.as_bytes()))
}

/// Shared by the queue, which routes with it, and the services, which map with it.
pub(crate) fn table(routes: Vec<RouteParts>) -> Arc<Table> {
    Arc::new(Table::new(routes))
}
