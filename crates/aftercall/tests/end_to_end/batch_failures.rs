//! Large batches when things go wrong: what is refused leaves nothing, what is accepted is finished.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use simulator::sign::{Scheme, Signer};

use crate::batches::{LARGE, batch, delivered, site, spool, stored_nothing};
use crate::client::{Client, signed};
use crate::faults;
use crate::site::{SECRET, Site, TO_FILE};
use crate::waiting;

/// The head of a request with this body.
fn head(body: &[u8], length: &str) -> String {
    let mut head = format!("POST /in/genesys HTTP/1.1\r\nhost: x\r\n{length}\r\n");
    signed(body).iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    head + "\r\n"
}

fn spooled(site: &Site) -> u64 {
    let files = fs::read_dir(site.path("data/spool")).unwrap();
    files.map(|file| file.unwrap().metadata().map_or(0, |data| data.len())).sum()
}

/// Sends a body in chunks, without saying how long it is.
fn post_chunked(client: &mut Client, body: &[u8]) -> crate::client::Answer {
    client.send(head(body, "transfer-encoding: chunked")).unwrap();
    for piece in body.chunks(100_000) {
        client.send(format!("{:x}\r\n", piece.len())).unwrap();
        client.send(piece).unwrap();
        client.send("\r\n").unwrap();
    }
    client.send("0\r\n\r\n").unwrap();
    client.answer().unwrap()
}

#[test]
fn a_sender_that_goes_away_in_the_middle_leaves_nothing() {
    let site = site("", TO_FILE);
    let server = site.start();
    let (body, count) = batch("g", LARGE, 65_536);
    let mut client = server.client();
    client.send(head(&body, &format!("content-length: {}", body.len()))).unwrap();
    client.send(&body[..body.len() / 2]).unwrap();
    waiting::until_so("it is being spooled", || spooled(&site) > 1 << 20);
    drop(client);
    stored_nothing(&site, &server);
    assert_eq!(server.post(&body).counts(), (count as u64, 0));
}

#[test]
fn bodies_that_do_not_say_their_length_are_taken_whatever_it_is() {
    let site = site("", TO_FILE);
    let server = site.start();
    let (large, count) = batch("l", LARGE, 8_192);
    assert_eq!(post_chunked(&mut server.client(), &large).counts(), (count as u64, 0));
    // Above what is kept in memory of such a body, and yet a single event.
    let single = format!("{{\"webhookEventId\":\"single\",\"filler\":\"{}\"}}", "f".repeat(3 << 20));
    assert_eq!(post_chunked(&mut server.client(), single.as_bytes()).counts(), (1, 0));
    let array = format!("[{single}]");
    assert_eq!(post_chunked(&mut server.client(), array.as_bytes()).counts(), (0, 1), "in memory it is known again");
    assert!(spool(&site).is_empty());
    server.until_settled("events");
    let largest = site.events().into_iter().map(|line| line.len()).max().unwrap();
    assert!(largest > 3 << 20, "it is delivered whole");
}

#[test]
fn of_a_large_body_with_a_wrong_signature_the_quarantine_keeps_the_beginning() {
    let site = site("", TO_FILE);
    let server = site.start();
    let (body, _) = batch("q", LARGE, 8_192);
    let answer = server.client().post("/in/genesys", &signed(b"another body"), &body).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (401, "auth-mismatch"));
    stored_nothing(&site, &server);
    let console = server.console.to_string();
    let run = |args: &[&str]| {
        let output = site.run(&[args, &["--console", &console]].concat());
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    waiting::until_so("it is kept", || run(&["quarantine", "list"]).contains("auth-mismatch"));
    let shown = run(&["quarantine", "show", "1"]);
    assert!(shown.contains("aftercall-cut-from") && shown.contains(&body.len().to_string()), "{shown}");
    let kept = run(&["quarantine", "show", "1", "--body"]);
    assert!(kept.contains("q-0") && kept.len() < 100_000, "{}", kept.len());
    let released = run(&["quarantine", "release", "1"]);
    assert!(released.contains("have it sent again"), "{released}");
    stored_nothing(&site, &server);
}

#[test]
fn a_key_that_comes_while_a_large_body_arrives_verifies_it() {
    let site = site("", TO_FILE);
    let server = site.start();
    let (body, count) = batch("r", LARGE, 65_536);
    let mut request = format!("POST /in/genesys HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in Signer::new(Scheme::Genesys, "the-new-one").unwrap().headers(&body, "", 0) {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut client = server.client();
    client.send(request + "content-type: application/json\r\n\r\n").unwrap();
    client.send(&body[..body.len() / 2]).unwrap();
    waiting::until_so("it is being spooled", || spooled(&site) > 1 << 20);
    fs::write(site.path("webhook-secret"), format!("the-new-one\n{SECRET}\n")).unwrap();
    client.send(&body[body.len() / 2..]).unwrap();
    assert_eq!(client.answer().unwrap().counts(), (count as u64, 0));
}

#[test]
fn a_key_that_goes_while_a_large_body_arrives_still_verifies_it() {
    let site = site("", TO_FILE);
    let server = site.start();
    let (body, count) = batch("o", LARGE, 65_536);
    let mut client = server.client();
    client.send(head(&body, &format!("content-length: {}", body.len()))).unwrap();
    client.send(&body[..body.len() / 2]).unwrap();
    waiting::until_so("it is being spooled", || spooled(&site) > 1 << 20);
    fs::write(site.path("webhook-secret"), "the-new-one\n").unwrap();
    waiting::until_so("it is read", || server.log().contains("a secret file has changed"));
    client.send(&body[body.len() / 2..]).unwrap();
    // The key was good when the request came.
    assert_eq!(client.answer().unwrap().counts(), (count as u64, 0));
}

#[test]
fn a_graceful_stop_finishes_a_large_body_that_is_under_way() {
    let site = site("", TO_FILE);
    let server = site.start();
    let (body, count) = batch("t", LARGE, 8_192);
    let mut client = server.client();
    client.send(head(&body, &format!("content-length: {}", body.len()))).unwrap();
    client.send(&body[..body.len() / 2]).unwrap();
    waiting::until_so("it is being spooled", || spooled(&site) > 1 << 20);
    server.terminate();
    waiting::until_so("it stops", || server.log().contains("stopping"));
    client.send(&body[body.len() / 2..]).unwrap();
    assert_eq!(client.answer().unwrap().counts(), (count as u64, 0));
    let mut server = server;
    assert_eq!(server.exit_code(), Some(0));
    assert!(spool(&site).is_empty());
    let server = site.start();
    server.until_settled("events");
    let mut all = delivered(&site, "t");
    all.sort_unstable();
    assert!(all.into_iter().eq(0..count), "as they were written, none twice");
}

#[test]
fn what_was_arriving_is_removed_at_the_start_and_what_is_damaged_is_said() {
    let site = site("", TO_FILE);
    fs::create_dir_all(site.path("data/spool")).unwrap();
    fs::write(site.path("data/spool/3.arriving"), "half a bo").unwrap();
    fs::write(site.path("data/spool/4.accepted"), "not what was accepted").unwrap();
    fs::write(site.path("data/spool/notes.txt"), "somebody's").unwrap();
    let server = site.start();
    let mut files = spool(&site);
    files.sort();
    assert_eq!(files, ["4.accepted", "notes.txt"]);
    let log = server.log();
    assert!(log.contains("cannot be published") && log.contains("4.accepted") && log.contains("ERROR"), "{log}");
    let (body, count) = batch("d", LARGE, 65_536);
    assert_eq!(server.post(&body).counts(), (count as u64, 0), "it takes others");
}

#[test]
fn a_disk_that_fills_up_in_the_middle_of_publishing_delays_the_rest_and_doubles_nothing() {
    let site = site("", TO_FILE);
    let full = site.path("full");
    let server =
        site.start_with(faults::preload(&mut site.serve(), "write:1:ENOSPC:*").env("AFTERCALL_FAULT_WHILE", &full));
    let (body, count) = batch("f", 3 * LARGE, 65_536);
    let body = [br#"{"conversationId":"c-f","eventType":"t","#, &body[br#"{"eventType":"t","#.len()..]].concat();
    let (headers, mut client) = (signed(&body), server.client());
    let sent = body.clone();
    let sending = thread::spawn(move || client.post("/in/genesys", &headers, &sent).unwrap());
    waiting::until_so("publishing has begun", || server.count("accepted") > 0);
    fs::write(&full, "").unwrap();
    let answer = sending.join().unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (503, "batch-pending"), "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"));
    // What is on its way into the queue cannot be erased from it yet.
    let console = server.console.to_string();
    let erase = ["erase", "--conversation", "c-f", "--reason", "asked for", "--yes", "--console", &console];
    let refused = site.run(&erase);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() != Some(0) && said.contains("is being published"), "{said}");
    let again = server.post(&body);
    assert_eq!((again.status, again.code().as_str()), (503, "batch-pending"), "{again:?}");
    fs::remove_file(&full).unwrap();
    waiting::until_so("all of it is there", || server.count("accepted") == count as u64);
    waiting::until_so("the spool is empty", || spool(&site).is_empty());
    assert_eq!(server.post(&body).counts(), (0, count as u64));
    server.until_settled("events");
    assert!(delivered(&site, "f").into_iter().eq(0..count), "as they were written: one conversation, in order");
    assert_eq!(site.run(&erase).status.code(), Some(0));
    assert!(server.log().contains("does not take the rest of an accepted batch"));
}

#[test]
fn a_disk_that_is_full_before_the_first_event_leaves_nothing_of_a_batch() {
    let site = site("", TO_FILE);
    let full = site.path("full");
    let server =
        site.start_with(faults::preload(&mut site.serve(), "write:1:ENOSPC:*").env("AFTERCALL_FAULT_WHILE", &full));
    let (body, count) = batch("n", LARGE, 8_192);
    fs::write(&full, "").unwrap();
    let answer = server.post(&body);
    assert_eq!((answer.status, answer.code().as_str()), (503, "queue-full"), "{answer:?}");
    stored_nothing(&site, &server);
    fs::remove_file(&full).unwrap();
    waiting::until_so("it is taken", || server.post(&body).status == 200);
    assert_eq!(server.count("accepted"), count as u64);
}

#[test]
fn a_spool_that_cannot_be_written_is_refused_at_the_start_with_the_cure() {
    let site = site("", TO_FILE);
    fs::create_dir_all(site.path("data")).unwrap();
    // A file in its place, because no rights keep root out.
    fs::write(site.path("data/spool"), "").unwrap();
    let log = site.try_start(&mut site.serve()).err().unwrap();
    assert!(log.contains("the spool for large bodies") && log.contains("data/spool"), "{log}");
}

#[test]
fn a_spool_that_is_taken_away_is_a_503_and_events_go_on() {
    let site = site("", TO_FILE);
    let server = site.start();
    let dir = site.path("data/spool");
    fs::remove_dir(&dir).unwrap();
    fs::write(&dir, "").unwrap();
    let (body, count) = batch("x", LARGE, 65_536);
    let mut client = server.client();
    if let Ok(answer) = client.post_signed(&body).or_else(|_| client.answer()) {
        assert_eq!((answer.status, answer.code().as_str()), (503, "queue-busy"), "{answer:?}");
    }
    assert_eq!(server.post(r#"{"webhookEventId":"small"}"#).counts(), (1, 0));
    fs::remove_file(&dir).unwrap();
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(server.post(&body).counts(), (count as u64, 0));
}

#[test]
fn large_bodies_of_a_source_with_rules_for_redaction_are_refused_and_nothing_is_on_disk() {
    let site = site("", "");
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    let rules = "[[sources.genesys.redact]]\npath = \"/filler\"\nhow = \"drop\"\n[redaction]\nkey = \"file:key\"\n";
    fs::write(site.path("key"), "5a".repeat(32)).unwrap();
    fs::write(site.path("aftercall.toml"), format!("{config}{rules}{TO_FILE}")).unwrap();
    let server = site.start();
    let (body, _) = batch("z", LARGE, 8_192);
    let mut client = server.client();
    if let Ok(answer) = client.post_signed(&body).or_else(|_| client.answer()) {
        assert_eq!((answer.status, answer.code().as_str()), (413, "body-too-large"), "{answer:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("redaction"), "{answer:?}");
    }
    stored_nothing(&site, &server);
    // One that does not say its length is not spooled either.
    let (small, count) = batch("y", 4 << 20, 8_192);
    let watched = thread::scope(|scope| {
        let sending = scope.spawn(|| post_chunked(&mut server.client(), &small).counts());
        let mut seen = 0;
        while !sending.is_finished() {
            seen += spool(&site).len();
        }
        assert_eq!(sending.join().unwrap(), (count as u64, 0));
        seen
    });
    assert_eq!(watched, 0);
}
