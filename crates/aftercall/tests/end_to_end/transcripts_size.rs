//! Transcripts of any size go through a bounded memory, and any number of them can be waited for.
//!
//! A gigabyte was seen with `AFTERCALL_TRANSCRIPT_BYTES=1073741824 cargo test --workspace --all-features --test end_to_end
//! a_long_transcript_goes_through_a_bounded_memory`.

use std::fs;

use simulator::platform::Transcript;

use crate::site::Server;
use crate::transcripts::{add, file, send, site, start, told};
use crate::waiting;

/// A quarter of a gigabyte, unless another size is asked for.
const BYTES: u64 = 256 << 20;
/// What a transcript may take of memory besides what the server has anyway, in KiB: 64 MiB.
const GROWTH_MAX_KIB: u64 = 64 << 10;

/// The most memory of its own that it ever had, without the pages of its program, in KiB.
fn peak(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap()
    };
    number("VmHWM:") - number("RssFile:")
}

#[test]
fn a_long_transcript_goes_through_a_bounded_memory() {
    let bytes = std::env::var("AFTERCALL_TRANSCRIPT_BYTES").map_or(BYTES, |bytes| bytes.parse().unwrap());
    let platform = start(|_| {});
    add(&platform, 1, Some(Transcript { bytes: 1_000, ..Transcript::default() }));
    add(&platform, 2, Some(Transcript { bytes, ..Transcript::default() }));
    let site = site(&platform, r#"base = "100ms", cap = "100ms""#);
    let server = site.start();
    send(&server, 1);
    waiting::until_so("the short one", || told(&site).len() == 1);
    let before = peak(&server);
    send(&server, 2);
    let begun = std::time::Instant::now();
    while told(&site).len() < 2 {
        // As slow as 2 MiB/s it may be, on a busy machine.
        assert!(begun.elapsed().as_secs() < 60 + bytes / (2 << 20), "{}", server.log());
        waiting::within_patience(|| (told(&site).len() == 2).then_some(()));
    }
    let growth = peak(&server) - before;
    assert!(growth < GROWTH_MAX_KIB, "{growth} KiB");
    assert_eq!(fs::metadata(file(&site, 2)).unwrap().len(), bytes);
    assert_eq!(told(&site)[1]["bytes"], bytes);
}

/// Deliveries that wait.
const PARKED: usize = 100_000;
/// Events of one request.
const BATCH: usize = 10_000;
/// What they may take of memory, in KiB: 150 MiB, some 1,500 bytes each in a program that is not optimised.
const PARKED_MAX_KIB: u64 = 150 << 10;

#[test]
fn a_hundred_thousand_that_wait_delay_nobody_and_wait_on_after_a_kill() {
    let platform = start(|_| {});
    let site = site(&platform, r#"base = "1h", cap = "1h""#);
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    let config = config
        .replace("first = \"0s\"", "first = \"2h\"")
        .replace("url = \"store\"", "url = \"store\"\nconcurrency = 2000");
    fs::write(site.path("aftercall.toml"), config).unwrap();
    let server = site.start();
    let before = peak(&server);
    for batch in 0..PARKED / BATCH {
        let event = |n: usize| {
            let number = batch * BATCH + n;
            format!("{{\"webhookEventId\":\"w-{number}\",\"conversationId\":\"c-{number}\"}}")
        };
        let events: Vec<String> = (0..BATCH).map(event).collect();
        let body = format!("{{\"eventType\":\"conversation.analytics.completed\",\"data\":[{}]}}", events.join(","));
        assert_eq!(server.post(body).status, 200);
    }
    let parked = |server: &Server| server.consumer("transcripts")["retrying"].as_u64().unwrap();
    let all = |server: &Server| waiting::within_patience(|| (parked(server) == PARKED as u64).then_some(()));
    // It is as slow as the disk syncs.
    (0..3).find_map(|_| all(&server)).unwrap_or_else(|| panic!("{} are parked", parked(&server)));
    let growth = peak(&server) - before;
    assert!(growth < PARKED_MAX_KIB, "{growth} KiB");
    assert_eq!(platform.report().api_requests, 0);
    server.kill();
    let server = site.start();
    waiting::until_so("they wait on", || parked(&server) == PARKED as u64);
    // Whoever comes now is asked for in their turn, which is at once: only the time of the event is in the way.
    send(&server, 1);
    waiting::until_so("the new one waits too", || parked(&server) == PARKED as u64 + 1);
    assert_eq!(server.consumer("transcripts")["dead_letters"], 0);
}
