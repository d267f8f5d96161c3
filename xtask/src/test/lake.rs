//! Parquet files of the real program, which is killed meanwhile, read by those who will read them: DuckDB and pyarrow.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::s3::{Running, field, request, until};
use super::tool::{self, Tool};
use crate::cargo::{self, Profile};
use crate::outcome::Outcome;
use crate::repository::Repository;

const READERS: Tool =
    Tool { name: "lake-readers", program: "python", requirements: include_str!("lake/requirements.txt") };
const CHECK: &str = include_str!("lake/check.py");
/// The folder in the target folder in which the program runs; made anew each time.
const FOLDER: &str = "lake-test";
/// Events that are published, each twice.
const EVENTS: usize = 2_000;
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
[[routes]]
destination = "lake"
mapping = "outcome"
"#;

/// Passes as one.
pub(super) fn run(repository: &Repository) -> Result<Outcome> {
    cargo::build(repository, Profile::Dev, &["aftercall"])?;
    let target = cargo::target_dir()?;
    let python = tool::install(&READERS, &target)?;
    let folder = target.join(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("aftercall.toml"), CONFIG)?;
    fs::write(folder.join("check.py"), CHECK)?;
    let site = Site { program: cargo::binary(Profile::Dev, "aftercall")?, folder };
    let mut server = site.start()?;
    for (number, from) in (0..EVENTS).step_by(BODY).enumerate() {
        let events: Vec<_> = (from..from + BODY).map(event).collect();
        let body = format!("[{}]", events.join(","));
        request(&server.1, "POST", "/in/calls", &body)?;
        if number % 5 == 4 {
            // Dropping it is kill -9.
            drop(server);
            server = site.start()?;
        }
        request(&server.1, "POST", "/in/calls", &body)?;
    }
    until("all is written", || Ok(site.rows()? == EVENTS as u64))?;
    drop(server);
    let mut command = Command::new(python);
    command.current_dir(&site.folder).args(["check.py", "lake", &EVENTS.to_string()]);
    let status = command.status().context("starting the readers")?;
    ensure!(status.success(), "what the readers found is above");
    Ok(Outcome { passed: 1, failed: 0 })
}

fn event(number: usize) -> String {
    format!(
        r#"{{"webhookEventId":"e-{number}","conversationId":"c-{}","timestamp":"2026-11-27T{:02}:30:00Z","data":{{"sentiment":{{"overall":{}}},"intents":["i-{}"]}}}}"#,
        number % 97,
        number % 3 + 8,
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

    /// Rows of the catalogue.
    fn rows(&self) -> Result<u64> {
        let mut rows = 0;
        for entry in fs::read_dir(self.folder.join("lake/_catalogue")).into_iter().flatten() {
            let text = fs::read_to_string(entry?.path())?;
            // The entry's own sum comes before those of its files.
            let sum =
                text.split_once("\"rows\":").and_then(|(_, rest)| rest.split(',').next()?.trim().parse::<u64>().ok());
            rows += sum.unwrap_or_default();
        }
        Ok(rows)
    }
}
