//! How much memory the process may have, as far as the system says so. Rows are in memory only to save time, and files may
//! be smaller; so where there is little of it, less is kept.

use std::fs;
use std::path::Path;

/// Where control groups are, of version 2, and of the controller of memory in version 1.
const GROUPS: &str = "/sys/fs/cgroup";
const GROUPS_OF_MEMORY: &str = "/sys/fs/cgroup/memory";

/// What is kept at one place, of the memory that the process may have: rows, columns, and files that are being made of them
/// are several such places, and most of a process is not this destination.
const PART: u64 = 16;

/// Bytes that may be kept at one place.
pub(super) fn part() -> u64 {
    allowed() / PART
}

/// Bytes that the process may have: what its control groups allow, and no more than the machine has. Very many if nothing
/// says so.
fn allowed() -> u64 {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| total(&text));
    limit(&groups, read).min(machine.unwrap_or(u64::MAX))
}

/// The lowest limit of the groups and of those around them. In a container the path may be one of the machine's, which is
/// not seen from inside; then the limit is at the top.
fn limit(groups: &str, read: impl Fn(&Path) -> Option<String>) -> u64 {
    let mut lowest = u64::MAX;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => (GROUPS, "memory.max"),
            some if some.split(',').any(|controller| controller == "memory") => {
                (GROUPS_OF_MEMORY, "memory.limit_in_bytes")
            }
            _ => continue,
        };
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            // "max" is no number, and no limit.
            let told = read(&Path::new(root).join(group).join(file)).and_then(|text| text.trim().parse().ok());
            lowest = lowest.min(told.unwrap_or(u64::MAX));
        }
    }
    lowest
}

/// `MemTotal`, which is in KiB.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_of_all_groups_around_counts() {
        let files = [
            ("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "167772160\n"),
            ("/sys/fs/cgroup/memory.max", "300\n"),
            ("/sys/fs/cgroup/s/memory.max", "max\n"),
        ];
        let read = |path: &Path| files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, t)| (*t).to_owned());
        assert_eq!(limit("5:cpu,cpuacct:/a/b\n4:memory:/a/b\n1:name=systemd:/\n", read), 167_772_160);
        assert_eq!(limit("0::/s\n", read), 300);
        assert_eq!(limit("4:memory:/elsewhere\n", read), u64::MAX);
        assert_eq!(limit("nonsense\n\n:\n", read), u64::MAX);
    }

    #[test]
    fn the_machine_says_what_it_has() {
        assert_eq!(total("MemTotal:       24117248 kB\nMemFree: 1 kB\n"), Some(24_117_248 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert!(part() > 0);
    }
}
