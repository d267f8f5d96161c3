//! Bodies that are too large for memory: how soon they are answered, and what the whole server takes at the most.
//!
//! The destination is down, so that its window is as full as it gets while the bodies are split.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use simulator::sign::{Scheme, Signer};

use super::Bench;
use super::report::{Line, Target};
use crate::server::{Delivery, Setup, WEBHOOK_SECRET};
use crate::workplace::{Workplace, free_address};

/// Bytes of an event, about the usual.
const EVENT_BYTES: usize = 1_024;
/// Bytes of a megabyte.
const MB: usize = 1_000_000;
/// What senders of webhooks wait.
const ANSWER_S_MAX: f64 = 3.0;
/// Of one body of 100 MB, and of four at once.
const MEMORY_MB_MAX: f64 = 128.0;
/// Of one of 300 MB.
const LARGEST_MEMORY_MB_MAX: f64 = 160.0;
/// Longer than any body takes.
const PATIENCE: Duration = Duration::from_secs(300);
const LIMITS: &str = "[intake.limits]\nbody = \"512MiB\"\nbody_timeout = \"300s\"\n";

/// Seconds until the last answer, and the most memory in megabytes.
#[derive(Default)]
struct Figures {
    seconds: Vec<f64>,
    memory_mb: Vec<f64>,
}

pub(super) fn measure(bench: &Bench) -> Result<Vec<Line>> {
    let (mut one, mut four, mut largest) = (Figures::default(), Figures::default(), Figures::default());
    bench.each_round("large", || {
        round(bench, 100 * MB, 1, &mut one)?;
        round(bench, 100 * MB, 4, &mut four)?;
        round(bench, 300 * MB, 1, &mut largest)
    })?;
    let memory = |what: &str, figures: &Figures, max: f64| {
        Line::new(format!("most memory with {what}"), "MB", figures.memory_mb.clone()).wants(Target::AtMost(max))
    };
    Ok(vec![
        Line::new("a batch of 100 MB is answered", "s", one.seconds.clone()).wants(Target::AtMost(ANSWER_S_MAX)),
        memory("a batch of 100 MB", &one, MEMORY_MB_MAX),
        Line::new("the last of four batches of 100 MB is answered", "s", four.seconds.clone()),
        memory("four batches of 100 MB", &four, MEMORY_MB_MAX),
        Line::new("a batch of 300 MB is answered", "s", largest.seconds.clone()),
        memory("a batch of 300 MB", &largest, LARGEST_MEMORY_MB_MAX),
    ])
}

fn round(bench: &Bench, bytes: usize, bodies: usize, figures: &mut Figures) -> Result<()> {
    let place = Workplace::make(&bench.work, "large")?;
    let mut setup = Setup::new(&bench.binary, place.folder(), Delivery::Crm(free_address()?))?;
    setup.more = LIMITS.to_owned();
    let server = setup.start()?;
    let intake = setup.intake();
    let signer = Signer::new(Scheme::Genesys, WEBHOOK_SECRET)?;
    let requests: Vec<(Vec<u8>, u64)> = (0..bodies).map(|name| request(&signer, name, bytes)).collect();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let sending: Vec<_> = requests.iter().map(|request| scope.spawn(move || send(intake, request))).collect();
        sending.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("sending panicked"))?)
    })?;
    figures.seconds.push(began.elapsed().as_secs_f64());
    figures.memory_mb.push(server.process.memory()?.most as f64 / MB as f64);
    server.stop()
}

/// The bytes of a request with a batch of so many bytes, and how many events it holds.
fn request(signer: &Signer, name: usize, bytes: usize) -> (Vec<u8>, u64) {
    let mut body = b"{\"eventType\":\"measured\",\"data\":[".to_vec();
    let mut events = 0;
    while body.len() < bytes {
        let (start, comma) = (body.len(), if events == 0 { "" } else { "," });
        let conversation = events % 1_000;
        body.extend(
            format!(
                "{comma}{{\"webhookEventId\":\"{name}-{events}\",\"conversationId\":\"{name}-{conversation}\",\"said\":\""
            )
            .bytes(),
        );
        body.resize(start + EVENT_BYTES, b's');
        body.extend(b"\"}");
        events += 1;
    }
    body.extend(b"]}");
    let mut request = format!("POST /in/genesys HTTP/1.1\r\nhost: measured\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in signer.headers(&body, "", 0) {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("content-type: application/json\r\nconnection: close\r\n\r\n");
    let mut request = request.into_bytes();
    request.extend(body);
    (request, events)
}

/// Sends a request, and checks that all of its events were accepted.
fn send(intake: SocketAddr, (request, events): &(Vec<u8>, u64)) -> Result<()> {
    let mut stream = TcpStream::connect(intake).context("connecting")?;
    stream.set_read_timeout(Some(PATIENCE)).context("setting a timeout")?;
    stream.write_all(request).context("sending a batch")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).context("reading the answer")?;
    let text = String::from_utf8_lossy(&answer[..answer.len().min(2_000)]);
    let wanted = format!("{{\"accepted\":{events},\"duplicates\":0,");
    ensure!(text.starts_with("HTTP/1.1 200 ") && text.contains(&wanted), "a batch was answered {text}");
    Ok(())
}
