//! The server of the demo: this same program as a process of its own, so that it can be killed.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Secret of the demo's webhook source; known to everyone, good for nothing else.
pub(super) const WEBHOOK_SECRET: &str = "demo-webhook-secret";
/// Token of the demo's EventBridge source; likewise.
pub(super) const EVENTBRIDGE_TOKEN: &str = "demo-eventbridge-token";

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server.
pub(super) struct ServerProcess {
    config: PathBuf,
    log: PathBuf,
    intake: SocketAddr,
    child: Child,
}

impl ServerProcess {
    /// Writes a configuration that delivers to the CRM, and starts.
    pub(super) fn start(dir: &Path, crm: SocketAddr) -> anyhow::Result<Self> {
        let (intake, console) = (free_port()?, free_port()?);
        let config = dir.join("aftercall.toml");
        fs::write(dir.join("webhook-secret"), WEBHOOK_SECRET)?;
        fs::write(dir.join("eventbridge-token"), EVENTBRIDGE_TOKEN)?;
        fs::write(&config, configuration(dir, intake, console, crm))?;
        let log = dir.join("server.log");
        let child = spawn(&config, &log)?;
        let mut server = Self { config, log, intake, child };
        server.wait_until_ready()?;
        Ok(server)
    }

    pub(super) fn intake(&self) -> SocketAddr {
        self.intake
    }

    /// Kills the server without warning, and starts it again on the same data.
    pub(super) fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.child.kill().context("killing the server")?;
        self.child.wait()?;
        self.child = spawn(&self.config, &self.log)?;
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while !is_ready(self.intake) {
            let ended = self.child.try_wait()?;
            anyhow::ensure!(ended.is_none(), "the server ended at once: {}", self.tail());
            anyhow::ensure!(begin.elapsed() < PATIENCE, "the server does not get ready: {}", self.tail());
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn tail(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default().lines().rev().take(3).collect::<Vec<_>>().join(" / ")
    }

    /// Asks the server to end, and waits for it.
    pub(super) fn stop(mut self) -> anyhow::Result<bool> {
        let pid = i32::try_from(self.child.id()).context("the server's process id")?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).context("stopping the server")?;
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        anyhow::bail!("the server does not stop")
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Ended long ago, unless the demo failed half-way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads everything that the server has stored; says in a few words what came of it.
pub(super) fn check(dir: &Path) -> anyhow::Result<String> {
    let report = queue_sqlite::check(&dir.join("data"), |_, _| {})?;
    Ok(match report.damaged {
        0 => format!("{} events read, no damage", report.events),
        count => format!("{count} findings, first: {}", report.findings[0]),
    })
}

fn spawn(config: &Path, log: &Path) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("finding this program")?;
    let log = fs::OpenOptions::new().create(true).append(true).open(log)?;
    Command::new(program)
        .args(["serve", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("starting the server")
}

fn configuration(dir: &Path, intake: SocketAddr, console: SocketAddr, crm: SocketAddr) -> String {
    let dir = dir.display();
    format!(
        r#"data_dir = "{dir}/data"
[intake]
listen = "{intake}"
[console]
listen = "{console}"
[sources.genesys]
kind = "webhook"
auth = {{ signature = "genesys", secrets = ["file:{dir}/webhook-secret"] }}
[sources.eventbridge]
kind = "eventbridge"
auth = {{ bearer = true, secrets = ["file:{dir}/eventbridge-token"] }}
[destinations.crm]
kind = "http"
method = "PUT"
url = "http://{crm}/records/{{event_id}}"
[[routes]]
name = "everything to the CRM"
destination = "crm"
"#
    )
}

/// A port that was free a moment ago; the server has to come back to the same one after it was killed.
fn free_port() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
    Ok(listener.local_addr()?)
}

fn is_ready(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(answer.ends_with(b"200"))
    };
    ask().unwrap_or(false)
}
