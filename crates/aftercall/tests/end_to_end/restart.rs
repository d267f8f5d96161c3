//! Kills, restarts and stops under load.

use std::time::Duration;

use simulator::contact_centre::Knobs;

use crate::delivery::{all_arrived, contact_centre, crm, to_crm};
use crate::site::{Server, Site, TO_FILE};
use crate::waiting;

fn knobs(events: u64) -> Knobs {
    Knobs { events, batched: 0.2, ..Knobs::default() }
}

/// Sends while `server` is replaced each time that another part of the events was sent.
fn replaced_under_load(end: impl Fn(Server), seed: u64) {
    const EVENTS: u64 = 6_000;
    const REPLACED: u64 = 3;
    let crm = crm();
    let site = Site::new(&to_crm(crm.address(), ""));
    let mut server = Some(site.start());
    let intake = server.as_ref().unwrap().intake;
    let client = contact_centre(intake, Knobs { seed, ..knobs(EVENTS) }, |options| {
        options.rate = Some(4_000.0);
        options.attempt_timeout = Duration::from_secs(20);
    });
    for turn in 1..=REPLACED {
        waiting::until_so("another part is sent", || {
            let progress = client.progress();
            progress.answered >= turn * EVENTS / (REPLACED + 1) || progress.finished
        });
        assert!(!client.progress().finished, "the load ended before kill {turn}");
        end(server.take().unwrap());
        let next = site.start();
        client.retarget(next.intake).unwrap();
        server = Some(next);
    }
    let report = client.wait(Duration::from_millis(50), |_| {});
    assert!(report.unacked.is_empty() && report.refused.is_empty(), "{report:?}");
    assert_eq!(report.acked.len() as u64, EVENTS);
    all_arrived(&crm, &report);
    assert_eq!(crm.report().events, EVENTS);
    let server = server.unwrap();
    server.until_settled("crm");
    assert_eq!((server.count("accepted"), server.count("dead_letters"), server.count("conflicts")), (EVENTS, 0, 0));
    assert_eq!(server.stop(), Some(0));
    let (code, said) = site.check();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("6000 events") && said.contains("no damage"), "{said}");
    assert!(!site.logs().contains("panicked"));
}

#[test]
fn what_was_acknowledged_arrives_once_although_the_server_is_killed() {
    replaced_under_load(Server::kill, 11);
}

#[test]
fn what_was_acknowledged_arrives_once_although_the_server_is_stopped_under_load() {
    replaced_under_load(|server| assert_eq!(server.stop(), Some(0)), 12);
}

#[test]
fn a_graceful_stop_repeats_no_delivery() {
    let crm = crm();
    let site = Site::new(&to_crm(crm.address(), ""));
    let server = site.start();
    let client = contact_centre(server.intake, knobs(1_000), |_| {});
    waiting::until_so("deliveries are under way", || crm.report().writes > 200);
    assert_eq!(server.stop(), Some(0));
    let server = site.start();
    client.retarget(server.intake).unwrap();
    let report = client.wait(Duration::from_millis(50), |_| {});
    all_arrived(&crm, &report);
    assert_eq!(crm.report().repeats, 0, "what was delivered before the stop was delivered again");
}

#[test]
fn a_second_server_on_the_same_data_names_the_first() {
    let site = Site::new(TO_FILE.replace("events.ndjson", "first.ndjson").as_str());
    let server = site.start();
    let config = std::fs::read_to_string(site.path("aftercall.toml")).unwrap();
    std::fs::write(site.path("second.toml"), config.replace("first.ndjson", "second.ndjson")).unwrap();
    let second = site.run(&["serve", "--config", "second.toml"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("process {}", server.id())) && said.contains("another data directory"), "{said}");
    assert_eq!(server.post("{}").counts(), (1, 0), "the first one works on");
    server.kill();
    // The lock of a killed server is nobody's.
    assert_eq!(site.start().stop(), Some(0));
}

#[test]
fn a_request_under_way_is_finished_before_the_end() {
    let site = Site::new(TO_FILE);
    let mut server = site.start();
    let body = br#"{"webhookEventId":"late"}"#;
    let mut client = server.client();
    let mut head = format!("POST /in/genesys HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in crate::client::signed(body) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    client.send(head + "\r\n").unwrap();
    client.send(&body[..5]).unwrap();
    // The head has arrived when the source has counted the request.
    waiting::until_so("the request is under way", || {
        server.status()["sources"].to_string().contains(r#""requests":1"#)
    });
    server.terminate();
    waiting::until_so("the server is stopping", || server.log().contains("stopping"));
    client.send(&body[5..]).unwrap();
    assert_eq!(client.answer().unwrap().counts(), (1, 0));
    assert_eq!(server.exit_code(), Some(0));
    let server = site.start();
    server.until_settled("events");
    assert_eq!(site.events().len(), 1);
}
