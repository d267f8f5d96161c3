//! Processes that this one starts: each is killed at the latest when its handle is dropped.

use std::fs;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long between two looks at whether a process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Bytes of a kibibyte, in which Linux tells sizes.
const KIB: u64 = 1_024;

/// A child process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn new(child: Child) -> Self {
        Self { child }
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill().context("killing a process")?;
        self.child.wait().context("waiting for a killed process")?;
        Ok(())
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).context("a process has an odd number")?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).context("asking a process to end")
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("looking after a process")
    }

    /// Waits for its end, which it has been asked for.
    pub(crate) fn wait(mut self, patience: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("a process did not end within {} s of being asked to", patience.as_secs())
    }

    /// The memory it has in use now and had in use at most, in bytes.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        Memory::parse(&text).with_context(|| format!("{path} tells no memory"))
    }

    /// The processor time that it has used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let nanos = tasks
            .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
            .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
            .sum();
        Duration::from_nanos(nanos)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident memory of a process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) most: u64,
}

impl Memory {
    fn parse(status: &str) -> Option<Self> {
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * KIB)
        };
        Some(Self { now: of("VmRSS:")?, most: of("VmHWM:")? })
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_ends_when_it_is_told_to() {
        let asked = Process::new(Command::new("sleep").arg("60").spawn().unwrap());
        asked.terminate().unwrap();
        assert!(!asked.wait(Duration::from_secs(10)).unwrap().success());
        let mut killed = Process::new(Command::new("sleep").arg("60").spawn().unwrap());
        assert!(killed.ended().unwrap().is_none());
        assert!(killed.memory().unwrap().most > 0);
        killed.kill().unwrap();
    }

    #[test]
    fn memory_is_told_in_kibibytes() {
        let text = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(Memory::parse(text), Some(Memory { now: 1_048_576, most: 2_097_152 }));
        assert_eq!(Memory::parse("Name:\tx\n"), None);
    }
}
