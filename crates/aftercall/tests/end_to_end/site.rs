//! A directory with a configuration and data, and the servers that run in it, one after the other.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{self, Answer, Client};
use crate::waiting;

/// Secret of the webhook source.
pub(crate) const SECRET: &str = "end-to-end-secret";
/// Token of the EventBridge source.
pub(crate) const TOKEN: &str = "end-to-end-token";
/// The program under test.
pub(crate) const AFTERCALL: &str = env!("CARGO_BIN_EXE_aftercall");

/// Everything as it comes into one file.
pub(crate) const TO_FILE: &str = r#"
[destinations.events]
kind = "file"
path = "events.ndjson"
[[routes]]
destination = "events"
"#;

/// A directory.
pub(crate) struct Site {
    dir: TempDir,
}

impl Site {
    /// With a configuration of both sources and what `rest` says. Its relative paths are in the directory.
    pub(crate) fn new(rest: &str) -> Self {
        Self::with_head("", rest)
    }

    /// The same, with tables in front of the sources.
    pub(crate) fn with_head(head: &str, rest: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("aftercall-e2e-").tempdir().unwrap();
        fs::write(dir.path().join("webhook-secret"), SECRET).unwrap();
        fs::write(dir.path().join("eventbridge-token"), TOKEN).unwrap();
        let config = format!(
            r#"data_dir = "data"
[intake]
listen = "127.0.0.1:0"
[console]
listen = "127.0.0.1:0"
{head}
[sources.genesys]
auth = {{ signature = "genesys", secrets = ["file:webhook-secret"] }}
[sources.eventbridge]
kind = "eventbridge"
auth = {{ bearer = true, secrets = ["file:eventbridge-token"] }}
{rest}"#
        );
        let site = Self { dir };
        fs::write(site.path("aftercall.toml"), config).unwrap();
        site
    }

    /// A file in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program, to be run in the directory.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(AFTERCALL);
        command.current_dir(self.dir.path()).args(args).env_remove("AFTERCALL_CONFIG").env_remove("AFTERCALL_LOG");
        command.env_remove("AFTERCALL_TOKEN");
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The command that serves, with its log as JSON.
    pub(crate) fn serve(&self) -> Command {
        self.command(&["serve", "--config", "aftercall.toml", "--log", "json"])
    }

    /// A running server, ready for events.
    #[track_caller]
    pub(crate) fn start(&self) -> Server {
        self.start_with(&mut self.serve())
    }

    /// Like [`Self::start`], with a command that is a variation of [`Self::serve`].
    #[track_caller]
    pub(crate) fn start_with(&self, command: &mut Command) -> Server {
        let server = self.try_start(command).unwrap_or_else(|log| panic!("the server ended at its start: {log}"));
        let ready = waiting::within_patience(|| server.is_ready().then_some(()));
        ready.unwrap_or_else(|| panic!("the server does not get ready: {}", server.log()));
        server
    }

    /// A running server, which need not be ready; or the log of one that ended at its start.
    #[track_caller]
    pub(crate) fn try_start(&self, command: &mut Command) -> Result<Server, String> {
        let number = (1..).find(|number| !self.path(&log_name(*number)).exists()).unwrap();
        let log = self.path(&log_name(number));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(self.path("stdout")).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Server { child, log, intake: unknown, console: unknown };
        let listens = waiting::within_patience(|| match addresses(&server.log) {
            None => server.child.try_wait().unwrap().map(|_| None),
            found => Some(found),
        });
        match listens {
            Some(Some((intake, console))) => {
                (server.intake, server.console) = (intake, console);
                Ok(server)
            }
            Some(None) => Err(server.log()),
            None => panic!("the server neither listens nor ends: {}", server.log()),
        }
    }

    /// What the program wrote to standard output last.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.path("stdout")).unwrap()
    }

    /// What all servers have logged.
    pub(crate) fn logs(&self) -> String {
        (1..).map_while(|number| fs::read_to_string(self.path(&log_name(number))).ok()).collect()
    }

    /// The whole lines of the file destination.
    pub(crate) fn events(&self) -> Vec<String> {
        let text = fs::read(self.path("events.ndjson")).unwrap_or_default();
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        String::from_utf8_lossy(&text[..whole]).lines().map(str::to_owned).collect()
    }

    /// Runs `check` on the data: its exit code and what it said.
    pub(crate) fn check(&self) -> (i32, String) {
        let output = self.run(&["check", "--data", "data"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap(), text)
    }
}

fn log_name(number: u32) -> String {
    format!("log-{number}")
}

/// A running server. It is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    pub(crate) intake: SocketAddr,
    pub(crate) console: SocketAddr,
}

impl Server {
    pub(crate) fn is_ready(&self) -> bool {
        client::get(self.intake, "/health/ready").is_ok_and(|answer| answer.status == 200)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The memory that it has in use now, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1_024
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the exit code; none if a signal ended it.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.terminate();
        self.exit_code()
    }

    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    pub(crate) fn hang_up(&self) {
        self.signal(Signal::SIGHUP);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        waiting::until("the server ends", || self.child.try_wait().unwrap()).code()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.intake).unwrap()
    }

    /// A signed body, on a connection of its own.
    pub(crate) fn post(&self, body: impl AsRef<[u8]>) -> Answer {
        self.client().post_signed(body.as_ref()).unwrap()
    }

    /// An EventBridge body, on a connection of its own.
    pub(crate) fn post_eventbridge(&self, body: impl AsRef<[u8]>) -> Answer {
        let headers = [("authorization", format!("Bearer {TOKEN}")), ("content-type", "application/json".to_owned())];
        self.client().post("/in/eventbridge", &headers, body.as_ref()).unwrap()
    }

    /// What it says about itself.
    pub(crate) fn status(&self) -> Value {
        let answer = client::get(self.console, "/api/v1/status").unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// One of the queue's counts.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.status()["queue"][name].as_u64().unwrap_or_else(|| panic!("no count is called {name}"))
    }

    /// What it says about a destination's place in the queue.
    pub(crate) fn consumer(&self, name: &str) -> Value {
        let status = self.status();
        let consumers = status["queue"]["consumers"].as_array().unwrap();
        consumers.iter().find(|consumer| consumer["name"] == name).unwrap().clone()
    }

    /// Waits until a destination has nothing more to do.
    pub(crate) fn until_settled(&self, name: &str) {
        waiting::until_so("everything is delivered or dead", || self.consumer(name)["unsettled"] == 0);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already if the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the server listens, from its log.
fn addresses(log: &Path) -> Option<(SocketAddr, SocketAddr)> {
    let text = fs::read_to_string(log).ok()?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ready = lines.map(|line| line["fields"].clone()).find(|fields| fields["console"].is_string())?;
    let intake = ready["intake"].as_str()?.split_once("://")?.1.parse().ok()?;
    Some((intake, ready["console"].as_str()?.parse().ok()?))
}
