//! How many files the process may have open, since each connection is one: as many as the system lets it.
//!
//! Systemd and shells often begin with 1,024. If connections took all of those, not even the queue could open a file.

use intake::options::OTHER_FILES;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit as far as the process may itself, and says how many of so many connections there is room for.
pub(crate) fn connections(wanted: usize) -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return wanted };
    let files = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    let connections = room(usize::try_from(files).unwrap_or(usize::MAX), wanted);
    if connections < wanted {
        tracing::warn!(
            files,
            connections,
            wanted,
            "the system lets this process open too few files for `intake.limits.connections`; raise its limit \
             (`LimitNOFILE=` of systemd, `ulimit -n`)"
        );
    }
    connections
}

/// Other files come first, but not so that nothing is left.
fn room(files: usize, wanted: usize) -> usize {
    wanted.min(files.saturating_sub(OTHER_FILES).max(files / 4)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_rest() {
        assert_eq!(room(1 << 20, 4_096), 4_096);
        assert_eq!(room(1_024, 4_096), 512);
        assert_eq!(room(256, 4_096), 64);
        assert_eq!([room(1, 4_096), room(0, 4_096), room(1_024, 10)], [1, 1, 10]);
    }
}
