//! Where the programs are, and as whom they are run.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// Below it Debian puts each version's programs.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Who may run it when root starts it, in the order of preference.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// The folder of the programs, and the user that they are run as.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) folder: PathBuf,
    pub(crate) user: Option<User>,
}

/// A user and its group, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Programs {
    pub(crate) fn find() -> Result<Self, Error> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
        let mut folders: Vec<_> = versions.collect();
        // The newest first; there is seldom more than one.
        folders.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
        folders.extend(std::env::split_paths(&path));
        let all =
            |folder: &PathBuf| ["initdb", "postgres", "pg_isready", "psql"].iter().all(|p| folder.join(p).is_file());
        let folder = folders.into_iter().find(all).ok_or(Error::Missing { program: "postgres" })?;
        Ok(Self { folder, user: other_than_root()? })
    }

    /// A program, to be run as the user.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.as_user(Command::new(self.folder.join(program)))
    }

    pub(crate) fn as_user(&self, mut command: Command) -> Command {
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
        // The folder of the caller may be closed to the user.
        command.current_dir("/");
        command
    }
}

fn version(folder: &Path) -> u32 {
    let name = folder.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}

/// Nobody but the caller, unless that is root.
fn other_than_root() -> Result<Option<User>, Error> {
    let own = std::fs::metadata("/proc/self").map(|data| data.uid());
    if !own.is_ok_and(|uid| uid == 0) {
        return Ok(None);
    }
    let known = std::fs::read_to_string("/etc/passwd").map_err(Error::system("reading /etc/passwd"))?;
    USERS.iter().find_map(|name| user(&known, name)).map(Some).ok_or(Error::NoUser)
}

fn user(passwd: &str, name: &str) -> Option<User> {
    let mut fields = passwd.lines().map(|line| line.split(':')).find_map(|mut fields| {
        let found = fields.next() == Some(name);
        found.then_some(fields)
    })?;
    let mut number = |skip| fields.nth(skip)?.parse().ok();
    Some(User { uid: number(1)?, gid: number(0)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_name() {
        let passwd = "root:x:0:0:root:/r:/bin/sh\npostgres:x:101:104::/var/lib:/bin/sh\n";
        assert_eq!(user(passwd, "postgres"), Some(User { uid: 101, gid: 104 }));
        assert_eq!(user(passwd, "post"), None);
        assert_eq!(user("postgres:x:no:1:", "postgres"), None);
    }

    #[test]
    fn the_newest_version_of_debian_comes_first() {
        assert!(version(Path::new("/a/17/bin")) > version(Path::new("/a/9/bin")));
        assert_eq!(version(Path::new("/a/b/bin")), 0);
    }
}
