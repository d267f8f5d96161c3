//! An emulator of AWS's services, on loopback, for the tests that need one.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::s3::{Running, until};
use super::tool::{self, Tool};
use crate::cargo;
use crate::outcome::Outcome;
use crate::repository::Repository;

const EMULATOR: Tool =
    Tool { name: "ministack", program: "ministack", requirements: include_str!("emulator/requirements.txt") };

/// How tests know where the emulator listens.
const ENDPOINT: &str = "AFTERCALL_TEST_AWS";

/// The account that its queues belong to.
pub(super) const ACCOUNT: &str = "000000000000";

/// An emulator that runs; it keeps all in memory and ends when this is dropped.
pub(crate) struct Emulator {
    pub(crate) address: SocketAddr,
    _process: Running,
}

impl Emulator {
    /// Starts one that logs into a folder.
    pub(crate) fn start(folder: &std::path::Path) -> Result<Self> {
        let program = tool::install(&EMULATOR, &cargo::target_dir()?)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(program);
        command
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", address.port().to_string())
            .env("MINISTACK_ACCOUNT_ID", ACCOUNT);
        let log = File::create(folder.join("emulator.log"))?;
        let process = Running(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?);
        until("the emulator listens", || Ok(TcpStream::connect(address).is_ok()))?;
        Ok(Self { address, _process: process })
    }
}

/// How many of the tests of this name passed, which need an emulator. It runs in a folder of this name.
pub(super) fn tests(repository: &Repository, name: &str, target: &str) -> Result<Outcome> {
    let emulator = Emulator::start(&folder(name)?)?;
    let mut tests = super::cargo_test(repository);
    super::count(tests.args(["--test", target]).env(ENDPOINT, format!("http://{}", emulator.address)))
}

/// A folder in the target folder, made anew.
pub(crate) fn folder(name: &str) -> Result<PathBuf> {
    let folder = cargo::target_dir()?.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
