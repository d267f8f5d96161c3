//! Transcripts that come, sooner or later.

use std::time::Duration;

use destinations::ErrorClass;
use simulator::platform::Transcript;

use crate::rig::{CONVERSATION, LEG, OTHER_LEG, RECEIVED, Rig, send, sha256, transcript};

/// Longer than a part of an upload, and no multiple of one.
const LONG: u64 = 12_345_678;

#[tokio::test]
async fn every_leg_is_stored_whole_and_told_of_with_size_and_hash() {
    let rig = Rig::new();
    rig.add(&[(LEG, transcript(20_000)), (OTHER_LEG, transcript(LONG))]);
    rig.send().await.unwrap();
    let told = rig.told().await;
    assert_eq!(told.len(), 2);
    for (told, (leg, bytes)) in told.iter().zip([(LEG, 20_000), (OTHER_LEG, LONG)]) {
        let file = rig.file(leg, leg);
        let stored = std::fs::read(&file).unwrap();
        assert_eq!((stored.len() as u64, told["bytes"].as_u64()), (bytes, Some(bytes)));
        assert_eq!(told["sha256"], sha256(&stored));
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&stored).unwrap()["communicationId"], leg);
        let uri = told["transcriptUri"].as_str().unwrap().strip_prefix("file://").unwrap();
        assert_eq!(std::fs::canonicalize(&file).unwrap().to_str(), Some(uri));
        let fields = ["eventType", "conversationId", "communicationId", "mediaType", "contentType"];
        let expected = ["transcript.stored", CONVERSATION, leg, "voice", "application/json"];
        assert_eq!(fields.map(|field| told[field].as_str().unwrap()), expected);
    }
    let found = rig.transcripts.found(CONVERSATION).await.unwrap();
    assert!(found.len() == 2 && found.iter().all(|found| found.present), "{found:?}");
    assert_eq!(rig.platform.report().malformed, Vec::<String>::new());
}

#[tokio::test]
async fn a_repeated_delivery_and_another_event_of_the_conversation_fetch_nothing_again() {
    let rig = Rig::new();
    rig.add(&[(LEG, transcript(20_000))]);
    rig.send().await.unwrap();
    rig.send().await.unwrap();
    send(&rig.transcripts, 2, RECEIVED.plus(Duration::from_secs(60))).await.unwrap();
    assert_eq!((rig.platform.report().downloads, rig.told().await.len()), (1, 1));
}

#[tokio::test]
async fn an_event_that_comes_later_fetches_again_and_tells_only_of_what_has_changed() {
    let rig = Rig::new();
    rig.add(&[(LEG, transcript(20_000))]);
    rig.send().await.unwrap();
    rig.it_is(Duration::from_secs(5_400));
    let later = RECEIVED.plus(Duration::from_secs(3_600));
    send(&rig.transcripts, 2, later).await.unwrap();
    assert_eq!((rig.platform.report().downloads, rig.told().await.len()), (2, 1), "it is the same");
    rig.it_is(Duration::from_secs(10_800));
    rig.add(&[(LEG, transcript(30_000))]);
    send(&rig.transcripts, 3, later.plus(Duration::from_secs(3_600))).await.unwrap();
    let told = rig.told().await;
    assert_eq!((told.len(), told[1]["bytes"].as_u64()), (2, Some(30_000)));
    assert_eq!(told[0]["transcriptUri"], told[1]["transcriptUri"]);
    assert_eq!(std::fs::metadata(rig.file(LEG, LEG)).unwrap().len(), 30_000);
}

#[tokio::test]
async fn each_recording_of_a_communication_has_a_transcript_of_its_own() {
    let rig = Rig::new();
    rig.add(&[(LEG, Some(Transcript { bytes: 10_000, recordings: 3, ..Transcript::default() }))]);
    rig.send().await.unwrap();
    assert_eq!(rig.told().await.len(), 3);
    for (recording, bytes) in [(LEG.to_owned(), 10_000), (format!("{LEG}-1"), 10_001), (format!("{LEG}-2"), 10_002)] {
        assert_eq!(std::fs::metadata(rig.file(LEG, &recording)).unwrap().len(), bytes);
    }
}

#[tokio::test]
async fn what_is_not_there_yet_is_waited_for_and_keeps_nothing_back_that_is() {
    let rig = Rig::new();
    let late = Some(Transcript { bytes: 9_000, after_requests: 2, ..Transcript::default() });
    rig.add(&[(LEG, late), (OTHER_LEG, transcript(8_000))]);
    for _ in 0..2 {
        let error = rig.send().await.unwrap_err();
        let ErrorClass::NotYet(patience) = &error.class else { panic!("{error:?}") };
        assert_eq!(patience.give_up, Some((Duration::from_secs(7 * 86_400), "the transcript never came")));
        assert_eq!(error.status, Some(404));
        assert!(error.message.contains(LEG) && error.message.contains("not there yet"), "{error}");
        assert_eq!(rig.told().await.len(), 1, "the other leg");
    }
    rig.send().await.unwrap();
    assert_eq!((rig.told().await.len(), rig.platform.report().downloads), (2, 2));
}

#[tokio::test]
async fn nobody_is_asked_before_it_is_time() {
    let rig = Rig::new();
    rig.add(&[(LEG, transcript(20_000))]);
    rig.it_is(Duration::from_secs(10));
    let error = rig.send().await.unwrap_err();
    let ErrorClass::NotYet(patience) = &error.class else { panic!("{error:?}") };
    let wait = patience.shortest * 3 / 4;
    assert!(wait >= Duration::from_secs(290) && wait < Duration::from_secs(300), "{wait:?}");
    assert_eq!((error.status, patience.give_up, rig.platform.report().api_requests), (None, None, 0));
}

#[tokio::test]
async fn a_conversation_without_recordings_is_done_after_an_hour_and_leaves_nothing() {
    let rig = Rig::new();
    rig.add(&[]);
    let error = rig.send().await.unwrap_err();
    assert!(matches!(error.class, ErrorClass::NotYet(_)) && error.message.contains("recorded"), "{error}");
    rig.it_is(Duration::from_secs(3_600));
    rig.send().await.unwrap();
    assert!(rig.told().await.is_empty() && rig.transcripts.found(CONVERSATION).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_update_event_asks_for_nothing_and_an_event_without_a_conversation_says_so() {
    use destinations::{Destination as _, OutgoingDelivery};
    let rig = Rig::new();
    let delivery = |source: &str| OutgoingDelivery {
        event: event::EventId::from_bytes([1; 16]),
        source: source.into(),
        topic: "".into(),
        conversation: None,
        received: RECEIVED,
        behind_dead: false,
        payload: "{}".into(),
        replayed: false,
        trace: None,
    };
    rig.transcripts.send(delivery(transcripts::SOURCE)).await.unwrap();
    let error = rig.transcripts.send(delivery("calls")).await.unwrap_err();
    assert!(error.class == ErrorClass::Permanent && error.message.contains("pattern"), "{error}");
    assert_eq!(rig.platform.report().token_requests, 0);
}
