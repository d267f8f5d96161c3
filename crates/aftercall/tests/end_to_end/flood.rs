//! A long flood of bad signatures: bounded disk and memory, and nothing genuine lost, delayed for good or taken for known.
//!
//! The rate at which genuine events come through meanwhile is measured by `cargo xtask bench flood`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use simulator::client::Auth;
use simulator::load;
use simulator::sign::{Scheme, Signer};

use crate::client;
use crate::site::{Server, Site, TO_FILE};

/// Requests of the flood.
const FLOOD: u64 = 100_000;
const GENUINE: usize = 1_000;
/// Room for a small part of it.
const BOUNDS: &str = "[quarantine]\nrequests = 2000\nbytes = \"1MiB\"\n";
const BYTES_KEPT: u64 = 1 << 20;
/// Above its bound the file has indexes, free pages and a log of its own; see `quarantine_sqlite::options`.
const DISK_MAX: u64 = 16 << 20;
/// Upkeep may write a page or two meanwhile.
const QUEUE_GROWTH_MAX: u64 = 256 << 10;
/// What a flood may add to memory: the 24 MiB on their way to the quarantine, buffers of connections, and what the
/// allocator keeps.
const MEMORY_GROWTH_MAX: u64 = 64 << 20;

/// Signed with a secret that is not the server's. The ids are those of the load generator, in each run the same.
fn flood(server: &Server, requests: u64) -> load::Report {
    let options = load::Options {
        auth: Auth::Signed(Signer::new(Scheme::Genesys, "guessed").unwrap()),
        connections: 32,
        event_bytes: 512,
        requests_max: Some(requests),
        warm_up: Duration::ZERO,
        // It ends with its last request.
        duration: Duration::from_secs(600),
        ..load::Options::new(server.intake)
    };
    load::run(&options).unwrap()
}

/// Resident memory, in bytes.
fn memory(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn bytes_of(dir: &Path, begin: &str) -> u64 {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap());
    let named = files.filter(|file| file.file_name().to_string_lossy().starts_with(begin));
    named.map(|file| file.metadata().unwrap().len()).sum()
}

/// The flood says the same as genuine events, byte for byte, so only the signature tells them apart.
fn genuine(number: usize) -> String {
    format!(r#"{{"webhookEventId":"genuine-{number}","conversationId":"c-{}","n":{number}}}"#, number % 10)
}

#[test]
fn a_flood_of_bad_signatures_takes_no_more_than_its_bounds_and_nothing_genuine_is_lost() {
    let site = Site::with_head(BOUNDS, TO_FILE);
    let server = site.start();
    // The same bodies come first from somebody who cannot sign them: they must not be known afterwards.
    let mut stranger = server.client();
    for number in 0..GENUINE {
        let body = genuine(number);
        let headers = Signer::new(Scheme::Genesys, "guessed").unwrap().headers(body.as_bytes(), "", 0);
        assert_eq!(stranger.post("/in/genesys", &headers, body.as_bytes()).unwrap().status, 401);
    }
    let empty = bytes_of(&site.path("data"), "queue.db");
    let warm = flood(&server, FLOOD / 10);
    assert_eq!((warm.other, warm.ok), (FLOOD / 10, 0), "{warm:?}");
    let queue = bytes_of(&site.path("data"), "queue.db").saturating_sub(empty);
    assert!(queue < QUEUE_GROWTH_MAX, "a flood adds nothing to the queue, but {queue} bytes");
    let before = memory(&server);

    std::thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(&server, FLOOD));
        let mut sender = server.client();
        for number in 0..GENUINE {
            assert_eq!(sender.post_signed(genuine(number).as_bytes()).unwrap().counts(), (1, 0));
        }
        let report = flooding.join().unwrap();
        assert_eq!((report.other, report.other_status, report.ok), (FLOOD, Some(401), 0), "{report:?}");
        assert_eq!((report.unanswered, report.accepted), (0, 0));
    });
    server.until_settled("events");
    let delivered = site.events();
    assert_eq!(delivered.len(), GENUINE, "each once");
    assert_eq!(delivered.into_iter().collect::<BTreeSet<_>>(), (0..GENUINE).map(genuine).collect());
    let count = |name| server.count(name);
    assert_eq!((count("accepted"), count("duplicates"), count("conflicts"), count("dead_letters")), (1_000, 0, 0, 0));

    let grown = memory(&server).saturating_sub(before);
    assert!(grown < MEMORY_GROWTH_MAX, "{} MiB more memory", grown >> 20);
    let quarantine = bytes_of(&site.path("data"), "quarantine.db");
    assert!(quarantine < DISK_MAX, "{quarantine} bytes on disk");
    the_oldest_went_first(&server);
    assert_eq!(server.stop(), Some(0));
    assert_eq!(site.check().0, 0);
    assert!(!site.logs().contains("panicked"));
}

/// What is kept is within the bounds and came without a gap: only older ones were pushed out.
fn the_oldest_went_first(server: &Server) {
    let status = server.status();
    let counts = &status["quarantine"]["sources"][0];
    let number = |name: &str| counts[name].as_u64().unwrap();
    assert!((1..=2_000).contains(&number("requests")) && number("bytes") <= BYTES_KEPT, "{counts}");
    let offered = number("kept") + number("sampled_out") + number("busy");
    assert_eq!((offered, number("failed")), (FLOOD + FLOOD / 10 + GENUINE as u64, 0), "{counts}");
    let mut ids = Vec::new();
    while ids.len() < usize::try_from(number("requests")).unwrap() {
        let after = ids.last().map(|id| format!("&after={id}")).unwrap_or_default();
        let page = client::get(server.console, &format!("/api/v1/quarantine?limit=1000{after}")).unwrap().json();
        let found: Vec<u64> = page["requests"].as_array().unwrap().iter().filter_map(id).collect();
        assert!(!found.is_empty(), "{page}");
        ids.extend(found);
    }
    let expected: Vec<u64> = (number("pushed_out") + 1..=number("kept")).collect();
    assert_eq!(ids, expected, "{counts}");
}

fn id(entry: &Value) -> Option<u64> {
    entry["id"].as_u64()
}
