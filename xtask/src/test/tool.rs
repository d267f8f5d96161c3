//! Tools written in Python or JavaScript, each in an environment of its own below the target folder, so that they change nothing else on
//! the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// A tool.
pub(super) struct Tool {
    /// Its name, and that of its folder in the target folder.
    pub(super) name: &'static str,
    /// The program.
    pub(super) program: &'static str,
    /// What is installed, with versions.
    pub(super) requirements: &'static str,
}

/// The program, installed if it is not there in these versions.
pub(super) fn install(tool: &Tool, target: &Path) -> Result<PathBuf> {
    let Tool { name, program, requirements } = tool;
    let folder = target.join(name);
    let (program, installed) = (folder.join("bin").join(program), folder.join("installed.txt"));
    if fs::read_to_string(&installed).is_ok_and(|text| text == *requirements) && program.is_file() {
        return Ok(program);
    }
    println!("installing {name} in {}", folder.display());
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder), "making an environment of Python")?;
    let wanted = folder.join("requirements.txt");
    fs::write(&wanted, requirements).with_context(|| format!("writing {}", wanted.display()))?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&wanted);
    run(&mut pip, "installing it with pip")?;
    // Last, so that an installation that was broken off is begun anew.
    fs::write(&installed, requirements).with_context(|| format!("writing {}", installed.display()))?;
    Ok(program)
}

/// A program of a package of npm, in a version, installed in a folder of its own if it is not there.
pub(super) fn install_npm(name: &str, package: &str, program: &str, target: &Path) -> Result<PathBuf> {
    let folder = target.join(name);
    let (program, installed) = (folder.join("node_modules/.bin").join(program), folder.join("installed.txt"));
    if fs::read_to_string(&installed).is_ok_and(|text| text == package) && program.is_file() {
        return Ok(program);
    }
    println!("installing {name} in {}", folder.display());
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--no-save", "--prefix"]).arg(&folder).arg(package);
    run(&mut npm, "installing it with npm")?;
    // Last, so that an installation that was broken off is begun anew.
    fs::write(&installed, package).with_context(|| format!("writing {}", installed.display()))?;
    Ok(program)
}

fn run(command: &mut Command, doing: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("{doing}: it cannot be started"))?;
    if !status.success() {
        bail!("{doing} failed; its output is above");
    }
    Ok(())
}
