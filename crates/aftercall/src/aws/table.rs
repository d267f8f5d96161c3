//! `aftercall aws table`: makes the table of the queue, or says what it lacks.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Arguments of `aws table`.
#[derive(Debug, Args)]
pub(super) struct TableArgs {
    #[command(subcommand)]
    what: TableCommand,
}

#[derive(Debug, Subcommand)]
enum TableCommand {
    /// Make it, unless it is there; and have DynamoDB drop what has expired and keep what it was for 35 days
    Create(WhichArgs),
    /// Say whether it is as it must be. Ends with 1 if anything is to be done
    Check(WhichArgs),
}

#[derive(Debug, Args)]
struct WhichArgs {
    /// The server's configuration file, with queue.kind = "aws"
    #[arg(long, short, env = "AFTERCALL_CONFIG")]
    config: PathBuf,
}

/// Runs one of its commands.
pub(super) fn run(args: &TableArgs) -> anyhow::Result<ExitCode> {
    let (TableCommand::Create(which) | TableCommand::Check(which)) = &args.what;
    let file = crate::config::read(&which.config)?;
    // In a build that cannot do it this says so.
    let parts = file.queue_options()?;
    look(&parts, matches!(args.what, TableCommand::Create(_)))
}

#[cfg(not(feature = "aws"))]
fn look(_: &crate::config::QueueParts, _: bool) -> anyhow::Result<ExitCode> {
    Err(no_table())
}

fn no_table() -> anyhow::Error {
    anyhow::anyhow!("the queue is embedded and has no table; write kind = \"aws\" and table = \"NAME\" in [queue]")
}

#[cfg(feature = "aws")]
fn look(parts: &crate::config::QueueParts, create: bool) -> anyhow::Result<ExitCode> {
    use queue_aws::{back_up, check_table, create_table, expire};

    let crate::config::QueuePlace::Aws(place) = &parts.place else { return Err(no_table()) };
    let name = place.table.as_str();
    let asking = async {
        let client = crate::serve::client(place).await;
        if create {
            create_table(&client, name).await?;
            // Of a table with other keys nothing is changed.
            if !check_table(&client, name).await?.iter().any(|lack| lack.fatal) {
                expire(&client, name).await?;
                back_up(&client, name).await?;
            }
        }
        check_table(&client, name).await
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lacks = runtime.block_on(asking)?;
    let mut text = String::new();
    for lack in &lacks {
        text.push_str(&format!("{}\n    cure: {}\n", lack.what, lack.cure));
    }
    if lacks.is_empty() {
        text = format!("table `{name}` is as it must be\n");
    }
    crate::output::print(&text)?;
    Ok(if lacks.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(crate::output::NO) })
}
