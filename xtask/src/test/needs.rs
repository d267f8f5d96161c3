//! What the tests need besides Rust, and how it comes onto a Debian machine.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Something that must be there.
struct Need {
    /// A program; it is looked for in `PATH`.
    program: &'static str,
    /// A folder in which each version has a folder with a `bin`; the program may be there instead.
    versions: Option<&'static str>,
    /// Arguments with which it only succeeds if all of it is there; none if its being there is enough.
    probe: &'static [&'static str],
    /// What of Debian brings it.
    packages: &'static [&'static str],
    /// What it is for.
    reason: &'static str,
}

const NEEDS: [Need; 6] = [
    Need {
        program: "cc",
        versions: None,
        probe: &[],
        packages: &["gcc", "libc6-dev"],
        reason: "builds SQLite and the cryptography, and links",
    },
    Need {
        program: "git",
        versions: None,
        probe: &[],
        packages: &["git"],
        reason: "lists the files of the working tree",
    },
    Need {
        program: "postgres",
        versions: Some("/usr/lib/postgresql"),
        probe: &[],
        packages: &["postgresql"],
        reason: "is what the tests of `postgres` destinations write to; they start servers of their own",
    },
    Need {
        program: "python3",
        versions: None,
        probe: &["-c", "import ensurepip, venv"],
        packages: &["python3", "python3-venv"],
        reason: "runs schemathesis, which tests the admin API, emulators of AWS, linters of templates, and DuckDB and pyarrow, which read Parquet files",
    },
    Need {
        program: "npm",
        versions: None,
        probe: &[],
        packages: &["nodejs", "npm"],
        reason: "installs and runs an emulator of Azure Blob Storage",
    },
    Need {
        program: "openssl",
        versions: None,
        probe: &[],
        packages: &["openssl"],
        reason: "makes the key of a service account for the fake of Google Cloud Storage",
    },
];

/// Installs what is missing.
pub(crate) fn install() -> Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !need.is_met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        println!("`{}` is missing, or not all of it is there: it {}", need.program, need.reason);
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages).copied().collect();
    apt(&["update"], &packages)?;
    apt(&["install", "--yes", "--no-install-recommends"], &packages)?;
    match missing.iter().find(|need| !need.is_met()) {
        Some(need) => bail!("`{}` is still missing after its installation; look at apt's output above", need.program),
        None => Ok(()),
    }
}

impl Need {
    fn is_met(&self) -> bool {
        let probe = || {
            let mut command = Command::new(self.program);
            command.args(self.probe).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let versions = self.versions.map(std::fs::read_dir).into_iter().flatten().flatten().flatten();
        let somewhere = || versions.map(|version| version.path().join("bin")).any(|bin| is_in(&bin, self.program));
        (is_there(self.program) || somewhere()) && (self.probe.is_empty() || probe())
    }
}

fn apt(arguments: &[&str], packages: &[&str]) -> Result<()> {
    let by_hand = || format!("install them yourself: apt-get install {}", packages.join(" "));
    let mut command = if is_root() {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "apt-get"]);
        sudo
    };
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    if arguments.first() == Some(&"install") {
        command.args(packages);
    }
    let status = command.status().with_context(by_hand)?;
    if !status.success() {
        bail!("apt-get {} failed; {}", arguments.join(" "), by_hand());
    }
    Ok(())
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_in(&folder, program))
}

fn is_in(folder: &Path, program: &str) -> bool {
    folder.join(program).is_file()
}

/// Whether packages can be installed without `sudo`.
fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("Uid:")).and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_the_path() {
        assert!(is_there("sh"));
        assert!(!is_there("no-program-has-this-name"));
    }

    #[test]
    fn a_program_without_all_its_parts_is_missing() {
        let need = |probe| Need { program: "sh", versions: None, probe, packages: &[], reason: "" };
        assert!(need(&[]).is_met() && need(&["-c", "true"]).is_met());
        assert!(!need(&["-c", "false"]).is_met());
    }

    #[test]
    fn a_program_is_found_among_versions() {
        let need =
            |versions| Need { program: "no-program-has-this-name", versions, probe: &[], packages: &[], reason: "" };
        assert!(!need(Some("/usr")).is_met() && !need(Some("/no-such-folder")).is_met());
        let folder = std::env::temp_dir().join(format!("xtask-needs-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("15/bin")).unwrap();
        std::fs::write(folder.join("15/bin/no-program-has-this-name"), "").unwrap();
        let versions: &'static str = folder.to_str().unwrap().to_owned().leak();
        assert!(need(Some(versions)).is_met());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
