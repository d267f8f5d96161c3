//! The command line of `quarantine` and `secrets`.

use clap::{Args, Subcommand};

use super::{PageArgs, ServerArgs, ShowArgs};

/// Arguments of `quarantine`.
#[derive(Debug, Args)]
pub(crate) struct QuarantineArgs {
    #[command(subcommand)]
    pub(crate) what: QuarantineCommand,
}

/// What to do with refused requests.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// List them, oldest first
    List(ListRefusedArgs),
    /// Show one with its headers and the start of its body
    Show(ShowArgs),
    /// Verify some again with the secrets of now; publish what passes, keep what still fails
    Release(ReleaseArgs),
    /// Drop some for good
    Drop(DropArgs),
}

/// Arguments of `quarantine list`.
#[derive(Debug, Args)]
pub(crate) struct ListRefusedArgs {
    /// Only those sent to this source
    #[arg(long)]
    pub(crate) source: Option<String>,
    #[command(flatten)]
    pub(crate) page: PageArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which refused requests.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct RefusedArgs {
    /// Their numbers
    pub(crate) ids: Vec<u64>,
    /// All that were sent to this source
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// All there are
    #[arg(long)]
    pub(crate) all: bool,
}

/// Arguments of `quarantine release`.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    pub(crate) which: RefusedArgs,
    /// Only verify them and say how many would pass; changes nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `quarantine drop`.
#[derive(Debug, Args)]
pub(crate) struct DropArgs {
    #[command(flatten)]
    pub(crate) which: RefusedArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `secrets`.
#[derive(Debug, Args)]
pub(crate) struct SecretsArgs {
    #[command(subcommand)]
    pub(crate) what: SecretsCommand,
}

/// What to tell of secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Tell where the secrets of each source come from and when each was last used; never what they are
    Status(SecretsStatusArgs),
}

/// Arguments of `secrets status`.
#[derive(Debug, Args)]
pub(crate) struct SecretsStatusArgs {
    /// Only of this source
    #[arg(long)]
    pub(crate) source: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
