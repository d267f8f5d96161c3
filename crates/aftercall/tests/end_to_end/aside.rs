//! What becomes of deliveries that are put aside while their destination is down: through kills, while the archive cannot be
//! written, while something is erased; and parts of the archive that somebody has deleted.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::Value;

use crate::recorder::Recorder;
use crate::site::{Server, Site};
use crate::waiting;

const HEAD: &str = "[archive]\nurl = \"archive\"\n";

/// A CRM that is down while it is told to be, and how often it has taken each event.
struct Crm {
    recorder: Recorder,
    down: Arc<AtomicBool>,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

impl Crm {
    fn down() -> Self {
        let (down, taken) = (Arc::new(AtomicBool::new(true)), Arc::<Mutex<HashMap<String, usize>>>::default());
        let (is_down, took) = (Arc::clone(&down), Arc::clone(&taken));
        let recorder = Recorder::start(move |request| {
            if is_down.load(Ordering::SeqCst) {
                return 503;
            }
            *took.lock().unwrap().entry(request.headers["idempotency-key"].clone()).or_default() += 1;
            200
        });
        Self { recorder, down, taken }
    }

    fn site(&self) -> Site {
        Site::with_head(
            HEAD,
            &format!(
                "[destinations.crm]\nkind = \"http\"\nurl = \"http://{}/\"\non_outage = \"archive\"\n\
                 backoff = {{ base = \"10ms\", cap = \"50ms\" }}\nbreaker = {{ minimum = 10, pause = \"300ms\" }}\n\
                 [[routes]]\ndestination = \"crm\"\n",
                self.recorder.address
            ),
        )
    }

    fn taken(&self) -> HashMap<String, usize> {
        self.taken.lock().unwrap().clone()
    }
}

fn post(server: &Server, numbers: std::ops::Range<usize>, conversations: usize) {
    let mut client = server.client();
    for number in numbers {
        let of = number % conversations;
        let event = format!(r#"{{"webhookEventId":"a-{number}","conversationId":"c-{of}","text":"sesame {of}."}}"#);
        assert_eq!(client.post_signed(event.as_bytes()).unwrap().counts(), (1, 0));
    }
}

#[track_caller]
fn run(site: &Site, server: &Server, args: &[&str], code: i32) -> String {
    let console = server.console.to_string();
    let Output { status, stdout, stderr } = site.run(&[args, &["--console", &console]].concat());
    let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(code), "{args:?}: {said}");
    said
}

/// The files below a directory whose names end so.
fn files(dir: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn put_aside(server: &Server) -> u64 {
    server.consumer("crm")["put_aside"].as_u64().unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => assert!(fs::copy(entry.path(), &to).is_ok(), "{}", to.display()),
        }
    }
}

#[test]
fn what_is_put_aside_is_neither_lost_nor_doubled_through_kills_and_is_told_as_what_it_is() {
    const ROUNDS: usize = 5;
    const EVENTS: usize = 250;
    let crm = Crm::down();
    let site = crm.site();
    let mut server = site.start();
    let manifests = || files(&site.path("archive"), ".json").len();
    for round in 0..ROUNDS {
        post(&server, round * EVENTS..(round + 1) * EVENTS, 500);
        let (before, begin) = (manifests(), Instant::now());
        // As close behind the manifest as can be: the settlement is not durable yet, or just so.
        while manifests() == before {
            assert!(begin.elapsed().as_secs() < 60, "nothing is put aside");
        }
        server.kill();
        server = site.start();
    }
    waiting::until_so("nearly all is put aside", || server.consumer("crm")["unsettled"].as_u64().unwrap() <= 5);
    let aside = put_aside(&server);
    assert!(aside as usize >= ROUNDS * EVENTS - 5, "{aside}");
    let mut shown = String::new();
    // One of the last may be put aside in between.
    waiting::until_so("the status says how many are put aside", || {
        let told = format!("crm: {} events put aside in the archive and not replayed", put_aside(&server));
        shown = run(&site, &server, &["status"], 0);
        shown.contains(&told)
    });
    assert!(shown.contains("aftercall replay --source outage --destination crm"), "{shown}");
    server.kill();
    let server = site.start();
    let kept = server.consumer("crm");
    let (still, unsettled) = (kept["put_aside"].as_u64().unwrap(), kept["unsettled"].as_u64().unwrap());
    assert!(still >= aside, "the count survives: {still} of {aside}");
    assert_eq!(still + unsettled, (ROUNDS * EVENTS) as u64, "none is counted twice: {kept}");
    assert_eq!(server.consumer("crm")["delivered"], 0);
    let trace = run(&site, &server, &["trace", "c-0"], 0);
    assert!(trace.contains("put aside into the archive while it was down (part outages/crm/"), "{trace}");
    assert!(trace.contains("crm: put aside into the archive, to be replayed"), "{trace}");

    crm.down.store(false, Ordering::SeqCst);
    post(&server, ROUNDS * EVENTS..ROUNDS * EVENTS + 1, 500);
    server.until_settled("crm");
    run(&site, &server, &["replay", "--destination", "crm", "--source", "outage", "--yes"], 0);
    server.until_settled("crm");
    let taken = crm.taken();
    assert_eq!((taken.len(), taken.values().max()), (ROUNDS * EVENTS + 1, Some(&1)), "each once");
    assert_eq!((put_aside(&server), server.count("dead_letters")), (0, 0));
    assert!(!run(&site, &server, &["status"], 0).contains("put aside"));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn an_archive_that_cannot_be_written_lets_deliveries_wait_and_a_lost_settlement_doubles_none() {
    let crm = Crm::down();
    let site = crm.site();
    fs::create_dir_all(site.path("archive")).unwrap();
    // In place of the directory there is a file.
    fs::write(site.path("archive/outages"), "").unwrap();
    let server = site.start();
    post(&server, 0..60, 60);
    waiting::until_so("it is told", || server.status()["archive"]["error"].to_string().contains("cannot be put aside"));
    assert!(run(&site, &server, &["status"], 0).contains("THE ARCHIVE FAILS"));
    assert_eq!((server.consumer("crm")["unsettled"].as_u64(), put_aside(&server)), (Some(60), 0));
    server.kill();
    copy(&site.path("data"), &site.path("before"));

    fs::remove_file(site.path("archive/outages")).unwrap();
    let server = site.start();
    waiting::until_so("they are put aside", || put_aside(&server) >= 55);
    assert_eq!(server.status()["archive"]["error"], Value::Null);
    let aside = put_aside(&server) as usize;
    server.kill();
    // As if the crash had come after the manifest and before the settlement.
    fs::remove_dir_all(site.path("data")).unwrap();
    fs::rename(site.path("before"), site.path("data")).unwrap();
    crm.down.store(false, Ordering::SeqCst);
    let server = site.start();
    server.until_settled("crm");
    assert_eq!(
        (put_aside(&server) as usize, crm.taken().len()),
        (aside, 60 - aside),
        "what is in the archive stays there"
    );
    run(&site, &server, &["replay", "--destination", "crm", "--source", "outage", "--yes"], 0);
    server.until_settled("crm");
    let taken = crm.taken();
    assert_eq!((taken.len(), taken.values().max()), (60, Some(&1)), "each once");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn what_is_erased_while_it_is_put_aside_is_in_no_object() {
    const CONVERSATIONS: usize = 1_000;
    let erased = || (0..8).map(|number| 100 * number + 50);
    let crm = Crm::down();
    let site = crm.site();
    let server = site.start();
    post(&server, 0..40, 40);
    let health = || server.status()["destinations"][0]["health"]["holding"] == true;
    waiting::until_so("it is down", health);
    std::thread::scope(|scope| {
        scope.spawn(|| post(&server, 40..2_000, CONVERSATIONS));
        waiting::until_so("it is being put aside", || !files(&site.path("archive"), ".json").is_empty());
        for conversation in erased() {
            let conversation = format!("c-{conversation}");
            let erase = ["erase", "--conversation", &conversation, "--reason", "asked for", "--yes"];
            run(&site, &server, &erase, 0);
        }
    });
    // What came after its erasure is no part of it: it is erased when nothing more comes.
    for conversation in erased() {
        let conversation = format!("c-{conversation}");
        run(&site, &server, &["erase", "--conversation", &conversation, "--reason", "asked for", "--yes"], 0);
    }
    waiting::until_so("nearly all is put aside", || server.consumer("crm")["unsettled"].as_u64().unwrap() <= 5);
    let mut whole = String::new();
    for path in files(&site.path("archive"), ".zst") {
        whole.push_str(&String::from_utf8_lossy(&zstd::decode_all(&*fs::read(path).unwrap()).unwrap()));
    }
    for conversation in erased() {
        assert!(!whole.contains(&format!("sesame {conversation}.")), "conversation {conversation} is in the archive");
    }
    assert!(whole.contains("sesame 51."), "the others are");
    run(&site, &server, &["archive", "verify"], 0);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_part_of_the_archive_that_is_gone_is_told_refused_and_written_again() {
    let crm = Crm::down();
    crm.down.store(false, Ordering::SeqCst);
    let site = crm.site();
    let server = site.start();
    for part in 0..3 {
        post(&server, part * 10..part * 10 + 10, 10);
        run(&site, &server, &["archive", "run", "--open-hour"], 0);
    }
    server.until_settled("crm");
    let manifests = files(&site.path("archive/events"), ".json");
    assert_eq!(manifests.len(), 3);
    let object = manifests[1].with_extension("ndjson.zst");
    let before = fs::read(&object).unwrap();
    fs::remove_file(&manifests[1]).unwrap();
    let said = run(&site, &server, &["archive", "verify"], 1);
    assert!(said.contains("its manifest is gone, and with it 10 events of the places 11 to 20"), "{said}");
    let replay =
        ["replay", "--destination", "crm", "--source", "archive", "--from", "2020-01-01", "--to", "2100-01-01"];
    let said = run(&site, &server, &[&replay[..], &["--yes"]].concat(), 2);
    assert!(said.contains("its manifest is gone") && said.contains("aftercall archive run"), "{said}");
    assert!(run(&site, &server, &[&replay[..], &["--dry-run"]].concat(), 2).contains("its manifest is gone"));
    // A restart looks by itself; here nobody waits for that.
    let said = run(&site, &server, &["archive", "run", "--open-hour"], 0);
    assert!(said.contains("1 part that had gone written again"), "{said}");
    assert_eq!(fs::read(&object).unwrap(), before);
    run(&site, &server, &["archive", "verify"], 0);
    run(&site, &server, &[&replay[..], &["--yes"]].concat(), 0);
    server.until_settled("crm");
    assert!(crm.taken().len() == 30 && crm.taken().values().all(|count| *count == 2), "{:?}", crm.taken());
    server.kill();
    fs::remove_file(&manifests[1]).unwrap();
    let server = site.start();
    waiting::until_so("a start writes it again", || manifests[1].exists());
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_part_of_an_outage_that_somebody_has_deleted_is_told_and_comes_when_it_is_restored() {
    let crm = Crm::down();
    let site = crm.site();
    let server = site.start();
    post(&server, 0..40, 40);
    waiting::until_so("it is put aside", || put_aside(&server) >= 35);
    let before = files(&site.path("archive/outages"), ".json");
    post(&server, 40..60, 60);
    waiting::until_so("more is put aside", || files(&site.path("archive/outages"), ".json").len() > before.len());
    waiting::until_so("nearly all is put aside", || server.consumer("crm")["unsettled"].as_u64().unwrap() <= 5);
    crm.down.store(false, Ordering::SeqCst);
    post(&server, 60..61, 61);
    server.until_settled("crm");
    let (aside, came) = (put_aside(&server) as usize, crm.taken().len());
    assert!(run(&site, &server, &["archive", "verify"], 0).contains(" 0 damaged"));

    let object = before[0].with_extension("ndjson.zst");
    let part = [(before[0].as_path(), "a"), (object.as_path(), "b")];
    part.iter().for_each(|(file, away)| fs::rename(file, site.path(away)).unwrap());
    let said = run(&site, &server, &["archive", "verify"], 1);
    assert!(said.contains("outages/crm:") && said.contains("are in none of its parts: restore"), "{said}");
    let replay = |what| run(&site, &server, &["replay", "--destination", "crm", "--source", "outage", what], 1);
    let said = replay("--dry-run");
    assert!(said.contains("MORE WERE PUT ASIDE FOR crm AND ARE GONE from the archive"), "{said}");
    let said = replay("--yes");
    server.until_settled("crm");
    let gone = put_aside(&server) as usize;
    assert!((1..aside).contains(&gone), "{gone} of {aside}");
    assert!(said.contains(&format!("{gone} MORE WERE PUT ASIDE FOR crm AND ARE GONE from the archive")), "{said}");
    assert_eq!(crm.taken().len(), came + aside - gone);

    part.iter().for_each(|(file, away)| fs::rename(site.path(away), file).unwrap());
    assert!(run(&site, &server, &["archive", "verify"], 0).contains(" 0 damaged"));
    run(&site, &server, &["replay", "--destination", "crm", "--source", "outage", "--yes"], 0);
    server.until_settled("crm");
    let taken = crm.taken();
    assert_eq!((taken.len(), taken.values().max(), put_aside(&server)), (61, Some(&1), 0), "each once");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn what_was_put_aside_and_is_gone_for_good_is_counted_until_it_is_written_off() {
    let crm = Crm::down();
    let site = crm.site();
    let server = site.start();
    post(&server, 0..40, 40);
    waiting::until_so("nearly all is put aside", || server.consumer("crm")["unsettled"].as_u64().unwrap() <= 5);
    let write_off = ["replay", "--destination", "crm", "--source", "outage", "--write-off", "--yes"];
    assert!(run(&site, &server, &write_off, 0).starts_with("0 events written off"), "nothing is missing");
    crm.down.store(false, Ordering::SeqCst);
    post(&server, 40..41, 41);
    server.until_settled("crm");
    // No more is put aside now.
    let aside = put_aside(&server);
    fs::remove_dir_all(site.path("archive/outages")).unwrap();
    let said = run(&site, &server, &["replay", "--destination", "crm", "--source", "outage", "--yes"], 1);
    assert!(said.contains(&format!("{aside} MORE WERE PUT ASIDE")) && said.contains("--write-off"), "{said}");
    // They are in the store still, and what is there twice has the same id.
    let store = ["replay", "--destination", "crm", "--source", "store", "--from", "2020-01-01", "--to", "2100-01-01"];
    run(&site, &server, &[&store[..], &["--yes"]].concat(), 0);
    server.until_settled("crm");
    assert_eq!((crm.taken().len(), put_aside(&server)), (41, aside), "all have come, and nobody has said so");
    let mut said = std::thread::scope(|scope| {
        let asked = [(); 2].map(|()| scope.spawn(|| run(&site, &server, &write_off, 0)));
        asked.map(|asked| asked.join().unwrap())
    });
    said.sort();
    assert!(said[0].starts_with("0 events") && said[1].starts_with(&format!("{aside} events")), "once: {said:?}");
    assert_eq!(put_aside(&server), 0);
    assert!(run(&site, &server, &["archive", "verify"], 0).contains(" 0 damaged"));
    run(&site, &server, &["audit", "export", "--out", "trail.ndjson"], 0);
    assert!(fs::read_to_string(site.path("trail.ndjson")).unwrap().contains("write off"), "who did it is on record");
    server.kill();
    let server = site.start();
    assert_eq!(put_aside(&server), 0, "also after a kill");
    assert_eq!(server.stop(), Some(0));
}
