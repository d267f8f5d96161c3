//! Damaged files: found and named, never delivered as if they were right, never silent.

use std::fs;
use std::path::Path;

use crate::kept;
use crate::recorder::Recorder;
use crate::site::{Site, TO_FILE};

/// A marker that only one event's body has.
const MARKER: &str = "marker-in-the-body-of-one-event";

/// A site with 200 delivered events in the database, one of them with the marker.
fn with_events() -> Site {
    let site = Site::new(TO_FILE);
    let server = site.start();
    let mut client = server.client();
    for number in 0..200 {
        let text = if number == 100 { MARKER } else { "nothing special" };
        let body = format!(r#"{{"webhookEventId":"d-{number}","text":"{text}","filler":"{}"}}"#, "x".repeat(1_000));
        assert_eq!(client.post_signed(body.as_bytes()).unwrap().counts(), (1, 0));
    }
    server.until_settled("events");
    assert_eq!(server.stop(), Some(0));
    let (code, said) = site.check();
    assert_eq!(code, 0, "{said}");
    site
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x20;
    fs::write(path, bytes).unwrap();
}

fn find(path: &Path, wanted: impl AsRef<[u8]>) -> usize {
    let bytes = fs::read(path).unwrap();
    let wanted = wanted.as_ref();
    bytes.windows(wanted.len()).position(|part| part == wanted).unwrap()
}

/// A start is either refused with a message that names the damage, or the damage is in `check`.
#[track_caller]
fn is_loud(site: &Site, what: &str) -> String {
    let (code, mut said) = site.check();
    assert!(code == 1 || code == 2, "{what}: check says {code}: {said}");
    assert!(said.contains("damaged: ") || said.starts_with("error: "), "{what}: {said}");
    match site.try_start(&mut site.serve()) {
        Err(log) => {
            assert!(log.contains("error: "), "{what}: the server ended without saying why: {log}");
            said.push_str(&log);
        }
        Ok(server) => drop(server.stop()),
    }
    assert!(!said.contains("panicked") && !site.logs().contains("panicked"), "{what}: {said}\n{}", site.logs());
    said
}

#[test]
fn a_flipped_bit_in_a_body_is_found_with_its_place() {
    let site = with_events();
    let database = site.path("data/queue.db");
    flip(&database, find(&database, MARKER));
    let said = is_loud(&site, "a body");
    assert!(said.contains("event 101: its checksum does not fit its content"), "{said}");
}

#[test]
fn a_damaged_event_is_never_delivered_but_a_dead_letter() {
    let recorder = Recorder::start(|_| 200);
    // While nobody listens, events wait in the log.
    let away =
        "[destinations.crm]\nkind = \"http\"\nurl = \"http://127.0.0.1:9/\"\n[[routes]]\ndestination = \"crm\"\n";
    let site = Site::new(away);
    let server = site.start();
    for number in 0..20 {
        let text = if number == 10 { MARKER } else { "nothing special" };
        server.post(format!(r#"{{"webhookEventId":"d-{number}","text":"{text}"}}"#));
    }
    assert_eq!(server.stop(), Some(0));
    let database = site.path("data/queue.db");
    flip(&database, find(&database, MARKER));
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    let here = config.replace("http://127.0.0.1:9/", &format!("http://{}/", recorder.address));
    fs::write(site.path("aftercall.toml"), here).unwrap();

    let server = site.start();
    server.until_settled("crm");
    assert_eq!((server.count("dead_letters"), recorder.requests().len()), (1, 19));
    assert_eq!(server.stop(), Some(0));
    let bodies: Vec<_> =
        recorder.requests().iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect();
    assert!(bodies.iter().all(|body| body.contains("nothing special")), "{bodies:?}");
    let letters = kept::dead_letters(&site.path("data"));
    assert_eq!(letters[0].failure.stage, queue::Stage::Queue);
    assert!(letters[0].failure.message.contains("event 11 is damaged"), "{}", letters[0].failure.message);
}

#[test]
fn a_damaged_cursor_is_refused_and_a_repair_delivers_again() {
    let site = with_events();
    let database = site.path("data/queue.db");
    // The row of the destination: its name, then its watermark of two bytes, 200.
    flip(&database, find(&database, b"events\0\xc8") + "events".len());
    let said = is_loud(&site, "a cursor");
    assert!(said.contains("`destinations` with id 1 is damaged") && said.contains("--repair"), "{said}");
    let repaired = site.run(&["check", "--repair", "--data", "data"]);
    let said = String::from_utf8_lossy(&repaired.stdout).into_owned();
    assert_eq!(repaired.status.code(), Some(0), "{said}");
    assert!(said.contains("repaired: the row of destination `events`") && said.ends_with("no damage\n"), "{said}");
    let server = site.start();
    server.until_settled("events");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(site.events().len(), 400, "each event once more, none skipped");
}

#[test]
fn a_truncated_database_is_refused() {
    let site = with_events();
    let whole = fs::read(site.path("data/queue.db")).unwrap();
    for keep in [whole.len() - 1, whole.len() - 16_384, whole.len() / 2, 16_384, 1_000, 100, 1] {
        fs::write(site.path("data/queue.db"), &whole[..keep]).unwrap();
        is_loud(&site, &format!("{keep} of {} bytes", whole.len()));
    }
}

#[test]
fn an_emptied_or_foreign_database_is_refused() {
    let site = with_events();
    fs::write(site.path("data/queue.db"), "this is no database, although it is long enough to be one".repeat(100))
        .unwrap();
    is_loud(&site, "no database");
}

#[test]
fn flipped_bits_in_the_pages_of_the_database_are_loud() {
    let site = with_events();
    let database = site.path("data/queue.db");
    let whole = fs::read(&database).unwrap();
    let page = 16_384;
    // The magic text, the page size, the application's number, the schema, and the head and cell pointers of each page.
    let places = [0, 8, 16, 17, 40, 69, 101];
    let heads = (1..whole.len() / page).flat_map(|number| [number * page, number * page + 3]);
    for at in places.into_iter().chain(heads) {
        fs::write(&database, &whole).unwrap();
        flip(&database, at);
        let (code, said) = site.check();
        assert!(!said.contains("panicked"), "byte {at}: {said}");
        // Some bits mean nothing; then everything must be there.
        if code == 0 {
            assert!(said.contains("200 events") && said.contains("200 identities"), "byte {at} is silent: {said}");
        }
        match site.try_start(&mut site.serve()) {
            Err(log) => assert!(log.contains("error: ") && !log.contains("panicked"), "byte {at}: {log}"),
            // What is damaged is found when it is read, so it may have started.
            Ok(server) => {
                let answer = server.post(r#"{"webhookEventId":"next"}"#);
                assert!(matches!(answer.status, 200 | 503), "byte {at}: {answer:?}");
            }
        }
        for rest in ["queue.db-wal", "queue.db-shm"] {
            let _ = fs::remove_file(site.path("data").join(rest));
        }
        assert!(!site.logs().contains("panicked"), "byte {at}: {}", site.logs());
    }
}

#[test]
fn a_flipped_bit_in_the_write_ahead_log_is_not_silent() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    for number in 0..50 {
        assert_eq!(server.post(format!(r#"{{"webhookEventId":"w-{number}","text":"{MARKER}"}}"#)).counts(), (1, 0));
    }
    server.until_settled("events");
    server.kill();
    let log = site.path("data/queue.db-wal");
    let database = fs::read(site.path("data/queue.db")).unwrap();
    let whole = fs::read(&log).unwrap();
    let places = [0, 9, 20, whole.len() / 4, whole.len() / 2, whole.len() / 4 * 3];
    for at in places {
        fs::write(site.path("data/queue.db"), &database).unwrap();
        fs::write(&log, &whole).unwrap();
        let _ = fs::remove_file(site.path("data/queue.db-shm"));
        flip(&log, at);
        is_loud(&site, &format!("byte {at} of the write-ahead log"));
    }
}
