//! Strangers who hold connections: senders and health checks get in nevertheless.

use std::net::TcpStream;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::client;
use crate::site::{Server, Site, TO_FILE};

/// More than the server's limit of 4,096.
const IDLE: usize = 4_400;
const SLOW: usize = 300;

/// Lets this process hold the strangers' ends, as far as it may; says how many.
fn strangers() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let files = if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft };
    IDLE.min(usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(1_500))
}

fn event(id: impl std::fmt::Display) -> String {
    format!(r#"{{"webhookEventId":"{id}","conversationId":"c-1"}}"#)
}

fn stranger(server: &Server) -> TcpStream {
    TcpStream::connect(server.intake).unwrap()
}

#[test]
fn thousands_of_held_connections_keep_no_sender_and_no_health_check_out() {
    let strangers = strangers();
    let limit = 4_096.min(strangers - 100);
    let site = Site::with_head(&format!("[intake.limits]\nconnections = {limit}\n"), TO_FILE);
    let server = site.start();
    let mut sender = server.client();
    assert_eq!(sender.post_signed(event("before").as_bytes()).unwrap().counts(), (1, 0));

    let mut held: Vec<TcpStream> = (0..strangers).map(|_| stranger(&server)).collect();
    // Heads and bodies that do not end, and requests that prove nothing.
    let mut slow = Vec::new();
    for number in 0..SLOW {
        let mut client = server.client();
        let head = "POST /in/genesys HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
        let sent = match number % 3 {
            0 => client.send(format!("{head}x-slow: ")),
            1 => client.send(format!(
                "{head}content-length: 900\r\nx-genesys-webhook-signature: {}\r\n\r\n{{",
                "0".repeat(64)
            )),
            _ => client.send("GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n"),
        };
        sent.unwrap();
        slow.push(client);
        held.push(stranger(&server));
        if number % 10 == 0 {
            // The connection of a sender stays, and new ones come through.
            assert_eq!(sender.post_signed(event(format!("kept-{number}")).as_bytes()).unwrap().counts(), (1, 0));
            assert_eq!(server.post(event(format!("new-{number}"))).counts(), (1, 0));
            for path in ["/health/live", "/health/ready"] {
                assert_eq!(client::get(server.intake, path).unwrap().status, 200, "{path}");
            }
        }
    }
    server.until_settled("events");
    assert_eq!(site.events().len(), 1 + 2 * SLOW / 10);
    drop((held, slow));
    assert_eq!(server.stop(), Some(0));
    let log = site.logs();
    assert!(log.contains("those that were only held were closed for others"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn too_few_files_for_the_connections_are_told_and_shut_nobody_out() {
    let site = Site::new(TO_FILE);
    let mut command = std::process::Command::new("bash");
    let limited = format!("ulimit -n 700; exec {} serve --config aftercall.toml --log json", crate::site::AFTERCALL);
    let server = site.start_with(command.current_dir(site.path("")).args(["-c", &limited]));
    let _held: Vec<_> = (0..600).map(|_| stranger(&server)).collect();
    assert_eq!(server.post(event("genuine")).counts(), (1, 0));
    server.until_settled("events");
    let log = site.logs();
    assert!(log.contains("too few files") && log.contains("LimitNOFILE"), "{log}");
    assert!(!log.contains("no connection can be accepted"), "{log}");
    assert_eq!(server.stop(), Some(0));
}
