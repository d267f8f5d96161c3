//! Processes of this same program: they tell their address on their first line, and end when their standard input does.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::child::Process;

/// Another process of this program.
#[derive(Debug)]
pub(crate) struct Companion {
    pub(crate) address: SocketAddr,
    process: Process,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Companion {
    /// Starts one, and waits until it listens.
    pub(crate) fn start(arguments: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let own = std::env::current_exe().context("this program does not know where it is")?;
        let mut child = Command::new(own)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("this program cannot be started once more")?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let process = Process::new(child);
        let (commands, answers) = pipes.context("a process has no pipes")?;
        let mut answers = BufReader::new(answers);
        let mut line = String::new();
        answers.read_line(&mut line).context("waiting for an address")?;
        let address = line.trim().parse().with_context(|| format!("`{}` is no address", line.trim()))?;
        Ok(Self { address, process, commands, answers })
    }

    /// The processor time that it has used so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.process.cpu()
    }

    /// Sends it a line, and waits for the line that it answers.
    pub(crate) fn ask(&mut self, line: &str) -> Result<String> {
        writeln!(self.commands, "{line}").context("asking a process")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).context("waiting for a process")?;
        Ok(answer)
    }
}
