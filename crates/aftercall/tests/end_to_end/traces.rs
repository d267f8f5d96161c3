//! Traces by OTLP: the story of an event is one trace, over queues, kills and processes; a collector that is down costs
//! spans and nothing else.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::client::{self, signed};
use crate::collector::{Collector, Span, attribute, failed};
use crate::recorder::Recorder;
use crate::site::{SECRET, Server, Site};
use crate::waiting;

/// Stands in bodies, and must stand nowhere else.
const SAID: &str = "what-was-said";
/// The collector's token.
const TOKEN: &str = "collector-token";
/// The CRM's.
const KEY: &str = "crm-key";

fn body(id: &str, conversation: &str) -> String {
    format!(r#"{{"webhookEventId":"{id}","conversationId":"{conversation}","text":"{SAID}"}}"#)
}

fn to_crm(crm: &Recorder) -> String {
    format!(
        "[destinations.crm]\nkind = \"http\"\nurl = \"http://{}/in\"\nbackoff = {{ base = \"10ms\", cap = \"20ms\" }}\n\
         auth = {{ bearer = \"file:crm-key\" }}\n[[routes]]\ndestination = \"crm\"\nmapping = '{{text}}'\n",
        crm.address
    )
}

fn site(head: &str, rest: &str) -> Site {
    let site = Site::with_head(head, rest);
    fs::write(site.path("crm-key"), KEY).unwrap();
    fs::write(site.path("token"), TOKEN).unwrap();
    site
}

/// The server, which does not let spans wait for others.
fn serve(site: &Site, more: &[(&str, &str)]) -> Command {
    let mut command = site.serve();
    command.env("OTEL_BSP_SCHEDULE_DELAY", "20").envs(more.iter().copied());
    command
}

/// The id of the only event of an answer, as a trace has it.
fn event(answer: &client::Answer) -> String {
    answer.json()["events"][0].as_str().unwrap().replace('-', "")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn metric(server: &Server, sample: &str) -> Option<f64> {
    let scrape = client::get(server.console, "/metrics").unwrap().body;
    let line = scrape.lines().find(|line| line.starts_with(sample))?;
    line.rsplit_once(' ').unwrap().1.parse().ok()
}

#[test]
fn the_story_of_an_event_is_one_trace_that_the_crm_can_go_on_with() {
    let (collector, tries) = (Collector::start(), AtomicUsize::new(0));
    let crm = Recorder::start(move |_| if tries.fetch_add(1, Ordering::Relaxed) == 0 { 503 } else { 201 });
    let head = collector.table("headers = { authorization = { secret = \"file:token\" }, x-tenant = \"acme\" }");
    let site = site(&head, &to_crm(&crm));
    let server = site.start_with(&mut serve(&site, &[]));
    let trace = event(&server.post(body("e-1", "c-1")));
    let spans = collector.until(&["request", "store", "route", "map", "deliver", "map", "deliver"]);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == trace), "{spans:#?}");
    let [request, store, route] = ["request", "store", "route"].map(|name| named(&spans, name)[0].clone());
    assert!(request.parent_span_id.is_empty());
    assert_eq!(store.parent_span_id, request.span_id);
    assert!(
        spans
            .iter()
            .filter(|span| !["request", "store"].contains(&&*span.name))
            .all(|span| span.parent_span_id == store.span_id)
    );
    let of = |span: &Span, keys: &[&str]| keys.iter().map(|key| attribute(span, key)).collect::<Vec<_>>();
    assert_eq!(
        of(&request, &["aftercall.source", "http.response.status_code", "aftercall.events"]),
        ["genesys", "200", "1"]
    );
    assert_eq!(attribute(&route, "aftercall.destinations"), "1");
    let tried: Vec<_> = named(&spans, "deliver")
        .into_iter()
        .map(|span| {
            let keys = ["aftercall.destination", "aftercall.attempt", "http.response.status_code", "error.type"];
            (of(span, &keys).join(" "), failed(span))
        })
        .collect();
    assert_eq!(tried, [("crm 1 503 transient".to_owned(), true), ("crm 2 201 ".to_owned(), false)]);
    for span in &spans {
        assert_eq!(attribute(span, "aftercall.event.id").replace('-', ""), trace, "{span:?}");
        assert!(span.name == "route" || attribute(span, "aftercall.conversation.id") == "c-1", "{span:?}");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    }
    // Each attempt tells the CRM its own place.
    let told: Vec<_> = crm.requests().iter().map(|request| request.headers["traceparent"].clone()).collect();
    let places: Vec<_> =
        named(&spans, "deliver").iter().map(|span| format!("00-{trace}-{}-01", hex(&span.span_id))).collect();
    assert_eq!(told, places);
    assert_eq!(collector.requests()[0].headers["authorization"], TOKEN);
    assert_eq!(collector.requests()[0].headers["x-tenant"], "acme");
    assert!(collector.resource().contains(&("service.name".to_owned(), "aftercall".to_owned())));
    assert_eq!(metric(&server, "aftercall_trace_spans_exported_total"), Some(7.0));
    assert_eq!(metric(&server, "aftercall_trace_spans_dropped_total{reason=\"queue-full\"}"), Some(0.0));
    let told: String =
        collector.requests().iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect();
    for secret in [SAID, SECRET, TOKEN, KEY] {
        assert!(!told.contains(secret) && !server.log().contains(secret), "{secret}");
    }
}

#[test]
fn a_senders_trace_is_gone_on_with_and_its_events_are_linked_both_ways() {
    let (collector, crm) = (Collector::start(), Recorder::start(|_| 200));
    let site = site(&collector.table(""), &to_crm(&crm));
    let server = site.start_with(&mut serve(&site, &[]));
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let body = body("e-1", "c-1");
    let mut headers = signed(body.as_bytes());
    headers.push(("traceparent", format!("00-{trace}-{parent}-01")));
    let answer = server.client().post("/in/genesys", &headers, body.as_bytes()).unwrap();
    let story = event(&answer);
    let spans = collector.until(&["request", "store", "route", "map", "deliver"]);
    let (request, store) = (named(&spans, "request")[0], named(&spans, "store")[0]);
    assert_eq!((hex(&request.trace_id), hex(&request.parent_span_id)), (trace.to_owned(), parent.to_owned()));
    assert_eq!(hex(&store.trace_id), story);
    let links =
        |span: &Span| span.links.iter().map(|link| (link.trace_id.clone(), link.span_id.clone())).collect::<Vec<_>>();
    assert_eq!(links(request), [(store.trace_id.clone(), store.span_id.clone())]);
    assert_eq!(links(store), [(request.trace_id.clone(), request.span_id.clone())]);
    assert!(crm.requests()[0].headers["traceparent"].starts_with(&format!("00-{story}-")));
    // A sender that does not record is not recorded, and a stranger does not decide.
    headers.last_mut().unwrap().1 = format!("00-{trace}-{parent}-00");
    assert_eq!(server.client().post("/in/genesys", &headers, body.as_bytes()).unwrap().counts(), (0, 1));
    let refused = server.client().post("/in/genesys", &headers[1..], b"{}").unwrap();
    assert_eq!(refused.status, 401, "{refused:?}");
    // The duplicate's own span, and its route's, are parts of the story of when it came first.
    let spans = collector.until(&["request", "store", "route", "map", "deliver", "store", "route", "request"]);
    let duplicate = named(&spans, "store")[1];
    assert_eq!(
        (attribute(duplicate, "aftercall.outcome").as_str(), &duplicate.parent_span_id),
        ("duplicate", &named(&spans, "store")[0].span_id)
    );
    let refused = named(&spans, "request")[1];
    assert!(failed(refused) && attribute(refused, "http.response.status_code") == "401");
}

#[test]
fn the_story_goes_on_behind_a_kill() {
    let (collector, up) = (Collector::start(), std::sync::Arc::new(AtomicUsize::new(503)));
    let crm = Recorder::start({
        let up = up.clone();
        move |_| u16::try_from(up.load(Ordering::Relaxed)).unwrap()
    });
    let site = site(&collector.table(""), &to_crm(&crm));
    let server = site.start_with(&mut serve(&site, &[]));
    let trace = event(&server.post(body("e-1", "c-1")));
    waiting::until_so("the CRM was asked", || !crm.requests().is_empty());
    waiting::until_so("the beginning is told", || !named(&collector.spans(), "store").is_empty());
    server.kill();
    up.store(200, Ordering::Relaxed);
    let server = site.start_with(&mut serve(&site, &[]));
    server.until_settled("crm");
    waiting::until_so("the end is told", || {
        collector
            .spans()
            .iter()
            .any(|span| attribute(span, "http.response.status_code") == "200" && span.name == "deliver")
    });
    let spans = collector.spans();
    let root = &named(&spans, "store")[0].span_id;
    let delivered = spans.iter().find(|span| attribute(span, "aftercall.outcome") == "delivered").unwrap();
    assert_eq!((hex(&delivered.trace_id), &delivered.parent_span_id), (trace, root));
}

#[track_caller]
fn deliveries_go_on(table: &str, room: &str) {
    let crm = Recorder::start(|_| 200);
    let site = site(table, &to_crm(&crm));
    let server = site.start_with(&mut serve(&site, &[("OTEL_BSP_MAX_QUEUE_SIZE", room)]));
    for number in 0..40 {
        assert_eq!(server.post(body(&format!("e-{number}"), &format!("c-{number}"))).counts(), (1, 0));
    }
    server.until_settled("crm");
    assert_eq!(crm.requests().len(), 40);
    let dropped = || metric(&server, "aftercall_trace_spans_dropped_total{reason=\"queue-full\"}").unwrap();
    waiting::until_so("what has no room is counted", || dropped() > 0.0);
    assert_eq!(metric(&server, "aftercall_trace_spans_exported_total"), Some(0.0));
    let log = server.log();
    assert!(log.matches("traces cannot be exported").count() <= 1, "an outage is said once: {log}");
    assert_eq!(server.stop(), Some(0), "a stop does not wait for a collector");
}

#[test]
fn deliveries_go_on_while_the_collector_refuses() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    deliveries_go_on(&format!("[traces]\nendpoint = \"http://{nobody}\"\n"), "8");
}

#[test]
fn deliveries_go_on_while_the_collector_hangs() {
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    deliveries_go_on(&format!("[traces]\nendpoint = \"http://{}\"\n", hangs.local_addr().unwrap()), "8");
}

#[test]
fn deliveries_go_on_while_the_collector_fails_and_it_gets_spans_when_it_is_back() {
    deliveries_go_on(&Collector::answering(|_| 503).table(""), "8");
    let tries = AtomicUsize::new(0);
    let collector = Collector::answering(move |_| if tries.fetch_add(1, Ordering::Relaxed) == 0 { 503 } else { 200 });
    let crm = Recorder::start(|_| 200);
    let site = site(&collector.table(""), &to_crm(&crm));
    let server = site.start_with(&mut serve(&site, &[]));
    server.post(body("e-1", "c-1"));
    collector.until(&["request", "store", "route", "map", "deliver"]);
    assert!(server.log().contains("takes them again"), "{}", server.log());
}

#[test]
fn a_share_of_nothing_is_told_to_nobody_and_without_traces_nothing_is_said() {
    let (collector, crm) = (Collector::start(), Recorder::start(|_| 200));
    let none = site(&collector.table("ratio = 0.0"), &to_crm(&crm));
    let server = none.start_with(&mut serve(&none, &[]));
    let trace = event(&server.post(body("e-1", "c-1")));
    server.until_settled("crm");
    let told = crm.requests()[0].headers["traceparent"].clone();
    assert!(told.starts_with(&format!("00-{trace}-")) && told.ends_with("-00"), "{told}");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(collector.requests().len(), 0);
    let off = site("", &to_crm(&crm));
    let server = off.start_with(&mut serve(&off, &[]));
    server.post(body("e-2", "c-1"));
    server.until_settled("crm");
    assert!(!crm.requests()[1].headers.contains_key("traceparent"));
    assert_eq!(metric(&server, "aftercall_trace_spans"), None);
}

#[test]
fn the_last_spans_are_sent_at_a_stop_and_variables_name_the_collector() {
    let (collector, crm) = (Collector::start(), Recorder::start(|_| 200));
    let site = site("", &to_crm(&crm));
    let table = collector.table("");
    let endpoint = table.split('"').nth(1).unwrap();
    let mut command = serve(&site, &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_SERVICE_NAME", "ours")]);
    let server = site.start_with(command.env("OTEL_BSP_SCHEDULE_DELAY", "3600000"));
    server.post(body("e-1", "c-1"));
    server.until_settled("crm");
    assert_eq!(collector.requests().len(), 0, "they wait for others");
    assert_eq!(server.stop(), Some(0));
    collector.until(&["request", "store", "route", "map", "deliver"]);
    assert!(collector.resource().contains(&("service.name".to_owned(), "ours".to_owned())));
}
