//! Folders for data that is thrown away, and ports that nobody else takes.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rand::RngExt as _;

/// A folder of its own for one server; removed when this is dropped, unless it is kept.
#[derive(Debug)]
pub(crate) struct Workplace {
    folder: PathBuf,
    kept: bool,
}

impl Workplace {
    /// Makes `NAME-PROCESS` in the work folder.
    pub(crate) fn make(work: &Path, name: &str) -> Result<Self> {
        let work = std::path::absolute(work).context("finding the work folder")?;
        let folder = work.join(format!("{name}-{}", std::process::id()));
        // What an earlier process with this number has left.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Self { folder, kept: false })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Leaves the folder where it is, to be looked at.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if !self.kept {
            // What can't be removed lies in the target folder and disturbs nobody.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Ports below those that the system gives to outgoing connections, so that a port that a killed server had is still
/// free when it comes back.
const PORTS: std::ops::Range<u16> = 10_000..32_000;
/// Ports tried before giving up.
const PORT_TRIES: u32 = 1_000;

/// A loopback address that nobody listens at.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let mut dice = rand::rng();
    (0..PORT_TRIES)
        .map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, dice.random_range(PORTS))))
        .find(|address| TcpListener::bind(address).is_ok())
        .context("no free port was found between 10000 and 32000; end what uses them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workplace_is_removed_unless_kept() {
        let work = std::env::temp_dir();
        let place = Workplace::make(&work, "bench-workplace-test").unwrap();
        let folder = place.folder().to_owned();
        std::fs::write(folder.join("x"), "y").unwrap();
        drop(place);
        assert!(!folder.exists());
        let mut place = Workplace::make(&work, "bench-workplace-kept").unwrap();
        place.keep();
        let folder = place.folder().to_owned();
        drop(place);
        assert!(folder.exists());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_free_address_can_be_bound() {
        TcpListener::bind(free_address().unwrap()).unwrap();
    }
}
