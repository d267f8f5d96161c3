//! Parquet files of the real program, which is killed meanwhile, read by those who will read them: DuckDB and pyarrow.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::emulator;
use super::s3::{Running, field, request, until};
use super::tool::{self, Tool};
use crate::cargo::{self, Profile};
use crate::outcome::Outcome;
use crate::repository::Repository;

const READERS: Tool =
    Tool { name: "lake-readers", program: "python", requirements: include_str!("lake/requirements.txt") };
pub(super) const CHECK: &str = include_str!("lake/check.py");
const EVOLUTION: &str = include_str!("lake/evolution.py");
/// Where the files of each version of the schema are, in the repository.
const FORMATS: &str = "crates/destinations/tests/formats/parquet";
/// The folder in the target folder in which the program runs; made anew each time.
const FOLDER: &str = "lake-test";
/// Events that are published, each twice.
const EVENTS: usize = 2_000;
/// Hours that they are of.
const HOURS: usize = 3;
/// Events of a body.
const BODY: usize = 100;
const CONFIG: &str = r#"
data_dir = "data"
[intake]
listen = "127.0.0.1:0"
[console]
listen = "127.0.0.1:0"
[sources.calls]
auth = { open = true }
[destinations.lake]
kind = "parquet"
url = "lake"
partition = "hour"
file_bytes = "64KiB"
file_age = "200ms"
merge_files = 4
merge_after = "1s"
[[routes]]
destination = "lake"
mapping = "outcome"
"#;

/// Passes as one.
pub(super) fn run(repository: &Repository) -> Result<Outcome> {
    cargo::build(repository, Profile::Dev, &["aftercall"])?;
    let (python, day) = (readers()?, yesterday()?);
    let folder = emulator::folder(FOLDER)?;
    fs::write(folder.join("aftercall.toml"), CONFIG)?;
    fs::write(folder.join("check.py"), CHECK)?;
    let site = Site { program: cargo::binary(Profile::Dev, "aftercall")?, folder };
    let mut server = site.start()?;
    for (number, from) in (0..EVENTS).step_by(BODY).enumerate() {
        let events: Vec<_> = (from..from + BODY).map(|number| event(&day, number)).collect();
        let body = format!("[{}]", events.join(","));
        request(&server.1, "POST", "/in/calls", &body)?;
        if number % 5 == 4 {
            // Dropping it is kill -9.
            drop(server);
            server = site.start()?;
        }
        request(&server.1, "POST", "/in/calls", &body)?;
    }
    until("all is written, and merged as far as it will be", || site.is_quiet(&day))?;
    drop(server);
    let mut command = Command::new(&python);
    command.current_dir(&site.folder).args(["check.py", "lake", &EVENTS.to_string()]);
    let status = command.status().context("starting the readers")?;
    ensure!(status.success(), "what the readers found is above");
    evolution(repository, &site.folder, &python)?;
    Ok(Outcome { passed: 2, failed: 0 })
}

/// The files that are kept of each version of the schema are read together with today's, and with a later one's.
fn evolution(repository: &Repository, folder: &Path, python: &Path) -> Result<()> {
    fs::write(folder.join("evolution.py"), EVOLUTION)?;
    let mut formats = Vec::new();
    for entry in fs::read_dir(repository.root().join(FORMATS)).context("reading the kept formats")? {
        formats.push(entry?.path());
    }
    formats.retain(|path| path.extension().is_some_and(|end| end == "parquet"));
    formats.sort_unstable();
    ensure!(!formats.is_empty(), "no file of an older version is in {FORMATS}");
    let mut command = Command::new(python);
    let status = command.current_dir(folder).args(["evolution.py", "lake"]).args(formats).status();
    ensure!(status.context("starting the readers")?.success(), "what the readers found is above");
    Ok(())
}

/// The Python that has the readers.
pub(super) fn readers() -> Result<PathBuf> {
    tool::install(&READERS, &cargo::target_dir()?)
}

/// Yesterday, whose hours are over, and whose files are looked at when a server starts.
pub(super) fn yesterday() -> Result<String> {
    let output = Command::new("date").args(["-u", "-d", "yesterday", "+%F"]).output().context("asking for the date")?;
    ensure!(output.status.success(), "`date` does not say what was yesterday");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// An event; those of the same number are the same.
pub(super) fn event(day: &str, number: usize) -> String {
    format!(
        r#"{{"webhookEventId":"e-{number}","number":{number},"conversationId":"c-{}","timestamp":"{day}T{:02}:30:00Z","data":{{"sentiment":{{"overall":{}}},"intents":["i-{}"]}}}}"#,
        number % 97,
        number % HOURS + 8,
        number % 101,
        number % 7,
    )
}

/// Where the program runs.
struct Site {
    program: PathBuf,
    folder: PathBuf,
}

impl Site {
    /// A server, and the address of its intake.
    fn start(&self) -> Result<(Running, String)> {
        let path = self.folder.join("log");
        let mut serve = Command::new(&self.program);
        serve.current_dir(&self.folder).args(["serve", "--log", "json", "--config", "aftercall.toml"]);
        let log = File::create(&path)?;
        let server = Running(serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?);
        let mut intake = None;
        until("the server listens", || {
            let log = fs::read_to_string(&path).unwrap_or_default();
            intake = field(&log, "console").and_then(|_| field(&log, "intake"));
            Ok(intake.is_some())
        })?;
        let intake = intake.context("the server listens nowhere")?;
        let address = intake.trim_start_matches("http://").to_owned();
        until("the server is ready", || Ok(request(&address, "GET", "/health/ready", "").is_ok()))?;
        Ok((server, address))
    }

    /// Whether nothing is in the journal, and each hour has one file.
    fn is_quiet(&self, day: &str) -> Result<bool> {
        let journal = fs::read_dir(self.folder.join("data/parquet/lake")).context("reading the journal")?;
        let waits = |name: &str| name.ends_with(".rows") || name.ends_with(".open") || name == "replacing";
        let mut names = journal.map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default()));
        if names.any(|name: Result<String>| name.is_ok_and(|name| waits(&name))) {
            return Ok(false);
        }
        let mut files = 0;
        for hour in fs::read_dir(self.folder.join(format!("lake/date={day}"))).into_iter().flatten() {
            files += fs::read_dir(hour?.path())?.count();
        }
        Ok(files == HOURS)
    }
}
