//! What a stranger, a broken sender or a very odd event can do.

use std::io::Write;
use std::net::Shutdown;

use crate::client::signed;
use crate::kept;
use crate::recorder::Recorder;
use crate::site::{Server, Site, TO_FILE};
use crate::waiting;

/// A site whose events go to an HTTP destination as they came.
fn recorded(recorder: &Recorder) -> Site {
    let url = format!("http://{}/events/{{event_id}}", recorder.address);
    Site::new(&format!("[destinations.crm]\nkind = \"http\"\nurl = \"{url}\"\n[[routes]]\ndestination = \"crm\"\n"))
}

fn stored_nothing(server: &Server) {
    assert_eq!((server.count("accepted"), server.count("dead_letters")), (0, 0));
}

#[test]
fn the_unauthenticated_is_refused_and_leaves_nothing() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    let body = br#"{"webhookEventId":"e-1"}"#;
    let json = ("content-type", "application/json".to_owned());
    let refused = |path: &str, headers: &[(&str, String)], code: &str| {
        let answer = server.client().post(path, headers, body).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (401, code), "{headers:?}");
    };
    let signature = |value: &str| ("x-genesys-webhook-signature", value.to_owned());
    refused("/in/genesys", std::slice::from_ref(&json), "auth-missing");
    refused("/in/genesys", &[json.clone(), signature("zz")], "auth-malformed");
    refused("/in/genesys", &[json.clone(), signature(&"0".repeat(64))], "auth-mismatch");
    // Authentic, but for another body.
    let other = signed(br#"{"webhookEventId":"e-2"}"#);
    refused("/in/genesys", &other, "auth-mismatch");
    refused("/in/eventbridge", &[json.clone(), ("authorization", "Bearer guessed".to_owned())], "auth-mismatch");
    stored_nothing(&server);
    assert!(site.events().is_empty());
}

#[test]
fn a_gigabyte_is_refused_before_it_is_sent() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    let mut client = server.client();
    let head = "POST /in/genesys HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 1073741824\r\n\r\n";
    client.send(head).unwrap();
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (413, "body-too-large"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("10"), "names the limit: {answer:?}");

    // Without an announcement, the same as soon as it is too much.
    let mut client = server.client();
    client
        .send(
            "POST /in/genesys HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\
             x-genesys-webhook-signature: 0000000000000000000000000000000000000000000000000000000000000000\r\n\r\n",
        )
        .unwrap();
    let chunk = format!("100000\r\n{}\r\n", "a".repeat(1 << 20));
    // The server stops reading at the limit, so a later chunk may fail.
    let sent = (0..64).take_while(|_| client.send(&chunk).is_ok()).count();
    assert!(sent >= 10, "{sent} MiB were sent");
    if let Ok(answer) = client.answer() {
        assert_eq!(answer.code(), "body-too-large");
    }
    stored_nothing(&server);
    assert_eq!(server.post(r#"{"webhookEventId":"after"}"#).counts(), (1, 0));
}

#[test]
fn wrong_requests_get_their_status_and_the_server_lives_on() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    let ask = |request: &str| {
        let mut client = server.client();
        client.send(request).unwrap();
        client.answer().unwrap()
    };
    let cases = [
        ("GET /in/genesys HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), 405),
        ("POST /in/nobody HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".to_owned(), 404),
        ("POST /elsewhere HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".to_owned(), 404),
        (
            "POST /in/genesys HTTP/1.1\r\nhost: x\r\ncontent-type: text/xml\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
            415,
        ),
        (format!("GET /health/live HTTP/1.1\r\nhost: x\r\nx-huge: {}\r\n\r\n", "h".repeat(200_000)), 431),
        (format!("POST /in/genesys HTTP/1.1\r\nhost: x\r\nx-big: {}\r\n\r\n", "h".repeat(20_000)), 431),
    ];
    for (request, status) in cases {
        let answer = ask(&request);
        assert_eq!(answer.status, status, "{} got {answer:?}", &request[..60.min(request.len())]);
    }
    for garbage in ["\0\0\0\0\r\n\r\n", "POST\r\n\r\n", "\x16\x03\x01\x02\x00\x01", "GET / HTTP/9.9\r\n\r\n"] {
        let mut client = server.client();
        client.send(garbage).unwrap();
        client.stream.shutdown(Shutdown::Write).unwrap();
        if let Ok(answer) = client.answer() {
            assert!((400..500).contains(&answer.status), "{garbage:?} got {answer:?}");
        }
    }
    stored_nothing(&server);
    assert_eq!(server.post(r#"{"webhookEventId":"after"}"#).counts(), (1, 0));
    assert!(!site.logs().contains("panicked"));
}

#[test]
fn slow_senders_are_let_go_while_others_are_served() {
    let site = Site::with_head(
        "[intake.limits]\nheader_timeout = \"300ms\"\nbody_timeout = \"600ms\"\nbody_stall = \"300ms\"\n",
        TO_FILE,
    );
    let server = site.start();
    let mut heads: Vec<_> = (0..50).map(|_| server.client()).collect();
    for client in &mut heads {
        client.send("POST /in/genesys HTTP/1.1\r\nhost: x\r\nx-slow: ").unwrap();
    }
    let mut body = server.client();
    body.send("POST /in/genesys HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n")
        .unwrap();
    body.send(format!("x-genesys-webhook-signature: {}\r\n\r\n{{", "0".repeat(64))).unwrap();
    assert_eq!(server.post(r#"{"webhookEventId":"meanwhile"}"#).counts(), (1, 0));
    for mut client in heads {
        if let Ok(answer) = client.answer() {
            assert_eq!(answer.status, 408);
        }
        assert!(client.ended());
    }
    let answer = body.answer().unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (408, "timeout"));
    assert!(body.ended());
    assert_eq!(server.count("accepted"), 1);
}

/// Bodies that are events, however odd.
fn odd_events() -> Vec<(&'static str, Vec<u8>)> {
    let nested = |levels: usize, id: &str| {
        format!(r#"{{"webhookEventId":"{id}","n":{}{}}}"#, "[".repeat(levels), "]".repeat(levels)).into_bytes()
    };
    let with_id = |id: &str, rest: &str| format!(r#"{{"webhookEventId":"{id}",{rest}}}"#).into_bytes();
    vec![
        ("1,100 levels deep", nested(1_100, "deep")),
        ("100,000 levels deep", nested(100_000, "deeper")),
        ("long numbers", with_id("n", &format!(r#""n":[1.10,-0,1E400,{},0.{}]"#, "9".repeat(400), "1".repeat(400)))),
        ("duplicate keys", with_id("dup", r#""a":1,"a":2,"conversationId":"x","conversationId":"y""#)),
        ("lone surrogates", with_id("sur", r#""a":"\ud800","b":"\udc00 \ud83d\ude00","\udfff":1"#)),
        ("escaped NUL", with_id("nul", r#""a":"\u0000","conversationId":"c\u0000d""#)),
        ("wrong types", with_id("types", r#""conversationId":{"a":1},"eventType":[true],"data":7,"timestamp":null"#)),
        ("an id that is a number", br#"{"webhookEventId":12,"a":1}"#.to_vec()),
        ("an id that is empty", br#"{"webhookEventId":"","a":2}"#.to_vec()),
        ("no id at all", b"{}".to_vec()),
        ("white space around", b" \r\n\t{\"webhookEventId\" : \"space\" }\n\n".to_vec()),
        ("a long conversation", with_id("long", &format!(r#""conversationId":"{}""#, "c".repeat(100_000)))),
    ]
}

#[test]
fn odd_events_are_accepted_and_delivered_to_the_byte() {
    let recorder = Recorder::start(|_| 200);
    let site = recorded(&recorder);
    let server = site.start();
    let odd = odd_events();
    for (name, body) in &odd {
        assert_eq!(server.post(body).counts(), (1, 0), "{name}");
        assert_eq!(server.post(body).counts(), (0, 1), "{name}, again");
    }
    waiting::until_so("all are delivered", || recorder.requests().len() >= odd.len());
    let requests = recorder.requests();
    for (name, body) in &odd {
        assert!(requests.iter().any(|request| request.body == *body), "{name} did not arrive as it was");
    }
    assert_eq!((requests.len(), server.count("dead_letters")), (odd.len(), 0));
    assert_eq!(server.stop(), Some(0));
    assert_eq!(site.check().0, 0);
    assert!(!site.logs().contains("panicked"));
}

#[test]
fn a_byte_order_mark_is_kept_but_not_delivered() {
    let recorder = Recorder::start(|_| 200);
    let site = recorded(&recorder);
    let server = site.start();
    let text = r#"{"webhookEventId":"bom"}"#;
    let body = format!("\u{feff}{text}");
    let answer = server.post(&body);
    assert_eq!(answer.counts(), (1, 0));
    waiting::until_so("it is delivered", || recorder.requests().len() == 1);
    assert_eq!(recorder.requests()[0].body, text.as_bytes());
    assert_eq!(server.stop(), Some(0));
    let id = answer.json()["events"][0].as_str().unwrap().to_owned();
    assert_eq!(kept::event(&site.path("data"), &id).unwrap().event.body, body.as_bytes());
}

#[test]
fn what_is_authentic_but_no_event_becomes_a_dead_letter_with_its_bytes() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    let bodies: [&[u8]; 12] = [
        b"",
        b"  ",
        b"{",
        b"{\"a\":1}}",
        b"\"text\"",
        b"12",
        b"null",
        b"{\"a\":\"\xff\xfe\"}",
        b"{\"a\":\"\0\"}",
        b"{'a':1}",
        b"[{\"webhookEventId\":\"fine\"},7]",
        b"\xff\xfe{\0}\0",
    ];
    for (number, body) in bodies.iter().enumerate() {
        let answer = server.post(body);
        assert_eq!(answer.counts(), (0, 0), "{number}: {answer:?}");
        assert_eq!(answer.json()["dead_letters"].as_array().unwrap().len(), 1, "{number}: {answer:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("send"), "names a cure: {answer:?}");
    }
    // Sent again, each is the dead letter that it was.
    let again = server.post(bodies[2]).json();
    assert_eq!(again["dead_letters"][0], server.post(bodies[2]).json()["dead_letters"][0]);
    assert_eq!((server.count("accepted"), server.count("dead_letters")), (0, bodies.len() as u64));
    let shown = site.run(&["status", "--console", &server.console.to_string()]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("12 dead letters"), "{shown}");
    assert_eq!(server.stop(), Some(0));
    let letters = kept::dead_letters(&site.path("data"));
    let kept: Vec<_> = letters.iter().map(|letter| letter.body.clone().unwrap()).collect();
    assert_eq!(kept, bodies);
    assert!(letters.iter().all(|letter| letter.failure.stage == queue::Stage::Intake));
    assert!(site.events().is_empty());
    assert!(!site.logs().contains("panicked"));
}

#[test]
fn a_batch_is_published_all_or_none() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    let item = |number: usize| format!(r#"{{"webhookEventId":"i-{number}","conversationId":"c-{}"}}"#, number % 7);
    let good: Vec<_> = (0..1_000).map(item).collect();
    for bad in ["7", "null", "[]", "{\"a\":}"] {
        let mut items = good.clone();
        items.insert(500, bad.to_owned());
        let answer = server.post(format!("[{}]", items.join(",")));
        assert_eq!((answer.status, answer.json()["accepted"].as_u64()), (200, Some(0)), "{bad}");
    }
    assert_eq!((server.count("accepted"), server.count("dead_letters")), (0, 4));
    let answer = server.post(format!(r#"{{"data":[{}]}}"#, good.join(",")));
    assert_eq!(answer.counts(), (1_000, 0), "a refused batch has left no identities behind");
    assert_eq!(answer.json()["events"].as_array().unwrap().len(), 1_000);
    assert_eq!(server.post(format!("[{}]", good.join(","))).counts(), (0, 1_000));
    server.until_settled("events");
    let mut lines = site.events();
    lines.sort();
    let mut expected = good;
    expected.sort();
    assert_eq!(lines, expected);
}

#[test]
fn eventbridge_bodies_in_every_wrapping_are_the_same_events() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    let envelope = |id: &str, end: &str| {
        format!(
            r#"{{"version":"0","id":"{id}","detail-type":"v2.detail.events.conversation.{{id}}.acw","source":"aws.partner/genesys","time":"2026-03-02T08:20:00Z","detail":{{"eventBody":{{"eventTime":{end},"conversationId":"c-1","participantId":"p-1","sessionId":"s-1","wrapupCode":"w"}}}}}}"#
        )
    };
    let (one, two) = (envelope("eb-1", "1772439600000"), envelope("eb-2", "1772439600001"));
    assert_eq!(server.post_eventbridge(&one).counts(), (1, 0));
    let republished = envelope("eb-3", "1772439600000");
    assert_eq!(server.post_eventbridge(&republished).counts(), (0, 1), "published again, with a new id");
    assert_eq!(server.post_eventbridge(format!("[{one},{two}]")).counts(), (1, 1));
    assert_eq!(server.post_eventbridge(format!(r#"{{"requestPayload":{two}}}"#)).counts(), (0, 1));
    assert_eq!(server.post_eventbridge(format!(r#"[{{"requestPayload":[{one},{two}]}}]"#)).counts(), (0, 2));
    server.until_settled("events");
    assert_eq!(site.events(), [one, two]);
}

#[test]
fn the_same_identity_with_another_body_is_kept_and_flagged() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    let first = server.post(r#"{"webhookEventId":"e-1","amount":1}"#);
    assert_eq!(first.counts(), (1, 0));
    let other = server.post(r#"{"webhookEventId":"e-1","amount":2}"#);
    assert_eq!(other.counts(), (1, 0), "another body is not lost as a duplicate");
    // Written differently, it says the same.
    assert_eq!(server.post(r#"{ "amount":1, "webhookEventId":"e-1" }"#).counts(), (0, 1));
    assert_eq!((server.count("conflicts"), server.count("duplicates")), (1, 1));
    server.until_settled("events");
    assert_eq!(site.events().len(), 2);
    assert_eq!(server.stop(), Some(0));
    let id = other.json()["events"][0].as_str().unwrap().to_owned();
    let stored = kept::event(&site.path("data"), &id).unwrap();
    assert_eq!(stored.event.conflict_of.map(|id| id.to_string()).as_deref(), first.json()["events"][0].as_str());
}

#[test]
fn a_sender_that_breaks_off_leaves_nothing_behind() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    let body = br#"{"webhookEventId":"whole"}"#;
    for cut in [1, 10, body.len() - 1] {
        let mut client = server.client();
        let mut head = format!("POST /in/genesys HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in signed(body) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        client.send(head + "\r\n").unwrap();
        client.stream.write_all(&body[..cut]).unwrap();
        client.stream.shutdown(Shutdown::Write).unwrap();
        if let Ok(answer) = client.answer() {
            assert_eq!(answer.code(), "body-incomplete");
        }
    }
    stored_nothing(&server);
    assert_eq!(server.post(body).counts(), (1, 0));
}
