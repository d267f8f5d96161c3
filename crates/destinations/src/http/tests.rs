//! Requests to a small server: what is sent, and what its answers mean.

mod oauth;
mod server;
mod template;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::http::{HeaderName, Method};
use event::EventId;

use self::server::{Answer, Server};
use super::answer::{EXCERPT_LIMIT, excerpt};
use super::status::{Verdict, verdict};
use super::*;
use crate::{Destination, ErrorClass, OpenError, OutgoingDelivery, Secret, SecretError, SendError};

fn delivery(payload: &str) -> OutgoingDelivery {
    OutgoingDelivery {
        event: EventId::from_identity("test", [b"one".as_slice()]),
        source: "calls".into(),
        topic: "acw".into(),
        conversation: Some("c-1".into()),
        received: event::Timestamp::default(),
        behind_dead: false,
        payload: payload.to_owned().into(),
        replayed: false,
        trace: None,
    }
}

fn options(server: &Server, path: &str) -> Options {
    Options::new(format!("http://{}{path}", server.address).parse().unwrap())
}

async fn send(options: Options, payload: &str) -> Result<u16, SendError> {
    let receipt = HttpDestination::open(options).unwrap().send(delivery(payload)).await?;
    Ok(receipt.status.unwrap())
}

fn header(name: &str, text: &str) -> (HeaderName, HeaderText) {
    (name.parse().unwrap(), HeaderText::Plain(text.into()))
}

#[tokio::test]
async fn a_request_carries_what_was_configured() {
    let server = Server::start(|_| Answer::status(201)).await;
    let mut options = options(&server, "/calls/{conversation}?id={/data/id}&e={event_id}");
    options.method = Method::PUT;
    options.headers.push(header("x-tenant", "north"));
    options.auth = Auth::Bearer(Secret::fixed("opensesame"));
    assert_eq!(send(options, r#"{"data":{"id":"a/b"}}"#).await.unwrap(), 201);

    let requests = server.requests();
    let request = &requests[0];
    let id = delivery("").event.to_string();
    assert_eq!(request.line, format!("PUT /calls/c-1?id=a%2Fb&e={id}"));
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["authorization"], "Bearer opensesame");
    assert_eq!(request.headers["x-tenant"], "north");
    assert_eq!(request.headers["idempotency-key"], id.as_str());
    assert!(!request.headers.contains_key("accept-encoding"));
    assert_eq!(request.body, r#"{"data":{"id":"a/b"}}"#);
}

#[tokio::test]
async fn other_ways_to_authorise() {
    let server = Server::start(|_| Answer::status(200)).await;
    let mut basic = options(&server, "/");
    basic.auth = Auth::Basic { user: "ada".into(), password: Secret::fixed("lovelace") };
    basic.idempotency_header = None;
    send(basic, "{}").await.unwrap();
    let mut key = options(&server, "/");
    key.auth = Auth::ApiKey { header: "x-api-key".parse().unwrap(), key: Secret::fixed("k-123") };
    key.headers.push(header("content-type", "application/vnd.crm+json"));
    send(key, "{}").await.unwrap();

    let requests = server.requests();
    assert_eq!(requests[0].headers["authorization"], "Basic YWRhOmxvdmVsYWNl");
    assert!(!requests[0].headers.contains_key("idempotency-key"));
    assert_eq!(requests[1].headers["x-api-key"], "k-123");
    assert_eq!(requests[1].headers["content-type"], "application/vnd.crm+json");
}

#[tokio::test]
async fn a_rotated_secret_is_used_at_once_and_a_missing_one_waits() {
    let server = Server::start(|_| Answer::status(200)).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let mut options = options(&server, "/");
    options.auth = Auth::Bearer(Secret::from_fn(move || match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Ok("old".into()),
        1 => Ok("new".into()),
        2 => Err(SecretError("`file:/run/token` does not exist".into())),
        _ => Ok("two\r\nlines: injected".into()),
    }));
    let destination = HttpDestination::open(options).unwrap();
    destination.send(delivery("{}")).await.unwrap();
    destination.send(delivery("{}")).await.unwrap();
    let missing = destination.send(delivery("{}")).await.unwrap_err();
    let broken = destination.send(delivery("{}")).await.unwrap_err();

    let requests = server.requests();
    assert_eq!(requests.len(), 2, "nothing is sent without its credentials");
    assert_eq!(requests[0].headers["authorization"], "Bearer old");
    assert_eq!(requests[1].headers["authorization"], "Bearer new");
    assert_eq!(missing.class, ErrorClass::Transient);
    assert!(missing.message.contains("file:/run/token"), "{missing}");
    assert_eq!(broken.class, ErrorClass::Transient);
    assert!(!broken.message.contains("injected"), "{broken}");
}

#[tokio::test]
async fn a_secret_that_is_refused_is_asked_for_again_and_the_delivery_not_blamed_if_it_is_another() {
    let server = Server::start(|request| {
        Answer::status(if request.headers["authorization"] == "Bearer new" { 200 } else { 401 })
    })
    .await;
    let mut options = options(&server, "/");
    let again = Arc::new(std::sync::Mutex::new("new"));
    let next = Arc::clone(&again);
    options.auth = Auth::Bearer(Secret::from_fns(|| Ok("old".into()), move || Ok((*next.lock().unwrap()).into())));
    let destination = HttpDestination::open(options).unwrap();
    destination.send(delivery("{}")).await.unwrap();
    *again.lock().unwrap() = "old";
    let refused = destination.send(delivery("{}")).await.unwrap_err();
    assert_eq!((refused.class, refused.status), (ErrorClass::Permanent, Some(401)));
    let requests = server.requests();
    let sent: Vec<_> = requests.iter().map(|request| request.headers["authorization"].to_str().unwrap()).collect();
    assert_eq!(sent, ["Bearer old", "Bearer new", "Bearer old"], "asked again only with another one");
}

#[tokio::test]
async fn statuses_decide() {
    let server = Server::start(|request| {
        let status = request.line.rsplit('/').next().unwrap().parse().unwrap();
        Answer::status(status).with("retry-after", "7").body("no\u{1b}[31m way")
    })
    .await;
    for (status, class) in [
        (302, ErrorClass::Permanent),
        (400, ErrorClass::Permanent),
        (404, ErrorClass::Permanent),
        (408, ErrorClass::Transient),
        (423, ErrorClass::Transient),
        (425, ErrorClass::Transient),
        (429, ErrorClass::Transient),
        (500, ErrorClass::Transient),
        (503, ErrorClass::Transient),
    ] {
        let mut options = options(&server, &format!("/{status}"));
        options.transient = Statuses::from_list(&["423"]).unwrap();
        let error = send(options, "{}").await.unwrap_err();
        assert_eq!((error.class.clone(), error.status), (class, Some(status)), "{error}");
        assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(error.excerpt.as_deref(), Some("no [31m way"));
        assert!(error.message.contains(&status.to_string()), "{error}");
    }
    let mut lenient = options(&server, "/409");
    lenient.success = Statuses::from_list(&["2xx", "409"]).unwrap();
    assert_eq!(send(lenient, "{}").await.unwrap(), 409);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::start(|_| Answer::status(307).with("location", "/elsewhere")).await;
    let error = send(options(&server, "/"), "{}").await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn no_connection_and_no_answer_are_transient() {
    let closed = Server::closed_address().await;
    let refused = Options::new(format!("http://{closed}/?token=hidden").parse().unwrap());
    let error = send(refused, "{}").await.unwrap_err();
    assert_eq!((error.class.clone(), error.status), (ErrorClass::Transient, None));
    assert!(error.message.starts_with("cannot connect"), "{error}");
    assert!(!error.message.contains("hidden"), "{error}");

    let silent = Server::silent().await;
    let mut options = Options::new(format!("http://{silent}/?token=hidden").parse().unwrap());
    options.timeout = Duration::from_millis(50);
    let error = send(options, "{}").await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert_eq!(error.message, "no answer within 0.05 s");

    let resetting = Server::resetting().await;
    let options = Options::new(format!("http://{resetting}/?token=hidden").parse().unwrap());
    let error = send(options, "{}").await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(!error.message.contains("hidden"), "{error}");
}

#[tokio::test]
async fn the_status_counts_although_the_body_never_ends() {
    let server = Server::start(|request| match request.line.as_str() {
        "POST /endless" => Answer::status(200).endless(),
        _ => Answer::status(400).endless(),
    })
    .await;
    for path in ["/endless", "/endless-refusal"] {
        let mut options = options(&server, path);
        options.timeout = Duration::from_secs(10);
        let outcome = send(options, "{}").await;
        match path {
            "/endless" => assert_eq!(outcome.unwrap(), 200),
            _ => assert_eq!(outcome.unwrap_err().excerpt.unwrap().len(), EXCERPT_LIMIT),
        }
    }
    let stalled = Server::start(|_| Answer::status(200).stalled()).await;
    let mut options = options(&stalled, "/");
    options.timeout = Duration::from_millis(100);
    assert_eq!(send(options, "{}").await.unwrap(), 200);
}

#[tokio::test]
async fn an_echoed_secret_does_not_reach_the_excerpt() {
    let server = Server::start(|request| {
        let echo = format!("{:?}", request.headers.get("authorization"));
        Answer::status(401).body(&echo)
    })
    .await;
    let mut options = options(&server, "/");
    options.auth = Auth::Bearer(Secret::fixed("opensesame"));
    let excerpt = send(options, "{}").await.unwrap_err().excerpt.unwrap();
    assert!(excerpt.contains("Bearer [secret]"), "{excerpt}");
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::start(|_| Answer::status(200).body("thanks")).await;
    let destination = HttpDestination::open(options(&server, "/")).unwrap();
    for _ in 0..20 {
        destination.send(delivery("{}")).await.unwrap();
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_private_authority_can_be_trusted_and_an_unknown_one_is_not() {
    let (server, ca_pem) = Server::start_tls(|_| Answer::status(200)).await;
    let mut trusting = Options::new(format!("https://localhost:{}/", server.address.port()).parse().unwrap());
    let strict = trusting.clone();
    trusting.ca_pem = Some(ca_pem.into_bytes());
    assert_eq!(send(trusting, "{}").await.unwrap(), 200);
    match HttpDestination::open(strict) {
        // A machine without any root certificate.
        Err(error) => assert!(matches!(error, OpenError::Client { .. }), "{error}"),
        Ok(strict) => {
            let error = strict.send(delivery("{}")).await.unwrap_err();
            assert_eq!(error.class, ErrorClass::Transient);
            assert!(error.message.starts_with("cannot connect"), "{error}");
        }
    }
}

#[test]
fn wrong_options_are_refused_with_their_name() {
    let good = Options::new("http://127.0.0.1:1/".parse().unwrap());
    let refused = |change: &dyn Fn(&mut Options)| {
        let mut options = good.clone();
        change(&mut options);
        match HttpDestination::open(options) {
            Err(OpenError::Option { key, .. }) => key,
            other => panic!("{:?}", other.map(|_| ())),
        }
    };
    assert_eq!(refused(&|o| o.method = Method::GET), "method");
    assert_eq!(refused(&|o| o.success = Statuses::default()), "success");
    assert_eq!(refused(&|o| o.timeout = Duration::ZERO), "timeout");
    assert_eq!(refused(&|o| o.headers.push(header("content-length", "3"))), "headers");
    assert_eq!(refused(&|o| o.headers.push(header("idempotency-key", "mine"))), "headers");
    assert_eq!(refused(&|o| o.headers.push(header("x-a", "b\r\nx-c: d"))), "headers");
    let user = || Auth::Basic { user: "a:b".into(), password: Secret::fixed("c") };
    assert_eq!(refused(&|o| o.auth = user()), "auth");
    let mut bad_ca = Options::new("https://127.0.0.1:1/".parse().unwrap());
    bad_ca.ca_pem = Some(b"nothing".to_vec());
    assert!(matches!(HttpDestination::open(bad_ca), Err(OpenError::Option { key: "ca", .. })));
}

#[test]
fn secrets_are_not_shown() {
    let mut options = Options::new("http://127.0.0.1:1/?key=opensesame".parse().unwrap());
    options.auth = Auth::Bearer(Secret::fixed("opensesame"));
    assert!(!format!("{options:?}").contains("opensesame"));
}

#[test]
fn lists_of_statuses() {
    let statuses = Statuses::from_list(&["2xx", "409", "420-429"]).unwrap();
    for (status, within) in [(200, true), (299, true), (300, false), (409, true), (420, true), (430, false)] {
        assert_eq!(statuses.contains(status), within, "{status}");
    }
    for bad in ["", "xx", "9xx", "1xx", "20", "2000", "299-200", "200-", "+20", "２xx"] {
        assert!(Statuses::from_list(&[bad]).is_err(), "{bad}");
    }
    let both = Statuses::from_list(&["503"]).unwrap();
    assert_eq!(verdict(503, &both, &both), Verdict::Success, "what counts as success is asked first");
}

#[test]
fn excerpts_are_clean_and_bounded() {
    assert_eq!(excerpt(b" \r\n", &[]), None);
    assert_eq!(excerpt(b"a\0b\xff\n", &[]).unwrap(), "a b\u{fffd}");
    assert!(excerpt(&[0xff; 9_000], &[]).unwrap().len() <= EXCERPT_LIMIT);
    let long = "\u{20ac}".repeat(2_000);
    assert!(long.starts_with(&excerpt(long.as_bytes(), &[]).unwrap()));
}
