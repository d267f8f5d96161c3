//! The real binary from end to end: real processes, real sockets, real files, a real kill -9.
//!
//! Each test has a server of its own in a directory of its own ([`site`]), on ports of the system's choice.

#[cfg(test)]
mod access;
#[cfg(test)]
mod alarms;
#[cfg(test)]
mod archive;
#[cfg(test)]
mod aside;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod aws_lint;
mod aws_plan;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod batch_failures;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod batch_order;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod batches;
#[cfg(test)]
mod client;
#[cfg(test)]
#[cfg(feature = "otlp")]
mod collector;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod erase;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod faults;
#[cfg(test)]
mod first_event;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod flood;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod full_disk;
#[cfg(test)]
mod genesys;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod kept;
#[cfg(test)]
#[cfg(feature = "parquet")]
mod lake;
#[cfg(test)]
#[cfg(feature = "parquet")]
#[cfg(target_os = "linux")]
mod lake_disk;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod oauth;
#[cfg(test)]
mod order;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod outcome;
#[cfg(test)]
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(test)]
mod quarantine;
#[cfg(test)]
mod recipes;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod redaction;
#[cfg(test)]
mod redrive;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod review;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod site;
#[cfg(test)]
mod sources;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod stories;
#[cfg(test)]
mod tls;
#[cfg(test)]
#[cfg(feature = "otlp")]
mod traces;
#[cfg(test)]
mod transcripts;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod transcripts_size;
#[cfg(test)]
mod unmatched;
#[cfg(test)]
mod waiting;
