//! The command line.

mod console_address;
mod dead_letters;
mod quarantine;
mod unmatched;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use self::console_address::ConsoleAddress;
pub(crate) use self::dead_letters::*;
pub(crate) use self::quarantine::*;
pub(crate) use self::unmatched::*;
use crate::alarms::{AlarmsArgs, DestinationArgs};
use crate::audit::AuditArgs;
use crate::config::On;
use crate::output;
use crate::reload::ReloadArgs;
use crate::trace::TraceArgs;

/// Gets every contact-centre event to the CRM, the warehouse and the quality team: nothing lost, nothing doubled, in
/// order per conversation, whatever is down.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done or yes, 1 no (damage found, no match, events lost), 2 could not be done, 3 the \
                  configuration cannot be used."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Receive events and deliver them; works without any configuration
    Serve(ServeArgs),
    /// Show everything at work: a contact centre, a CRM that goes down, a server that is killed
    Demo(DemoArgs),
    /// Sign files and post them to a source, as a contact centre would
    Send(SendArgs),
    /// Tell how the server and its queue are doing
    Status(StatusArgs),
    /// See what failed for good, and why
    DeadLetters(DeadLettersArgs),
    /// Deliver the events of dead letters again, once what was wrong is mended
    Redrive(RedriveArgs),
    /// Deliver events again that were accepted before, to one destination
    Replay(crate::replay::ReplayArgs),
    /// See what is archived, check it, and export at once
    Archive(crate::archive::ArchiveArgs),
    /// Say who may ask the server for what
    Tokens(crate::tokens::TokensArgs),
    /// See requests that failed verification, and release those that were genuine
    Quarantine(QuarantineArgs),
    /// See events that no route leads anywhere
    Unmatched(UnmatchedArgs),
    /// Tell which secrets are in use, and when each was last used
    Secrets(SecretsArgs),
    /// Show what is wrong now, and what to do about it
    Alarms(AlarmsArgs),
    /// Let nothing more go out to a destination; what is accepted for it waits
    Pause(DestinationArgs),
    /// Let deliveries go out to a destination again
    Resume(DestinationArgs),
    /// Tell what happened to a conversation or an event, and why
    Trace(TraceArgs),
    /// Tell where the transcripts of a conversation are, or what they wait for, and read one
    Transcript(crate::transcript::TranscriptArgs),
    /// Check the audit trail, or write it out
    Audit(AuditArgs),
    /// Erase what was said in a conversation, everywhere; the record that something was there stays
    Erase(crate::erase::EraseArgs),
    /// Tell whether the credentials for Genesys Cloud work
    Genesys(crate::genesys::GenesysArgs),
    /// Have the server read its configuration anew; it does so by itself when the file changes
    Reload(ReloadArgs),
    /// Read everything that is stored and report damage
    Check(CheckArgs),
    /// Copy the queue while the server runs
    Backup(BackupArgs),
    /// Move everything from one queue to another, embedded or on AWS, while events keep arriving
    Move(crate::moving::MoveArgs),
    /// Tell whether an event pattern matches an event, and why
    Match(MatchArgs),
    /// Try what a source redacts, and have values back that it has tokenised
    Redaction(crate::redaction::RedactionArgs),
    /// Apply a mapping to an event
    Map(MapArgs),
    /// Print what makes the files of a `parquet` destination known to a warehouse
    Warehouse(crate::warehouse::WarehouseArgs),
    /// Find in templates for AWS what is known to lose, double or delay events; make the table of a queue there
    Aws(crate::aws::AwsArgs),
    /// Be a function of AWS Lambda, in the role that AFTERCALL_ROLE names; under the name `bootstrap` it is one by itself
    Lambda(LambdaArgs),
    /// Print the default configuration, every key commented
    Config(ConfigArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// Arguments of `lambda`: there are none, all is in the environment.
#[derive(Debug, Args)]
#[command(after_help = "\
AFTERCALL_ROLE            ingest, route, deliver, review or upkeep
AFTERCALL_CONFIG          ssm:NAME[:VERSION], s3://BUCKET/KEY[?versionId=VERSION], or the path of a file
AFTERCALL_WAKE_QUEUE_URL  the queue of SQS that `deliver` is woken by
AFTERCALL_TABLE           the table of the queue, instead of the configured one
AFTERCALL_BODIES_BUCKET   the bucket for large bodies, instead of the configured one
AFTERCALL_CONFIG_AGE      how long a configuration without a version is used before it is looked at again [default: 5m]")]
pub(crate) struct LambdaArgs {}

/// Arguments of `config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Print the JSON Schema of the configuration instead, for editors
    #[arg(long)]
    pub(crate) schema: bool,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The configuration file [default: built-in settings for trying things out]
    #[arg(long, short, env = "AFTERCALL_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The data directory, instead of the configured one
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// Where to receive events, instead of the configured address
    #[arg(long)]
    pub(crate) listen: Option<SocketAddr>,
    /// Where to answer `status`, instead of the configured address
    #[arg(long)]
    pub(crate) console: Option<SocketAddr>,
    /// How to write the log
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) log: LogFormat,
    /// Only check the configuration
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Only answer commands, on a queue (queue.kind = "aws") that others work on; receive and deliver nothing
    #[arg(long, conflicts_with_all = ["check_config", "listen"])]
    pub(crate) console_only: bool,
}

/// How to write the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many different events the contact centre emits
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=5_000_000))]
    pub(crate) events: u32,
    /// Seed of the contact centre; the same seed emits the same events
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Keep the data directory and say where it is
    #[arg(long)]
    pub(crate) keep: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `send`.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// The files to send; each is one request. `-` is standard input
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The source to send to; its secret and signature are taken from the configuration
    #[arg(long, default_value = "genesys")]
    pub(crate) source: String,
    /// The server's configuration file [default: that of `serve` without one]
    #[arg(long, short, env = "AFTERCALL_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The server's data directory, if it was started with --data
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// The server's address [default: intake.listen of the configuration]
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// Send every file so many times
    #[arg(long, default_value_t = 1)]
    pub(crate) repeat: u32,
    /// At most so many requests per second
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Print every answer as a line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which running server to ask.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The server's configuration file [default: that of `serve` without one]
    #[arg(long, short, env = "AFTERCALL_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The address of the server's console, HOST:PORT, with https:// before it if something does TLS there [default:
    /// console.listen of the configuration]
    #[arg(long)]
    pub(crate) console: Option<ConsoleAddress>,
    /// A token, if the server needs one; others on this machine can see it here, so rather name a file, or set
    /// AFTERCALL_TOKEN
    #[arg(long, conflicts_with = "token_file")]
    pub(crate) token: Option<String>,
    /// A file whose only line is a token
    #[arg(long)]
    pub(crate) token_file: Option<PathBuf>,
}

/// Which of a list, and which page of it.
#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// List only those after this one
    #[arg(long)]
    pub(crate) after: Option<u64>,
    /// List at most so many, 1 to 1000
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) limit: u16,
}

/// Which one to show, and how.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Its number
    pub(crate) id: u64,
    /// Print only the body, byte for byte, for a file or `aftercall map`
    #[arg(long)]
    pub(crate) body: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print JSON
    #[arg(long, conflicts_with = "body")]
    pub(crate) json: bool,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The data directory
    #[arg(long, default_value = "aftercall-data")]
    pub(crate) data: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// First make a queue with damaged rows usable again: what cannot be trusted is delivered again, never skipped. The
    /// server must be stopped; keep a copy of the directory
    #[arg(long)]
    pub(crate) repair: bool,
}

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The data directory
    #[arg(long, default_value = "aftercall-data")]
    pub(crate) data: PathBuf,
    /// The file to write; must not exist
    #[arg(long)]
    pub(crate) to: PathBuf,
}

/// Arguments of `match`.
#[derive(Debug, Args)]
pub(crate) struct MatchArgs {
    /// The event pattern: JSON, or the name of a file with `@` in front
    #[arg(long, required_unless_present = "cases")]
    pub(crate) pattern: Option<String>,
    /// The event: JSON, a file's name with `@` in front, or `-` for standard input
    #[arg(long, required_unless_present = "cases")]
    pub(crate) event: Option<String>,
    /// What the pattern looks at: the event's body, or the outcome that is made of it
    #[arg(long, value_enum, default_value = "event", conflicts_with = "cases")]
    pub(crate) on: On,
    /// Run a file of cases, each line {"name", "rule", "event", "expect": "match" | "no"}
    #[arg(long, conflicts_with_all = ["pattern", "event"])]
    pub(crate) cases: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `map`.
#[derive(Debug, Args)]
pub(crate) struct MapArgs {
    /// The mapping: a jq program, or the name of a file with `@` in front
    #[arg(long)]
    pub(crate) mapping: String,
    /// The event: JSON, a file's name with `@` in front, or `-` for standard input
    #[arg(long)]
    pub(crate) event: String,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Prints a completion script.
pub(crate) fn completions(shell: Shell) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "aftercall", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Text given on the command line: itself, the content of a file (`@name`), or standard input (`-`).
pub(crate) fn text_or_file(argument: &str) -> anyhow::Result<Vec<u8>> {
    use anyhow::Context;
    use std::io::Read;
    if argument == "-" {
        let mut text = Vec::new();
        std::io::stdin().read_to_end(&mut text).context("reading standard input")?;
        return Ok(text);
    }
    match argument.strip_prefix('@') {
        Some(path) => std::fs::read(path).with_context(|| format!("reading {path}")),
        None => Ok(argument.as_bytes().to_vec()),
    }
}
