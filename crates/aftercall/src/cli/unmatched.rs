//! The command line of `unmatched`.

use clap::{Args, Subcommand};
use event::Timestamp;

use super::ServerArgs;
use crate::replay::time;

/// Arguments of `unmatched`.
#[derive(Debug, Args)]
pub(crate) struct UnmatchedArgs {
    #[command(subcommand)]
    pub(crate) what: UnmatchedCommand,
}

/// What to tell of events that matched no route.
#[derive(Debug, Subcommand)]
pub(crate) enum UnmatchedCommand {
    /// Count them by source and topic, the largest group first; the place to begin
    Groups(UnmatchedGroupsArgs),
    /// List them, newest first
    List(ListUnmatchedArgs),
}

/// Which events without a route.
#[derive(Debug, Args)]
pub(crate) struct WhichUnmatchedArgs {
    /// Only of this source
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// Only of this topic; an empty one, "", is that of events which name none
    #[arg(long)]
    pub(crate) topic: Option<String>,
    /// Only of this conversation
    #[arg(long)]
    pub(crate) conversation: Option<String>,
    /// Only what was received then or later: 2026-03-19T21:00:00Z, or a date
    #[arg(long, value_parser = time, conflicts_with = "within")]
    pub(crate) from: Option<Timestamp>,
    /// Only what was received before
    #[arg(long, value_parser = time)]
    pub(crate) to: Option<Timestamp>,
    /// Only what was received within this time, such as 2h
    #[arg(long)]
    pub(crate) within: Option<humantime::Duration>,
}

impl WhichUnmatchedArgs {
    /// The same as a query of the admin API.
    pub(crate) fn query(&self, now: Timestamp) -> Vec<(&'static str, String)> {
        let from = self.from.or_else(|| self.within.map(|within| now.minus(*within)));
        let millis = |time: Timestamp| time.as_millis().to_string();
        let all = [
            ("source", self.source.clone()),
            ("topic", self.topic.clone()),
            ("conversation", self.conversation.clone()),
            ("from", from.map(millis)),
            ("to", self.to.map(millis)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// Arguments of `unmatched groups`.
#[derive(Debug, Args)]
pub(crate) struct UnmatchedGroupsArgs {
    #[command(flatten)]
    pub(crate) which: WhichUnmatchedArgs,
    /// Look at the newest so many events without a route, or a few more, whatever is chosen of them
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) newest: u64,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `unmatched list`.
#[derive(Debug, Args)]
pub(crate) struct ListUnmatchedArgs {
    #[command(flatten)]
    pub(crate) which: WhichUnmatchedArgs,
    /// List only those before this place in the log
    #[arg(long)]
    pub(crate) before: Option<u64>,
    /// List at most so many, 1 to 1000
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) limit: u16,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
