//! A table of its own at the emulator, and servers with a data directory each that share it.

use std::fs::{self, File};
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use simulator::crm::{self, Crm};

use crate::client::Client;
use crate::site::{Server, Site};
use crate::waiting;

/// Where the emulator listens, as `http://127.0.0.1:PORT`.
const ENDPOINT: &str = "AFTERCALL_TEST_AWS";
/// What takes longer than anything else: the leases of a server that was killed last a minute.
const LONG: Duration = Duration::from_secs(240);

static TABLES: AtomicU64 = AtomicU64::new(0);

/// The emulator's address.
pub(crate) fn endpoint() -> String {
    std::env::var(ENDPOINT).expect("run `cargo xtask test`, which starts an emulator of AWS and says where")
}

/// The name of a table that nobody else has.
pub(crate) fn table_name() -> String {
    format!("servers-{}-{}", std::process::id(), TABLES.fetch_add(1, Ordering::Relaxed))
}

/// A directory for a server whose queue is in this table; `rest` is the configuration of destinations and routes.
pub(crate) fn site(table: &str, rest: &str) -> Site {
    let head = format!(
        "[queue]\nkind = \"aws\"\ntable = \"{table}\"\nendpoint = \"{}\"\nregion = \"us-east-1\"\n\
         access_key = \"file:key\"\nsecret_key = \"file:key\"\n",
        endpoint()
    );
    let site = Site::with_head(&head, rest);
    fs::write(site.path("key"), "test-key\n").unwrap();
    site
}

/// The same, with a bucket that is made for what is large.
pub(crate) fn site_with_bucket(table: &str, rest: &str) -> Site {
    let address = endpoint().trim_start_matches("http://").parse().unwrap();
    let mut client = Client::connect(address).unwrap();
    client.send(format!("PUT /{table} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\n\r\n")).unwrap();
    assert_eq!(client.answer().unwrap().status, 200, "the bucket is made");
    let bodies = format!("[queue.bodies]\nurl = \"s3://{table}/bodies\"\nendpoint = \"{}\"\n", endpoint());
    let site = site(table, rest);
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    let config = config.replacen("[sources.genesys]", &format!("{bodies}[sources.genesys]"), 1);
    fs::write(site.path("aftercall.toml"), config).unwrap();
    site
}

/// The console alone on the table of a site, with a directory of its own: the process, and where it listens.
pub(crate) fn console_only(site: &Site) -> (Child, String) {
    let log = site.path("console-log");
    let mut command = site.command(&["serve", "--console-only", "--config", "aftercall.toml", "--log", "json"]);
    command.args(["--data", "console-data"]).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
    let address = waiting::until("the console listens", || {
        let text = fs::read_to_string(&log).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "{text}");
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find_map(|line| line["fields"]["console"].as_str().map(str::to_owned))
    });
    (child, address)
}

/// Two servers on one table that is made for them.
pub(crate) fn two(rest: &str) -> [(Site, Server); 2] {
    let table = table_name();
    let sites = [site(&table, rest), site(&table, rest)];
    let made = sites[0].run(&["aws", "table", "create", "--config", "aftercall.toml"]);
    assert!(made.status.success(), "{}", said(&made));
    sites.map(|site| {
        let server = site.start();
        (site, server)
    })
}

pub(crate) fn crm() -> Crm {
    Crm::start(crm::Options::default()).unwrap()
}

/// Runs a command against a server; what it said.
#[track_caller]
pub(crate) fn ask(site: &Site, server: &Server, args: &[&str], code: i32) -> String {
    let console = server.console.to_string();
    let output = site.run(&[args, &["--console", &console]].concat());
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Waits until it is so, also for what takes minutes.
#[track_caller]
pub(crate) fn until_so_long(what: &str, mut ask: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !ask() {
        assert!(begin.elapsed() < LONG, "waited {LONG:?} in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
