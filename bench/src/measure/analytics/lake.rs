//! Outcomes in Parquet files: normalised, in the journal, settled, and written.

use anyhow::Result;

use super::super::Bench;
use super::super::report::{Line, Target};
use super::{PATIENCE, drain, fill};
use crate::server::{Delivery, Setup};
use crate::workplace::Workplace;

/// On two cores.
const OUTCOMES_PER_SECOND_MIN: f64 = 200_000.0;
/// Bytes of a megabyte.
const MB: f64 = 1e6;
const LAKE: &str = "
[destinations.lake]
kind = \"parquet\"
url = \"lake\"
order = \"none\"
concurrency = 2000
file_age = \"1s\"
merge_files = 0
[[routes]]
destination = \"lake\"
mapping = \"outcome\"
";

pub(super) fn measure(bench: &Bench, outcomes: u64) -> Result<Vec<Line>> {
    let (mut written, mut settled, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    bench.each_round("outcomes in Parquet files", || {
        let place = Workplace::make(&bench.work, "lake")?;
        let mut setup = Setup::new(&bench.binary, place.folder(), Delivery::None)?;
        LAKE.clone_into(&mut setup.more);
        let mut server = setup.start()?;
        fill(bench, &setup, "lake", outcomes)?;
        // What is settled and no longer in the journal is in a file.
        let rate = drain(&setup, &mut server, "lake", outcomes, |status| {
            status.delivered("lake").saturating_sub(status.keeps("lake"))
        })?;
        written.push(rate);
        let began = std::time::Instant::now();
        server.wait_until_settled(PATIENCE)?;
        settled.push(began.elapsed().as_secs_f64());
        memory.push(server.process.memory()?.most as f64 / MB);
        server.stop()
    })?;
    Ok(vec![
        Line::new("outcomes normalised and in Parquet files, from the queue", "outcomes/s", written)
            .wants(Target::AtLeast(OUTCOMES_PER_SECOND_MIN)),
        Line::new("until the last of them are settled too", "s", settled),
        Line::new("resident memory meanwhile", "MB", memory),
    ])
}
