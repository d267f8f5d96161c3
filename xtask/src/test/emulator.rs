//! An emulator of AWS's services, on loopback, for the tests that need one.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::s3::{Running, until};
use super::tool::{self, Tool};
use crate::cargo;

const EMULATOR: Tool =
    Tool { name: "ministack", program: "ministack", requirements: include_str!("emulator/requirements.txt") };

/// The account that its queues belong to.
pub(super) const ACCOUNT: &str = "000000000000";

/// An emulator that runs; it keeps all in memory and ends when this is dropped.
pub(super) struct Emulator {
    pub(super) address: SocketAddr,
    _process: Running,
}

impl Emulator {
    /// Starts one that logs into a folder.
    pub(super) fn start(folder: &std::path::Path) -> Result<Self> {
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

/// A folder in the target folder, made anew.
pub(super) fn folder(name: &str) -> Result<PathBuf> {
    let folder = cargo::target_dir()?.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
