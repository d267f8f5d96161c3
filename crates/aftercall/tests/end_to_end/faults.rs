//! An error at every n-th write and sync of the queue's files.
//!
//! Whatever fails: what was acknowledged is there after a restart, nothing panics, and after a failed sync the server
//! says that it has stopped instead of acknowledging.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::client::Client;
use crate::site::{AFTERCALL, Server, Site, TO_FILE};
use crate::waiting;

/// What is sent in each run.
#[derive(Clone, Copy)]
struct Load {
    requests: usize,
    /// How long the body of the event of this number is, about.
    length: fn(usize) -> usize,
}

/// Some large events, so that a commit writes many pages.
const SMALL: Load = Load { requests: 12, length: |number| if number % 4 == 3 { 100_000 } else { 100 } };
/// Enough for the write-ahead log to be copied into the database while more comes in.
const LARGE: Load = Load { requests: 40, length: |_| 1_000_000 };

/// Lets a command's process have a disk that fails.
pub(crate) fn preload<'a>(command: &'a mut Command, fault: &str) -> &'a mut Command {
    command.env("LD_PRELOAD", library()).env("AFTERCALL_FAULT", fault)
}

/// Builds the library once.
fn library() -> &'static PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
        let profile = PathBuf::from(AFTERCALL).parent().unwrap().to_owned();
        let built = Command::new(cargo)
            .args(["build", "--package", "faultfs", "--offline", "--target-dir"])
            .arg(profile.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        profile.parent().unwrap().join("debug/libfaultfs.so")
    })
}

/// What became of a run under a fault.
#[derive(Default)]
struct Run {
    /// The fault has happened.
    struck: bool,
    acknowledged: Vec<String>,
    /// The code of the last refusal.
    refused: Option<String>,
    poisoned: Option<String>,
}

fn event(load: Load, number: usize) -> String {
    let filler = "f".repeat((load.length)(number));
    format!(r#"{{"webhookEventId":"f-{number}","conversationId":"c-{}","filler":"{filler}"}}"#, number % 3)
}

fn send(server: &Server, load: Load, run: &mut Run) -> std::io::Result<()> {
    let mut client = Client::connect(server.intake)?;
    for number in 0..load.requests {
        let answer = client.post_signed(event(load, number).as_bytes())?;
        match answer.status {
            200 => run.acknowledged.push(event(load, number)),
            503 => {
                assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
                run.refused = Some(answer.code());
            }
            _ => panic!("{answer:?}"),
        }
    }
    run.poisoned = server.status()["queue"]["poisoned"].as_str().map(str::to_owned);
    Ok(())
}

/// A start, a load and an end under the fault; then a start without it, after which everything must be there.
fn survives(fault: &str, load: Load, graceful: bool) -> Run {
    let site = Site::new(TO_FILE);
    let mut run = Run::default();
    let struck = site.path("struck");
    match site.try_start(preload(&mut site.serve(), fault).env("AFTERCALL_FAULT_STRUCK", &struck)) {
        Ok(server) => {
            send(&server, load, &mut run).unwrap_or_else(|error| panic!("{fault}: {error}\n{}", server.log()));
            if graceful {
                let code = server.stop();
                assert!(matches!(code, Some(0 | 2)), "{fault}: ended with {code:?}\n{}", site.logs());
            } else {
                server.kill();
            }
        }
        Err(log) => assert!(log.contains("error: "), "{fault}: the server ended without saying why: {log}"),
    }
    run.struck = struck.exists();
    let server = site.start();
    waiting::until_so(&format!("{fault}: everything acknowledged is delivered"), || {
        let events = site.events();
        run.acknowledged.iter().all(|event| events.contains(event))
    });
    // What was not acknowledged is sent again, as a sender would.
    for number in 0..load.requests {
        assert_eq!(server.post(event(load, number)).status, 200, "{fault}");
    }
    server.until_settled("events");
    assert_eq!((server.count("accepted"), server.count("dead_letters")), (load.requests as u64, 0), "{fault}");
    assert_eq!(server.stop(), Some(0), "{fault}");
    let (code, said) = site.check();
    assert_eq!(code, 0, "{fault}: {said}");
    assert!(!site.logs().contains("panicked"), "{fault}: {}", site.logs());
    run
}

/// Runs with a fault at each of these numbers, in place of `#`; in how many it struck, and how many saw a refusal.
fn at_each(numbers: impl Iterator<Item = usize>, fault: &str, load: Load, graceful: bool) -> (usize, usize) {
    numbers
        .map(|number| survives(&fault.replace('#', &number.to_string()), load, graceful))
        .fold((0, 0), |(struck, refused), run| {
            (struck + usize::from(run.struck), refused + usize::from(run.refused.is_some()))
        })
}

#[test]
fn a_failed_write_anywhere_loses_nothing() {
    // Creating the tables takes some 50 writes, each commit some 4.
    let (struck, refused) = at_each((1..20).chain((20..140).step_by(4)), "write:#:EIO", SMALL, false);
    assert!(struck > 20 && refused > 5, "{struck} runs had their fault, {refused} under load");
}

#[test]
fn a_torn_write_anywhere_loses_nothing() {
    let (struck, refused) = at_each((1..140).step_by(9), "write:#:TORN", SMALL, false);
    assert!(struck > 5 && refused > 2, "{struck} runs had their fault, {refused} under load");
}

#[test]
fn a_disk_that_fills_up_anywhere_loses_nothing() {
    let (struck, refused) = at_each((2..130).step_by(8), "write:#:ENOSPC:3", SMALL, true);
    assert!(struck > 5 && refused > 2, "{struck} runs had their fault, {refused} under load");
}

#[test]
fn a_short_write_anywhere_is_completed() {
    let (struck, refused) = at_each((1..90).step_by(11), "write:#:SHORT", SMALL, true);
    assert!(struck > 4 && refused == 0, "{struck} runs had their fault, {refused} refused something");
}

#[test]
fn a_failed_write_while_the_log_is_copied_loses_nothing() {
    let (struck, _) = at_each((2_000..7_000).step_by(700), "write:#:EIO", LARGE, false);
    assert!(struck > 3, "{struck} runs had their fault");
}

#[test]
fn a_failed_sync_while_the_log_is_copied_loses_nothing() {
    let (struck, _) = at_each((30..60).step_by(4), "sync:#:EIO", LARGE, true);
    assert!(struck > 3, "{struck} runs had their fault");
}

#[test]
fn a_failed_truncation_loses_nothing() {
    let (struck, _) = at_each(1..4, "truncate:#:EIO", SMALL, true);
    assert!(struck > 0, "nothing was truncated");
}

#[test]
fn a_failed_sync_anywhere_loses_nothing_and_is_said() {
    let mut stopped = 0;
    for number in 1..=16 {
        let run = survives(&format!("sync:{number}:EIO"), SMALL, number % 2 == 0);
        if let Some(code) = run.refused {
            assert_eq!(code, "queue-stopped", "sync {number}");
            assert!(run.poisoned.unwrap().contains("disk"), "sync {number}: the status says it");
            stopped += 1;
        }
    }
    assert!(stopped > 0, "no run had its fault under load");
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_everybody_is_told() {
    let site = Site::new(TO_FILE);
    let failing = site.path("failing");
    let mut command = site.serve();
    let server = site.start_with(preload(&mut command, "sync:1:EIO").env("AFTERCALL_FAULT_WHILE", &failing));
    assert_eq!(server.post(event(SMALL, 0)).status, 200);
    server.until_settled("events");
    std::fs::write(&failing, "").unwrap();
    // Settlements may meet the fault before a request does, so this one waits for it.
    let refused = waiting::until("a request is refused", || {
        let answer = server.post(event(SMALL, 1));
        (answer.status != 200).then_some(answer)
    });
    assert_eq!((refused.status, refused.code().as_str()), (503, "queue-stopped"));
    std::fs::remove_file(&failing).unwrap();
    // The disk works again, but what it holds is not known: only a restart helps.
    for number in 2..5 {
        assert_eq!(server.post(event(SMALL, number)).code(), "queue-stopped");
    }
    let health = crate::client::get(server.intake, "/health/ready").unwrap();
    assert_eq!(health.status, 503);
    assert!(health.json()["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{health:?}");
    let status: Value = server.status();
    assert_eq!(status["ready"], false);
    let shown = site.run(&["status", "--console", &server.console.to_string()]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&shown.stdout).starts_with("STOPPED: "), "{shown:?}");
    assert!(site.logs().contains(r#""level":"ERROR""#), "a person is called: {}", site.logs());
    let code = server.stop();
    assert_eq!(code, Some(2), "the end says that it was not a good one");
    let server = site.start();
    server.until_settled("events");
    assert!(site.events().contains(&event(SMALL, 0)));
}
