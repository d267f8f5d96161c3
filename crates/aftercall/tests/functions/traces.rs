//! Traces of functions: what one function accepts and another delivers is one trace, told before each answers.

use std::net::TcpListener;

use crate::collector::{Collector, attribute};
use crate::crm::{Crm, Does};
use crate::function::{ALL_DONE, Function, records};
use crate::ingest::{counts, inner};
use crate::site::{Site, body, envelope, signed, to_crm, wake_ups};

/// Nothing is sent but what a function has sent before it answers.
const WAIT: [(&str, &str); 1] = [("OTEL_BSP_SCHEDULE_DELAY", "3600000")];

#[test]
fn what_one_function_accepts_and_another_delivers_is_one_trace() {
    let (crm, collector) = (Crm::start(Does::Answer(200)), Collector::start());
    let site = Site::new(&format!("{}{}", to_crm(&crm.url(), ""), collector.table("")));
    let ingest = Function::start_with(&site, "ingest", &WAIT);
    let answer = ingest.answer(&signed(&body("c-1", "e-1")));
    let id = inner(&answer)["events"][0].as_str().unwrap().to_owned();
    // The answer came behind them.
    let names = |collector: &Collector| {
        let mut names: Vec<_> = collector.spans().into_iter().map(|span| span.name).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(&collector), ["request", "route", "store"]);
    let deliver = Function::start_with(&site, "deliver", &WAIT);
    assert_eq!(deliver.answer(&wake_ups(&["crm"])), ALL_DONE);
    assert_eq!(names(&collector), ["deliver", "map", "request", "route", "store"]);
    let spans = collector.spans();
    let trace = spans[0].trace_id.clone();
    assert!(
        spans.iter().all(|span| span.trace_id == trace && attribute(span, "aftercall.event.id") == id),
        "{spans:#?}"
    );
    let told = crm.requests()[0].headers["traceparent"].clone();
    assert!(told.starts_with(&format!("00-{}-", id.replace('-', ""))), "{told}");
    let route = Function::start_with(&site, "route", &WAIT);
    assert_eq!(route.answer(&records(&[site.message("m-1", &envelope("c", "e-2"))])), ALL_DONE);
    let message = collector.spans().into_iter().find(|span| span.name == "message").unwrap();
    assert_eq!(attribute(&message, "aftercall.source"), "bus");
}

#[test]
fn a_collector_that_hangs_or_refuses_keeps_no_function_from_its_work() {
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [hangs.local_addr().unwrap(), nobody] {
        let crm = Crm::start(Does::Answer(200));
        let traces = format!("[traces]\nendpoint = \"http://{address}\"\n");
        let site = Site::new(&format!("{}{traces}", to_crm(&crm.url(), "")));
        let ingest = Function::start(&site, "ingest");
        for number in 0..5 {
            assert_eq!(counts(&ingest.answer(&signed(&body("c-1", &format!("e-{number}"))))), (1, 0));
        }
        let deliver = Function::start(&site, "deliver");
        site.deliver(&deliver);
        assert_eq!(crm.taken().len(), 5);
        assert_eq!(ingest.log().matches("traces cannot be exported").count(), 1, "{}", ingest.log());
    }
}
