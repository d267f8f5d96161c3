use std::sync::Arc;
use std::time::Duration;

use ::oauth::TokenSource;
use simulator::platform::{self, Platform};

use super::server::{Answer, Server};
use super::*;

fn platform() -> Arc<Platform> {
    Arc::new(Platform::start(platform::Options::default()).unwrap())
}

fn source(platform: &Platform) -> TokenSource {
    let secret = Secret::fixed(platform::CLIENT_SECRET);
    TokenSource::new(::oauth::Options::new(&platform.token_url(), platform::CLIENT_ID, secret).unwrap()).unwrap()
}

/// A CRM that takes valid tokens only, and repeats what it got when it refuses.
async fn crm(platform: &Arc<Platform>) -> Server {
    let platform = Arc::clone(platform);
    Server::start(move |request| {
        let authorization = request.headers["authorization"].to_str().unwrap();
        if platform.accepts(authorization) { Answer::status(201) } else { Answer::status(401).body(authorization) }
    })
    .await
}

fn destination(server: &Server, source: &TokenSource) -> HttpDestination {
    let mut options = options(server, "/");
    options.auth = Auth::OAuth(source.clone());
    HttpDestination::open(options).unwrap()
}

#[tokio::test]
async fn a_refused_token_is_replaced_and_the_attempt_repeated_once() {
    let platform = platform();
    let server = crm(&platform).await;
    let source = source(&platform);
    source.token().await.unwrap();
    platform.revoke_tokens();
    let receipt = destination(&server, &source).send(delivery("{\"a\":1}")).await.unwrap();
    assert_eq!(receipt.status, Some(201));
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[0].body.as_str(), requests[1].body.as_str()), ("{\"a\":1}", "{\"a\":1}"));
    assert_eq!(requests[0].headers["idempotency-key"], requests[1].headers["idempotency-key"]);
    assert_ne!(requests[0].headers["authorization"], requests[1].headers["authorization"]);
    assert_eq!(platform.report().token_requests, 2);
}

#[tokio::test]
async fn many_deliveries_whose_token_was_refused_share_one_new_one() {
    let platform = platform();
    let server = crm(&platform).await;
    let source = source(&platform);
    source.token().await.unwrap();
    platform.revoke_tokens();
    let destination = destination(&server, &source);
    let outcomes = futures::future::join_all((0..40).map(|_| destination.send(delivery("{}")))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(platform.report().token_requests, 2);
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_is_an_outage_and_shown_to_nobody() {
    let platform = platform();
    let server =
        Server::start(|request| Answer::status(401).body(request.headers["authorization"].to_str().unwrap())).await;
    let error = destination(&server, &source(&platform)).send(delivery("{}")).await.unwrap_err();
    assert_eq!((error.class.clone(), error.status), (ErrorClass::Transient, Some(401)));
    assert!(error.message.contains("to a fresh access token of http://127.0.0.1"), "{error}");
    assert_eq!(error.excerpt.as_deref(), Some("Bearer [secret]"));
    assert_eq!(server.requests().len(), 2, "once more, and not again and again");
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_nothing_dies() {
    let platform = platform();
    let server = crm(&platform).await;
    platform.set_token_limit(0);
    let limited = destination(&server, &source(&platform)).send(delivery("{}")).await.unwrap_err();
    assert_eq!((limited.class.clone(), limited.status), (ErrorClass::Transient, None));
    assert!(limited.retry_after.unwrap() >= Duration::from_secs(15), "{limited:?}");

    platform.set_token_limit(300);
    platform.withdraw(platform::CLIENT_ID, platform::CLIENT_SECRET);
    let refused = destination(&server, &source(&platform)).send(delivery("{}")).await.unwrap_err();
    assert_eq!(
        (refused.class.clone(), refused.retry_after),
        (ErrorClass::Transient, None),
        "it can be mended at any time"
    );
    assert!(refused.message.contains("invalid_client"), "{refused}");

    let closed = Server::closed_address().await;
    let secret = Secret::fixed("hunter2");
    let nowhere = ::oauth::Options::new(&format!("http://{closed}/token?key=hidden"), "id", secret).unwrap();
    let down = destination(&server, &TokenSource::new(nowhere).unwrap()).send(delivery("{}")).await.unwrap_err();
    assert_eq!(down.class, ErrorClass::Transient);
    assert!(down.message.contains("cannot be reached") && !down.message.contains("hidden"), "{down}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_token_endpoint_that_hangs_takes_no_longer_than_the_attempt() {
    let platform = platform();
    let server = crm(&platform).await;
    let silent = Server::silent().await;
    let source = ::oauth::Options::new(&format!("http://{silent}/"), "id", Secret::fixed("s")).unwrap();
    let mut options = options(&server, "/");
    options.auth = Auth::OAuth(TokenSource::new(source).unwrap());
    options.timeout = Duration::from_millis(100);
    let error = HttpDestination::open(options).unwrap().send(delivery("{}")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.message.ends_with("within 0.1 s"), "{error}");
}

#[tokio::test]
async fn an_event_that_is_refused_whatever_the_token_takes_it_from_no_other() {
    let platform = platform();
    let server = Server::start(|request| Answer::status(if request.body == "\"poison\"" { 401 } else { 200 })).await;
    let destination = destination(&server, &source(&platform));
    for _ in 0..20 {
        destination.send(delivery("{}")).await.unwrap();
        let refused = destination.send(delivery("\"poison\"")).await.unwrap_err();
        assert_eq!((refused.class, refused.status), (ErrorClass::Transient, Some(401)));
    }
    assert_eq!((platform.report().token_requests, server.requests().len()), (1, 40));
}

#[tokio::test]
async fn a_token_endpoint_of_a_private_authority_is_trusted_if_that_is_named() {
    let (issuer, ca_pem) = Server::start_tls(|_| Answer::status(200).body(r#"{"access_token":"t0ken"}"#)).await;
    let server = Server::start(|request| match request.headers["authorization"].to_str() {
        Ok("Bearer t0ken") => Answer::status(200),
        _ => Answer::status(401),
    })
    .await;
    let url = format!("https://localhost:{}/token", issuer.address.port());
    let strict = ::oauth::Options::new(&url, "id", Secret::fixed("s")).unwrap();
    let mut trusting = strict.clone();
    trusting.ca_pem = Some(ca_pem.into_bytes());
    destination(&server, &TokenSource::new(trusting).unwrap()).send(delivery("{}")).await.unwrap();
    // A machine without any root certificate does not get that far.
    if let Ok(strict) = TokenSource::new(strict) {
        let error = destination(&server, &strict).send(delivery("{}")).await.unwrap_err();
        assert!(error.class == ErrorClass::Transient && error.message.contains("cannot be reached"), "{error}");
    }
    assert_eq!((issuer.requests().len(), server.requests().len()), (1, 1));
}
