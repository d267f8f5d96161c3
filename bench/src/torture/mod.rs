//! Kills the server under load, again and again, and then checks what became of every event.
//!
//! A contact centre sends through both sources, in order within each conversation, with batches and duplicates, and
//! repeats what got no answer. The CRM fails for a moment now and then. The server is killed at moments that the seed
//! decides: while it starts, while it serves, while it checkpoints, while it drops what is beyond retention, and while
//! it stops. At the end everything that was acknowledged must have reached the CRM: once, and in order.

mod load;
mod moment;
mod run;
mod verdict;

use anyhow::Result;
use clap::Args;

use crate::Places;
use crate::workplace::Workplace;
use run::Run;

/// Arguments of `torture`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    places: Places,
    /// How many times to kill the server
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    kills: u32,
    /// Decides the moments and the events [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// Events per second that the contact centre sends at most
    #[arg(long, default_value_t = 3_000.0)]
    rate: f64,
}

/// Tortures, and prints `N passed, N failed` last; whether nothing was wrong.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let seed = arguments.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("seed {seed}: {} kills, {} events/s at most", arguments.kills, arguments.rate);
    let mut workplace = Workplace::make(&arguments.places.work, "torture")?;
    let ended = Run::start(arguments, seed, workplace.folder()).and_then(Run::finish);
    let verdict = match ended {
        Ok(verdict) => verdict,
        Err(error) => {
            workplace.keep();
            println!("violated: {error:#}");
            println!("seed {seed}; the data and the log are kept in {}", workplace.folder().display());
            println!("0 passed, 1 failed");
            return Ok(false);
        }
    };
    println!("{verdict}");
    if !verdict.is_good() {
        workplace.keep();
        println!("seed {seed}; the data and the log are kept in {}", workplace.folder().display());
    }
    println!("{} passed, {} failed", verdict.passed(), verdict.failed());
    Ok(verdict.is_good())
}
