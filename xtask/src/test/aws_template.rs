//! The template for AWS: translated as AWS does it, linted by cfn-lint, checkov and ourselves, looked at for what an emulator
//! drops, and deployed to an emulator, where what came of it is read back; and once more with the real program in it, which gets
//! webhooks and envelopes to a CRM.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::emulator::{self, Emulator};
use super::tool::{self, Tool};
use crate::cargo::{self, Profile};
use crate::outcome::Outcome;
use crate::repository::Repository;

const TOOLS: Tool =
    Tool { name: "aws-template-tools", program: "python", requirements: include_str!("aws_template/requirements.txt") };
/// What runs in Python, beside the tools.
const SCRIPTS: [(&str, &str); 8] = [
    ("report.py", include_str!("aws_template/report.py")),
    ("account.py", include_str!("aws_template/account.py")),
    ("translate.py", include_str!("aws_template/translate.py")),
    ("properties.py", include_str!("aws_template/properties.py")),
    ("waived.py", include_str!("aws_template/waived.py")),
    ("waivers.txt", include_str!("aws_template/waivers.txt")),
    ("deploy.py", include_str!("aws_template/deploy.py")),
    ("functions.py", include_str!("aws_template/functions.py")),
];
/// The template, in the repository.
const TEMPLATE: &str = "deploy/aws/template.yaml";
/// The folder in the target folder in which all of it happens; made anew each time.
const FOLDER: &str = "aws-template-test";
/// The template as AWS translates it, in that folder.
const TRANSLATED: &str = "template.json";
/// The program, in that folder.
const BOOTSTRAP: &str = "bootstrap";
/// What has no default. The key is that of the program which the deployment puts there.
const PARAMETERS: [&str; 2] = ["CodeBucket=code", "CodeKey=aftercall/1/bootstrap.zip"];
/// What cfn-lint says of parameters that are empty and are then not used, and of one that the translation has put in.
const NOT_JUDGED: &str = "W1030,W2001";
/// Where the queue says by which attribute its items expire.
const EXPIRES: (&str, &str) = ("crates/queue-aws/src/table/create.rs", "const EXPIRES: &str = \"");

/// How many of its checks passed.
pub(super) fn run(repository: &Repository) -> Result<Outcome> {
    cargo::build(repository, Profile::Dev, &["aftercall"])?;
    let python = tool::install(&TOOLS, &cargo::target_dir()?)?;
    let folder = emulator::folder(FOLDER)?;
    for (name, text) in SCRIPTS {
        fs::write(folder.join(name), text)?;
    }
    let site = Site { python, folder };
    let template = repository.root().join(TEMPLATE);
    let translate = site.python("translate.py").arg(&template).arg(TRANSLATED).args(PARAMETERS).status()?;
    ensure!(translate.success(), "the template cannot be translated; the errors are above");
    let mut sum = Outcome::default();
    sum += passes(
        "cfn-lint finds nothing",
        site.tool("cfn-lint")?.args(["--ignore-checks", NOT_JUDGED, "--", TRANSLATED]),
    )?;
    let aftercall = cargo::binary(Profile::Dev, "aftercall")?;
    sum += passes("aws lint finds nothing", site.command(&aftercall).args(["aws", "lint", TRANSLATED]).arg(&template))?;
    sum += site.checkov()?;
    sum += counted(site.python("properties.py").args([TRANSLATED, &expires(repository)?]))?;
    sum += site.deployed("deploy.py", &[])?;
    site.bootstrap(&aftercall)?;
    sum += site.deployed("functions.py", &[BOOTSTRAP])?;
    Ok(sum)
}

/// Where the tools are, and where they run.
struct Site {
    python: PathBuf,
    folder: PathBuf,
}

impl Site {
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder);
        command
    }

    fn python(&self, script: &str) -> Command {
        let mut command = self.command(&self.python);
        command.arg(script);
        command
    }

    /// A program that was installed beside Python.
    fn tool(&self, name: &str) -> Result<Command> {
        let bin = self.python.parent().context("Python is in no folder")?;
        Ok(self.command(&bin.join(name)))
    }

    /// The program, small enough to be sent around.
    fn bootstrap(&self, aftercall: &Path) -> Result<()> {
        let mut strip = self.command(Path::new("strip"));
        let status = strip.args(["-o", BOOTSTRAP]).arg(aftercall).status().context("starting strip, of binutils")?;
        ensure!(status.success(), "stripping {} failed", aftercall.display());
        Ok(())
    }

    /// What a script finds in an emulator of its own.
    fn deployed(&self, script: &str, arguments: &[&str]) -> Result<Outcome> {
        let emulator = Emulator::start(&self.folder)?;
        let endpoint = format!("http://{}", emulator.address);
        counted(self.python(script).args([&endpoint, TRANSLATED]).args(arguments))
    }

    /// It finds things always; what counts is whether somebody has written why they stay.
    fn checkov(&self) -> Result<Outcome> {
        let found = File::create(self.folder.join("checkov.json"))?;
        let mut checkov = self.tool("checkov")?;
        checkov.args(["--framework", "cloudformation", "--skip-download", "--quiet", "--output", "json"]);
        checkov.args(["--file", TRANSLATED]).stdout(found).status().context("starting checkov")?;
        counted(self.python("waived.py").args(["checkov.json", "waivers.txt"]))
    }
}

/// One check, which a program passes by ending with 0.
fn passes(what: &str, command: &mut Command) -> Result<Outcome> {
    let status = command.status().with_context(|| format!("{what}: it cannot be started"))?;
    println!("{}: {what}", if status.success() { "ok" } else { "FAILED" });
    Ok(if status.success() { Outcome { passed: 1, failed: 0 } } else { Outcome::ONE_FAILED })
}

/// Checks that a script counts itself, in its last line.
fn counted(command: &mut Command) -> Result<Outcome> {
    let mut outcome = None;
    let status = cargo::run(command, |line| outcome = Outcome::of_summary(line).or(outcome))?;
    Ok(match outcome {
        Some(outcome) if status.success() == (outcome.failed == 0) => outcome,
        _ => Outcome::ONE_FAILED,
    })
}

fn expires(repository: &Repository) -> Result<String> {
    let (path, before) = EXPIRES;
    let text = fs::read_to_string(repository.root().join(path)).with_context(|| format!("reading {path}"))?;
    let name = text.split(before).nth(1).and_then(|rest| rest.split('"').next());
    Ok(name.with_context(|| format!("{path} does not say by which attribute items expire"))?.to_owned())
}
