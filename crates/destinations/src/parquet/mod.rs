//! The `parquet` kind: outcomes as rows of Parquet files in an object store, each event once.
//!
//! What it guarantees: a delivery that is reported done is in the journal, synced, and will be a row of exactly one file.
//! An event that comes again gets no second row, as long as it is one of the latest that are remembered
//! ([`Options::remembered`]): after a crash between the sync and the settlement, after an attempt that was given up too
//! early, and in a replay. What does not fit the schema is refused for good, alone; what the schema does not know is kept.
//!
//! **Why a journal, and not leases that are held until a file is written.** A file for analysis has tens of thousands of
//! rows, or some minutes of them. As many leases would have to be open, prolonged and held in memory, delivery's limit on
//! concurrency would be the size of a file, every restart would begin the file anew, and conversations that keep an order
//! would stand still for minutes. So a delivery is taken over by a sync to the local disk, with all others that wait, and
//! the queue is done with it. The price: until its file is written, at most [`Options::file_age`] and the time of the
//! upload, a row is on this machine's disk alone, as an accepted event is. If the store is down for longer, deliveries fail
//! in passing and wait in the queue.
//!
//! A crash in the middle:
//!
//! | when | what happens then |
//! |---|---|
//! | before a frame is synced | it is cut off; its deliveries were not reported, and come again |
//! | between the sync and the settlement | the delivery comes again; its id is known, so it is done without a row |
//! | before a segment is closed | it goes on to be filled |
//! | while its files are written | they are written again, under the same names, from the same rows |
//! | between the files and the catalogue's entry | the same |
//! | between the entry and the drop | the same |
//! | while files are merged, or rows are erased from one | it is gone on with ([`replace`]) |

mod catalogue;
mod columns;
mod ddl;
mod encode;
mod erase;
mod extra;
mod folders;
mod frame;
mod held;
mod ids;
mod journal;
mod lake;
mod making;
mod memory;
mod merge;
mod options;
mod partition;
mod peek;
mod replace;
mod rewrite;
mod row;
mod row_of;
mod schema;
mod send;
mod shared;
mod take;
#[cfg(test)]
mod tests;
mod upload;
mod work;

pub use ddl::{athena, redshift};
pub use options::Options;
pub use partition::Grain;
pub use send::ParquetDestination;

/// What is in the journal in a directory that no destination has open; nothing if there is none.
///
/// # Errors
/// The directory cannot be read.
pub fn left_in(journal: &std::path::Path) -> std::io::Result<crate::Standing> {
    let size = journal::left_in(journal)?;
    Ok(crate::Standing { rows: size.rows, bytes: size.bytes, problem: None })
}
