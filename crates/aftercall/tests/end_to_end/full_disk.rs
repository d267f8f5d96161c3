//! A disk without room, and a directory that cannot be written to.

use std::fs;
use std::process::Command;

use simulator::contact_centre::Knobs;

use crate::delivery::{all_arrived, contact_centre, crm, to_crm};
use crate::faults;
use crate::site::{AFTERCALL, Server, Site, TO_FILE};
use crate::waiting;

/// A body of a megabyte.
fn large(id: usize) -> String {
    format!(r#"{{"webhookEventId":"large-{id}","filler":"{}"}}"#, "f".repeat(1 << 20))
}

/// Sends until the server says that it is full; returns how many were acknowledged.
fn fill(server: &Server, from: usize) -> usize {
    for id in from..from + 200 {
        let answer = server.post(large(id));
        if answer.status == 200 {
            continue;
        }
        assert_eq!((answer.status, answer.code().as_str()), (503, "queue-full"), "{answer:?}");
        let seconds: u64 = answer.headers["retry-after"].parse().unwrap();
        assert!(seconds >= 1);
        assert!(answer.json()["detail"].as_str().unwrap().contains("full"), "{answer:?}");
        return id - from;
    }
    panic!("200 MiB went onto a disk that has less");
}

#[test]
fn without_room_nothing_is_acknowledged_and_room_is_found_again() {
    let site = Site::new(&format!("[alarms]\nevery = \"100ms\"\n{TO_FILE}"));
    // Bash counts in KiB. The file of the destination is limited too, so its deliveries wait as well.
    let limited =
        format!("trap '' XFSZ; ulimit -S -f 12288; exec {AFTERCALL} serve --config aftercall.toml --log json");
    let mut command = Command::new("bash");
    command.current_dir(site.path("")).args(["-c", &limited]);
    let server = site.start_with(&mut command);
    let acknowledged = fill(&server, 0);
    assert!(acknowledged > 0);
    assert_eq!(server.count("accepted"), acknowledged as u64);
    let small = server.post(r#"{"webhookEventId":"small"}"#);
    assert!(matches!(small.status, 200 | 503), "{small:?}");
    let mut expected = acknowledged + usize::from(small.status == 200);

    // The disk itself has room, which does not help.
    let alarm = waiting::until("there is an alarm", || {
        let told = crate::client::get(server.console, "/api/v1/alarms").unwrap().json();
        told["open"].as_array().unwrap().iter().find(|alarm| alarm["kind"] == "disk-low").cloned()
    });
    assert_eq!(alarm["summary"], "the disk is full: requests are refused", "{alarm}");
    assert!(alarm["detail"].as_str().unwrap().contains("a limit on the size of files"), "{alarm}");

    let more = Command::new("prlimit").args(["--fsize=unlimited", "--pid", &server.id().to_string()]).output().unwrap();
    assert!(more.status.success(), "{more:?}");
    waiting::until_so("room is found again", || server.post(r#"{"webhookEventId":"after"}"#).status == 200);
    expected += 1;
    waiting::until_so("everything is delivered", || site.events().len() >= expected);
    assert_eq!(server.count("accepted"), expected as u64);
    assert_eq!(server.stop(), Some(0));
    assert_eq!(site.check().0, 0);
    assert!(!site.logs().contains("panicked"));
}

#[test]
fn a_disk_that_is_full_for_a_while_loses_and_doubles_nothing() {
    let crm = crm();
    let site = Site::new(&to_crm(crm.address(), ""));
    let full = site.path("full");
    let server =
        site.start_with(faults::preload(&mut site.serve(), "write:1:ENOSPC:*").env("AFTERCALL_FAULT_WHILE", &full));
    let knobs = Knobs { events: 2_000, ..Knobs::default() };
    let client = contact_centre(server.intake, knobs, |options| options.rate = Some(2_000.0));
    let mut was_full = false;
    let report = client.wait(std::time::Duration::from_millis(20), |progress| {
        if !was_full && progress.answered > 300 {
            fs::write(&full, "").unwrap();
            was_full = true;
        } else if was_full && progress.retried > 40 {
            let _ = fs::remove_file(&full);
        }
    });
    let _ = fs::remove_file(&full);
    assert!(report.unacked.is_empty() && report.refused.is_empty(), "{report:?}");
    assert!(report.retried.status.contains_key(&503), "{:?}", report.retried);
    all_arrived(&crm, &report);
    server.until_settled("crm");
    assert_eq!((server.count("accepted"), server.count("dead_letters")), (2_000, 0));
    assert_eq!(crm.report().repeats, 0, "a finished delivery is not made again because the disk was full");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(site.check().0, 0);
}

#[test]
fn a_directory_that_cannot_be_written_to_is_a_clear_error() {
    let site = Site::new(TO_FILE);
    // A file where the directory should be stops everyone, also root.
    fs::write(site.path("data"), "").unwrap();
    let output = site.run(&["serve", "--config", "aftercall.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("data") && said.contains("data directory"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_read_only_directory_is_a_clear_error() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let site = Site::new(TO_FILE);
    assert_eq!(site.start().stop(), Some(0));
    for name in ["data/queue.db", "data"] {
        let mode = if name == "data" { 0o555 } else { 0o444 };
        fs::set_permissions(site.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    // Permissions mean nothing to root, so root gives up its privilege for this one.
    let drop = "exec setpriv --bounding-set=-all --inh-caps=-all --securebits=+noroot \"$@\"";
    let mut command = if fs::metadata(site.path("data")).unwrap().uid() == 0 {
        let mut command = Command::new("bash");
        command.current_dir(site.path("")).args(["-c", drop, "bash", AFTERCALL]);
        command
    } else {
        site.command(&[])
    };
    let output = command.args(["serve", "--config", "aftercall.toml"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    fs::set_permissions(site.path("data"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("writable") && said.contains("data"), "{said}");
}
