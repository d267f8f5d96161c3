//! schemathesis in an environment of its own below the target folder, so that it changes nothing else on the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// What is installed, with versions.
const REQUIREMENTS: &str = include_str!("requirements.txt");
/// Its folder in the target folder.
const FOLDER: &str = "schemathesis";

/// The program, installed if it is not there in these versions.
pub(super) fn install(target: &Path) -> Result<PathBuf> {
    let folder = target.join(FOLDER);
    let (program, installed) = (folder.join("bin/st"), folder.join("installed.txt"));
    if fs::read_to_string(&installed).is_ok_and(|text| text == REQUIREMENTS) && program.is_file() {
        return Ok(program);
    }
    println!("installing schemathesis in {}", folder.display());
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder), "making an environment of Python")?;
    let wanted = folder.join("requirements.txt");
    fs::write(&wanted, REQUIREMENTS).with_context(|| format!("writing {}", wanted.display()))?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&wanted);
    run(&mut pip, "installing schemathesis with pip")?;
    // Last, so that an installation that was broken off is begun anew.
    fs::write(&installed, REQUIREMENTS).with_context(|| format!("writing {}", installed.display()))?;
    Ok(program)
}

fn run(command: &mut Command, doing: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("{doing}: it cannot be started"))?;
    if !status.success() {
        bail!("{doing} failed; its output is above");
    }
    Ok(())
}
