//! Routes at work: which destinations get an event, and what is made of it for each.

use std::cell::RefCell;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use console::RouteVerdict;
use delivery::{MapError, Mapper};
use event::{Event, Outcome};
use queue::{Router, Routes, Stored, Target};
use routing::{MappingError, MatchError, MatchScratch, Pattern, PatternSet};

use crate::config::{On, RouteParts};
use crate::matching;
use crate::unrecognised::Unrecognised;

/// Memory that is kept from one outcome to the next, in bytes; most take less.
const OUTCOME_BYTES_KEPT: usize = 64 * 1024;

thread_local! {
    /// Memory for matching, so that nothing is allocated for an event.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    matching: MatchScratch,
    outcome: String,
    /// The routes that match.
    chosen: Vec<usize>,
}

/// All routes of one configuration, compiled.
pub(crate) struct Table {
    /// The number of the first route; the others follow, modulo 2^16.
    base: u16,
    /// The destinations, in the order of the topology.
    destinations: Vec<Arc<str>>,
    routes: Vec<RouteParts>,
    /// Patterns that look at the event.
    on_event: Patterned,
    /// Patterns that look at its outcome, which is made only if there are some.
    on_outcome: Patterned,
    /// Routes without a pattern, ascending.
    unconditional: Vec<usize>,
    /// Where it is counted what was not recognised in outcomes.
    unrecognised: Arc<Unrecognised>,
}

/// Routes whose patterns look at the same.
struct Patterned {
    patterns: PatternSet,
    /// The route of each pattern of the set, ascending.
    routes: Vec<usize>,
}

impl Patterned {
    fn of(routes: &[RouteParts], on: On) -> Self {
        let is_one = |route: &usize| routes[*route].pattern.is_some() && routes[*route].on == on;
        let numbers: Vec<usize> = (0..routes.len()).filter(is_one).collect();
        let patterns = numbers.iter().filter_map(|route| routes[*route].pattern.clone()).collect();
        Self { patterns: PatternSet::new(patterns), routes: numbers }
    }

    /// The routes that match; an error if it cannot be matched at all.
    fn matching(&self, text: &[u8], scratch: &mut MatchScratch, chosen: &mut Vec<usize>) -> Result<(), MatchError> {
        let matches = self.patterns.matches(text, scratch)?;
        chosen.extend(matches.iter().map(|pattern| self.routes[pattern]));
        Ok(())
    }
}

impl Table {
    /// Those of the start.
    pub(crate) fn new(destinations: Vec<Arc<str>>, routes: Vec<RouteParts>, unrecognised: Arc<Unrecognised>) -> Self {
        Self::numbered_from(0, destinations, routes, unrecognised)
    }

    /// Those of a configuration that follows this one. Its routes have other numbers.
    pub(crate) fn next(&self, destinations: Vec<Arc<str>>, routes: Vec<RouteParts>) -> Self {
        // The configuration's limits keep the number of routes in range.
        let count = u16::try_from(self.routes.len()).unwrap_or(u16::MAX);
        Self::numbered_from(self.base.wrapping_add(count), destinations, routes, Arc::clone(&self.unrecognised))
    }

    fn numbered_from(
        base: u16,
        destinations: Vec<Arc<str>>,
        routes: Vec<RouteParts>,
        unrecognised: Arc<Unrecognised>,
    ) -> Self {
        let [on_event, on_outcome] = [On::Event, On::Outcome].map(|on| Patterned::of(&routes, on));
        let unconditional = (0..routes.len()).filter(|&route| routes[route].pattern.is_none()).collect();
        Self { base, destinations, routes, on_event, on_outcome, unconditional, unrecognised }
    }

    /// What was not recognised in outcomes.
    pub(crate) fn unrecognised(&self) -> &Unrecognised {
        &self.unrecognised
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
            let explained = |pattern: &Pattern| match route.on {
                On::Event => pattern.explain(&event.body),
                On::Outcome => pattern.explain(Outcome::of(event).to_json().as_bytes()),
            };
            match route.pattern.as_ref().map(explained) {
                None => (true, "it has no pattern, and takes everything of its sources".to_owned()),
                Some(Ok(explanation)) if route.on == On::Outcome => {
                    (explanation.is_match(), format!("of its outcome, {}", matching::in_words(&explanation)))
                }
                Some(Ok(explanation)) => (explanation.is_match(), matching::in_words(&explanation)),
                Some(Err(error)) => (false, error.to_string()),
            }
        };
        RouteVerdict { route: route.name.to_string(), destination, matches, because }
    }

    /// The routes that match, in their order.
    fn matching(&self, event: &Event, mut each: impl FnMut(usize)) {
        SCRATCH.with_borrow_mut(|Scratch { matching, outcome, chosen }| {
            chosen.clear();
            chosen.extend(&self.unconditional);
            if !self.on_event.routes.is_empty() {
                note_failure(event, self.on_event.matching(&event.body, matching, chosen));
            }
            if self.on_outcome.routes.iter().any(|route| self.takes(*route, event)) {
                let made = Outcome::of(event);
                self.unrecognised.note(&made);
                outcome.clear();
                made.write_json(outcome);
                note_failure(event, self.on_outcome.matching(outcome.as_bytes(), matching, chosen));
                outcome.shrink_to(OUTCOME_BYTES_KEPT);
            }
            chosen.sort_unstable();
            chosen.iter().filter(|route| self.takes(**route, event)).for_each(|route| each(*route));
        });
    }

    /// Whether the route takes events of this source.
    fn takes(&self, route: usize, event: &Event) -> bool {
        let sources = &self.routes[route].sources;
        sources.is_empty() || sources.contains(&event.source)
    }
}

/// Intake accepts only what can be read, so this is an event beyond a limit of matching: it is kept, and counted as
/// unmatched unless a route without a pattern takes it.
fn note_failure(event: &Event, matched: Result<(), MatchError>) {
    if let Err(error) = matched {
        tracing::warn!(event = %event.id, %error, "an event cannot be matched against patterns");
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
        self.present.to(destination, event).map(|route| payload(route, event, &mut false))
    }
}

impl Tables {
    /// The route of this number, in the table in force or in the one before.
    fn numbered(&self, route: u16) -> Option<&RouteParts> {
        self.present.numbered(route).or_else(|| self.before.as_ref()?.numbered(route))
    }

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
        // A lease that is older than two changes is routed as those are that were not leased.
        match tables.numbered(route).or_else(|| tables.present.to(&self.destination, event)) {
            Some(route) => {
                let mut unrecognised = false;
                let payload = payload(route, event, &mut unrecognised);
                if unrecognised {
                    tables.present.unrecognised.note(&Outcome::of(event));
                }
                payload.map(Some)
            }
            None => Ok(None),
        }
    }

    fn version(&self, route: u16) -> Option<Arc<str>> {
        self.tables.load().numbered(route)?.version.clone()
    }

    fn is_outcome(&self, route: u16) -> bool {
        let tables = self.tables.load();
        tables.numbered(route).and_then(|route| route.mapping.as_ref()).is_some_and(|mapping| mapping.is_outcome())
    }

    fn unrecognised(&self, stored: &Stored) {
        self.tables.load().present.unrecognised.note(&Outcome::of(&stored.event));
    }
}

fn payload(route: &RouteParts, event: &Event, unrecognised: &mut bool) -> Result<Bytes, MapError> {
    match &route.mapping {
        None => as_it_came(&event.body),
        Some(mapping) => mapping.apply_noting(event, unrecognised).map_err(|error| {
            let path = if matches!(error, MappingError::Failed { .. }) { mapping.locate(event) } else { None };
            let message = match error {
                MappingError::Failed { message } => format!("the mapping of route {} failed: {message}", route.name),
                error => format!("the mapping of route {}: {error}", route.name),
            };
            MapError { message, path }
        }),
    }
}

/// The event's own JSON, without a byte order mark, which receivers need not understand.
fn as_it_came(body: &Bytes) -> Result<Bytes, MapError> {
    let text = event::json::text(body).map_err(|error| MapError::new(error.to_string()))?;
    Ok(body.slice_ref(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(name: &str, destination: usize) -> RouteParts {
        RouteParts {
            name: Arc::from(name),
            destination,
            pattern: None,
            on: On::Event,
            sources: Vec::new(),
            mapping: None,
            version: None,
        }
    }

    fn table(destinations: Vec<Arc<str>>, routes: Vec<RouteParts>) -> Table {
        Table::new(destinations, routes, Arc::default())
    }

    fn route(name: &str, destination: usize, mapping: &str) -> RouteParts {
        let mapping = Some(Arc::new(routing::Mapping::compile(mapping).unwrap()));
        RouteParts { mapping, ..plain(name, destination) }
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
        let first = Arc::new(table(names(), vec![route("a", 0, "\"a\""), route("b", 1, "\"b\"")]));
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
        let many = |base| {
            let routes = vec![route("a", 0, "."), route("b", 0, ".")];
            Table::numbered_from(base, vec![Arc::from("crm")], routes, Arc::default())
        };
        let last = many(u16::MAX);
        let next = last.next(vec![Arc::from("crm")], vec![route("c", 0, ".")]);
        assert_eq!(last.numbered(u16::MAX).map(|route| &*route.name), Some("a"));
        assert_eq!(last.numbered(0).map(|route| &*route.name), Some("b"));
        assert!(last.numbered(1).is_none() && next.numbered(0).is_none());
        assert_eq!(next.numbered(1).map(|route| &*route.name), Some("c"));
    }

    fn of_body(body: &str) -> Event {
        Event { body: Bytes::copy_from_slice(body.as_bytes()), ..stored().event }
    }

    #[test]
    fn routes_on_the_event_and_on_the_outcome_keep_their_common_order() {
        let on = |name: &str, destination, on, pattern: &str| RouteParts {
            pattern: Some(pattern.parse().unwrap()),
            on,
            ..plain(name, destination)
        };
        let violations = r#"{"compliance": {"count": [{"numeric": [">", 0]}]}}"#;
        let routes = vec![
            on("violations", 0, On::Outcome, violations),
            on("agent a", 1, On::Event, r#"{"data": {"agentId": ["a"]}}"#),
            plain("all", 0),
            on("agent a again", 1, On::Outcome, r#"{"agent_id": ["a"]}"#),
            RouteParts { sources: vec![Arc::from("other")], ..on("of another source", 2, On::Outcome, violations) },
        ];
        let table = table(["crm", "quality", "none"].map(Arc::from).to_vec(), routes);
        let chosen = |body: &str| -> Vec<_> { table.route(&of_body(body)).iter().map(|target| target.route).collect() };
        assert_eq!(chosen(r#"{"data": {"agentId": "a", "complianceViolations": ["x"]}}"#), [0, 1]);
        assert_eq!(chosen(r#"{"data": {"agentId": "b", "complianceViolations": ["x"]}}"#), [0]);
        assert_eq!(chosen(r#"{"data": {"agentId": "a", "complianceViolations": []}}"#), [1, 2]);
        assert_eq!(chosen(r#"{"agentId": "a"}"#), [2, 3]);
        let verdicts = table.explain(&of_body(r#"{"complianceViolations": ["x"]}"#));
        assert!(verdicts[0].matches, "{}", verdicts[0].because);
        assert_eq!(verdicts[0].because, "of its outcome, compliance.count: wants a number > 0, found 1");
        assert_eq!(verdicts[3].because, "of its outcome, agent_id: wants \"a\", found null");
    }

    #[test]
    fn what_is_not_recognised_is_counted_once_an_event() {
        let outcome = RouteParts {
            pattern: Some(r#"{"agent_id": ["a"]}"#.parse().unwrap()),
            on: On::Outcome,
            ..route("a", 0, "outcome")
        };
        let table = Arc::new(table(vec![Arc::from("crm")], vec![outcome, route("b", 0, "outcome")]));
        let tables = Arc::new(ArcSwap::from_pointee(Tables { present: Arc::clone(&table), before: None }));
        let mapper = RouteMapper { tables, destination: Arc::from("crm") };
        let odd = of_body(r#"{"sentiment": "grumpy", "intents": [1, 2]}"#);
        for _ in 0..3 {
            let route = table.route(&odd)[0].route;
            mapper.map(&Stored::new(queue::Seq(1), odd.clone()), route).unwrap();
        }
        let counted = table.unrecognised().counts();
        let counted: Vec<_> = counted.iter().map(|count| (count.path.as_str(), count.values)).collect();
        assert_eq!(counted, [("/intents/*", 2), ("/sentiment", 1)]);
    }
}
