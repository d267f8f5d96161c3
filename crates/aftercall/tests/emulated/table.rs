//! The table: made, looked at, and missed.

use std::fs;

use crate::site::TO_FILE;
use crate::stage::{said, site, table_name};

#[test]
fn a_table_is_made_checked_and_named_when_it_is_not_there() {
    let site = site(&table_name(), TO_FILE);
    let run = |what: &str| site.run(&["aws", "table", what, "--config", "aftercall.toml"]);
    let output = run("check");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("is not there") && said(&output).contains("aftercall aws table create"));
    let log = site.try_start(&mut site.serve()).err().expect("a server without its table does not start");
    assert!(log.contains("aftercall aws table create"), "{log}");
    let output = run("create");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(run("create").status.code(), Some(0), "one that is there stays");
    let output = run("check");
    assert_eq!((output.status.code(), said(&output).contains("as it must be")), (Some(0), true));
    assert_eq!(site.start().stop(), Some(0));
}

#[test]
fn an_embedded_queue_has_no_table_and_a_data_directory_has_one_server() {
    let table = table_name();
    let site = site(&table, TO_FILE);
    assert_eq!(site.run(&["aws", "table", "create", "--config", "aftercall.toml"]).status.code(), Some(0));
    let server = site.start();
    let log = site.try_start(&mut site.serve()).err().expect("two servers share a table, and no directory");
    assert!(log.contains("is in use by another Aftercall") && log.contains("data_dir"), "{log}");
    drop(server);
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    let embedded: String =
        config.lines().filter(|line| !line.starts_with("table")).map(|line| format!("{line}\n")).collect();
    fs::write(site.path("wrong.toml"), embedded.replace("kind = \"aws\"", "kind = \"embedded\"")).unwrap();
    let output = site.run(&["aws", "table", "check", "--config", "wrong.toml"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("means something for kind = \"aws\" only"), "{}", said(&output));
}
