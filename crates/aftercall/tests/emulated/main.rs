//! The real program with its queue on AWS, against an emulator of DynamoDB and S3 that `cargo xtask test` starts.
#![cfg(test)]

#[path = "../end_to_end/client.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod client;
mod commands;
mod large;
mod moving;
#[path = "../end_to_end/recorder.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod recorder;
mod side_by_side;
#[path = "../end_to_end/site.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod site;
mod stage;
mod table;
#[path = "../end_to_end/waiting.rs"]
mod waiting;
