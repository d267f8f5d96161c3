//! The server whose admin API is tested: the real program in a folder of its own, with a token, and with dead letters of
//! two kinds to look at. It is ended when this is dropped.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// Its folder in the target folder; made anew each time.
const FOLDER: &str = "api-test";
/// How long the server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often its log is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Events that become dead letters, since they have no name.
const DEAD_LETTERS: usize = 150;
const CONFIG: &str = r#"
data_dir = "data"
[intake]
listen = "127.0.0.1:0"
[console]
listen = "127.0.0.1:0"
[sources.calls]
auth = { open = true }
[destinations.crm]
kind = "file"
path = "events.ndjson"
[[routes]]
destination = "crm"
mapping = 'if .name then {name} else error("event \(.id) has no name") end'
"#;

/// A running server.
pub(super) struct Server {
    child: Child,
    folder: PathBuf,
    token: String,
    console: String,
}

impl Server {
    pub(super) fn start(program: &Path, target: &Path) -> Result<Self> {
        let folder = target.join(FOLDER);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join("aftercall.toml"), CONFIG))?;
        let command = |arguments: &[&str]| {
            let mut command = Command::new(program);
            command.current_dir(&folder).args(arguments).args(["--config", "aftercall.toml"]).stdin(Stdio::null());
            command
        };
        let made = command(&["tokens", "create", "schemathesis", "--scope", "admin"]).output()?;
        ensure!(made.status.success(), "no token was made: {}", String::from_utf8_lossy(&made.stderr));
        let token = String::from_utf8(made.stdout)?.trim().to_owned();
        let log = File::create(folder.join("log"))?;
        let child = command(&["serve", "--log", "json"]).stdout(Stdio::null()).stderr(log).spawn()?;
        let mut server = Self { child, folder, token, console: String::new() };
        let intake = server.until_it_listens()?;
        for number in 0..DEAD_LETTERS {
            let body = format!(r#"{{"id":"call-{number}","conversationId":"c-{}"}}"#, number % 7);
            post(&intake, &body)?;
        }
        post(&intake, "no event")?;
        Ok(server)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn console(&self) -> &str {
        &self.console
    }

    /// What is wrong with it, after it was tested.
    pub(super) fn fault(&mut self) -> Option<String> {
        let log = self.folder.join("log");
        match self.child.try_wait() {
            Ok(None) if !self.log().contains("panicked") => None,
            Ok(None) => Some(format!("the server panicked; see {}", log.display())),
            ended => Some(format!("the server has ended ({ended:?}); see {}", log.display())),
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Waits until the log says where it listens; returns where events are received.
    fn until_it_listens(&mut self) -> Result<String> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let log = self.log();
            if let (Some(intake), Some(console)) = (field(&log, "intake"), field(&log, "console")) {
                self.console = console.to_owned();
                return Ok(intake.trim_start_matches("http://").to_owned());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at its start with {status}: {log}");
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("the server does not say where it listens: {}", self.log())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, which was reported.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A text in a log of JSON lines.
fn field<'a>(log: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = log.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next()
}

fn post(address: &str, body: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    let head = "POST /in/calls HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n";
    stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "the server did not take an event: {answer}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_in_the_log() {
        let log = "{\"message\":\"x\"}\n{\"intake\":\"http://127.0.0.1:1\",\"console\":\"127.0.0.1:2\"}\n";
        assert_eq!((field(log, "intake"), field(log, "console")), (Some("http://127.0.0.1:1"), Some("127.0.0.1:2")));
        assert_eq!(field(log, "data"), None);
    }
}
