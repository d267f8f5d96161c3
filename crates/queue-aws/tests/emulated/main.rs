//! The queue on AWS against an emulator of DynamoDB, which `cargo xtask test` starts.
#![cfg(test)]

mod conformance;
mod emulator;
mod faults;
mod owners;
mod side_by_side;
