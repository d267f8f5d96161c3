//! What is offered to the quarantine, what of it is kept, and how it comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event::{SourceKind, Timestamp};
use intake::{
    Auth, KeyUse, NotReleased, Quarantine, QuarantineEntry, QuarantineError, QuarantineQuery, QuarantineSelection,
    QuarantineStatus, Quarantined, Released, SecretSource, Source,
};
use queue::BoxFuture;

use crate::client::{Answer, Client};
use crate::server::{
    NOW, SECRET, Server, event, genesys, literal, options, post, signature, signature_with, source, sources,
};

/// A quarantine in memory, without bounds.
#[derive(Default)]
struct Cell {
    requests: parking_lot::Mutex<Vec<Option<Quarantined>>>,
    too_large: parking_lot::Mutex<u32>,
    full: AtomicBool,
}

impl Cell {
    fn kept(&self) -> Vec<Quarantined> {
        self.requests.lock().iter().flatten().cloned().collect()
    }
}

impl Quarantine for Cell {
    fn admits(&self, _: &Arc<str>, _: usize, _: Timestamp) -> bool {
        !self.full.load(Ordering::Relaxed)
    }

    fn too_large(&self, _: &Arc<str>) {
        *self.too_large.lock() += 1;
    }

    fn keep(&self, request: Quarantined) {
        self.requests.lock().push(Some(request));
    }

    fn list(&self, _: QuarantineQuery) -> BoxFuture<'_, Result<Vec<QuarantineEntry>, QuarantineError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn read(&self, id: u64) -> BoxFuture<'_, Result<Option<Quarantined>, QuarantineError>> {
        let found = self.requests.lock().get(usize::try_from(id).unwrap()).cloned().flatten();
        Box::pin(async { Ok(found) })
    }

    fn erase(&self, _: String, _: bool) -> BoxFuture<'_, Result<u64, QuarantineError>> {
        Box::pin(async { Ok(0) })
    }

    fn remove(&self, which: QuarantineSelection) -> BoxFuture<'_, Result<u64, QuarantineError>> {
        let QuarantineSelection::Ids(ids) = which else { panic!("only ids are used") };
        ids.iter().for_each(|id| self.requests.lock()[usize::try_from(*id).unwrap()] = None);
        Box::pin(async move { Ok(ids.len() as u64) })
    }

    fn status(&self) -> QuarantineStatus {
        QuarantineStatus::default()
    }

    fn key_uses(&self) -> BoxFuture<'_, Result<Vec<KeyUse>, QuarantineError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn maintain(&self, _: Vec<KeyUse>, _: Timestamp) -> BoxFuture<'_, Result<(), QuarantineError>> {
        Box::pin(async { Ok(()) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

async fn start(sources: Vec<Source>) -> (Server, Arc<Cell>) {
    let server = Server::with(options(), sources).await;
    let cell = Arc::new(Cell::default());
    server.keep_refused_in(Arc::clone(&cell) as Arc<dyn Quarantine>);
    (server, cell)
}

async fn ask(server: &Server, request: impl AsRef<[u8]>) -> Answer {
    let mut client = Client::connect(server.address()).await;
    client.send(request).await;
    client.answer().await
}

fn wrong(body: &str) -> String {
    format!("x-genesys-webhook-signature: {}\r\n", signature_with("another", body))
}

/// A server whose source has its secrets in a file, with a request in quarantine that is signed with `late`.
async fn with_a_late_secret(body: &str) -> (Server, Arc<Cell>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secrets");
    std::fs::write(&file, "wrong\n").unwrap();
    let (server, cell) = start(vec![source("genesys", SourceKind::Webhook, genesys([SecretSource::File(file)]))]).await;
    let headers = format!("x-genesys-webhook-signature: {}\r\n", signature_with("late", body));
    assert_eq!(ask(&server, post("/in/genesys", &headers, body)).await.status, 401);
    assert_eq!(cell.kept().len(), 1);
    (server, cell, dir)
}

#[tokio::test]
async fn every_request_that_proves_nothing_is_kept_raw_and_no_other() {
    let (server, cell) = start(sources()).await;
    let body = event("kept");
    for (path, headers, status) in [
        ("/in/genesys", wrong(&body), 401),
        ("/in/genesys", String::new(), 401),
        ("/in/genesys", "x-genesys-webhook-signature: 00\r\n".to_owned(), 401),
        ("/in/standard", "webhook-id: 1\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,AA\r\n".to_owned(), 401),
        ("/in/bus", "x-api-key: wrong-key\r\n".to_owned(), 401),
        ("/in/bearer", "authorization: Bearer wrong-key\r\n".to_owned(), 401),
        ("/in/genesys", format!("x-genesys-webhook-signature: {}\r\n", signature(&body)), 200),
        ("/in/genesys", format!("{}content-type: text/plain\r\n", wrong(&body)), 415),
        ("/in/nobody", wrong(&body), 404),
        ("/in/open", String::new(), 200),
    ] {
        assert_eq!(ask(&server, post(path, &headers, &body)).await.status, status, "{path} {headers}");
    }
    let kept = cell.kept();
    let reasons: Vec<_> = kept.iter().map(|request| (&*request.source, request.reason.code())).collect();
    assert_eq!(
        reasons,
        [
            ("genesys", "auth-mismatch"),
            ("genesys", "auth-missing"),
            ("genesys", "auth-malformed"),
            ("standard", "auth-time"),
            ("bus", "auth-mismatch"),
            ("bearer", "auth-mismatch")
        ]
    );
    assert!(kept.iter().all(|request| request.body == body && request.received == NOW && request.sender.is_loopback()));
    assert_eq!(kept[0].headers["x-genesys-webhook-signature"], signature_with("another", &body));
    assert_eq!(kept[3].headers["webhook-timestamp"], "1");
    assert!(!format!("{kept:?}").contains("wrong-key"), "credentials are not kept");
    assert_eq!(server.stored().await, 1, "of the two that were accepted one is a duplicate");
}

#[tokio::test]
async fn what_the_quarantine_does_not_want_is_answered_as_ever() {
    let (server, cell) = start(sources()).await;
    let body = event("unwanted");
    // Bodies that are not read to be refused are not read to be kept either.
    let large = "x".repeat(65 * 1024);
    assert_eq!(ask(&server, post("/in/bus", "x-api-key: wrong\r\n", &large)).await.status, 401);
    assert_eq!(ask(&server, post("/in/bus", "expect: 100-continue\r\n", &body)).await.status, 401);
    assert_eq!((*cell.too_large.lock(), cell.kept().len()), (2, 0));
    // With a signature they are read anyway.
    assert_eq!(ask(&server, post("/in/genesys", &wrong(&large), &large)).await.status, 401);
    assert_eq!(cell.kept()[0].body.len(), large.len());
    let chunked = format!(
        "POST /in/genesys HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n{}\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        wrong(&body),
        body.len()
    );
    assert_eq!(ask(&server, chunked).await.status, 401);
    assert_eq!((*cell.too_large.lock(), cell.kept().len()), (2, 2));
    cell.full.store(true, Ordering::Relaxed);
    let mut client = Client::connect(server.address()).await;
    for headers in [wrong(&body), String::new()] {
        client.send(post("/in/genesys", &headers, &body)).await;
        assert_eq!(client.answer().await.status, 401, "and the connection goes on");
    }
    assert_eq!(cell.kept().len(), 2);
}

#[tokio::test]
async fn after_the_secret_is_mended_a_release_publishes_and_a_resend_is_a_duplicate() {
    let body = event("late");
    let (server, cell, dir) = with_a_late_secret(&body).await;
    let still = server.release(&[0], false).await.unwrap();
    assert!(matches!(&still[0].result, Err(NotReleased::Refused(why)) if why.contains("does not match")), "{still:?}");
    assert_eq!((server.stored().await, cell.kept().len()), (0, 1));

    std::fs::write(dir.path().join("secrets"), "right\nlate\n").unwrap();
    assert_eq!(server.release(&[0], true).await.unwrap()[0].result, Ok(Released::Would));
    assert_eq!((server.stored().await, cell.kept().len()), (0, 1), "a dry run changes nothing");
    let released = server.release(&[0, 1], false).await.unwrap();
    let Ok(Released::Published { accepted: 1, duplicates: 0, events }) = &released[0].result else {
        panic!("{released:?}")
    };
    assert_eq!(released[1].result, Err(NotReleased::Missing));
    assert_eq!((server.stored().await, cell.kept().len()), (1, 0));
    assert_eq!(server.release(&[0], false).await.unwrap()[0].result, Err(NotReleased::Missing));

    let headers = format!("x-genesys-webhook-signature: {}\r\n", signature_with("late", &body));
    let resent = ask(&server, post("/in/genesys", &headers, &body)).await.json();
    assert_eq!((&resent["accepted"], &resent["duplicates"]), (&0.into(), &1.into()));
    assert_eq!(resent["events"][0], events[0].to_string());
}

#[tokio::test]
async fn a_released_body_that_is_no_event_is_a_dead_letter() {
    let (server, cell, dir) = with_a_late_secret("{").await;
    std::fs::write(dir.path().join("secrets"), "late\n").unwrap();
    let released = server.release(&[0], false).await.unwrap();
    assert!(matches!(released[0].result, Ok(Released::DeadLetter { .. })), "{released:?}");
    assert_eq!((server.stored().await, cell.kept().len()), (0, 0));
}

#[tokio::test]
async fn a_credential_is_recognised_by_what_was_kept_of_it_and_only_in_its_place() {
    let header = |name| http::HeaderName::from_static(name);
    let keyed = |auth: Auth| source("bus", SourceKind::EventBridge, auth);
    let api_key = |name, secret| Auth::api_key(header(name), literal(secret), &|_| None).unwrap();
    let (server, cell) = start(vec![keyed(api_key("x-api-key", "old"))]).await;
    let body = r#"{"detail-type":"v2.acw","detail":{"conversationId":"c-1"}}"#;
    assert_eq!(ask(&server, post("/in/bus", "x-api-key: new\r\n", body)).await.status, 401);
    assert_eq!(ask(&server, post("/in/bus", "", body)).await.status, 401);
    let release = async |auth: Auth| {
        server.set_sources(vec![keyed(auth)]).unwrap();
        server.release(&[0, 1], false).await.unwrap().into_iter().map(|one| one.result).collect::<Vec<_>>()
    };
    for auth in [
        api_key("x-api-key", "old"),
        api_key("x-other-key", "new"),
        Auth::bearer(literal("new"), &|_| None).unwrap(),
        genesys(literal(SECRET)),
    ] {
        let results = release(auth).await;
        assert!(results.iter().all(|result| matches!(result, Err(NotReleased::Refused(_)))), "{results:?}");
    }
    let results = release(api_key("x-api-key", "new")).await;
    assert!(matches!(results[..], [Ok(Released::Published { accepted: 1, .. }), Err(_)]), "{results:?}");
    assert_eq!((server.stored().await, cell.kept().len()), (1, 1));
    server.set_sources(sources().split_off(5)).unwrap();
    let gone = server.release(&[1], false).await.unwrap();
    assert_eq!(gone[0].result, Err(NotReleased::NoSource("bus".to_owned())));
}

#[tokio::test]
async fn a_signed_time_is_judged_by_the_arrival_of_the_request() {
    let scheme = intake::SignatureScheme::standard_webhooks();
    let auth = |secret| Auth::signature(scheme.clone(), literal(secret), &|_| None).unwrap();
    let secret = intake::Secret::parse(b"whsec_bGF0ZXI=", scheme.secrets).unwrap();
    let (server, cell) = start(vec![source("standard", SourceKind::Webhook, auth("whsec_d3Jvbmc="))]).await;
    let body = event("timed");
    let minutes = |minutes: u64| std::time::Duration::from_secs(60 * minutes);
    for signed_at in [NOW, NOW.minus(minutes(6))] {
        let signed = scheme.sign(&secret, "msg", body.as_bytes(), signed_at);
        let headers: String =
            signed.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap())).collect();
        assert_eq!(ask(&server, post("/in/standard", &headers, &body)).await.status, 401);
    }
    // As if they had come an hour ago: the first was in time then, and is so now.
    for (request, signed_at) in cell.requests.lock().iter_mut().flatten().zip([NOW, NOW.minus(minutes(6))]) {
        let then = signed_at.minus(minutes(60));
        let signed = scheme.sign(&secret, "msg", body.as_bytes(), then);
        request.headers.extend(signed.into_iter().map(|(name, value)| (Some(name), value)));
        request.received = NOW.minus(minutes(60));
    }
    server.set_sources(vec![source("standard", SourceKind::Webhook, auth("whsec_bGF0ZXI="))]).unwrap();
    let results = server.release(&[0, 1], false).await.unwrap();
    assert!(matches!(results[0].result, Ok(Released::Published { accepted: 1, .. })), "{results:?}");
    assert!(matches!(&results[1].result, Err(NotReleased::Refused(why)) if why.contains("360 s ago")), "{results:?}");
}

#[tokio::test]
async fn the_use_of_keys_goes_over_to_new_sources_and_comes_back_from_what_was_saved() {
    let (server, _) = start(sources()).await;
    let body = event("used");
    let headers = format!("x-genesys-webhook-signature: {}\r\n", signature(&body));
    assert_eq!(ask(&server, post("/in/genesys", &headers, &body)).await.status, 200);
    let saved = server.key_uses();
    assert_eq!((saved.len(), &*saved[0].source, saved[0].uses, saved[0].last_used), (1, "genesys", 1, NOW));
    let of_genesys = |server: &Server| {
        let keys = server.keys().into_iter().find(|(name, _)| name == "genesys").unwrap().1;
        (keys[0].uses, keys[0].last_used, keys[0].read_at)
    };
    server.set_sources(sources()).unwrap();
    assert_eq!(of_genesys(&server), (1, Some(NOW), Some(NOW)));
    let (other, _) = start(sources()).await;
    assert_eq!(of_genesys(&other), (0, None, Some(NOW)));
    other.remember_key_uses(saved);
    assert_eq!(of_genesys(&other), (1, Some(NOW), Some(NOW)));
}
