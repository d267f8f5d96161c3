//! The machine that a measurement was made on, as far as it explains the figures.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::Serialize;
use simulator::Latency;

use crate::workplace::Workplace;

/// Syncs that are timed.
const SYNCS: u32 = 200;
/// Bytes written before each.
const SYNC_BYTES: usize = 4_096;

/// What the machine is.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    cores: usize,
    processor: String,
    memory_bytes: u64,
    kernel: String,
    /// How long it takes to make 4 KiB at the end of a file durable, in microseconds.
    sync_p50_us: u64,
    sync_p99_us: u64,
    /// Processes that wanted to run while this began; above 1 the figures are those of a busy machine.
    load: String,
}

impl Machine {
    pub(super) fn look(work: &Path) -> Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let kib = value(&read("/proc/meminfo"), "MemTotal");
        let kib: u64 = kib.trim_end_matches(" kB").parse().unwrap_or_default();
        let syncs = syncs(work)?.summary();
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: value(&read("/proc/cpuinfo"), "model name"),
            memory_bytes: kib * 1_024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            sync_p50_us: u64::try_from(syncs.p50.as_micros()).unwrap_or(u64::MAX),
            sync_p99_us: u64::try_from(syncs.p99.as_micros()).unwrap_or(u64::MAX),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        })
    }
}

fn syncs(work: &Path) -> Result<Latency> {
    let place = Workplace::make(work, "sync")?;
    let open = |path: &Path| -> std::io::Result<File> { OpenOptions::new().create(true).append(true).open(path) };
    let mut file = open(&place.folder().join("file")).context("opening a file in the work folder")?;
    let mut took = Latency::new();
    for _ in 0..SYNCS {
        let began = Instant::now();
        file.write_all(&[b'x'; SYNC_BYTES]).and_then(|()| file.sync_data()).context("syncing a file")?;
        took.record(began.elapsed());
    }
    Ok(took)
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cores ({}), {} GiB, Linux {}; syncing 4 KiB takes {} µs (p99 {} µs); load {}",
            self.cores,
            self.processor,
            self.memory_bytes >> 30,
            self.kernel,
            self.sync_p50_us,
            self.sync_p99_us,
            self.load,
        )
    }
}
