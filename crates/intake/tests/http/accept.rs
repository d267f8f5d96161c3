//! What is accepted, in which ways it may come, and how it is answered.

use event::SourceKind;
use intake::{Secret, SecretFormat, SecretSource, SignatureScheme};
use queue::{DeadLetterQuery, Queue};

use crate::client::Client;
use crate::server::{
    NOW, SECRET, Server, WHSEC, event, genesys, options, post, signature, signature_with, signed, source,
};

#[tokio::test]
async fn a_signed_event_is_durable_before_its_answer() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address()).await;
    client.send(signed(&event("e-1"))).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/json"));
    let json = answer.json();
    assert_eq!((&json["accepted"], &json["duplicates"]), (&1.into(), &0.into()));
    let id = json["events"][0].as_str().unwrap().parse().unwrap();
    let stored = server.queue.event(id).await.unwrap().unwrap();
    assert_eq!(stored.event.body, event("e-1"));
    assert_eq!((&*stored.event.source, stored.event.received), ("genesys", NOW));
    assert_eq!(stored.event.conversation.as_deref(), Some("c-1"));

    client.send(signed(&event("e-1"))).await;
    let again = client.answer().await.json();
    assert_eq!((&again["accepted"], &again["duplicates"]), (&0.into(), &1.into()));
    assert_eq!(again["events"], json["events"]);
    assert_eq!(server.stored().await, 1);
}

#[tokio::test]
async fn a_batch_is_split() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address()).await;
    client.send(signed(&format!("[{},{},{}]", event("a"), event("b"), event("a")))).await;
    let json = client.answer().await.json();
    assert_eq!((&json["accepted"], &json["duplicates"]), (&2.into(), &1.into()));
    assert_eq!(json["events"].as_array().unwrap().len(), 3);
    client.send(signed("[]")).await;
    assert_eq!(client.answer().await.body, r#"{"accepted":0,"duplicates":0,"events":[]}"#);
}

#[tokio::test]
async fn a_large_batch_in_chunks() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address()).await;
    let events: Vec<String> = (0..6000).map(|n| event(&n.to_string())).collect();
    let body = format!("[{}]", events.join(",\n"));
    assert!(body.len() > intake::options::LARGE_BODY_BYTES);
    let signature = signature(&body);
    client
        .send(format!(
            "POST /in/genesys HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\
             x-genesys-webhook-signature: {signature}\r\n\r\n"
        ))
        .await;
    for chunk in body.as_bytes().chunks(10_007) {
        client.send(format!("{:x}\r\n", chunk.len())).await;
        client.send(chunk).await;
        client.send("\r\n").await;
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.answer().await.json()["accepted"], 6000);
    assert_eq!(server.stored().await, 6000);
}

#[tokio::test]
async fn an_authentic_body_that_is_no_event_becomes_a_dead_letter() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address()).await;
    for (at, body) in ["{\"a\":", "", "5", "[1]", "\u{1f4a9}"].into_iter().enumerate() {
        client.send(signed(body)).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 200, "{body}");
        let json = answer.json();
        assert_eq!(json["accepted"], 0);
        assert!(json["dead_letters"][0].is_u64() && json["detail"].is_string(), "{body}");
        let letters = server.queue.dead_letters(DeadLetterQuery::default()).await.unwrap();
        assert_eq!(letters.len(), at + 1);
        assert_eq!(letters[at].failure.stage, queue::Stage::Intake);
    }
    assert_eq!(server.stored().await, 0);
    assert_eq!(server.counts()[0].unreadable + server.counts()[3].unreadable, 5);
}

#[tokio::test]
async fn deep_nesting_is_accepted() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address()).await;
    for depth in [1_100, 100_000] {
        let body = format!(r#"{{"webhookEventId":"{depth}","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        client.send(signed(&body)).await;
        assert_eq!(client.answer().await.json()["accepted"], 1);
    }
}

#[tokio::test]
async fn api_keys_bearer_tokens_and_passwords() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address()).await;
    let basic = "authorization: basic bWU6cGFzczp3b3Jk\r\n";
    for (path, header) in [
        ("/in/bus", format!("X-API-Key: {SECRET}\r\n")),
        ("/in/bearer", format!("Authorization: BEARER {SECRET}\r\n")),
        ("/in/basic", basic.to_owned()),
        ("/in/open", String::new()),
    ] {
        client.send(post(path, &header, &event(path))).await;
        assert_eq!(client.answer().await.json()["accepted"], 1, "{path}");
    }
}

#[tokio::test]
async fn standard_webhooks() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address()).await;
    let secret = Secret::parse(WHSEC.as_bytes(), SecretFormat::Whsec).unwrap();
    let body = event("standard");
    let sign = |now| {
        let headers = SignatureScheme::standard_webhooks().sign(&secret, "msg_1", body.as_bytes(), now);
        headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap())).collect::<String>()
    };
    client.send(post("/in/standard", &sign(NOW), &body)).await;
    assert_eq!(client.answer().await.json()["accepted"], 1);
    let hour = std::time::Duration::from_secs(3600);
    client.send(post("/in/standard", &sign(NOW.minus(hour)), &body)).await;
    let late = client.answer().await;
    assert_eq!((late.status, late.code().as_str()), (401, "auth-time"));
    assert!(late.json()["detail"].as_str().unwrap().contains("3600 s ago"));
}

#[tokio::test]
async fn a_secret_file_is_rotated_without_a_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secrets");
    std::fs::write(&file, "old\n").unwrap();
    let rotating = source("genesys", SourceKind::Webhook, genesys([SecretSource::File(file.clone())]));
    let server = Server::with(options(), vec![rotating]).await;
    let mut client = Client::connect(server.address()).await;
    let mut send = async |secret: &str, id: &str| {
        let signature = signature_with(secret, event(id));
        client.send(post("/in/genesys", &format!("x-genesys-webhook-signature: {signature}\r\n"), &event(id))).await;
        client.answer().await.status
    };
    assert_eq!(send("old", "1").await, 200);
    std::fs::write(&file, "new\nold\n").unwrap();
    // The first mismatch makes the file be read again, so not even this one is refused.
    assert_eq!(send("new", "2").await, 200);
    assert_eq!(send("old", "3").await, 200);
    std::fs::write(&file, "new\n").unwrap();
    server.reload().unwrap();
    assert_eq!(send("old", "4").await, 401);
    assert_eq!(send("new", "5").await, 200);
    let (name, keys) = &server.keys()[0];
    assert_eq!((name.as_str(), keys.len(), keys[0].last_used), ("genesys", 1, Some(NOW)));
}

#[tokio::test]
async fn http_1_0_and_pipelining_and_expect() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address()).await;
    let ten: String = (0..10).map(|n| signed(&event(&n.to_string()))).collect();
    client.send(ten).await;
    for _ in 0..10 {
        assert_eq!(client.answer().await.json()["accepted"], 1);
    }
    let waiting = signed(&event("expect")).replacen("host:", "expect: 100-continue\r\nhost:", 1);
    let (head, body) = waiting.split_at(waiting.find("\r\n\r\n").unwrap() + 4);
    client.send(head).await;
    assert_eq!(client.answer().await.status, 100);
    client.send(body).await;
    assert_eq!(client.answer().await.status, 200);

    client.send(signed(&event("1.0")).replacen("HTTP/1.1", "HTTP/1.0", 1)).await;
    assert_eq!(client.answer().await.status, 200);
    client.end().await;
}

#[tokio::test]
async fn a_client_that_closes_its_side_still_gets_its_answer() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address()).await;
    client.send(signed(&event("half"))).await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.transport).await.unwrap();
    assert_eq!(client.answer().await.status, 200);
    client.end().await;
}
