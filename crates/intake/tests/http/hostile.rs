//! Senders that are slow, huge, malformed or many.

use std::time::{Duration, Instant};

use intake::Limits;

use crate::client::Client;
use crate::server::{SECRET, Server, event, options, post, signature, signed, sources};

async fn limited(limits: Limits) -> Server {
    Server::with(intake::Options { limits, ..options() }, sources()).await
}

fn impatient() -> Limits {
    Limits {
        header_timeout: Duration::from_millis(300),
        body_timeout: Duration::from_millis(900),
        body_stall: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(300),
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_gigabyte_is_refused_at_its_announcement() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address()).await;
    let signature = signature("");
    let head = |length: &str, more: &str| {
        format!(
            "POST /in/genesys HTTP/1.1\r\nhost: t\r\ncontent-length: {length}\r\n{more}\
             x-genesys-webhook-signature: {signature}\r\n\r\n"
        )
    };
    client.send(head("1073741824", "")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body-too-large"));
    assert_eq!(answer.headers["connection"], "close");
    client.end().await;

    let mut client = Client::connect(server.address()).await;
    client.send(head("1073741824", "expect: 100-continue\r\n")).await;
    assert_eq!(client.answer().await.status, 413, "and not 100");

    for impossible in ["18446744073709551615", "99999999999999999999999", "-1", "1e3", "0x10", "5, 6"] {
        let mut client = Client::connect(server.address()).await;
        client.send(head(impossible, "")).await;
        let status = client.answer().await.status;
        assert!(matches!(status, 400 | 413 | 431), "{impossible}: {status}");
    }
}

#[tokio::test]
async fn the_refusal_can_be_read_by_who_goes_on_sending() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address()).await;
    client.send("POST /in/genesys HTTP/1.1\r\nhost: t\r\ncontent-length: 20000000\r\n\r\n").await;
    for _ in 0..16 {
        if !client.try_send(vec![b' '; 64 * 1024]).await {
            break;
        }
    }
    assert_eq!(client.answer().await.status, 413);
}

#[tokio::test]
async fn chunks_over_the_limit_are_cut_off_there() {
    let server = limited(Limits { body_bytes: 100_000, ..Limits::default() }).await;
    let mut client = Client::connect(server.address()).await;
    let signature = signature("");
    client
        .send(format!(
            "POST /in/genesys HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\
             x-genesys-webhook-signature: {signature}\r\n\r\n"
        ))
        .await;
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    for _ in 0..7 {
        client.send(&chunk).await;
    }
    assert_eq!(client.answer().await.status, 413);
}

#[tokio::test]
async fn a_source_may_have_a_limit_of_its_own() {
    let mut one = sources().remove(0);
    one.max_body_bytes = Some(100);
    let server = Server::with(options(), vec![one]).await;
    let mut client = Client::connect(server.address()).await;
    client.send(signed(&format!("{{\"a\":\"{}\"}}", "x".repeat(100)))).await;
    assert_eq!(client.answer().await.status, 413);
    client.send(signed(&format!("{{\"a\":\"{}\"}}", "x".repeat(90)))).await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_credential_is_checked_before_the_body_is_read() {
    let server = Server::start().await;
    for path in ["/in/bearer", "/in/bus", "/in/basic", "/in/genesys"] {
        let mut client = Client::connect(server.address()).await;
        client.send(format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: 1000000\r\n\r\n")).await;
        assert_eq!(client.answer().await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let server = limited(impatient()).await;
    let mut client = Client::connect(server.address()).await;
    let begun = Instant::now();
    client.send("POST /in/genesys HTTP/1.1\r\n").await;
    let mut pause = tokio::time::interval(Duration::from_millis(20));
    let answer = loop {
        tokio::select! {
            answer = client.try_answer() => break answer,
            _ = pause.tick() => {}
        }
        client.try_send("x: y\r\n").await;
    };
    assert_eq!(answer.unwrap().code(), "timeout");
    assert!(begun.elapsed() < Duration::from_secs(10));
    client.end().await;
}

#[tokio::test]
async fn a_second_head_that_never_ends_is_given_up_too() {
    let server = limited(Limits { idle_timeout: Duration::from_secs(600), ..impatient() }).await;
    let mut client = Client::connect(server.address()).await;
    client.send(signed(&event("1"))).await;
    assert_eq!(client.answer().await.status, 200);
    client.send("POST /in/gen").await;
    assert_eq!(client.answer().await.status, 408);
    client.end().await;
}

#[tokio::test]
async fn silent_and_idle_connections_are_closed() {
    let server = limited(impatient()).await;
    let mut silent = Client::connect(server.address()).await;
    let mut idle = Client::connect(server.address()).await;
    idle.send(signed(&event("1"))).await;
    assert_eq!(idle.answer().await.status, 200);
    silent.end().await;
    idle.end().await;
}

#[tokio::test]
async fn a_body_that_stops_or_trickles_is_given_up() {
    let server = limited(impatient()).await;
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(50_000));
    let whole = signed(&body);
    let mut stopped = Client::connect(server.address()).await;
    stopped.send(&whole[..2000]).await;
    let mut trickling = Client::connect(server.address()).await;
    trickling.send(&whole[..2000]).await;
    let mut sent = 2000;
    let mut pause = tokio::time::interval(Duration::from_millis(10));
    let answer = loop {
        tokio::select! {
            answer = trickling.try_answer() => break answer.unwrap(),
            _ = pause.tick() => {}
        }
        trickling.try_send(&whole[sent..=sent]).await;
        sent += 1;
    };
    assert_eq!((answer.status, answer.code().as_str()), (408, "timeout"));
    assert_eq!(stopped.answer().await.code(), "timeout");
    assert_eq!(server.stored().await, 0);
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_not_accepted() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address()).await;
    let whole = signed(&event("cut"));
    client.send(&whole[..whole.len() - 5]).await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.transport).await.unwrap();
    assert!(client.try_answer().await.is_none_or(|answer| answer.code() == "body-incomplete"));
    assert_eq!(server.stored().await, 0);
}

#[tokio::test]
async fn headers_over_the_limit_are_refused() {
    let server = Server::start().await;
    for (bytes, status) in [(15_000, 401), (20_000, 431), (40_000, 431)] {
        let mut client = Client::connect(server.address()).await;
        client.try_send(post("/in/genesys", &format!("x: {}\r\n", "y".repeat(bytes)), "{}")).await;
        assert_eq!(client.answer().await.status, status, "{bytes}");
    }
    let mut client = Client::connect(server.address()).await;
    client.try_send(post("/in/genesys", &"x: y\r\n".repeat(500), "{}")).await;
    assert_eq!(client.answer().await.status, 431);
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let server = Server::start().await;
    for rubbish in [
        "\0\0\0\0\r\n\r\n".to_owned(),
        "POST /in/genesys\r\n\r\n".to_owned(),
        "POST /in/genesys HTTP/9.9\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\r\n\r\n".to_owned(),
        post("/in/genesys", "bad header\r\n", "{}"),
        post("/in/genesys", "transfer-encoding: gzip\r\n", "{}"),
    ] {
        let mut client = Client::connect(server.address()).await;
        client.send(&rubbish).await;
        let answer = client.try_answer().await;
        assert!(answer.is_none_or(|answer| answer.status == 400), "{rubbish:?}");
    }
    let mut client = Client::connect(server.address()).await;
    client.send(signed(&event("after"))).await;
    assert_eq!(client.answer().await.status, 200);
}

/// A proxy in front that goes by the length, and a server that goes by the chunks, must not see different requests.
#[tokio::test]
async fn a_length_beside_chunks_smuggles_nothing() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address()).await;
    let inner = signed(&event("smuggled"));
    let outer = format!("0\r\n\r\n{inner}");
    let headers = "transfer-encoding: chunked\r\nx-genesys-webhook-signature: 00\r\n";
    client.send(post("/in/genesys", headers, &outer)).await;
    assert!(matches!(client.answer().await.status, 400 | 401));
    client.end().await;
    assert_eq!(server.stored().await, 0);
}

/// A connection that has proved itself, with another request of which the server has begun to read the body; and that.
async fn half_sent(server: &Server, id: usize) -> (Client, String) {
    let mut client = Client::connect(server.address()).await;
    client.send(signed(&event(&format!("first-{id}")))).await;
    assert_eq!(client.answer().await.status, 200);
    let whole = signed(&event(&id.to_string())).replacen("host: t", "host: t\r\nexpect: 100-continue", 1);
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    client.send(format!("{head}\r\n\r\n")).await;
    assert_eq!(client.answer().await.status, 100);
    (client, body.to_owned())
}

#[tokio::test]
async fn connections_over_the_limit_are_told_so_when_each_has_a_request_under_way() {
    let server = limited(Limits { connections: 4, ..Limits::default() }).await;
    let mut open = Vec::new();
    for id in 0..4 {
        open.push(half_sent(&server, id).await);
    }
    let mut fifth = Client::connect(server.address()).await;
    fifth.send("GET /health/live HTTP/1.1\r\nhost: t\r\n\r\n").await;
    assert_eq!(fifth.answer().await.status, 200, "health is told nevertheless");
    fifth.send(signed(&event("fifth"))).await;
    let answer = fifth.answer().await;
    assert_eq!((answer.status, answer.code().as_str(), answer.headers["retry-after"].as_str()), (503, "busy", "1"));
    for (mut client, body) in open {
        client.send(body).await;
        assert_eq!(client.answer().await.status, 200);
    }
    assert_eq!(server.stored().await, 8);
}

#[tokio::test]
async fn connections_that_are_only_held_make_room_and_requests_under_way_do_not() {
    let server = limited(Limits { connections: 4, ..Limits::default() }).await;
    let (mut sender, body) = half_sent(&server, 0).await;
    let mut held = Vec::new();
    for id in 0..20 {
        let mut idle = Client::connect(server.address()).await;
        if id % 2 == 0 {
            idle.send("POST /in/gen").await;
        }
        held.push(idle);
        let mut genuine = Client::connect(server.address()).await;
        genuine.send(signed(&event(&format!("genuine-{id}")))).await;
        assert_eq!(genuine.answer().await.status, 200);
    }
    for mut idle in held.drain(..16) {
        assert!(idle.try_answer().await.is_none(), "it was closed");
    }
    sender.send(body).await;
    assert_eq!(sender.answer().await.status, 200);
    assert_eq!(server.stored().await, 22);
}

#[tokio::test]
async fn large_bodies_cannot_keep_single_events_out() {
    let server = limited(Limits { body_memory: 2_000_000, ..Limits::default() }).await;
    let big = "x".repeat(900_000);
    let head = |length: usize| {
        format!("POST /in/bus HTTP/1.1\r\nhost: t\r\ncontent-length: {length}\r\nx-api-key: {SECRET}\r\n\r\n")
    };
    let mut holder = Client::connect(server.address()).await;
    holder.send(head(big.len() + 1)).await;
    holder.send(&big).await;
    let mut second = Client::connect(server.address()).await;
    second.send(head(big.len())).await;
    second.try_send(&big).await;
    let answer = second.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "busy"));
    assert!(answer.headers.contains_key("retry-after"));
    let mut single = Client::connect(server.address()).await;
    single.send(signed(&event("single"))).await;
    assert_eq!(single.answer().await.status, 200);
}
