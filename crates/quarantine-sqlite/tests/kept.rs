//! What goes in comes out, within bounds, over restarts, kills and damage.
#![cfg(test)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use event::Timestamp;
use http::HeaderMap;
use intake::{
    Credential, KeyUse, Quarantine, QuarantineCounts, QuarantineEntry, QuarantineError, QuarantineQuery,
    QuarantineSelection, Quarantined, Reason,
};
use proptest::prelude::*;
use quarantine_sqlite::options::ROW_BYTES;
use quarantine_sqlite::{Options, SqliteQuarantine};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn request(source: &str, body: &str) -> Quarantined {
    let mut headers = HeaderMap::new();
    headers.insert("x-signature", http::HeaderValue::from_bytes(b"v1=\xe9,: x").unwrap());
    headers.append("webhook-id", "one".parse().unwrap());
    headers.append("webhook-id", "two".parse().unwrap());
    Quarantined {
        source: source.into(),
        received: NOW,
        sender: "2001:db8::7".parse().unwrap(),
        reason: Reason::AuthMismatch,
        headers,
        credential: Some(Credential { place: "x-api-key".to_owned(), salt: [7; 16], proof: [9; 32] }),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

/// Without headers, so that it counts its body and [`ROW_BYTES`].
fn sized(source: &str, body: usize) -> Quarantined {
    Quarantined { headers: HeaderMap::new(), credential: None, ..request(source, &"b".repeat(body)) }
}

fn offer(quarantine: &SqliteQuarantine, request: Quarantined) -> bool {
    let admitted = quarantine.admits(&request.source, request.body.len(), NOW);
    if admitted {
        quarantine.keep(request);
    }
    admitted
}

async fn all(quarantine: &SqliteQuarantine) -> Vec<QuarantineEntry> {
    quarantine.list(QuarantineQuery { source: None, after: None, limit: 100_000 }).await.unwrap()
}

fn counts(quarantine: &SqliteQuarantine, source: &str) -> QuarantineCounts {
    quarantine.status().sources.into_iter().find(|counts| counts.source == source).unwrap_or_default()
}

fn options(dir: &Path) -> Options {
    Options::new(dir.to_owned())
}

#[tokio::test]
async fn what_was_kept_is_read_again_byte_for_byte_also_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let quarantine = SqliteQuarantine::open(options(dir.path()));
    assert!(offer(&quarantine, request("genesys", "{\"a\":1}")));
    assert!(offer(&quarantine, Quarantined { credential: None, ..request("bus", "") }));
    let listed = all(&quarantine).await;
    assert_eq!(
        listed.iter().map(|entry| (&*entry.source, entry.body_bytes)).collect::<Vec<_>>(),
        [("genesys", 7), ("bus", 0)]
    );
    assert_eq!((listed[0].reason, listed[0].sender.to_string()), ("auth-mismatch", "2001:db8::7".to_owned()));
    assert_eq!(quarantine.read(listed[0].id).await.unwrap(), Some(request("genesys", "{\"a\":1}")));
    quarantine.close().await;
    assert!(!offer(&quarantine, request("genesys", "late")) || counts(&quarantine, "genesys").failed == 1);

    let again = SqliteQuarantine::open(options(dir.path()));
    assert_eq!(all(&again).await, listed);
    assert_eq!(again.read(listed[0].id).await.unwrap(), Some(request("genesys", "{\"a\":1}")));
    let status = counts(&again, "genesys");
    assert_eq!((status.requests, status.bytes), (1, listed[0].bytes));
    assert_eq!(again.read(999).await.unwrap(), None);
}

#[tokio::test]
async fn lists_are_selected_and_paged_and_requests_taken_out() {
    let dir = tempfile::tempdir().unwrap();
    let quarantine = SqliteQuarantine::open(options(dir.path()));
    for number in 0..9 {
        assert!(offer(&quarantine, request(["a", "b", "c"][number % 3], &number.to_string())));
    }
    let ids: Vec<_> = all(&quarantine).await.iter().map(|entry| entry.id).collect();
    let of = |source: Option<&str>, after, limit| QuarantineQuery { source: source.map(str::to_owned), after, limit };
    let listed =
        async |query| -> Vec<u64> { quarantine.list(query).await.unwrap().iter().map(|entry| entry.id).collect() };
    assert_eq!(listed(of(Some("b"), None, 10)).await, [ids[1], ids[4], ids[7]]);
    assert_eq!(listed(of(Some("b"), Some(ids[1]), 1)).await, [ids[4]]);
    assert_eq!(listed(of(None, Some(ids[6]), 10)).await, ids[7..]);
    assert_eq!(listed(of(Some("zz"), None, 10)).await, [0u64; 0]);
    let remove = async |which| quarantine.remove(which).await.unwrap();
    assert_eq!(remove(QuarantineSelection::Ids(vec![ids[0], ids[1], 999, u64::MAX])).await, 2);
    assert_eq!(remove(QuarantineSelection::Source("c".to_owned())).await, 3);
    assert_eq!((counts(&quarantine, "a").requests, counts(&quarantine, "c").requests), (2, 0));
    assert_eq!(remove(QuarantineSelection::All).await, 4);
    assert_eq!(all(&quarantine).await, []);
    assert!(offer(&quarantine, request("a", "new")));
    assert!(all(&quarantine).await[0].id > ids[8], "a number is never given again");
}

#[tokio::test]
async fn a_flood_keeps_one_filling_and_room_that_was_made_is_filled_again() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Options { requests: 100, ..options(dir.path()) };
    let quarantine = SqliteQuarantine::open(limits.clone());
    let mut admitted = 0;
    for number in 0..5_000 {
        // A question between them waits for the thread, so that nothing is left out for want of its time.
        if number % 50 == 0 {
            all(&quarantine).await;
        }
        admitted += usize::from(offer(&quarantine, request("flooded", "x")));
    }
    assert_eq!((admitted, all(&quarantine).await.len()), (100, 100));
    assert!(offer(&quarantine, request("other", "x")), "each source has its own");
    let status = counts(&quarantine, "flooded");
    assert_eq!((status.requests, status.kept, status.sampled_out, status.busy), (100, 100, 4_900, 0));
    quarantine.close().await;
    // A restart gives the flood nothing more, taking requests out does.
    let quarantine = SqliteQuarantine::open(limits);
    assert!(!offer(&quarantine, request("flooded", "x")));
    quarantine.remove(QuarantineSelection::Source("flooded".to_owned())).await.unwrap();
    assert!((0..100).all(|_| offer(&quarantine, request("flooded", "x"))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever comes: never more than the limits, and what is kept of a source are the newest that were admitted.
    #[test]
    fn never_more_than_the_limits_and_the_oldest_go_first(
        requests in 1u64..12,
        bytes in 2_000u64..9_000,
        offers in prop::collection::vec((0usize..3, 0usize..3_000, 0u64..200_000), 1..80),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let limits = Options { requests, bytes, ..options(dir.path()) };
        let quarantine = SqliteQuarantine::open(limits.clone());
        let mut expected: [Vec<usize>; 3] = Default::default();
        let mut now = NOW;
        runtime().block_on(async {
            for (source, body, wait) in offers {
                now = now.plus(Duration::from_millis(wait));
                let one = sized(["a", "b", "c"][source], body);
                if quarantine.admits(&one.source, body, now) {
                    quarantine.keep(one);
                    expected[source].push(body + ROW_BYTES);
                }
                for kept in &mut expected {
                    while kept.len() as u64 > requests || kept.iter().sum::<usize>() as u64 > bytes {
                        kept.remove(0);
                    }
                }
                let listed = all(&quarantine).await;
                for (source, expected) in ["a", "b", "c"].into_iter().zip(&expected) {
                    let of_it = listed.iter().filter(|entry| &*entry.source == source);
                    let sizes: Vec<usize> = of_it.map(|entry| usize::try_from(entry.bytes).unwrap()).collect();
                    assert_eq!(&sizes, expected);
                    let counts = counts(&quarantine, source);
                    assert_eq!((counts.requests, counts.bytes), (sizes.len() as u64, sizes.iter().sum::<usize>() as u64));
                }
            }
            quarantine.close().await;
            // Lower limits hold from the start on.
            let lower = Options { requests: 1, ..limits };
            let again = SqliteQuarantine::open(lower);
            for (source, expected) in ["a", "b", "c"].into_iter().zip(&expected) {
                let newest = expected.last().map_or((0, 0), |bytes| (1, *bytes as u64));
                let counts = counts(&again, source);
                assert_eq!((counts.requests, counts.bytes), newest);
            }
        });
    }
}

#[tokio::test]
async fn what_is_too_large_or_too_much_at_once_is_counted_and_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let quarantine = SqliteQuarantine::open(Options { bytes: 100_000, ..options(dir.path()) });
    assert!(!offer(&quarantine, sized("a", 100_000)));
    quarantine.too_large(&"a".into());
    assert_eq!(counts(&quarantine, "a").too_large, 2);
    let off = SqliteQuarantine::open(Options { enabled: false, ..options(tempfile::tempdir().unwrap().path()) });
    assert!(!offer(&off, request("a", "x")) && !off.status().enabled);
    // More than the channel may hold is refused whatever the thread does.
    let wide = tempfile::tempdir().unwrap();
    let quarantine = SqliteQuarantine::open(Options { bytes: 1 << 30, ..options(wide.path()) });
    quarantine.keep(sized("a", 17 << 20));
    assert_eq!((counts(&quarantine, "a").busy, all(&quarantine).await.len()), (1, 0));
}

#[tokio::test]
async fn the_use_of_keys_never_goes_back_and_old_requests_go() {
    let dir = tempfile::tempdir().unwrap();
    let quarantine = SqliteQuarantine::open(options(dir.path()));
    let used = |last: i64, uses| KeyUse {
        source: Arc::from("genesys"),
        fingerprint: "00ff00ff".to_owned(),
        last_used: Timestamp::from_millis(last),
        uses,
    };
    assert!(offer(&quarantine, request("genesys", "x")));
    quarantine.maintain(vec![used(5, 7)], NOW).await.unwrap();
    quarantine.maintain(vec![used(4, 6)], NOW).await.unwrap();
    quarantine.close().await;
    let quarantine = SqliteQuarantine::open(options(dir.path()));
    assert_eq!(quarantine.key_uses().await.unwrap(), [used(5, 7)]);
    assert_eq!(all(&quarantine).await.len(), 1);
    let day = Duration::from_secs(24 * 3600);
    quarantine.maintain(Vec::new(), NOW.plus(14 * day)).await.unwrap();
    assert_eq!(all(&quarantine).await.len(), 1);
    quarantine.maintain(Vec::new(), NOW.plus(15 * day)).await.unwrap();
    assert_eq!((all(&quarantine).await.len(), counts(&quarantine, "genesys").requests), (0, 0));
}

#[tokio::test]
async fn a_file_that_is_damaged_or_not_ours_closes_the_quarantine_and_says_the_cure() {
    for (content, told) in [
        (&b"this is no database, however long one looks at it"[..], "not a database"),
        (&[0x5a; 70_000], "not a database"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("quarantine.db"), content).unwrap();
        let quarantine = SqliteQuarantine::open(options(dir.path()));
        let closed = quarantine.status().closed.unwrap();
        assert!(closed.contains(told) && closed.contains("move quarantine.db"), "{closed}");
        assert!(!offer(&quarantine, request("a", "x")));
        assert_eq!(counts(&quarantine, "a").failed, 1);
        let refused = quarantine.list(QuarantineQuery { source: None, after: None, limit: 1 }).await.unwrap_err();
        assert_eq!(refused, QuarantineError::Closed(closed));
        quarantine.close().await;
    }
}

#[tokio::test]
async fn damage_that_shows_later_closes_it_and_a_damaged_row_is_never_given_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("quarantine.db");
    let quarantine = SqliteQuarantine::open(options(dir.path()));
    for number in 0..200 {
        assert!(offer(&quarantine, request("a", &format!("{number}:{}", "marker".repeat(400)))));
        if number % 50 == 0 {
            all(&quarantine).await;
        }
    }
    let id = all(&quarantine).await[5].id;
    quarantine.close().await;
    drop(quarantine);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(8).position(|part| part == b"5:marker").unwrap();
    bytes[at + 3] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let quarantine = SqliteQuarantine::open(options(dir.path()));
    let refused = quarantine.read(id).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("request {id} is damaged")), "{refused}");
    assert!(quarantine.read(id + 1).await.unwrap().is_some());
    quarantine.close().await;
    drop(quarantine);

    // All pages but the first are gone: it opens, or not, but it never panics and always says that it is closed.
    bytes[4096..].fill(0x33);
    std::fs::write(&path, &bytes).unwrap();
    let quarantine = SqliteQuarantine::open(options(dir.path()));
    let refused = quarantine.read(id).await.unwrap_err();
    assert!(matches!(&refused, QuarantineError::Closed(reason) if reason.contains("move quarantine.db")), "{refused}");
    assert!(!offer(&quarantine, request("a", "x")) && quarantine.status().closed.is_some());
}

#[tokio::test]
async fn what_names_a_conversation_is_erased_from_the_file_too() {
    let dir = tempfile::tempdir().unwrap();
    let quarantine = SqliteQuarantine::open(options(dir.path()));
    for body in ["c-gone says Swordfish", "c-stays says Swordfish 2", "c-gone-2 stays"] {
        assert!(offer(&quarantine, request("web", body)));
    }
    assert_eq!(all(&quarantine).await.len(), 3);
    assert_eq!(quarantine.erase("c-gone".to_owned(), true).await, Ok(1));
    assert_eq!(all(&quarantine).await.len(), 3, "only counted");
    assert_eq!(quarantine.erase("c-gone".to_owned(), false).await, Ok(1));
    assert_eq!(quarantine.erase("c-gone".to_owned(), false).await, Ok(0));
    assert_eq!(all(&quarantine).await.iter().map(|entry| entry.id).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(counts(&quarantine, "web").requests, 2);
    let found = |text: &str| {
        let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        files.into_iter().any(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
    };
    assert!(!found("c-gone says") && found("c-stays says"));
    quarantine.close().await;
}
