//! Aftercall: gets every contact-centre event to the CRM, the warehouse and the quality team.
//!
//! This crate is the binary: the command line, the configuration, and the wiring of the other crates.

mod admin;
mod alarms;
mod archive;
mod audit;
mod aws;
mod check;
mod cli;
mod config;
mod dead_letters;
mod demo;
mod erase;
mod genesys;
mod in_force;
#[cfg(feature = "lambda")]
mod lambda;
#[cfg(not(feature = "lambda"))]
#[path = "no_lambda.rs"]
mod lambda;
mod logging;
mod map;
mod matching;
mod moving;
mod output;
mod quarantine;
mod redaction;
mod redrive;
mod reload;
mod replay;
mod router;
mod secrets;
mod send;
mod serve;
mod single;
mod status;
mod tokens;
mod trace;
#[cfg(feature = "otlp")]
mod traces;
#[cfg(not(feature = "otlp"))]
#[path = "no_traces.rs"]
mod traces;
mod transcript;
mod unmatched;
mod unrecognised;
mod warehouse;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

/// For less processor time on every request, and less memory kept, than the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Lambda starts the program under another name, without arguments.
    if lambda::is_wanted() {
        return lambda::run().unwrap_or_else(|error| output::fail(&error));
    }
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Send(args) => send::run(&args),
        Command::Status(args) => status::run(&args),
        Command::DeadLetters(args) => dead_letters::run(&args.what),
        Command::Redrive(args) => redrive::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Archive(args) => archive::run(&args),
        Command::Tokens(args) => tokens::run(&args),
        Command::Quarantine(args) => quarantine::run(&args.what),
        Command::Unmatched(args) => unmatched::run(&args.what),
        Command::Secrets(args) => secrets::run(&args.what),
        Command::Alarms(args) => alarms::run(&args),
        Command::Pause(args) => alarms::set_paused(&args, true),
        Command::Resume(args) => alarms::set_paused(&args, false),
        Command::Trace(args) => trace::run(&args),
        Command::Transcript(args) => transcript::run(&args),
        Command::Audit(args) => self::audit::run(&args),
        Command::Erase(args) => erase::run(&args),
        Command::Genesys(args) => self::genesys::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Backup(args) => check::backup(&args),
        Command::Move(args) => moving::run(&args),
        Command::Match(args) => matching::run(&args),
        Command::Redaction(args) => self::redaction::run(&args.what),
        Command::Map(args) => map::run(&args),
        Command::Warehouse(args) => warehouse::run(&args),
        Command::Aws(args) => aws::run(&args),
        Command::Lambda(_) => lambda::run(),
        Command::Config(args) if args.schema => output::print_json(&config::schema()).map(|()| ExitCode::SUCCESS),
        Command::Config(_) => output::print(config::DEFAULT_FILE).map(|()| ExitCode::SUCCESS),
        Command::Completions(args) => cli::completions(args.shell),
    };
    outcome.unwrap_or_else(|error| output::fail(&error))
}
