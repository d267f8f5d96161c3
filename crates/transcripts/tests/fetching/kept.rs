//! What becomes of transcripts that are stored: read, erased, removed at the end of retention.

use std::time::Duration;

use futures::TryStreamExt as _;
use transcripts::{Erased, ShelfError, Swept};

use crate::rig::{CONVERSATION, LEG, OTHER_LEG, Rig, transcript};

async fn stored(change: impl FnOnce(&mut transcripts::Options)) -> Rig {
    let rig = Rig::with(|_, options| change(options));
    rig.add(&[(LEG, transcript(10_000)), (OTHER_LEG, transcript(6_000_000))]);
    rig.send().await.unwrap();
    rig
}

#[tokio::test]
async fn a_text_is_read_as_it_was_stored() {
    let rig = stored(|_| {}).await;
    let text = rig.transcripts.text(CONVERSATION, Some(OTHER_LEG), None).await.unwrap();
    let read: Vec<bytes::Bytes> = text.stream.try_collect().await.unwrap();
    assert_eq!(crate::rig::sha256(&read.concat()), text.record.sha256);
    let several = rig.transcripts.text(CONVERSATION, None, None).await;
    assert!(matches!(several, Err(ShelfError::Several(2))));
    let none = rig.transcripts.text("another", None, None).await;
    assert!(matches!(none, Err(ShelfError::NotFound)));
}

#[tokio::test]
async fn what_is_erased_is_gone_with_its_folder_and_nothing_else_is() {
    let rig = stored(|_| {}).await;
    let neighbour = rig.dir.path().join(format!("store/transcripts/{CONVERSATION}x"));
    std::fs::create_dir(&neighbour).unwrap();
    std::fs::write(neighbour.join("a.json"), "{}").unwrap();
    let all = Erased { transcripts: 2, bytes: 6_010_000 };
    assert_eq!(rig.transcripts.erase(CONVERSATION, true).await.unwrap(), all);
    assert_eq!(rig.transcripts.found(CONVERSATION).await.unwrap().len(), 2);
    std::fs::write(rig.file(LEG, "left").with_extension("json#1"), "half").unwrap();
    assert_eq!(rig.transcripts.erase(CONVERSATION, false).await.unwrap(), all);
    assert!(!rig.dir.path().join("store/transcripts").join(CONVERSATION).exists());
    assert!(neighbour.join("a.json").exists());
    assert_eq!(rig.transcripts.erase(CONVERSATION, false).await.unwrap(), Erased::default());
}

#[tokio::test]
async fn retention_removes_what_is_old_and_what_a_kill_left_and_nothing_else() {
    let rig = stored(|options| options.retention = Some(Duration::from_secs(86_400))).await;
    let outside = rig.dir.path().join("store/other.json");
    std::fs::write(&outside, "{}").unwrap();
    let left = rig.file(LEG, "left").with_extension("json#1");
    std::fs::write(&left, "half").unwrap();
    assert_eq!(sweep_at(&rig, Duration::from_secs(86_300)).await, Swept::default());
    assert!(left.exists(), "somebody may be writing it");
    assert_eq!(sweep_at(&rig, Duration::from_secs(86_500)).await, Swept { transcripts: 2, bytes: 6_010_000 });
    assert!(!left.exists() && outside.exists());
    rig.transcripts.sweep().await.unwrap();
    assert!(!rig.dir.path().join("store/transcripts").join(CONVERSATION).exists(), "empty folders go too");
}

/// Sweeps when the files are so old. They are dated by the system's clock, whose time is dated back instead.
async fn sweep_at(rig: &Rig, age: Duration) -> Swept {
    let now = crate::rig::RECEIVED;
    rig.it_is(Duration::ZERO);
    let modified = std::time::UNIX_EPOCH + Duration::from_millis(now.as_millis().unsigned_abs()) - age;
    for leg in [LEG, OTHER_LEG] {
        for file in [rig.file(leg, leg), rig.file(leg, leg).with_extension("json.record")] {
            std::fs::File::options().write(true).open(file).unwrap().set_modified(modified).unwrap();
        }
        let left = rig.file(LEG, "left").with_extension("json#1");
        std::fs::File::options().write(true).open(left).unwrap().set_modified(modified).unwrap();
    }
    rig.transcripts.sweep().await.unwrap()
}
