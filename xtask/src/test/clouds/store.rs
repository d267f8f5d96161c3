//! The stores: what plays each of them, and how the program and the test get in.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::super::emulator::Emulator;
use super::super::s3::{Running, until};
use super::super::tool;
use crate::cargo;

/// All of them.
pub(super) const KINDS: [&str; 3] = ["s3", "gcs", "azure"];
const BUCKET: &str = "aftercall-test";
/// The account that the emulator of Azure knows, and its key, which its documentation tells everybody.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// The service account that the fake of Google's store knows.
const EMAIL: &str = "aftercall@test.invalid";
const AZURITE: &str = "azurite@3.37.0";
const GCS: &str = include_str!("gcs.py");
const CLIENT: &str = include_str!("client.py");

/// A store that runs.
pub(super) struct Store {
    kind: &'static str,
    pub(super) address: SocketAddr,
    /// Where the program finds it, without a prefix.
    pub(super) url: String,
    /// The keys of the configuration that say where it is and who asks.
    pub(super) access: String,
    folder: PathBuf,
    python: PathBuf,
    /// The fake's, which copies what it has itself.
    talk: Option<(ChildStdin, BufReader<ChildStdout>)>,
    _process: Process,
}

enum Process {
    Emulator { _emulator: Emulator },
    Other { _running: Running },
}

impl Store {
    /// Starts one, and makes its bucket.
    pub(super) fn start(kind: &'static str, folder: &Path, python: &Path) -> Result<Self> {
        fs::write(folder.join("client.py"), CLIENT)?;
        fs::write(folder.join("key"), "test-key\n")?;
        let (address, process, talk) = match kind {
            "s3" => {
                let emulator = Emulator::start(folder)?;
                (emulator.address, Process::Emulator { _emulator: emulator }, None)
            }
            "gcs" => gcs(folder, python)?,
            _ => azure(folder)?,
        };
        let scheme = match kind {
            "s3" => "s3",
            "gcs" => "gs",
            _ => "az",
        };
        let store = Self {
            kind,
            address,
            url: format!("{scheme}://{BUCKET}"),
            access: String::new(),
            folder: folder.to_owned(),
            python: python.to_owned(),
            talk,
            _process: process,
        };
        if kind != "gcs" {
            until("the store makes a bucket", || store.client("make", None))?;
        }
        Ok(store)
    }

    /// The program asks it at this address.
    pub(super) fn goes_by(&mut self, proxy: SocketAddr) -> Result<()> {
        self.access = match self.kind {
            "s3" => format!(
                "endpoint = \"http://{proxy}\"\nregion = \"us-east-1\"\naccess_key = \"file:key\"\nsecret_key = \"file:key\""
            ),
            "gcs" => {
                let private = fs::read_to_string(self.folder.join("private.pem"))?.replace('\n', "\\n");
                let key = format!(
                    r#"{{"type":"service_account","client_email":"{EMAIL}","private_key_id":"1","private_key":"{private}","token_uri":"http://{proxy}/token"}}"#
                );
                fs::write(self.folder.join("service.json"), key)?;
                format!("endpoint = \"http://{proxy}\"\nsecret_key = \"file:service.json\"")
            }
            _ => {
                fs::write(self.folder.join("account"), ACCOUNT)?;
                format!(
                    "endpoint = \"http://{proxy}/{ACCOUNT}\"\naccess_key = \"file:account\"\nsecret_key = \"file:account-key\""
                )
            }
        };
        Ok(())
    }

    /// Copies all that is in it.
    pub(super) fn copy(&mut self, folder: &Path) -> Result<()> {
        match &mut self.talk {
            Some((ask, answers)) => {
                writeln!(ask, "{}", folder.display())?;
                let mut answer = String::new();
                answers.read_line(&mut answer)?;
                ensure!(answer == "copied\n", "the fake of Google's store says {answer:?}");
                Ok(())
            }
            None => {
                ensure!(self.client("copy", Some(folder))?, "the store cannot be read");
                Ok(())
            }
        }
    }

    fn client(&self, action: &str, folder: Option<&Path>) -> Result<bool> {
        let mut command = Command::new(&self.python);
        command.current_dir(&self.folder).args(["client.py", action, self.kind, &self.address.to_string(), BUCKET]);
        if self.kind == "azure" {
            command.args([ACCOUNT, "account-key"]);
        }
        Ok(command.args(folder).status().context("starting the client")?.success())
    }
}

type Started = (SocketAddr, Process, Option<(ChildStdin, BufReader<ChildStdout>)>);

fn gcs(folder: &Path, python: &Path) -> Result<Started> {
    fs::write(folder.join("gcs.py"), GCS)?;
    fs::create_dir_all(folder.join("gcs"))?;
    openssl(
        folder,
        &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-quiet", "-out", "private.pem"],
    )?;
    openssl(folder, &["pkey", "-in", "private.pem", "-pubout", "-out", "public.pem"])?;
    let mut command = Command::new(python);
    command
        .current_dir(folder)
        .args(["gcs.py", "gcs", BUCKET, EMAIL, "public.pem"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().context("starting the fake of Google's store")?;
    let (Some(ask), Some(answers)) = (child.stdin.take(), child.stdout.take()) else { bail!("it cannot be talked to") };
    let running = Running(child);
    let mut answers = BufReader::new(answers);
    let mut port = String::new();
    answers.read_line(&mut port)?;
    let port: u16 = port.trim().parse().with_context(|| format!("the fake's port is {port:?}"))?;
    Ok((SocketAddr::from(([127, 0, 0, 1], port)), Process::Other { _running: running }, Some((ask, answers))))
}

fn openssl(folder: &Path, arguments: &[&str]) -> Result<()> {
    let status = Command::new("openssl").current_dir(folder).args(arguments).status();
    ensure!(status.context("openssl cannot be started")?.success(), "openssl makes no key for the service account");
    Ok(())
}

fn azure(folder: &Path) -> Result<Started> {
    let program = tool::install_npm("azurite", AZURITE, "azurite-blob", &cargo::target_dir()?)?;
    fs::write(folder.join("account-key"), format!("{ACCOUNT_KEY}\n"))?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let log = fs::File::create(folder.join("emulator.log"))?;
    let mut command = Command::new(program);
    command
        .args(["--blobHost", "127.0.0.1", "--blobPort", &address.port().to_string(), "--silent"])
        .args(["--skipApiVersionCheck", "--disableTelemetry", "--location"])
        .arg(folder.join("azurite"));
    let process = Running(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?);
    until("the emulator listens", || Ok(TcpStream::connect(address).is_ok()))?;
    Ok((address, Process::Other { _running: process }, None))
}
