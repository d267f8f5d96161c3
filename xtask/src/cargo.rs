//! Running cargo and what it has built.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::repository::Repository;

/// Which of cargo's profiles something is built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build.
    Dev,
    /// Quick to run.
    Release,
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// The cargo that started this.
pub(crate) fn cargo(repository: &Repository) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").as_deref().unwrap_or(OsStr::new("cargo")));
    command.current_dir(repository.root());
    command
}

/// Builds binaries of the workspace.
pub(crate) fn build(repository: &Repository, profile: Profile, packages: &[&str]) -> Result<()> {
    let mut command = cargo(repository);
    command.args(["build", "--bins"]);
    match profile {
        // What `cargo test --workspace` has built, with the features that it has chosen; by themselves the packages would
        // have others, and everything would be built anew.
        Profile::Dev => command.args(["--workspace", "--tests", "--all-features"]),
        Profile::Release => command.arg("--release").args(packages.iter().flat_map(|package| ["--package", package])),
    };
    let status = command.status().context("cargo cannot be started")?;
    if !status.success() {
        bail!("building {} failed; the compiler's errors are above", packages.join(" and "));
    }
    Ok(())
}

/// Where cargo put a binary: beside this one, or in the folder of the other profile.
pub(crate) fn binary(profile: Profile, name: &str) -> Result<PathBuf> {
    Ok(target_dir()?.join(profile.folder()).join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// Where cargo builds to.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program does not know where it is")?;
    let target = own.parent().and_then(Path::parent).context("this program is not in a target folder")?;
    Ok(target.to_owned())
}

/// Runs a command, shows what it prints, and gives each line of its standard output to `line` as well.
pub(crate) fn run(command: &mut Command, mut line: impl FnMut(&str)) -> Result<ExitStatus> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("{name} cannot be started"))?;
    if let Some(output) = child.stdout.take() {
        for bytes in BufReader::new(output).split(b'\n') {
            let bytes = bytes.with_context(|| format!("reading what {name} prints"))?;
            let text = String::from_utf8_lossy(&bytes);
            println!("{text}");
            line(text.trim_end());
        }
    }
    child.wait().with_context(|| format!("waiting for {name}"))
}
