//! How much the simulator itself can do on this machine: load against the CRM, and the generator alone.
//!
//! `cargo run --release -p simulator --example measure`

use std::time::{Duration, Instant};

use simulator::client::{Auth, Client};
use simulator::contact_centre::{ContactCentre, Knobs};
use simulator::crm::{self, Crm};
use simulator::sign::{Scheme, Signer};
use simulator::{SimulatorError, client, load};

#[expect(clippy::print_stdout, reason = "a measurement is there to be printed")]
fn main() -> Result<(), SimulatorError> {
    let crm = Crm::start(crm::Options::default())?;
    let auth = Auth::Signed(Signer::new(Scheme::Genesys, "a secret for measuring")?);

    let options = load::Options {
        auth: auth.clone(),
        idempotency_key: true,
        ..load::Options::new(crm.address())
    };
    for (name, options) in [
        ("load, 1 KB requests", options.clone()),
        (
            "load, 100-event requests",
            load::Options {
                events_per_request: 100,
                run: 2,
                ..options.clone()
            },
        ),
        (
            "load, at 20,000/s",
            load::Options {
                rate: Some(20_000.0),
                run: 3,
                ..options
            },
        ),
    ] {
        let report = load::run(&options)?;
        let latency = report.latency.summary();
        let rate = report.requests_per_second();
        println!(
            "{name}: {rate:.0} requests/s, p50 {:?}, p99 {:?}, max {:?}",
            latency.p50, latency.p99, latency.max
        );
    }

    let knobs = Knobs {
        events: 200_000,
        ..Knobs::default()
    };
    let began = Instant::now();
    let requests: Vec<_> = ContactCentre::new(knobs)?.collect();
    println!(
        "contact centre: {:.0} events/s",
        200_000.0 / began.elapsed().as_secs_f64()
    );

    let options = client::Options {
        genesys: auth,
        ..client::Options::new(crm.address())
    };
    let count = requests.len() as f64;
    let report = Client::start(options, requests.into_iter())?.wait(Duration::from_secs(1), |_| {});
    println!(
        "client: {:.0} requests/s, {} unanswered",
        count / report.elapsed.as_secs_f64(),
        report.unacked.len()
    );
    println!("{:?}", crm.stop());
    Ok(())
}
