//! The program as functions of AWS Lambda: the real binary as `bootstrap`, driven by a server of Lambda's runtime interface,
//! with the queue, secrets, configuration and wake-ups at an emulator of AWS, which `cargo xtask test` starts.
#![cfg(test)]

mod alarms;
mod aws;
#[cfg(feature = "otlp")]
#[path = "../end_to_end/collector.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod collector;
mod crm;
mod deployed;
mod function;
mod ingest;
mod kills;
mod lambda;
mod large;
mod messages;
mod outage;
#[path = "../end_to_end/recorder.rs"]
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "other tests need more of it"))]
mod recorder;
mod rotation;
mod site;
mod start;
#[cfg(feature = "otlp")]
mod traces;
mod waiting;
