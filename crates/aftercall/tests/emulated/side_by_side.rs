//! Two servers side by side on one table.

use std::time::Duration;

use simulator::client::{Auth, Client, Options};
use simulator::contact_centre::{ContactCentre, Knobs};
use simulator::crm::Fault;
use simulator::load;
use simulator::sign::{Scheme, Signer};

use crate::site::{SECRET, Server, TOKEN};
use crate::stage::{ask, crm, two, until_so_long};
use crate::waiting;

/// Different events that the contact centre emits.
const EVENTS: u64 = 400;

/// `more` is for the destination's table.
fn to_crm(crm: std::net::SocketAddr, more: &str) -> String {
    format!(
        "[destinations.crm]\nkind = \"http\"\nmethod = \"PUT\"\nurl = \"http://{crm}/records/{{event_id}}\"\n{more}\n\
         [[routes]]\ndestination = \"crm\"\n"
    )
}

#[test]
fn two_servers_deliver_each_event_once_and_in_order_though_one_of_them_is_killed() {
    let crm = crm();
    let [(_here, killed), (site, other)] = two(&to_crm(crm.address(), ""));
    let mut options = Options::new(killed.intake);
    options.genesys = Auth::Signed(Signer::new(Scheme::Genesys, SECRET).unwrap());
    options.eventbridge = Auth::Bearer(TOKEN.to_owned());
    options.deadline = waiting::PATIENCE;
    let client =
        Client::start(options, ContactCentre::new(Knobs { events: EVENTS, ..Knobs::default() }).unwrap()).unwrap();
    waiting::until_so("some were sent to the first", || client.progress().answered > EVENTS / 4);
    client.retarget(other.intake).unwrap();
    waiting::until_so("some were sent to the second", || client.progress().answered > EVENTS / 2);
    client.retarget(killed.intake).unwrap();
    waiting::until_so("some more were sent to the first", || client.progress().answered > EVENTS / 2 + EVENTS / 8);
    assert!(!client.progress().finished, "the load ended before the kill");
    killed.kill();
    client.retarget(other.intake).unwrap();
    let report = client.wait(Duration::from_millis(50), |_| {});
    assert!(report.unacked.is_empty() && report.refused.is_empty(), "{report:?}");
    assert_eq!(report.acked.len() as u64, EVENTS);
    until_so_long("everything acknowledged is in the CRM", || crm.missing(report.acked.iter().copied()).is_empty());
    let books = crm.report();
    assert_eq!((books.events, books.doubled, books.overwritten, books.out_of_order), (EVENTS, 0, 0, 0), "{books:?}");
    until_so_long("everything is settled", || other.consumer("crm")["unsettled"] == 0);
    assert_eq!((other.count("accepted"), other.count("dead_letters"), other.count("conflicts")), (EVENTS, 0, 0));
    let said = ask(&site, &other, &["audit", "verify"], 0);
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(other.stop(), Some(0));
    assert!(!site.logs().contains("panicked"));
}

/// The one that was started first delivers. Events that come in by the other one are delivered by it, and when it stops the
/// other one goes on; the CRM never sees more at once than one server may have under way.
#[test]
fn two_servers_keep_the_limit_of_a_destination_together_though_the_one_that_delivers_stops() {
    const SENT: u64 = 600;
    let crm = crm();
    crm.fail(Fault::Slow(Duration::from_millis(200)));
    let more = "order = \"none\"\ntimeout = \"30s\"";
    let [(_first, one), (site, other)] = two(&to_crm(crm.address(), more));
    let auth = Auth::Signed(Signer::new(Scheme::Genesys, SECRET).unwrap());
    let options = load::Options {
        auth,
        warm_up: Duration::ZERO,
        duration: waiting::PATIENCE,
        connections: 1,
        events_per_request: 100,
        requests_max: Some(SENT / 100),
        ..load::Options::new(other.intake)
    };
    let report = load::run(&options).unwrap();
    assert_eq!((report.accepted, report.other), (SENT, 0), "{report:?}");
    waiting::until_so("some are delivered", || crm.report().events > SENT / 4);
    assert_eq!(one.stop(), Some(0));
    assert!(crm.report().events < SENT, "everything was delivered before the stop");
    until_so_long("everything is delivered", || other.consumer("crm")["unsettled"] == 0);
    let books = crm.report();
    assert_eq!((books.events, books.doubled, books.repeats), (SENT, 0, 0), "{books:?}");
    assert!(books.max_concurrency <= 50, "{books:?}");
    assert_eq!(other.stop(), Some(0));
    assert!(!site.logs().contains("panicked"));
}

/// Two servers count failures each for itself, and one goes on where the other one stood: the CRM is probed, not tried with
/// everything at once.
#[test]
fn the_breaker_stands_where_it_stood_when_another_server_takes_over() {
    const EVENTS: u64 = 20;
    let crm = crm();
    crm.fail(Fault::UNAVAILABLE);
    let backoff = "backoff = { base = \"20ms\", cap = \"200ms\" }";
    let [(_first, one), (_second, other)] = two(&to_crm(crm.address(), backoff));
    for number in 0..EVENTS {
        let event = format!(r#"{{"webhookEventId":"b-{number}","conversationId":"c-{number}"}}"#);
        assert_eq!(other.post(event).counts(), (1, 0));
    }
    let breaker = |server: &Server| server.status()["destinations"][0]["health"]["gate"]["breaker"].clone();
    waiting::until_so("the breaker of the one that delivers opens", || breaker(&one)["state"] == "open");
    let since = breaker(&one)["since"].clone();
    assert_eq!(breaker(&other)["state"], "closed", "the other one has seen nothing");
    assert_eq!(one.stop(), Some(0));
    until_so_long("the other one takes over", || breaker(&other)["state"] != "closed");
    assert_eq!(breaker(&other)["since"], since, "it is the same outage");
    crm.clear();
    until_so_long("everything is delivered", || other.consumer("crm")["unsettled"] == 0);
    assert_eq!(other.count("dead_letters"), 0);
    assert_eq!(other.stop(), Some(0));
}
