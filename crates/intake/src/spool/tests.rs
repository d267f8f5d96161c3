//! What the spool keeps, and for how long.

use event::{Batch, SourceKind, SplitSettings, Timestamp};

use super::*;

fn options(dir: &Path, bytes: u64) -> SpoolOptions {
    SpoolOptions { dir: dir.join("spool"), bytes }
}

fn head(body: &[u8]) -> Head {
    let pointer = |text: &str| text.parse().unwrap();
    Head {
        source: "genesys".into(),
        received: Timestamp::from_millis(1_800_000_000_123),
        proof: "key 00".into(),
        bytes: body.len() as u64,
        digest: [body.len() as u8; 32],
        split: SplitSettings {
            event_id: vec![pointer("/a~1b")],
            batch: Batch::At(pointer("/x/y")),
            max_events_per_body: 77,
            ..SplitSettings::new(SourceKind::Webhook)
        },
    }
}

fn files(dir: &Path) -> usize {
    fs::read_dir(dir.join("spool")).unwrap().count()
}

#[test]
fn only_what_was_accepted_outlives_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, left) = Spool::open(&options(dir.path(), 10_000)).unwrap();
    assert!(left.is_empty());
    let mut arriving = spool.begin().unwrap();
    arriving.write(b"half").unwrap();
    let mut accepted = spool.begin().unwrap();
    accepted.write(b"the body").unwrap();
    accepted.accept(&head(b"the body")).unwrap();
    assert_eq!(files(dir.path()), 2);
    // As a crash leaves them: nothing is dropped.
    std::mem::forget((arriving, accepted));

    let (spool, left) = Spool::open(&options(dir.path(), 10_000)).unwrap();
    assert_eq!((left.len(), files(dir.path())), (1, 1));
    let (again, read) = spool.reopen(left[0].clone()).unwrap();
    let mut body = Vec::new();
    again.stored().for_each(|piece| body.extend_from_slice(piece)).unwrap();
    assert_eq!(body, b"the body");
    assert_eq!(format!("{read:?}"), format!("{:?}", head(b"the body")));
    again.remove();
    assert_eq!(files(dir.path()), 0);
}

#[test]
fn room_is_bounded_and_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&options(dir.path(), 10)).unwrap();
    let mut one = spool.begin().unwrap();
    one.write(b"1234567").unwrap();
    let mut other = spool.begin().unwrap();
    assert!(matches!(other.write(b"1234"), Err(SpoolFailure::NoRoom)));
    assert!(matches!(one.accept(&head(b"1234567")), Err(SpoolFailure::NoRoom)));
    drop(one);
    other.write(b"1234567890").unwrap();
    drop(other);
    assert_eq!(files(dir.path()), 0);
}

#[test]
fn the_same_body_is_not_accepted_twice_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&options(dir.path(), 10_000)).unwrap();
    let filled = || {
        let mut spooled = spool.begin().unwrap();
        spooled.write(b"body").unwrap();
        spooled
    };
    let (mut first, mut second) = (filled(), filled());
    first.accept(&head(b"body")).unwrap();
    assert!(matches!(second.accept(&head(b"body")), Err(SpoolFailure::Twice)));
    first.remove();
    second.accept(&head(b"body")).unwrap();
    second.remove();
    assert_eq!(files(dir.path()), 0);
}

#[test]
fn a_damaged_head_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&options(dir.path(), 10_000)).unwrap();
    let path = dir.path().join("spool/9.accepted");
    let written = [b"body".as_slice(), &head(b"body").written()].concat();
    fs::write(&path, &written).unwrap();
    assert!(spool.reopen(path.clone()).is_ok());
    for at in [4, 20, written.len() - 20, written.len() - 12, written.len() - 1] {
        let mut damaged = written.clone();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert!(spool.reopen(path.clone()).is_err(), "at {at}");
    }
    fs::write(&path, b"x").unwrap();
    assert!(spool.reopen(path).is_err());
}

#[test]
fn a_file_of_each_old_format_is_published() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&options(dir.path(), 10_000)).unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/spool-version-1.accepted");
    let path = dir.path().join("spool/7.accepted");
    fs::copy(kept, &path).unwrap();
    let (spooled, head) = spool.reopen(path).unwrap();
    assert_eq!((&*head.source, &*head.proof, head.received.as_millis()), ("genesys", "key 00", 1_800_000_000_123));
    assert_eq!((head.split.max_events_per_body, head.split.kind), (77, SourceKind::Webhook));
    assert_eq!(head.split.event_id, ["/a~1b".parse().unwrap()]);
    assert_eq!(head.split.batch, Batch::At("/data".parse().unwrap()));
    let body = spooled.stored().first(1_000).unwrap();
    assert_eq!(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body).as_ref(), head.digest);
    let splitter = event::Splitter::new(&head.split);
    let limits = event::LargeLimits::default();
    let outline = splitter.outline(spooled.stored(), limits).unwrap();
    let events = splitter.portions(spooled.stored(), outline, head.digest, limits).next_events().unwrap().unwrap();
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].conversation.as_deref(), Some("c"));
}

#[test]
fn another_version_is_refused_and_not_guessed_at() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&options(dir.path(), 10_000)).unwrap();
    let path = dir.path().join("spool/9.accepted");
    let mut written = [b"body".as_slice(), &head(b"body").written()].concat();
    let version = written.len() - 20;
    written[version] = 2;
    fs::write(&path, written).unwrap();
    let error = spool.reopen(path).err().unwrap();
    assert!(error.to_string().contains("another version"), "{error}");
}

#[test]
fn unreadable_bodies_are_found_by_what_they_mention_and_give_their_room_back() {
    let dir = tempfile::tempdir().unwrap();
    let room = 1_000_000;
    let (spool, _) = Spool::open(&options(dir.path(), room)).unwrap();
    let kept = |name: &str, digest: u8| {
        let mut spooled = spool.begin().unwrap();
        spooled.write(&vec![b' '; 256 * 1024 - 10]).unwrap();
        spooled.write(format!("{{\"conversationId\":\"{name}\"").as_bytes()).unwrap();
        spooled.keep_unreadable(&[digest; 32]).unwrap()
    };
    // The id lies over the end of a piece that is read at once.
    let (one, other) = (kept("c-1", 1), kept("c-2", 2));
    assert_eq!(kept("c-1", 1), one, "the same body has the same file");
    assert_eq!(files(dir.path()), 2);
    assert_eq!(spool.erase(&Mention::of("c-1"), true).unwrap(), 1);
    assert_eq!(spool.erase(&Mention::of("c-1"), false).unwrap(), 1);
    assert_eq!(spool.erase(&Mention::of("c-3"), false).unwrap(), 0);
    assert_eq!((one.exists(), other.exists()), (false, true));
    // Removed by hand, also after a restart.
    let (spool, _) = Spool::open(&options(dir.path(), room)).unwrap();
    let mut all = spool.begin().unwrap();
    assert!(matches!(all.write(&vec![0; room as usize]), Err(SpoolFailure::NoRoom)));
    fs::remove_file(other).unwrap();
    all.write(&vec![0; room as usize]).unwrap();
}
