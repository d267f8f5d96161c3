//! Shutdown: what was begun is finished, and nothing accepted is lost.

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::server::{Server, event, options, signed, sources};

#[tokio::test]
async fn a_request_that_has_begun_is_answered() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address()).await;
    let whole = signed(&event("late"));
    let (begun, rest) = whole.split_at(whole.len() - 10);
    client.send(begun).await;
    let mut idle = Client::connect(server.address()).await;
    idle.send(signed(&event("before"))).await;
    assert_eq!(idle.answer().await.status, 200);
    let fresh = Client::connect(server.address()).await;

    let handle = server.handle.clone();
    let stopping = tokio::spawn(async move { handle.shutdown().await });
    idle.end().await;
    assert_eq!(server.not_ready().as_deref(), Some("shutting down"));
    assert!(!stopping.is_finished());
    client.send(rest).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.headers["connection"].as_str()), (200, "close"));
    client.end().await;
    stopping.await.unwrap();
    assert_eq!(server.stored().await, 2);
    assert!(tokio::net::TcpStream::connect(server.address()).await.is_err());
    drop(fresh);
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_after_the_drain_time() {
    let drain = Duration::from_millis(200);
    let server = Server::with(intake::Options { drain, ..options() }, sources()).await;
    let mut client = Client::connect(server.address()).await;
    let whole = signed(&event("never"));
    client.send(&whole[..whole.len() - 1]).await;
    let mut other = Client::connect(server.address()).await;
    other.send(signed(&event("other"))).await;
    assert_eq!(other.answer().await.status, 200);
    let begun = Instant::now();
    server.shutdown().await;
    assert!(begun.elapsed() >= drain && begun.elapsed() < Duration::from_secs(15));
    client.end().await;
    assert_eq!(server.stored().await, 1);
    server.shutdown().await;
}

#[tokio::test]
async fn under_load_every_answered_event_is_stored() {
    let server = Server::start().await;
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let address = server.address();
            tokio::spawn(async move {
                let mut answered = 0u64;
                let mut client = Client::connect(address).await;
                loop {
                    if !client.try_send(signed(&event(&format!("{sender}-{answered}")))).await {
                        return answered;
                    }
                    match client.try_answer().await {
                        Some(answer) if answer.status == 200 => answered += 1,
                        _ => return answered,
                    }
                }
            })
        })
        .collect();
    while server.stored().await < 200 {
        tokio::task::yield_now().await;
    }
    server.shutdown().await;
    let mut answered = 0;
    for sender in senders {
        answered += sender.await.unwrap();
    }
    assert!(answered >= 200 - 8);
    assert!(server.stored().await >= answered);
}
