//! `aftercall warehouse`: what makes the files of a `parquet` destination known to a warehouse.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Arguments of `warehouse`.
#[derive(Debug, Args)]
pub(crate) struct WarehouseArgs {
    #[command(subcommand)]
    what: WarehouseCommand,
}

#[derive(Debug, Subcommand)]
enum WarehouseCommand {
    /// Print the statements that make its table in Athena, Redshift Spectrum and Redshift
    Ddl(DdlArgs),
}

/// Arguments of `warehouse ddl`.
#[derive(Debug, Args)]
struct DdlArgs {
    /// The configuration file
    #[arg(long, short, env = "AFTERCALL_CONFIG")]
    config: PathBuf,
    /// The destination; of kind `parquet`
    #[arg(long)]
    destination: String,
    /// What the table is called
    #[arg(long, default_value = "outcomes")]
    table: String,
}

/// Runs it.
pub(crate) fn run(args: &WarehouseArgs) -> anyhow::Result<ExitCode> {
    let WarehouseCommand::Ddl(args) = &args.what;
    ddl(args)
}

#[cfg(feature = "parquet")]
fn ddl(args: &DdlArgs) -> anyhow::Result<ExitCode> {
    use anyhow::{Context as _, ensure};
    use destinations::parquet::{athena, redshift};

    use crate::config;

    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    ensure!(
        !args.table.is_empty() && args.table.bytes().all(is_name),
        "`{}` is no name of a table: write letters, digits and `_`",
        args.table
    );
    let file = config::read(&args.config)?;
    let name = &args.destination;
    let table = file.destinations.get(name).with_context(|| format!("there is no destination `{name}`"))?;
    ensure!(
        table.kind == config::DestinationKind::Parquet,
        "destination `{name}` is not of kind \"parquet\"; only those have a table of their own schema"
    );
    let options = config::parquet_options(name, table, &file.data_dir())?;
    let place = options.location.shown();
    let text = format!("{}\n{}", athena(&args.table, &place, options.partition), redshift(&args.table, &place));
    crate::output::print(&text).map(|()| ExitCode::SUCCESS)
}

#[cfg(not(feature = "parquet"))]
fn ddl(args: &DdlArgs) -> anyhow::Result<ExitCode> {
    let DdlArgs { config: _, destination, table: _ } = args;
    anyhow::bail!("this build of aftercall cannot write `{destination}`; use one with the cargo feature `parquet`")
}
