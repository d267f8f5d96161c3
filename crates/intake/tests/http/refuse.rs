//! What is refused, with which status, and what the sender is told.

use event::SourceKind;
use intake::{Auth, Error, Intake};

use crate::client::{Answer, Client};
use crate::server::{SECRET, Server, clock, event, options, post, signature, signed, source, sources};

async fn ask(server: &Server, request: impl AsRef<[u8]>) -> Answer {
    let mut client = Client::connect(server.address()).await;
    client.send(request).await;
    client.answer().await
}

#[tokio::test]
async fn every_refusal_has_its_status_and_code() {
    let server = Server::start().await;
    let body = event("refused");
    let signature = format!("x-genesys-webhook-signature: {}\r\n", signature(&body));
    let wrong = "x-genesys-webhook-signature: 00\r\n";
    let other = format!("x-genesys-webhook-signature: {}\r\n", "0".repeat(64));
    let with = |more: &str| format!("{signature}{more}\r\n");
    for (path, headers, status, code) in [
        ("/", "", 404, "not-found"),
        ("/in", "", 404, "not-found"),
        ("/in/", "", 404, "unknown-source"),
        ("/in/other", &signature, 404, "unknown-source"),
        ("/in/genesys/", &signature, 404, "unknown-source"),
        ("/in/%67enesys", &signature, 404, "unknown-source"),
        ("/in/genesys", "", 401, "auth-missing"),
        ("/in/genesys", wrong, 401, "auth-malformed"),
        ("/in/genesys", &format!("{signature}{signature}"), 401, "auth-malformed"),
        ("/in/genesys", &other, 401, "auth-mismatch"),
        ("/in/bus", "", 401, "auth-missing"),
        ("/in/bus", "x-api-key: wrong\r\n", 401, "auth-mismatch"),
        ("/in/bearer", "authorization: Basic x\r\n", 401, "auth-malformed"),
        ("/in/bearer", "authorization: Bearer wrong\r\n", 401, "auth-mismatch"),
        ("/in/basic", "authorization: Basic *\r\n", 401, "auth-malformed"),
        ("/in/genesys", &with("content-type: text/plain"), 415, "content-type"),
        ("/in/genesys", &with("content-type: application/x-www-form-urlencoded"), 415, "content-type"),
        ("/in/genesys", &with("content-encoding: gzip"), 415, "content-type"),
        ("/health/live", "", 405, "method-not-allowed"),
    ] {
        let answer = ask(&server, post(path, headers, &body)).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path} {headers}");
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401, "{path} {headers}");
        assert!(!answer.body.contains(SECRET));
    }
    assert_eq!(server.stored().await, 0, "nothing unauthenticated reaches the queue");
}

#[tokio::test]
async fn only_post_is_allowed() {
    let server = Server::start().await;
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        let answer = ask(&server, format!("{method} /in/genesys HTTP/1.1\r\nhost: t\r\n\r\n")).await;
        assert_eq!((answer.status, answer.headers["allow"].as_str()), (405, "POST"), "{method}");
    }
    let mut client = Client::connect(server.address()).await;
    client.send("HEAD /in/genesys HTTP/1.0\r\n\r\n").await;
    assert!(client.try_answer().await.is_none_or(|answer| answer.status == 405));
}

#[tokio::test]
async fn a_connection_goes_on_after_a_refusal() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address()).await;
    let body = event("after");
    for (path, status) in [("/in/genesys", 401), ("/in/nobody", 404), ("/in/bearer", 401), ("/elsewhere", 404)] {
        client.send(post(path, "", &body)).await;
        assert_eq!(client.answer().await.status, status);
    }
    client.send(signed("{")).await;
    assert_eq!(client.answer().await.status, 200);
    client.send(signed(&body)).await;
    assert_eq!(client.answer().await.json()["accepted"], 1);
}

#[tokio::test]
async fn addresses_outside_the_list_are_refused() {
    let limited = |networks: &[&str]| {
        let mut one = sources().remove(0);
        one.allow = networks.iter().map(|text| text.parse().unwrap()).collect();
        vec![one]
    };
    let server = Server::with(options(), limited(&["192.0.2.0/24", "2001:db8::/32"])).await;
    let answer = ask(&server, signed(&event("1"))).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "address-not-allowed"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("127.0.0.1"));
    server.set_sources(limited(&["192.0.2.0/24", "127.0.0.0/8"])).unwrap();
    assert_eq!(ask(&server, signed(&event("1"))).await.status, 200);
    let counts = &server.counts()[0];
    assert_eq!((counts.requests, counts.accepted, &counts.refused[..]), (2, 1, &[("address-not-allowed", 1)][..]));
}

#[tokio::test]
async fn only_authentic_requests_use_up_the_rate() {
    let mut one = sources().remove(0);
    one.max_requests_per_second = std::num::NonZeroU32::new(3);
    let server = Server::with(options(), vec![one]).await;
    for _ in 0..10 {
        assert_eq!(ask(&server, post("/in/genesys", "", "{}")).await.status, 401);
    }
    for id in ["1", "2", "3"] {
        assert_eq!(ask(&server, signed(&event(id))).await.status, 200);
    }
    let answer = ask(&server, signed(&event("4"))).await;
    assert_eq!(
        (answer.status, answer.code().as_str(), answer.headers["retry-after"].as_str()),
        (429, "rate-limited", "1")
    );
}

#[tokio::test]
async fn settings_that_are_unsafe_are_refused_at_start() {
    let bind = |options, sources| {
        let queue = std::sync::Arc::new(queue::MemoryQueue::new(queue::Options::default()));
        Intake::bind(options, sources, queue, clock()).map(|_| ()).unwrap_err()
    };
    let open = || source("open", SourceKind::Webhook, Auth::Open);
    let everywhere = intake::Options { listen: "0.0.0.0:0".parse().unwrap(), ..options() };
    assert!(matches!(bind(everywhere, vec![open()]), Error::OpenSource { name } if name == "open"));
    assert!(matches!(bind(options(), vec![open(), open()]), Error::DuplicateSource { .. }));
    let slash = source("a/b", SourceKind::Webhook, Auth::Open);
    assert!(matches!(bind(options(), vec![slash]), Error::SourceName { .. }));
    let server = Server::start().await;
    let taken = intake::Options { listen: server.address(), ..options() };
    assert!(matches!(bind(taken, vec![open()]), Error::Listen { address, .. } if address == server.address()));
}
