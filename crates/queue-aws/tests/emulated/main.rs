//! The queue on AWS against an emulator of DynamoDB, which `cargo xtask test` starts.
#![cfg(test)]

mod bucket;
mod conformance;
mod emulator;
mod faults;
mod large;
mod owners;
mod side_by_side;
mod upkeep;
