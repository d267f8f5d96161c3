//! Routes at work: which destinations get an event, and what is made of it for each.

use std::cell::RefCell;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use console::RouteVerdict;
use delivery::{MapError, Mapper};
use event::Event;
use queue::{Router, Routes, Stored, Target};
use routing::{MappingError, MatchScratch, PatternSet};

use crate::config::RouteParts;
use crate::matching;

thread_local! {
    /// Memory for matching, so that nothing is allocated for an event.
    static SCRATCH: RefCell<MatchScratch> = RefCell::default();
}

/// All routes of one configuration, compiled.
pub(crate) struct Table {
    /// The number of the first route; the others follow, modulo 2^16.
    base: u16,
    /// The destinations, in the order of the topology.
    destinations: Vec<Arc<str>>,
    routes: Vec<RouteParts>,
    patterns: PatternSet,
    /// The route of each pattern of the set, ascending.
    patterned: Vec<usize>,
    /// Routes without a pattern, ascending.
    unconditional: Vec<usize>,
}

impl Table {
    /// Those of the start.
    pub(crate) fn new(destinations: Vec<Arc<str>>, routes: Vec<RouteParts>) -> Self {
        Self::numbered_from(0, destinations, routes)
    }

    /// Those of a configuration that follows this one. Its routes have other numbers.
    pub(crate) fn next(&self, destinations: Vec<Arc<str>>, routes: Vec<RouteParts>) -> Self {
        // The configuration's limits keep the number of routes in range.
        let count = u16::try_from(self.routes.len()).unwrap_or(u16::MAX);
        Self::numbered_from(self.base.wrapping_add(count), destinations, routes)
    }

    fn numbered_from(base: u16, destinations: Vec<Arc<str>>, routes: Vec<RouteParts>) -> Self {
        let (patterned, unconditional) = (0..routes.len()).partition(|&route| routes[route].pattern.is_some());
        let patterns = PatternSet::new(routes.iter().filter_map(|route| route.pattern.clone()).collect());
        Self { base, destinations, routes, patterns, patterned, unconditional }
    }

    /// The route of this number, if it is one of this table.
    fn numbered(&self, number: u16) -> Option<&RouteParts> {
        self.routes.get(usize::from(number.wrapping_sub(self.base)))
    }

    /// The first route that leads an event to a destination.
    fn to(&self, destination: &str, event: &Event) -> Option<&RouteParts> {
        let routes = self.route(event);
        let is_it = |target: &&Target| {
            self.destinations.get(usize::from(target.consumer)).is_some_and(|name| **name == *destination)
        };
        routes.iter().find(is_it).and_then(|target| self.numbered(target.route))
    }

    /// What each route says of an event, and which field decides.
    pub(crate) fn explain(&self, event: &Event) -> Vec<RouteVerdict> {
        self.routes.iter().map(|route| self.verdict(route, event)).collect()
    }

    fn verdict(&self, route: &RouteParts, event: &Event) -> RouteVerdict {
        let destination = self.destinations.get(route.destination).map(ToString::to_string).unwrap_or_default();
        let (matches, because) = if !route.sources.is_empty() && !route.sources.contains(&event.source) {
            (false, format!("it wants source {}, found {}", route.sources.join(" or "), event.source))
        } else {
            match route.pattern.as_ref().map(|pattern| pattern.explain(&event.body)) {
                None => (true, "it has no pattern, and takes everything of its sources".to_owned()),
                Some(Ok(explanation)) => (explanation.is_match(), matching::in_words(&explanation)),
                Some(Err(error)) => (false, error.to_string()),
            }
        };
        RouteVerdict { route: route.name.to_string(), destination, matches, because }
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
            let route = self.base.wrapping_add(route);
            if routes.iter().all(|target: &Target| target.consumer != consumer) {
                routes.push(Target { consumer, route });
            }
        });
        routes
    }
}

/// The tables in force, which a reload changes at once for all.
///
/// An event that is out on lease keeps the number of the route that chose it, and is mapped by that route, also when
/// the table has changed meanwhile: so the one before stays until the next change. Numbers do not mean two routes: a table's
/// begin where those of the one before end, and only after 2^16 of them does one come again.
pub(crate) struct Tables {
    pub(crate) present: Arc<Table>,
    pub(crate) before: Option<Arc<Table>>,
}

impl Tables {
    /// What would be sent to a destination for an event that comes now; none if no route leads it there.
    pub(crate) fn try_on(&self, destination: &str, event: &Event) -> Option<Result<Bytes, MapError>> {
        self.present.to(destination, event).map(|route| payload(route, event))
    }
}

impl Tables {
    /// Which mapping would be applied to an event that comes now for a destination.
    pub(crate) fn version(&self, destination: &str, event: &Event) -> Option<String> {
        self.present.to(destination, event)?.version.as_deref().map(str::to_owned)
    }
}

/// Maps for one destination, with the tables in force.
pub(crate) struct RouteMapper {
    pub(crate) tables: Arc<ArcSwap<Tables>>,
    pub(crate) destination: Arc<str>,
}

impl Mapper for RouteMapper {
    fn map(&self, stored: &Stored, route: u16) -> Result<Option<Bytes>, MapError> {
        let (tables, event) = (self.tables.load(), &stored.event);
        let before = || tables.before.as_ref().and_then(|table| table.numbered(route));
        let chosen = tables.present.numbered(route).or_else(before);
        // A lease that is older than two changes is routed as those are that were not leased.
        match chosen.or_else(|| tables.present.to(&self.destination, event)) {
            Some(route) => payload(route, event).map(Some),
            None => Ok(None),
        }
    }

    fn version(&self, route: u16) -> Option<Arc<str>> {
        let tables = self.tables.load();
        let before = || tables.before.as_ref().and_then(|table| table.numbered(route));
        tables.present.numbered(route).or_else(before)?.version.clone()
    }
}

fn payload(route: &RouteParts, event: &Event) -> Result<Bytes, MapError> {
    match &route.mapping {
        None => as_it_came(&event.body),
        Some(mapping) => apply(mapping, event).map_err(|error| {
            let path = if matches!(error, MappingError::Failed { .. }) { mapping.locate(event) } else { None };
            MapError { message: format!("the mapping of route {}: {error}", route.name), path }
        }),
    }
}

/// Applies a mapping to an event.
pub(crate) fn apply(mapping: &routing::Mapping, event: &Event) -> Result<Bytes, routing::MappingError> {
    mapping.apply(event)
}

/// The event's own JSON, without a byte order mark, which receivers need not understand.
fn as_it_came(body: &Bytes) -> Result<Bytes, MapError> {
    let text = event::json::text(body).map_err(|error| MapError::new(error.to_string()))?;
    Ok(body.slice_ref(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str, destination: usize, mapping: &str) -> RouteParts {
        let mapping = Some(Arc::new(routing::Mapping::compile(mapping).unwrap()));
        RouteParts { name: Arc::from(name), destination, pattern: None, sources: Vec::new(), mapping, version: None }
    }

    fn stored() -> Stored {
        let event = Event {
            id: event::EventId::from_bytes([1; 16]),
            source: Arc::from("genesys"),
            topic: Arc::from(""),
            conversation: None,
            received: event::Timestamp::default(),
            conflict_of: None,
            body: Bytes::from_static(b"{}"),
        };
        Stored::new(queue::Seq(1), event)
    }

    #[test]
    fn an_event_is_mapped_by_the_route_that_chose_it_and_by_no_other_of_the_same_place() {
        let names = || vec![Arc::from("crm"), Arc::from("lake")];
        let first = Arc::new(Table::new(names(), vec![route("a", 0, "\"a\""), route("b", 1, "\"b\"")]));
        let tables = Tables { present: Arc::clone(&first), before: None };
        let tables = Arc::new(ArcSwap::from_pointee(tables));
        let mapper = RouteMapper { tables: Arc::clone(&tables), destination: Arc::from("crm") };
        let map = |route| mapper.map(&stored(), route).unwrap().map(|payload| payload.to_vec());
        let leased = first.route(&stored().event)[0].route;
        assert_eq!(map(leased).unwrap(), b"\"a\"");

        let second = Arc::new(first.next(names(), vec![route("b", 1, "\"b\""), route("a", 0, "\"new\"")]));
        tables.store(Arc::new(Tables { present: Arc::clone(&second), before: Some(first) }));
        assert_eq!(map(leased).unwrap(), b"\"a\"", "as it was leased");
        let anew = second.route(&stored().event).iter().find(|target| target.consumer == 0).unwrap().route;
        assert_eq!(map(anew).unwrap(), b"\"new\"");

        let third = Arc::new(second.next(vec![Arc::from("lake")], vec![route("b", 0, "\"b\"")]));
        tables.store(Arc::new(Tables { present: third, before: Some(second) }));
        assert_eq!(map(leased), None, "what is older goes by the present table");
        assert_eq!(map(anew).unwrap(), b"\"new\"");
    }

    #[test]
    fn numbers_go_round_without_meaning_two_routes() {
        let many =
            |base| Table::numbered_from(base, vec![Arc::from("crm")], vec![route("a", 0, "."), route("b", 0, ".")]);
        let last = many(u16::MAX);
        let next = last.next(vec![Arc::from("crm")], vec![route("c", 0, ".")]);
        assert_eq!(last.numbered(u16::MAX).map(|route| &*route.name), Some("a"));
        assert_eq!(last.numbered(0).map(|route| &*route.name), Some("b"));
        assert!(last.numbered(1).is_none() && next.numbered(0).is_none());
        assert_eq!(next.numbered(1).map(|route| &*route.name), Some("c"));
    }
}
