//! `GET /metrics`: what Prometheus reads is what happened.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::{self, Client};
use crate::site::{Server, Site};
use crate::waiting;

/// What a scrape says: each sample with its labels, and the type of each family.
struct Scrape {
    samples: BTreeMap<String, f64>,
    types: BTreeMap<String, String>,
}

/// Reads the format strictly: samples follow the head of their family, none comes twice, and the end is marked.
fn scrape(server: &Server) -> Scrape {
    let answer = client::get(server.console, "/metrics").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let media_type = answer.headers.get("content-type").map(String::as_str);
    assert_eq!(media_type, Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let body = answer.body.strip_suffix("# EOF\n").expect("the end is marked");
    let (mut samples, mut types) = (BTreeMap::new(), BTreeMap::new());
    let mut family = String::new();
    for line in body.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            let (name, kind) = head.split_once(' ').unwrap();
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} comes twice");
            family = name.to_owned();
        } else if !line.starts_with("# HELP ") {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(sample.starts_with(&family), "{sample} is not of {family}");
            if types[&family] == "counter" {
                assert!(sample[family.len()..].starts_with("_total"), "{sample}");
            }
            assert!(samples.insert(sample.to_owned(), value.parse().unwrap()).is_none(), "{sample} comes twice");
        }
    }
    Scrape { samples, types }
}

impl Scrape {
    #[track_caller]
    fn get(&self, sample: &str) -> f64 {
        *self.samples.get(sample).unwrap_or_else(|| panic!("no {sample} in {:#?}", self.samples))
    }
}

const CONFIG: &str = r#"
[destinations.crm]
kind = "file"
path = "events.ndjson"
[destinations.broken]
kind = "file"
path = "broken.ndjson"
[[routes]]
destination = "crm"
[[routes]]
destination = "broken"
mapping = 'error("no")'
"#;

#[test]
fn what_happened_is_counted() {
    let site = Site::new(CONFIG);
    let server = site.start();
    assert_eq!(server.post(r#"{"webhookEventId":"one"}"#).counts(), (1, 0));
    assert_eq!(server.post(r#"{"webhookEventId":"one"}"#).counts(), (0, 1));
    let refused = Client::connect(server.intake).unwrap().post("/in/genesys", &[], b"{}").unwrap();
    assert_eq!(refused.code(), "auth-missing");
    waiting::until_so("both destinations have settled", || {
        let scrape = scrape(&server);
        scrape.get("aftercall_destination_delivered_total{destination=\"crm\"}") == 1.0
            && scrape.get("aftercall_dead_letters{destination=\"broken\"}") == 1.0
    });
    server.until_settled("crm");
    let scrape = scrape(&server);
    for (sample, value) in [
        ("aftercall_ready", 1.0),
        ("aftercall_events_accepted_total", 1.0),
        ("aftercall_events_duplicate_total", 1.0),
        ("aftercall_source_requests_total{source=\"genesys\"}", 3.0),
        ("aftercall_source_requests_refused_total{source=\"genesys\",code=\"auth-missing\"}", 1.0),
        ("aftercall_dead_letters{destination=\"crm\"}", 0.0),
        ("aftercall_dead_letters{destination=\"\"}", 0.0),
        ("aftercall_destination_waiting{destination=\"crm\"}", 0.0),
        ("aftercall_destination_breaker{destination=\"crm\",state=\"closed\"}", 1.0),
        ("aftercall_destination_breaker{destination=\"crm\",state=\"open\"}", 0.0),
        ("aftercall_delivery_duration_seconds_count{destination=\"crm\"}", 1.0),
        ("aftercall_delivery_duration_seconds_bucket{le=\"+Inf\",destination=\"crm\"}", 1.0),
    ] {
        assert_eq!(scrape.get(sample), value, "{sample}");
    }
    // It may have taken less than the clock can tell.
    let status = server.status();
    let crm = status["destinations"].as_array().unwrap().iter().find(|known| known["name"] == "crm").unwrap();
    let took = crm["health"]["latency_us"].as_f64().unwrap() / 1e6;
    assert_eq!(scrape.get("aftercall_delivery_duration_seconds_sum{destination=\"crm\"}"), took);
    assert!(scrape.get("aftercall_queue_disk_bytes") > 0.0);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn the_documentation_lists_every_family_with_its_type() {
    let traces = if cfg!(feature = "otlp") { "[traces]\nendpoint = \"http://127.0.0.1:1\"\n" } else { "" };
    let site = Site::new(&format!("{CONFIG}[archive]\nurl = \"archive\"\n{traces}"));
    let server = site.start();
    let documented: BTreeSet<(String, String)> = include_str!("../../../../docs/metrics.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap().to_owned()))
        .filter(|(name, _)| cfg!(feature = "otlp") || !name.starts_with("aftercall_trace_"))
        .collect();
    let told: BTreeSet<(String, String)> = scrape(&server).types.into_iter().collect();
    assert_eq!(documented, told);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_token_that_may_read_is_enough_and_none_is_not() {
    let site = Site::new(CONFIG);
    let made = site.run(&["tokens", "create", "prometheus", "--scope", "read", "--config", "aftercall.toml"]);
    let token = String::from_utf8(made.stdout).unwrap();
    let server = site.start();
    assert_eq!(client::get(server.console, "/metrics").unwrap().status, 401);
    let mut client = Client::connect(server.console).unwrap();
    let head =
        format!("GET /metrics HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n", server.console, token.trim());
    client.send(head).unwrap();
    assert_eq!(client.answer().unwrap().status, 200);
    assert_eq!(server.stop(), Some(0));
}
