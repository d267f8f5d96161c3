//! What the simulator itself costs on this machine: the load generator against the CRM, and the making of events.
//!
//! `cargo run --release -p simulator --example measure`

use std::time::{Duration, Instant};

use simulator::SimulatorError;
use simulator::client::Auth;
use simulator::contact_centre::{ContactCentre, Knobs};
use simulator::crm::{self, Crm};
use simulator::load;
use simulator::sign::{Scheme, Signer};

#[expect(clippy::print_stdout, reason = "a measurement is there to be printed")]
fn main() -> Result<(), SimulatorError> {
    let crm = Crm::start(crm::Options::default())?;
    let auth = Auth::Signed(Signer::new(Scheme::Genesys, "a secret for measuring")?);
    let options = load::Options { auth, idempotency_key: true, ..load::Options::new(crm.address()) };
    let batches = load::Options { events_per_request: 100, run: 2, ..options.clone() };
    let steady = load::Options { rate: Some(20_000.0), run: 3, ..options.clone() };
    for (name, options) in [("1 KB", options), ("100 events", batches), ("1 KB, 20,000/s", steady)] {
        let before = cpu_of("crm");
        let report = load::run(&options)?;
        let latency = report.latency.summary();
        println!(
            "{name}: {:.0} requests/s, p50 {:?}, p99 {:?}; CPU per request: load {:.2} µs, CRM {:.2} µs",
            report.requests_per_second(),
            latency.p50,
            latency.p99,
            micros_each(report.cpu, report.sent),
            micros_each(cpu_of("crm").saturating_sub(before), report.sent),
        );
    }
    println!("{:?}", crm.stop());

    let began = Instant::now();
    let knobs = Knobs { events: 200_000, ..Knobs::default() };
    let requests = ContactCentre::new(knobs)?.count();
    let rate = 200_000.0 / began.elapsed().as_secs_f64();
    println!("contact centre: {requests} requests, {rate:.0} events/s");
    Ok(())
}

fn micros_each(cpu: Duration, requests: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / requests as f64
}

/// Processor time of this process's thread of that name; zero where Linux's `/proc` is not there.
fn cpu_of(name: &str) -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let nanos = threads
        .map(|thread| thread.path())
        .filter(|path| read(path.join("comm")).trim() == name)
        .filter_map(|path| read(path.join("schedstat")).split(' ').next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(nanos)
}
