//! The server under test, as a process: how it is configured, started, asked and ended.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use simulator::client::Auth;
use simulator::sign::{Scheme, Signer};

use crate::child::Process;
use crate::request;
use crate::workplace::free_address;

/// The secret of the webhook source; known to all, as it guards nothing.
pub(crate) const WEBHOOK_SECRET: &str = "a webhook secret for measuring";
/// The token of the EventBridge source; likewise.
pub(crate) const EVENTBRIDGE_TOKEN: &str = "a token for measuring";
/// The names under which the configuration finds them.
const WEBHOOK_VARIABLE: &str = "AFTERCALL_BENCH_WEBHOOK";
const EVENTBRIDGE_VARIABLE: &str = "AFTERCALL_BENCH_EVENTBRIDGE";

/// How long a start may take; a second is what is wanted, and this is when something is broken.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long a stop may take: intake and delivery have 20 s and 10 s to finish.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// How long between two questions whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// How long between two looks at how much is delivered.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Where its events go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Delivery {
    /// Nowhere: its one route matches none of them.
    None,
    /// All of them to the CRM at this address.
    Crm(SocketAddr),
}

/// How the server is set up.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) binary: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) delivery: Delivery,
    /// Further lines of the destination's table.
    pub(crate) destination: &'static str,
    /// Further lines of the queue's table.
    pub(crate) queue: &'static str,
    /// Further lines of the route's table.
    pub(crate) route: &'static str,
    /// Further tables.
    pub(crate) more: String,
    intake: SocketAddr,
    console: SocketAddr,
}

impl Setup {
    /// A server with its data in `folder`, at addresses that stay the same when it is started again.
    pub(crate) fn new(binary: &Path, folder: &Path, delivery: Delivery) -> Result<Self> {
        Ok(Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            delivery,
            destination: "",
            queue: "",
            route: "",
            more: String::new(),
            intake: free_address()?,
            console: free_address()?,
        })
    }

    /// Where it receives events.
    pub(crate) fn intake(&self) -> SocketAddr {
        self.intake
    }

    /// Where its queue is.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Its configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("aftercall.toml")
    }

    /// A command that asks the running server something, and waits for its end; what it printed.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<String> {
        let name = arguments.join(" ");
        let output = Command::new(&self.binary)
            .args(arguments)
            .arg("--console")
            .arg(self.console.to_string())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("`aftercall {name}` cannot be started"))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`aftercall {name}` ended with {}: {said}{wrong}", output.status);
        Ok(said)
    }

    /// Writes its configuration file, which a running server takes over when it is told to.
    pub(crate) fn write_config(&self) -> Result<()> {
        fs::write(self.config(), self.configuration()).context("writing the server's configuration")
    }

    /// What the server has written to its log.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    fn configuration(&self) -> String {
        let Self { intake, console, queue, destination, route, more, .. } = self;
        let (crm, pattern) = match self.delivery {
            Delivery::None => (self.console, "pattern = '{\"detail-type\": [\"nothing is called like this\"]}'\n"),
            Delivery::Crm(crm) => (crm, ""),
        };
        format!(
            "data_dir = {data:?}\n\
             [intake]\nlisten = \"{intake}\"\n\
             [console]\nlisten = \"{console}\"\n\
             [queue]\n{queue}\n\
             [sources.genesys]\nkind = \"webhook\"\n\
             auth = {{ signature = \"genesys\", secrets = [\"env:{WEBHOOK_VARIABLE}\"] }}\n\
             [sources.eventbridge]\nkind = \"eventbridge\"\n\
             auth = {{ bearer = true, secrets = [\"env:{EVENTBRIDGE_VARIABLE}\"] }}\n\
             [destinations.crm]\nkind = \"http\"\nmethod = \"PUT\"\nurl = \"http://{crm}/events/{{event_id}}\"\n{destination}\n\
             [[routes]]\nname = \"all\"\ndestination = \"crm\"\n{pattern}{route}\n{more}",
            data = self.data(),
        )
    }

    /// Starts it; it is not ready yet.
    pub(crate) fn spawn(&self) -> Result<Server> {
        self.write_config()?;
        let log = OpenOptions::new().create(true).append(true).open(self.log()).context("opening the server's log")?;
        let child = Command::new(&self.binary)
            .arg("serve")
            .arg("--config")
            .arg(self.config())
            .env(WEBHOOK_VARIABLE, WEBHOOK_SECRET)
            .env(EVENTBRIDGE_VARIABLE, EVENTBRIDGE_TOKEN)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("opening the server's log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be started", self.binary.display()))?;
        Ok(Server { process: Process::new(child), setup: self.clone(), started: Instant::now() })
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(&self) -> Result<Server> {
        let mut server = self.spawn()?;
        server.wait_until_ready()?;
        Ok(server)
    }

    /// The auth of its webhook source.
    pub(crate) fn webhook_auth() -> Result<Auth> {
        Ok(Auth::Signed(Signer::new(Scheme::Genesys, WEBHOOK_SECRET)?))
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    setup: Setup,
    started: Instant,
}

impl Server {
    /// Waits until it is ready; how long that took from its start.
    pub(crate) fn wait_until_ready(&mut self) -> Result<Duration> {
        loop {
            if request::get(self.setup.intake, "/health/ready").is_ok_and(|answer| answer.status == 200) {
                return Ok(self.started.elapsed());
            }
            self.ensure_running()?;
            ensure!(self.started.elapsed() < START_PATIENCE, "the server does not get ready; {}", self.last_words());
            std::thread::sleep(ASK_EVERY);
        }
    }

    /// Fails if it has ended by itself.
    pub(crate) fn ensure_running(&mut self) -> Result<()> {
        match self.process.ended()? {
            Some(status) => bail!("the server ended by itself ({status}); {}", self.last_words()),
            None => Ok(()),
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.setup.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        format!("its log ends:\n{}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }

    /// What it tells about itself.
    pub(crate) fn status(&self) -> Result<Status> {
        let answer = request::get(self.setup.console, "/api/v1/status").context("asking for the server's status")?;
        ensure!(answer.status == 200, "the server's status is answered {}", answer.status);
        Status::parse(&answer.body)
    }

    /// Waits until everything that was accepted is delivered or a dead letter.
    pub(crate) fn wait_until_settled(&mut self, patience: Duration) -> Result<Status> {
        let deadline = Instant::now() + patience;
        loop {
            self.ensure_running()?;
            let status = self.status()?;
            if status.unsettled() == 0 {
                return Ok(status);
            }
            ensure!(
                Instant::now() < deadline,
                "{} events are still not delivered after {} s",
                status.unsettled(),
                patience.as_secs()
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Asks it to end, and checks that it ends well.
    pub(crate) fn stop(self) -> Result<()> {
        self.process.terminate()?;
        let status = self.process.wait(STOP_PATIENCE)?;
        ensure!(status.success(), "the server did not stop well ({status}); its log is {}", self.setup.log().display());
        Ok(())
    }

    /// `kill -9`.
    pub(crate) fn kill(self) -> Result<()> {
        self.process.kill()
    }
}

/// What the server tells about itself.
#[derive(Debug, Clone)]
pub(crate) struct Status(Value);

impl Status {
    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json).map(Self).context("the server's status is not JSON")
    }

    /// A number of the queue.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.0["queue"][name].as_u64().unwrap_or_default()
    }

    /// What a destination has taken over.
    pub(crate) fn delivered(&self, destination: &str) -> u64 {
        let mut consumers = self.0["queue"]["consumers"].as_array().into_iter().flatten();
        let consumer = consumers.find(|consumer| consumer["name"] == destination);
        consumer.and_then(|consumer| consumer["delivered"].as_u64()).unwrap_or_default()
    }

    /// What of that is in its journal still.
    pub(crate) fn keeps(&self, destination: &str) -> u64 {
        let mut destinations = self.0["destinations"].as_array().into_iter().flatten();
        let found = destinations.find(|found| found["name"] == destination);
        found.and_then(|found| found["keeps"]["rows"].as_u64()).unwrap_or_default()
    }

    /// Deliveries that are neither done nor dead.
    pub(crate) fn unsettled(&self) -> u64 {
        let consumers = self.0["queue"]["consumers"].as_array().into_iter().flatten();
        // A status without destinations is not one of this server; nothing is known to be settled.
        consumers.map(|consumer| consumer["unsettled"].as_u64().unwrap_or(u64::MAX)).max().unwrap_or(u64::MAX)
    }
}

/// Reads everything that is stored; what `aftercall check` has to say if that is not "no damage".
pub(crate) fn check(binary: &Path, data: &Path) -> Result<Option<String>> {
    let output = Command::new(binary)
        .args(["check", "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .output()
        .context("`aftercall check` cannot be started")?;
    if output.status.success() {
        return Ok(None);
    }
    let text = [output.stdout, output.stderr].concat();
    Ok(Some(String::from_utf8_lossy(&text).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settled_is_what_all_destinations_have_settled() {
        let status = |text: &str| Status::parse(text.as_bytes()).unwrap();
        let two = status(r#"{"queue": {"accepted": 9, "consumers": [{"unsettled": 0}, {"unsettled": 3}]}}"#);
        assert_eq!((two.unsettled(), two.number("accepted"), two.number("none")), (3, 9, 0));
        assert_eq!(status(r#"{"queue": {"consumers": []}}"#).unsettled(), u64::MAX);
    }
}
