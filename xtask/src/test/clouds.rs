//! Object stores over the network: the real program with Parquet files, objects and an archive in an emulator of S3, one of
//! Azure's, and a strict fake of Google's. It is killed in the middle, the store is too busy, answers are torn off and
//! requests hang or arrive late; in the end each event is there once, in the files as in the objects, and no budget was spent.

mod store;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use self::store::Store;
use super::emulator;
use super::lake;
use super::proxy::{Mode, Proxy};
use super::s3::{Running, field, request, until};
use crate::cargo::{self, Profile};
use crate::outcome::Outcome;
use crate::repository::Repository;

/// Events that are published, each twice.
const EVENTS: usize = 600;
/// Events of a body.
const BODY: usize = 30;
/// What is wrong with the store from a body on, until so many requests have met it.
const TROUBLE: [(usize, Mode, u64); 4] =
    [(3, Mode::Slow, 12), (7, Mode::Torn, 6), (11, Mode::Hang, 4), (15, Mode::Slow, 6)];
/// The program is killed behind each of these bodies.
const KILLED: [usize; 5] = [3, 6, 11, 14, 18];
/// Behind this one what it sent before it was killed is on the way still; it arrives behind the other one, when the next
/// process has written the same.
const LATE: (usize, usize) = (14, 17);
const RECORDS: &str = include_str!("clouds/records.py");

/// How many of the stores passed.
pub(super) fn run(repository: &Repository) -> Result<Outcome> {
    cargo::build(repository, Profile::Dev, &["aftercall"])?;
    let python = lake::readers()?;
    let mut sum = Outcome::default();
    for kind in store::KINDS {
        println!("-- {kind}");
        sum += match walk(kind, &python) {
            Ok(()) => Outcome { passed: 1, failed: 0 },
            Err(error) => {
                eprintln!("error: {kind}: {error:#}");
                Outcome::ONE_FAILED
            }
        };
    }
    Ok(sum)
}

fn walk(kind: &'static str, python: &PathBuf) -> Result<()> {
    let day = lake::yesterday()?;
    let folder = emulator::folder(&format!("{kind}-store-test"))?;
    let mut store = Store::start(kind, &folder, python)?;
    let proxy = Proxy::start(store.address)?;
    store.goes_by(proxy.address)?;
    fs::write(folder.join("aftercall.toml"), config(&store))?;
    fs::write(folder.join("check.py"), lake::CHECK)?;
    fs::write(folder.join("records.py"), RECORDS)?;
    let site = Site { program: cargo::binary(Profile::Dev, "aftercall")?, folder };
    let mut server = site.start()?;
    let mut trouble = TROUBLE.iter().peekable();
    for (number, from) in (0..EVENTS).step_by(BODY).enumerate() {
        let spoils = trouble.next_if(|(at, ..)| *at == number);
        let before = proxy.set(spoils.map_or(Mode::Pass, |(_, mode, _)| *mode));
        let events: Vec<_> = (from..from + BODY).map(|number| lake::event(&day, number)).collect();
        let body = format!("[{}]", events.join(","));
        request(&server.intake, "POST", "/in/calls", &body)?;
        if let Some((_, mode, requests)) = spoils {
            until(&format!("{requests} requests have met {mode:?}"), || Ok(proxy.spoilt() >= before + requests))?;
        }
        if number == LATE.0 {
            proxy.set(Mode::Late);
            until("a file is on the way", || Ok(proxy.kept_back().is_some()))?;
        }
        if KILLED.contains(&number) {
            // Dropping it is kill -9; the store may be in trouble still.
            drop(server);
            proxy.set(Mode::Pass);
            server = site.start()?;
        }
        proxy.set(Mode::Pass);
        if let Some(file) = proxy.kept_back().filter(|_| number == LATE.1) {
            let what = "what is on its way was written again and is in another file";
            until(what, || Ok(site.copies(&mut store)? && site.is_replaced(&file)?))?;
            println!("{} requests arrive late", proxy.release(store.address)?);
        }
        request(&server.intake, "POST", "/in/calls", &body)?;
    }
    until("everything is delivered, and nothing is dead", || {
        let status = request(&server.console, "GET", "/api/v1/status", "")?;
        ensure!(!status.contains("\"dead_letters\":") || all_are_zero(&status, "dead_letters"), "{status}");
        Ok(all_are_zero(&status, "unsettled"))
    })?;
    site.archive(&server.console)?;
    until("the store has each event once, and small files are merged", || {
        Ok(site.copies(&mut store)? && site.reads(python, true)?)
    })
    .or_else(|_| ensure_reads(&site, python))?;
    drop(server);
    ensure_reads(&site, python)
}

fn ensure_reads(site: &Site, python: &PathBuf) -> Result<()> {
    ensure!(site.reads(python, false)?, "what the readers found is above");
    Ok(())
}

/// Whether a number is zero wherever it stands.
fn all_are_zero(text: &str, name: &str) -> bool {
    text.split(&format!("\"{name}\":")).skip(1).all(|rest| rest.starts_with('0'))
}

fn config(store: &Store) -> String {
    let (url, access) = (&store.url, &store.access);
    format!(
        r#"
data_dir = "data"
[intake]
listen = "127.0.0.1:0"
[console]
listen = "127.0.0.1:0"
[archive]
url = "{url}/archive"
{access}
[sources.calls]
auth = {{ open = true }}
[destinations.lake]
kind = "parquet"
url = "{url}/lake"
{access}
partition = "hour"
file_bytes = "16KiB"
file_age = "200ms"
merge_files = 4
merge_after = "1s"
attempts = 2
[destinations.records]
kind = "objects"
url = "{url}/records"
{access}
attempts = 2
timeout = "2s"
concurrency = 10
[[routes]]
destination = "lake"
mapping = "outcome"
[[routes]]
destination = "records"
mapping = '{{number: .number, said: .data}}'
"#
    )
}

/// A server that runs.
struct Server {
    intake: String,
    console: String,
    _process: Running,
}

/// Where the program runs.
struct Site {
    program: PathBuf,
    folder: PathBuf,
}

impl Site {
    fn start(&self) -> Result<Server> {
        let path = self.folder.join("log");
        let mut serve = self.command(&["serve", "--log", "json", "--config", "aftercall.toml"]);
        let log = File::create(&path)?;
        let process = Running(serve.stdout(Stdio::null()).stderr(log).spawn()?);
        let mut addresses = None;
        until("the server listens", || {
            let log = fs::read_to_string(&path).unwrap_or_default();
            addresses = field(&log, "intake").zip(field(&log, "console"));
            Ok(addresses.is_some())
        })?;
        let (intake, console) = addresses.context("the server listens nowhere")?;
        let plain = |address: &str| address.trim_start_matches("http://").to_owned();
        let server = Server { intake: plain(&intake), console: plain(&console), _process: process };
        until("the server is ready", || Ok(request(&server.intake, "GET", "/health/ready", "").is_ok()))?;
        Ok(server)
    }

    /// All that was accepted is archived, and can be read.
    fn archive(&self, console: &str) -> Result<()> {
        for arguments in [&["archive", "run", "--open-hour"][..], &["archive", "verify"]] {
            let output = self.command(&[arguments, &["--console", console]].concat()).output()?;
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            println!("aftercall {}: {}", arguments.join(" "), said.lines().next().unwrap_or_default());
            ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Copies what is in the store.
    fn copies(&self, store: &mut Store) -> Result<bool> {
        let copy = self.folder.join("copy");
        if copy.exists() {
            fs::remove_dir_all(&copy)?;
        }
        fs::create_dir_all(&copy)?;
        store.copy(&copy)?;
        Ok(true)
    }

    /// Whether the copy's catalogue says that another file has a file's rows, and it is deleted.
    fn is_replaced(&self, place: &str) -> Result<bool> {
        let lake = self.folder.join("copy/lake");
        let (_, file) = place.split_once("/lake/").with_context(|| format!("{place} is no file of the lake"))?;
        // Nothing may have been written yet.
        for entry in fs::read_dir(lake.join("_catalogue")).into_iter().flatten() {
            let entry = fs::read_to_string(entry?.path())?;
            if entry.split_once("\"replaces\"").is_some_and(|(_, replaced)| replaced.contains(file)) {
                return Ok(!lake.join(file).exists());
            }
        }
        Ok(false)
    }

    /// Whether the readers find what they should in the copy.
    fn reads(&self, python: &PathBuf, quietly: bool) -> Result<bool> {
        for (script, part) in [("check.py", "copy/lake"), ("records.py", "copy/records")] {
            let mut command = Command::new(python);
            command.current_dir(&self.folder).args([script, part, &EVENTS.to_string()]);
            if quietly {
                command.stdout(Stdio::null()).stderr(Stdio::null());
            }
            if !command.status().context("starting the readers")?.success() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).args(arguments).stdin(Stdio::null());
        command
    }
}
