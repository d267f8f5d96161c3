//! The command line of `dead-letters` and `redrive`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use event::Timestamp;
use event::json::Pointer;

use super::{PageArgs, ServerArgs, ShowArgs};

/// Arguments of `dead-letters`.
#[derive(Debug, Args)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    pub(crate) what: DeadLettersCommand,
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// Put those that failed alike together, the largest group first; the place to begin
    Groups(GroupsArgs),
    /// Say that a group is being dealt with: its alarm is told no more until a new letter comes
    Acknowledge(ReviewArgs),
    /// Say that a group has been dealt with: its alarm ends
    Resolve(ReviewArgs),
    /// Say that a group is not dealt with after all
    Reopen(ReviewArgs),
    /// List them, oldest first
    List(ListDeadLettersArgs),
    /// Show one with everything that is known of it
    Show(ShowDeadLetterArgs),
    /// Edit a copy of its body, which a redrive delivers; the original stays
    Edit(EditArgs),
    /// Write them to a file with their bodies, a line of JSON each
    Export(ExportArgs),
    /// Drop some for good
    Discard(DiscardArgs),
}

/// Which dead letters.
#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// Only of this destination
    #[arg(long)]
    pub(crate) destination: Option<String>,
    /// Only of this group, as `dead-letters groups` names it
    #[arg(long)]
    pub(crate) group: Option<String>,
    /// Only of this conversation
    #[arg(long)]
    pub(crate) conversation: Option<String>,
    /// Only of this stage: intake, queue, route, map or deliver
    #[arg(long)]
    pub(crate) stage: Option<String>,
    /// Only those that died within this time, such as 2h
    #[arg(long)]
    pub(crate) within: Option<humantime::Duration>,
}

impl WhichArgs {
    /// Whether anything is said.
    pub(crate) fn is_any(&self) -> bool {
        !self.query(Timestamp::default()).is_empty()
    }

    /// The same as a query of the admin API.
    pub(crate) fn query(&self, now: Timestamp) -> Vec<(&'static str, String)> {
        let since = self.within.map(|within| now.minus(*within).as_millis().to_string());
        let all = [
            ("destination", self.destination.clone()),
            ("group", self.group.clone()),
            ("conversation", self.conversation.clone()),
            ("stage", self.stage.clone()),
            ("since", since),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// Arguments of `dead-letters groups`.
#[derive(Debug, Args)]
pub(crate) struct GroupsArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `dead-letters list`.
#[derive(Debug, Args)]
pub(crate) struct ListDeadLettersArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    #[command(flatten)]
    pub(crate) page: PageArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `dead-letters acknowledge`, `resolve` and `reopen`.
#[derive(Debug, Args)]
pub(crate) struct ReviewArgs {
    /// The group, as `dead-letters groups` names it
    pub(crate) group: String,
    /// What is to be noted, for those who look next
    #[arg(long, default_value = "")]
    pub(crate) note: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `redrive`.
#[derive(Debug, Args)]
pub(crate) struct RedriveArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// All there are
    #[arg(long, conflicts_with_all = ["destination", "group", "conversation", "stage", "within"])]
    pub(crate) all: bool,
    /// At most so many, oldest first: try 1, then 10, then the rest
    #[arg(long)]
    pub(crate) limit: Option<u64>,
    /// At most so many a second
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: u32,
    /// Only try the server's mappings on them, and show what would be sent; changes nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `dead-letters show`.
#[derive(Debug, Args)]
pub(crate) struct ShowDeadLetterArgs {
    #[command(flatten)]
    pub(crate) show: ShowArgs,
    /// Print only the edited copy, byte for byte
    #[arg(long, conflicts_with_all = ["body", "json"])]
    pub(crate) edited: bool,
}

/// Arguments of `dead-letters edit`.
#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// Its number
    pub(crate) id: u64,
    /// A file that holds the edited body; `-` is standard input [default: $EDITOR opens it, on a terminal]
    #[arg(long, conflicts_with_all = ["set", "drop"])]
    pub(crate) file: Option<PathBuf>,
    /// Set the value at a JSON pointer, such as /data/name="Ann" or /items/-=7; may be repeated. The rest stays byte for
    /// byte. Goes on from an earlier edited copy
    #[arg(long, value_name = "POINTER=JSON", value_parser = setting, conflicts_with = "drop")]
    pub(crate) set: Vec<(Pointer, String)>,
    /// Drop the edited copy, so that a redrive delivers the original
    #[arg(long)]
    pub(crate) drop: bool,
    /// Why; kept with the copy
    #[arg(long, required_unless_present = "drop")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn setting(text: &str) -> Result<(Pointer, String), String> {
    let (pointer, value) = text.split_once('=').ok_or("write a JSON pointer, `=` and JSON: /data/name=\"Ann\"")?;
    let whole = [Pointer::default()];
    let checked = event::json::Lookup::new(&whole).find(value.as_bytes()).map(drop);
    checked.map_err(|_| format!("`{value}` is not JSON; a text needs quotes: '{pointer}=\"{value}\"'"))?;
    Ok((pointer.parse().map_err(|error: event::json::ParsePointerError| error.to_string())?, value.to_owned()))
}

/// Arguments of `dead-letters export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// The file to write; must not exist [default: standard output]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// How to write them
    #[arg(long, value_enum, default_value = "ndjson")]
    pub(crate) format: ExportFormat,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// How to write an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// A line of JSON for each
    Ndjson,
}

/// Arguments of `dead-letters discard`.
#[derive(Debug, Args)]
pub(crate) struct DiscardArgs {
    /// Their numbers
    #[arg(required = true)]
    pub(crate) ids: Vec<u64>,
    /// Why they are not needed; stands in the server's log
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
