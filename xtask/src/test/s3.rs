//! The archive in S3: the real program against an emulator of S3, over HTTP and with signed requests. Exports, lists,
//! verifies and replays from there; then the emulator loses everything, and verification says so.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::emulator::{self, Emulator};
use crate::cargo::{self, Profile};
use crate::outcome::Outcome;
use crate::repository::Repository;

/// The folder in the target folder in which the program runs; made anew each time.
const FOLDER: &str = "s3-test";
const BUCKET: &str = "aftercall-test";
/// Events that are archived.
const EVENTS: usize = 300;
/// How long anything may take until it is so.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A process that is ended when this is dropped.
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, which was reported.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many of its steps passed.
pub(super) fn run(repository: &Repository) -> Result<Outcome> {
    cargo::build(repository, Profile::Dev, &["aftercall"])?;
    let folder = emulator::folder(FOLDER)?;
    let emulator = Emulator::start(&folder)?;
    let address = emulator.address.to_string();
    until("the emulator answers", || Ok(request(&address, "PUT", &format!("/{BUCKET}"), "").is_ok()))?;
    fs::write(folder.join("aftercall.toml"), config(&address))?;
    fs::write(folder.join("key"), "test-key\n")?;
    fs::write(folder.join("secret"), "test-secret\n")?;
    let site = Site { program: cargo::binary(Profile::Dev, "aftercall")?, folder };
    let passed = site.walk(&address)?;
    Ok(Outcome { passed, failed: 0 })
}

fn config(endpoint: &str) -> String {
    format!(
        r#"
data_dir = "data"
[intake]
listen = "127.0.0.1:0"
[console]
listen = "127.0.0.1:0"
[archive]
url = "s3://{BUCKET}/a/prefix"
endpoint = "http://{endpoint}"
region = "us-east-1"
access_key = "file:key"
secret_key = "file:secret"
[sources.calls]
auth = {{ open = true }}
[destinations.crm]
kind = "file"
path = "events.ndjson"
[[routes]]
destination = "crm"
"#
    )
}

/// Where the program runs.
struct Site {
    program: PathBuf,
    folder: PathBuf,
}

impl Site {
    fn walk(&self, endpoint: &str) -> Result<u64> {
        let log = File::create(self.folder.join("log"))?;
        let mut serve = self.command(&["serve", "--log", "json", "--config", "aftercall.toml"]);
        let _server = Running(serve.stdout(Stdio::null()).stderr(log).spawn()?);
        let mut addresses = None;
        until("the server listens", || {
            addresses = field(&self.log(), "intake").zip(field(&self.log(), "console"));
            Ok(addresses.is_some())
        })?;
        let (intake, console) = addresses.context("the server listens nowhere")?;
        let intake = intake.trim_start_matches("http://").to_owned();
        for number in 0..EVENTS {
            let body = format!(r#"{{"id":"call-{number}","conversationId":"c-{}"}}"#, number % 7);
            request(&intake, "POST", "/in/calls", &body)?;
        }
        until("everything is delivered", || Ok(lines(&self.folder.join("events.ndjson")) == EVENTS))?;
        let all =
            ["--from", "2020-01-01", "--to", "2100-01-01", "--destination", "crm", "--source", "archive", "--yes"];
        self.expect(&console, &["archive", "run", "--open-hour"], 0, "300 events exported")?;
        self.expect(&console, &["archive", "run", "--open-hour"], 0, "0 events exported")?;
        self.expect(&console, &["archive", "list"], 0, ".json")?;
        self.expect(&console, &["archive", "verify"], 0, "with 300 events, 0 damaged")?;
        self.expect(&console, &[&["replay"], &all[..]].concat(), 0, "300 events are on their way")?;
        until("everything is replayed", || Ok(lines(&self.folder.join("events.ndjson")) == 2 * EVENTS))?;
        let objects = request(endpoint, "GET", &format!("/{BUCKET}?list-type=2"), "")?;
        let object = objects.split("<Key>").filter_map(|rest| rest.split('<').next());
        let object = object.into_iter().find(|key| key.ends_with(".zst")).context("the bucket holds no part")?;
        ensure!(object.starts_with("a/prefix/events/"), "the part is at {object}");
        request(endpoint, "DELETE", &format!("/{BUCKET}/{object}"), "")?;
        self.expect(&console, &["archive", "verify"], 1, "is gone")?;
        Ok(7)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).args(arguments).stdin(Stdio::null());
        command
    }

    fn expect(&self, console: &str, arguments: &[&str], code: i32, words: &str) -> Result<()> {
        let output = self.command(&[arguments, &["--console", console]].concat()).output()?;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("aftercall {}: {}", arguments.join(" "), said.lines().next().unwrap_or_default());
        ensure!(output.status.code() == Some(code) && said.contains(words), "not {code} with `{words}`: {said}");
        Ok(())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

/// A text in a log of JSON lines.
pub(super) fn field(log: &str, name: &str) -> Option<String> {
    let (_, rest) = log.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next().map(str::to_owned)
}

pub(super) fn until(what: &str, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if ask()? {
            return Ok(());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    bail!("waited {PATIENCE:?} in vain: {what}")
}

/// One request; its answer, if that is a good one.
pub(super) fn request(address: &str, method: &str, path: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n");
    let head = format!("{head}connection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 2"), "{method} {path} at {address}: {answer}");
    Ok(answer)
}
