//! Everything that can go wrong on the way: nothing that is not whole is ever seen, and each trouble has its class.

use std::time::Duration;

use destinations::ErrorClass;
use simulator::platform::Fault;

use crate::rig::{CONVERSATION, LEG, RECEIVED, Rig, client, send, transcript};

/// Longer than two parts of an upload.
const LONG: u64 = 12_000_000;

/// The names of all files below the store.
fn files(rig: &Rig) -> Vec<String> {
    fn walk(folder: &std::path::Path, names: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => walk(&entry.path(), names),
                false => names.push(entry.file_name().into_string().unwrap()),
            }
        }
    }
    let mut names = Vec::new();
    walk(rig.dir.path(), &mut names);
    names
}

/// Waits until nothing is left of uploads that were given up.
async fn no_files(rig: &Rig) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !files(rig).is_empty() {
        assert!(std::time::Instant::now() < deadline, "{:?}", files(rig));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_download_that_is_not_whole_is_never_seen_and_is_made_again() {
    for fault in [
        Fault::BreaksOff(100),
        Fault::BreaksOff(LONG - 1),
        Fault::EndsEarly(0),
        Fault::EndsEarly(7_000_000),
        Fault::EndsEarly(LONG - 1),
        Fault::Page,
        Fault::Redirect,
        Fault::Status(403),
        Fault::Status(404),
    ] {
        let rig = Rig::new();
        rig.add(&[(LEG, transcript(LONG))]);
        rig.platform.fail_downloads(fault, 3);
        let error = rig.send().await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Transient, "{fault:?}: {error}");
        assert!(error.message.contains(LEG) && !error.message.contains("signature"), "{error}");
        no_files(&rig).await;
        assert!(rig.told().await.is_empty());
        rig.platform.fail_downloads(fault, 2);
        rig.send().await.unwrap();
        assert_eq!((rig.told().await.len(), std::fs::metadata(rig.file(LEG, LEG)).unwrap().len()), (1, LONG));
        assert!(!rig.platform.report().malformed.iter().any(|what| what.contains("elsewhere")), "it was followed");
    }
}

#[tokio::test]
async fn an_address_that_has_ended_is_replaced_by_a_new_one() {
    let rig = Rig::with(|platform, _| platform.url_lifetime = Duration::ZERO);
    rig.add(&[(LEG, transcript(20_000))]);
    let error = rig.send().await.unwrap_err();
    assert!(error.class == ErrorClass::Transient && error.message.contains("answered 403"), "{error}");
    assert_eq!(rig.platform.report().downloads, 0);
    let asked = rig.platform.report().api_requests;
    rig.platform.set_url_lifetime(Duration::from_secs(3_600));
    rig.send().await.unwrap();
    assert_eq!((asked, rig.platform.report().api_requests), (4, 6), "the details, and three addresses; then one");
}

#[tokio::test]
async fn a_download_that_stops_coming_is_given_up_and_whoever_is_cancelled_leaves_nothing() {
    let rig = Rig::new();
    rig.add(&[(LEG, transcript(LONG))]);
    rig.platform.fail_downloads(Fault::Stalls(11_000_000), 1_000);
    let impatient = rig.restarted(|options| options.timeout = Duration::from_millis(300));
    let error = send(&impatient, 1, RECEIVED).await.unwrap_err();
    assert!(error.class == ErrorClass::Transient && error.message.contains("stopped coming"), "{error}");
    no_files(&rig).await;
    // Delivery gives an attempt up by dropping it.
    let started = async {
        while files(&rig).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        sent = rig.send() => panic!("{sent:?}"),
        () = started => {}
    }
    no_files(&rig).await;
    rig.platform.fail_downloads(Fault::Page, 0);
    rig.send().await.unwrap();
    assert_eq!(files(&rig).len(), 2, "{:?}", files(&rig));
}

#[tokio::test]
async fn what_is_too_long_is_for_good_with_its_cure() {
    for announced in [true, false] {
        let rig = Rig::with(|_, options| options.max_bytes = 9_000_000);
        rig.add(&[(LEG, transcript(LONG))]);
        if !announced {
            rig.platform.fail_downloads(Fault::EndsEarly(LONG), 1);
        }
        let error = rig.send().await.unwrap_err();
        assert!(error.class == ErrorClass::Permanent && error.message.contains("`max_size`"), "{error}");
        no_files(&rig).await;
    }
}

#[tokio::test]
async fn statuses_of_the_platform_have_their_classes() {
    let rig = Rig::new();
    rig.add(&[(LEG, transcript(20_000))]);
    for status in [500, 502, 503, 504] {
        rig.platform.fail_api(status, 1);
        assert_eq!(rig.send().await.unwrap_err().class, ErrorClass::Transient, "{status}");
    }
    rig.platform.fail_api(403, 1);
    let error = rig.send().await.unwrap_err();
    assert!(error.class == ErrorClass::Permanent && error.message.contains("Data > View"), "{error}");
    rig.platform.fail_api(401, 1);
    rig.send().await.unwrap();
    assert_eq!(rig.platform.report().tokens_issued, 2, "one new token for one refusal");
}

#[tokio::test]
async fn the_platforms_limit_is_no_failure_of_the_delivery() {
    let rig = Rig::with(|platform, _| platform.api_limit = 1);
    rig.add(&[(LEG, transcript(20_000))]);
    let error = rig.send().await.unwrap_err();
    let ErrorClass::NotYet(patience) = &error.class else { panic!("{error:?}") };
    assert!(patience.give_up.is_none() && error.retry_after > Some(Duration::from_secs(50)), "{error:?}");
    assert_eq!(rig.platform.report().api_requests_limited, 0, "nothing was asked that was too much");
}

#[tokio::test]
async fn a_platform_or_a_store_that_is_gone_is_waited_for() {
    let rig = Rig::new();
    rig.add(&[(LEG, transcript(20_000))]);
    let gone = transcripts::Transcripts::open(
        transcripts::Options::new(storage::Location::Directory(rig.dir.path().join("store"))),
        client("127.0.0.1:9", |_| {}),
        std::sync::Arc::new(|| RECEIVED.plus(Duration::from_secs(600))),
    );
    assert_eq!(send(&gone.unwrap(), 1, RECEIVED).await.unwrap_err().class, ErrorClass::Transient);
    // A file in the way of the conversation's folder.
    let folder = rig.dir.path().join("store/transcripts");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(CONVERSATION), "").unwrap();
    let error = rig.send().await.unwrap_err();
    assert!(error.class == ErrorClass::Transient && error.message.contains("store"), "{error}");
    std::fs::remove_file(folder.join(CONVERSATION)).unwrap();
    rig.send().await.unwrap();
}

#[tokio::test]
async fn no_address_leads_to_another_host_without_encryption() {
    let rig = Rig::new();
    rig.add(&[(LEG, transcript(20_000))]);
    for base in ["http://169.254.169.254", "http://example.com", "file://", "gopher://127.0.0.1"] {
        rig.platform.set_elsewhere(Some(base));
        let error = rig.send().await.unwrap_err();
        assert!(error.message.contains("not encrypted"), "{base}: {error}");
    }
    assert_eq!(rig.platform.report().downloads, 0);
}

#[tokio::test]
async fn a_transcript_is_told_of_before_it_counts_as_done() {
    let rig = Rig::new();
    rig.add(&[(LEG, transcript(20_000))]);
    queue::Queue::close(&*rig.queue).await.unwrap();
    let error = rig.send().await.unwrap_err();
    assert!(error.class == ErrorClass::Transient && error.message.contains("telling"), "{error}");
    assert!(rig.transcripts.found(CONVERSATION).await.unwrap().is_empty(), "it has no record, so it is fetched again");
}

#[tokio::test]
async fn two_deliveries_of_a_conversation_do_not_fetch_at_once() {
    let rig = Rig::new();
    rig.add(&[(LEG, transcript(LONG))]);
    let (one, other) = tokio::join!(rig.send(), send(&rig.transcripts, 2, RECEIVED));
    one.unwrap();
    let error = other.unwrap_err();
    assert!(matches!(error.class, ErrorClass::NotYet(_)) && error.status.is_none(), "{error}");
    assert_eq!(rig.platform.report().downloads, 1);
}
