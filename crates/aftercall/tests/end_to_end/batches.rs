//! Batches that are too large for memory: into the spool, and from there into the queue.

use std::fs;
use std::process::Command;
use std::thread;

use crate::client::{Answer, signed};
use crate::site::{AFTERCALL, Server, Site, TO_FILE};
use crate::waiting;

/// Just above what is read into memory.
pub(crate) const LARGE: usize = 17 << 20;

/// What a server may take beside the pages of its program, whatever batches come: 128 MB in all, of which a release has
/// 20 MB of such pages. The program under test has more.
const OWN_MEMORY_KIB: u64 = 108_000_000 / 1024;

/// Both sources of the site take large bodies.
pub(crate) fn site(head: &str, rest: &str) -> Site {
    let limits = format!("[intake.limits]\nbody = \"512MiB\"\nbody_timeout = \"120s\"\n{head}");
    Site::with_head(&limits, rest)
}

/// A batch of at least so many bytes, of events of `event` bytes each, and how many they are.
pub(crate) fn batch(name: &str, bytes: usize, event: usize) -> (Vec<u8>, usize) {
    let count = bytes / event + 1;
    let mut body = b"{\"eventType\":\"t\",\"data\":[".to_vec();
    for id in 0..count {
        let start = body.len();
        let comma = if id == 0 { "" } else { "," };
        body.extend(format!("{comma}{{\"webhookEventId\":\"{name}-{id}\",\"filler\":\"").as_bytes());
        body.resize((start + event).saturating_sub(2).max(body.len()), b'f');
        body.extend(b"\"}");
    }
    body.extend(b"]}");
    (body, count)
}

pub(crate) fn spool(site: &Site) -> Vec<String> {
    let files = fs::read_dir(site.path("data/spool")).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

pub(crate) fn stored_nothing(site: &Site, server: &Server) {
    assert_eq!((server.count("accepted"), server.count("dead_letters")), (0, 0));
    waiting::until_so("the spool is empty", || spool(site).is_empty());
}

/// The number of each delivered event, in the order of delivery.
pub(crate) fn delivered(site: &Site, name: &str) -> Vec<usize> {
    let mark = format!("{name}-");
    let number = |line: &String| {
        let rest = &line[line.find(&mark)? + mark.len()..];
        rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
    };
    site.events().iter().filter_map(number).collect()
}

#[test]
fn a_large_batch_is_accepted_whole_and_once() {
    let site = site("", TO_FILE);
    let server = site.start();
    let (body, count) = batch("a", LARGE, 8_192);
    let answer = server.post(&body);
    assert_eq!(answer.counts(), (count as u64, 0));
    let ids = answer.json()["events"].as_array().unwrap().clone();
    assert_eq!(ids.len(), count);
    assert!(spool(&site).is_empty());
    server.until_settled("events");
    let mut all = delivered(&site, "a");
    all.sort_unstable();
    assert!(all.into_iter().eq(0..count));

    let again = server.post(&body);
    assert_eq!(again.counts(), (0, count as u64));
    assert_eq!(again.json()["events"].as_array().unwrap(), &ids);
    assert_eq!(server.count("accepted"), count as u64);
    assert_eq!(server.stop(), Some(0));
    assert_eq!(site.check().0, 0);
}

#[test]
fn what_is_wrong_with_a_large_batch_leaves_nothing() {
    let site = site("", TO_FILE);
    let server = site.start();
    let (body, _) = batch("w", LARGE, 8_192);
    let refused = |body: &[u8], headers: &[(&str, String)]| -> (u16, String, Answer) {
        let answer = server.client().post("/in/genesys", headers, body).unwrap();
        (answer.status, answer.code(), answer)
    };
    let (status, code, _) = refused(&body, &signed(b"another body"));
    assert_eq!((status, code.as_str()), (401, "auth-mismatch"));
    stored_nothing(&site, &server);

    let single = format!("{{\"webhookEventId\":\"x\",\"filler\":\"{}\"}}", "f".repeat(LARGE)).into_bytes();
    let (status, code, _) = refused(&single, &signed(&single));
    assert_eq!((status, code.as_str()), (413, "body-too-large"));
    stored_nothing(&site, &server);
    assert_eq!(server.post(r#"{"webhookEventId":"after"}"#).counts(), (1, 0));
}

#[test]
fn a_large_body_that_is_broken_at_its_very_end_is_one_dead_letter_with_the_whole_file() {
    let site = site("", TO_FILE);
    let server = site.start();
    let (body, count) = batch("u", LARGE, 8_192);
    let cut = &body[..body.len() - 1];
    let broken = |server: &Server| server.client().post("/in/genesys", &signed(cut), cut).unwrap();
    let answer = broken(&server);
    assert_eq!(answer.counts(), (0, 0));
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(&format!("byte {}", cut.len())), "names the place: {detail}");
    let again = broken(&server);
    assert_eq!(again.json()["dead_letters"], answer.json()["dead_letters"], "sent again it is the same one");
    assert_eq!((server.count("accepted"), server.count("dead_letters")), (0, 1));
    let files = spool(&site);
    assert!(files.len() == 1 && files[0].ends_with(".unreadable"), "{files:?}");
    assert!(fs::read(site.path("data/spool").join(&files[0])).unwrap() == cut, "all of it is there");
    let letter = site.run(&["dead-letters", "show", "1", "--body", "--console", &server.console.to_string()]);
    let letter = String::from_utf8_lossy(&letter.stdout).into_owned();
    assert!(letter.contains(&files[0]) && letter.contains("u-0"), "{letter}");

    // It stays over a restart, and what is erased is not left in it.
    server.kill();
    let server = site.start();
    assert_eq!(spool(&site), files);
    assert_eq!(server.post(&body).counts(), (count as u64, 0));
    let console = server.console.to_string();
    let erase = ["erase", "--conversation", "u-1", "--reason", "asked for", "--yes", "--console", &console];
    let erased = site.run(&erase);
    assert_eq!(erased.status.code(), Some(0), "{erased:?}");
    assert!(spool(&site).is_empty(), "{erased:?}");
}

/// The most memory that the server has had beside the pages of its program, in KiB.
fn most_own_memory(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let number = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    };
    number("VmHWM:") - number("RssFile:")
}

#[test]
fn four_batches_of_100_mib_at_once_stay_within_the_memory() {
    let site = site("", TO_FILE);
    let server = site.start();
    let senders: Vec<_> = (0..4)
        .map(|number| {
            let (body, count) = batch(&format!("m{number}"), 100 << 20, 1_024);
            let (headers, mut client) = (signed(&body), server.client());
            thread::spawn(move || (client.post("/in/genesys", &headers, &body).unwrap().counts(), count))
        })
        .collect();
    for sender in senders {
        let (counts, count) = sender.join().unwrap();
        assert_eq!(counts, (count as u64, 0));
    }
    let most = most_own_memory(&server);
    assert!(most <= OWN_MEMORY_KIB, "{most} KiB at the most");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn without_room_a_large_batch_is_refused_and_later_taken() {
    let site = site("", TO_FILE);
    let limited =
        format!("trap '' XFSZ; ulimit -S -f 12288; exec {AFTERCALL} serve --config aftercall.toml --log json");
    let mut command = Command::new("bash");
    command.current_dir(site.path("")).args(["-c", &limited]);
    let server = site.start_with(&mut command);
    let (body, count) = batch("r", LARGE, 65_536);
    let mut client = server.client();
    // The server stops reading where the disk ends, so not all of it can be sent.
    if let Ok(answer) = client.post_signed(&body).or_else(|_| client.answer()) {
        assert_eq!((answer.status, answer.code().as_str()), (503, "queue-full"), "{answer:?}");
    }
    stored_nothing(&site, &server);
    let more = Command::new("prlimit").args(["--fsize=unlimited", "--pid", &server.id().to_string()]).output().unwrap();
    assert!(more.status.success(), "{more:?}");
    assert_eq!(server.post(&body).counts(), (count as u64, 0));
    assert!(!site.logs().contains("panicked"));
}

#[test]
fn a_sender_that_stops_in_the_middle_is_let_go_and_leaves_nothing() {
    let site = Site::with_head("[intake.limits]\nbody = \"512MiB\"\nbody_stall = \"300ms\"\n", TO_FILE);
    let server = site.start();
    let (body, _) = batch("s", LARGE, 65_536);
    let mut client = server.client();
    let mut head = format!("POST /in/genesys HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in signed(&body) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    client.send(head + "\r\n").unwrap();
    client.send(&body[..1 << 20]).unwrap();
    waiting::until_so("it is being spooled", || !spool(&site).is_empty());
    assert_eq!(client.answer().unwrap().code(), "timeout");
    stored_nothing(&site, &server);
}

#[test]
fn the_spool_has_a_limit() {
    let site = Site::with_head(
        "[intake.limits]\nbody = \"20MiB\"\nspool = \"30MiB\"\nbody_stall = \"60s\"\nbody_timeout = \"60s\"\n",
        TO_FILE,
    );
    let server = site.start();
    let (body, count) = batch("b", LARGE, 65_536);
    let mut held = server.client();
    let head = format!(
        "POST /in/genesys HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\
         x-genesys-webhook-signature: {}\r\n\r\n",
        body.len(),
        "0".repeat(64)
    );
    held.send(head).unwrap();
    held.send(&body[..16 << 20]).unwrap();
    let spooled = || {
        let files = fs::read_dir(site.path("data/spool")).unwrap();
        files.map(|file| file.unwrap().metadata().map_or(0, |data| data.len())).sum::<u64>()
    };
    waiting::until_so("most of it is spooled", || spooled() >= 15 << 20);
    let mut client = server.client();
    if let Ok(answer) = client.post_signed(&body).or_else(|_| client.answer()) {
        assert_eq!((answer.status, answer.code().as_str()), (503, "spool-full"), "{answer:?}");
    }
    drop(held);
    waiting::until_so("there is room again", || spool(&site).is_empty());
    assert_eq!(server.post(&body).counts(), (count as u64, 0));
}
