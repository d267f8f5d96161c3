//! The `postgres` kind: one row for each delivery, written into a table of PostgreSQL by key.
//!
//! What it guarantees: a delivery that is reported done is committed; a repeated one, a late retry or a replay never
//! overwrites newer data if the table has a version; no value of an event is ever part of a statement; no secret reaches
//! an error. Deliveries that come while a statement is under way share the next one ([`batch`](crate::batch)). Each key
//! has one connection that writes it, so two statements never write the same row at once.
//!
//! What the database refuses about one row is permanent, and found alone: the others of its statement pass. Whatever is
//! wrong with the database, the table or the password concerns all deliveries, which wait as in an outage.
//!
//! A crash in the middle leaves a statement that is committed or not; its deliveries come again and change nothing.

mod connection;
mod fold;
mod lane;
mod options;
mod refusal;
mod row;
mod send;
mod sql;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod tls;
mod value;

pub use options::{Keep, Options, SslMode};
pub use send::PostgresDestination;
