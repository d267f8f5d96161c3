//! Measures the server against yardsticks, and kills it again and again.
//!
//! Started by `cargo xtask bench` and `cargo xtask torture`, which build it and the server first. The server, the
//! yardsticks and the CRM run as processes of their own, so that each has its own memory and its own processor time.
//! Every process that this starts ends with it, and it ends no others.
#![expect(clippy::print_stdout, reason = "a command line tells its results on standard output")]

mod child;
mod companion;
mod measure;
mod request;
mod server;
mod sink;
mod torture;
mod workplace;
mod yardstick;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// The server's, so that the yardsticks have no worse one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the server against yardsticks, and kills it again and again.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure
    Measure(measure::Arguments),
    /// Kill the server under load, and check what became of every event
    Torture(torture::Arguments),
    /// Serve as a yardstick until standard input ends
    #[command(hide = true)]
    Yardstick(yardstick::Arguments),
    /// Play the CRM and obey the commands on standard input
    #[command(hide = true)]
    Sink(sink::Arguments),
}

/// Where things are.
#[derive(Debug, Clone, Args)]
struct Places {
    /// The server's binary
    #[arg(long)]
    aftercall: PathBuf,
    /// Where data may be written; on the disk that is to be measured
    #[arg(long, default_value = "target")]
    work: PathBuf,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Measure(arguments) => measure::run(&arguments),
        Command::Torture(arguments) => torture::run(&arguments),
        Command::Yardstick(arguments) => yardstick::run(&arguments).map(|()| true),
        Command::Sink(arguments) => sink::run(&arguments).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
