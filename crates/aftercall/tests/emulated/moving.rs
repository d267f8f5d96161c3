//! Everything moves from the embedded queue to a table and back, while events arrive and the move is killed.

use std::collections::HashMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::client::Client;
use crate::recorder::Recorder;
use crate::site::Site;
use crate::stage::{ask, said, site, table_name, until_so_long};
use crate::waiting;

/// Conversations that take turns.
const CONVERSATIONS: u64 = 7;
/// One event in so many is refused for good.
const POISON: u64 = 20;
/// Events that are there before the move: several transactions, so that it is killed between them.
const BEFORE: u64 = 1_200;
/// The move into the table.
const THERE: [&str; 9] = ["move", "--from", "sqlite", "--to", "aws", "--config", "aftercall.toml", "--log", "json"];

fn event(number: u64) -> String {
    let name = if number.is_multiple_of(POISON) { "poison" } else { "somebody" };
    let conversation = number % CONVERSATIONS;
    format!(
        r#"{{"webhookEventId":"m-{number}","conversationId":"c-{conversation}","data":{{"n":{number},"name":"{name}"}}}}"#
    )
}

/// A CRM that answers with the status that is set, or refuses what is poisoned; and the two configurations of its site.
struct Scene {
    crm: Recorder,
    status: Arc<AtomicU16>,
    refuses: Arc<AtomicU16>,
    site: Site,
}

impl Scene {
    fn new() -> Self {
        let (status, refuses) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicU16::new(422)));
        let (answer, refusal) = (Arc::clone(&status), Arc::clone(&refuses));
        let crm = Recorder::start(move |request| match answer.load(Ordering::SeqCst) {
            200 if request.body.windows(6).any(|word| word == b"poison") => refusal.load(Ordering::SeqCst),
            status => status,
        });
        let rest = format!(
            "[destinations.crm]\nkind = \"http\"\nmethod = \"PUT\"\nurl = \"http://{}/{{event_id}}\"\n\
             [destinations.lake]\nkind = \"file\"\npath = \"events.ndjson\"\n\
             [[routes]]\ndestination = \"crm\"\n[[routes]]\ndestination = \"lake\"\n",
            crm.address
        );
        let site = site(&table_name(), &rest);
        let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
        let (head, tail) = config.split_once("[queue]").unwrap();
        let tail = tail.split_once("[sources.genesys]").unwrap().1;
        let embedded = format!("{head}[sources.genesys]{tail}");
        fs::write(site.path("embedded.toml"), &embedded).unwrap();
        fs::write(site.path("back.toml"), embedded.replace("data_dir = \"data\"", "data_dir = \"back\"")).unwrap();
        let made = site.run(&["aws", "table", "create", "--config", "aftercall.toml"]);
        assert!(made.status.success(), "{}", said(&made));
        Self { crm, status, refuses, site }
    }

    fn serve(&self, config: &str) -> crate::site::Server {
        self.site.start_with(&mut self.site.command(&["serve", "--config", config, "--log", "json"]))
    }

    /// Begins a move, or goes on with it: the process, and where it receives; nowhere if it ended before that.
    fn move_there(&self, number: usize) -> (Child, Option<SocketAddr>) {
        let log = self.site.path(&format!("move-log-{number}"));
        let mut command = self.site.command(&THERE);
        command.stdin(Stdio::null()).stdout(File::create(self.site.path("move-out")).unwrap());
        let mut child = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
        let address = waiting::until("the move receives events, or ends", || {
            let text = fs::read_to_string(&log).unwrap();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let found =
                lines.map(|line| line["fields"]["intake"].clone()).find_map(|intake| intake.as_str()?.parse().ok());
            found.map(Some).or_else(|| child.try_wait().unwrap().map(|_| None))
        });
        (child, address)
    }

    /// The numbers of the events that the CRM took, in their order, by conversation.
    fn taken(&self) -> HashMap<u64, Vec<u64>> {
        let mut taken = HashMap::<u64, Vec<u64>>::new();
        for request in self.crm.answered(200) {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            let number = body["data"]["n"].as_u64().unwrap();
            taken.entry(number % CONVERSATIONS).or_default().push(number);
        }
        taken
    }
}

/// Sends events one after the other, each until it is answered 200, wherever the server is.
struct Sender {
    sent: Arc<AtomicU64>,
    until: Arc<AtomicU64>,
    target: Arc<Mutex<Option<SocketAddr>>>,
    sending: JoinHandle<()>,
}

impl Sender {
    fn start(first: u64) -> Self {
        let (sent, until) = (Arc::new(AtomicU64::new(first)), Arc::new(AtomicU64::new(u64::MAX)));
        let target = Arc::new(Mutex::new(None));
        let (count, last, at) = (Arc::clone(&sent), Arc::clone(&until), Arc::clone(&target));
        let sending = std::thread::spawn(move || {
            while count.load(Ordering::SeqCst) < last.load(Ordering::SeqCst) {
                let number = count.load(Ordering::SeqCst);
                let address: Option<SocketAddr> = *at.lock().unwrap();
                let answer = address
                    .and_then(|address| Client::connect(address).ok()?.post_signed(event(number).as_bytes()).ok());
                match answer {
                    Some(answer) if answer.status == 200 => drop(count.fetch_add(1, Ordering::SeqCst)),
                    _ => std::thread::park_timeout(std::time::Duration::from_millis(5)),
                }
            }
        });
        Self { sent, until, target, sending }
    }

    fn to(&self, address: Option<SocketAddr>) {
        *self.target.lock().unwrap() = address;
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Sends the one that it is at, and no more; how many there are.
    fn stop(self) -> u64 {
        self.until.store(self.sent() + 1, Ordering::SeqCst);
        self.sending.join().unwrap();
        self.sent.load(Ordering::SeqCst)
    }
}

fn send(client: &mut Client, number: u64, expected: (u64, u64)) {
    assert_eq!(client.post_signed(event(number).as_bytes()).unwrap().counts(), expected, "event {number}");
}

#[test]
fn everything_moves_to_a_table_and_back_through_kills_while_events_arrive() {
    let scene = Scene::new();
    let site = &scene.site;
    let server = scene.serve("embedded.toml");
    (1..=60).for_each(|number| send(&mut server.client(), number, (1, 0)));
    server.until_settled("crm");
    let groups = ask(site, &server, &["dead-letters", "groups", "--json"], 0);
    let groups: Value = serde_json::from_str(&groups).unwrap();
    let group = groups[0]["fingerprint"].as_str().or_else(|| groups["groups"][0]["fingerprint"].as_str()).unwrap();
    ask(site, &server, &["dead-letters", "acknowledge", group, "--note", "ours"], 0);
    scene.status.store(503, Ordering::SeqCst);
    for first in (61..=BEFORE).step_by(60) {
        let events: Vec<String> = (first..first + 60).map(event).collect();
        let answer = server.post(format!("[{}]", events.join(",")));
        assert_eq!(answer.counts(), (60, 0));
    }
    server.until_settled("lake");
    server.kill();

    let counted = site.run(&[&THERE[..], &["--dry-run", "--json"]].concat());
    let counted: Value = serde_json::from_slice(&counted.stdout).unwrap();
    assert_eq!((counted["events"].as_u64(), counted["dead_letters"].as_u64()), (Some(BEFORE), Some(3)), "{counted}");

    // Killed where it has just begun, and when something has arrived; at the end it ends by itself.
    let sender = Sender::start(BEFORE + 1);
    for round in 0..3 {
        let (mut child, address) = scene.move_there(round);
        let before = sender.sent();
        sender.to(address);
        waiting::until_so("some arrive", || {
            sender.sent() >= before + round as u64 || child.try_wait().unwrap().is_some()
        });
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let log =
        site.try_start(&mut site.command(&["serve", "--config", "embedded.toml", "--log", "json"])).err().unwrap();
    assert!(log.contains("move"), "nobody works on what is moved: {log}");
    let log = site.try_start(&mut site.serve());
    let (mut child, address) = scene.move_there(3);
    sender.to(address);
    let code = waiting::until("the move ends", || child.try_wait().unwrap()).code();
    let text = fs::read_to_string(site.path("move-log-3")).unwrap();
    // It may have been at its end when it was killed last; then there is nothing to go on with.
    assert!(code == Some(0) || log.is_ok(), "{code:?} {text}");
    let server = log.unwrap_or_else(|_| site.start());
    let log =
        site.try_start(&mut site.command(&["serve", "--config", "embedded.toml", "--data", "data", "--log", "json"]));
    assert!(log.is_err(), "the directory is in use, and what was in it has moved");

    let before = sender.sent();
    sender.to(Some(server.intake));
    waiting::until_so("events arrive in the table", || sender.sent() > before + 20);
    let all = sender.stop() - 1;
    scene.status.store(200, Ordering::SeqCst);
    until_so_long("everything is delivered or dead", || server.consumer("crm")["unsettled"] == 0);
    let taken = scene.taken();
    let expected: Vec<u64> = (1..=all).filter(|number| !number.is_multiple_of(POISON)).collect();
    for (conversation, numbers) in &taken {
        let of: Vec<u64> = expected.iter().copied().filter(|number| number % CONVERSATIONS == *conversation).collect();
        assert_eq!(*numbers, of, "conversation {conversation}: once each, in order");
    }
    assert_eq!(taken.values().map(Vec::len).sum::<usize>(), expected.len());
    assert_eq!(server.count("dead_letters"), all / POISON);
    (1..=all).step_by(9).for_each(|number| send(&mut server.client(), number, (0, 1)));
    let lines = || {
        let mut lines: Vec<String> = site.events();
        lines.sort();
        (lines.len() as u64, {
            lines.dedup();
            lines.len() as u64
        })
    };
    until_so_long("the lake has everything", || lines().1 == all);
    let said = ask(site, &server, &["audit", "verify"], 0);
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(server.stop(), Some(0));

    back(&scene, all);
}

/// The other way: dead letters too, and what is known as a duplicate.
fn back(scene: &Scene, all: u64) {
    let site = &scene.site;
    let moved = site.run(&[
        "move",
        "--from",
        "aws",
        "--to",
        "sqlite",
        "--config",
        "aftercall.toml",
        "--data",
        "back",
        "--no-intake",
        "--json",
    ]);
    assert_eq!(moved.status.code(), Some(0), "{}", said(&moved));
    let log = site.try_start(&mut site.serve()).err().expect("what was in the table has moved");
    assert!(log.contains("back"), "{log}");
    let server = scene.serve("back.toml");
    assert_eq!((server.count("dead_letters"), server.count("accepted")), (all / POISON, all));
    (1..=all).step_by(7).for_each(|number| send(&mut server.client(), number, (0, 1)));
    let before = scene.taken().values().map(Vec::len).sum::<usize>();
    scene.refuses.store(200, Ordering::SeqCst);
    ask(site, &server, &["redrive", "--all"], 0);
    server.until_settled("crm");
    send(&mut server.client(), all + 1, (1, 0));
    server.until_settled("crm");
    let taken = scene.taken().values().map(Vec::len).sum::<usize>();
    assert_eq!(taken as u64, before as u64 + all / POISON + 1, "each dead letter once, and the new one");
    assert_eq!(server.count("dead_letters"), 0);
    assert_eq!(server.stop(), Some(0));
    assert!(!site.logs().contains("panicked"));
}

#[test]
fn a_move_into_what_is_in_use_is_refused_and_one_can_be_given_up() {
    let scene = Scene::new();
    let site = &scene.site;
    let server = scene.serve("embedded.toml");
    send(&mut server.client(), 1, (1, 0));
    let output = site.run(&THERE);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("is in use by"), "{}", said(&output));
    assert_eq!(server.stop(), Some(0));
    let (mut child, address) = scene.move_there(0);
    assert!(address.is_some(), "it receives");
    child.kill().unwrap();
    child.wait().unwrap();
    let output = site.run(&[&THERE[..], &["--abandon"]].concat());
    match output.status.code() {
        Some(0) => {
            let server = scene.serve("embedded.toml");
            send(&mut server.client(), 1, (0, 1));
            assert_eq!(server.stop(), Some(0));
            let output = site.run(&THERE);
            // A table that nothing has arrived in is as good as a new one.
            let (code, said) = (output.status.code(), said(&output));
            assert!(code == Some(0) || code == Some(2) && said.contains("is not finished"), "{code:?} {said}");
        }
        // It was at its end already.
        _ => assert!(said(&output).contains("was moved to"), "{}", said(&output)),
    }
}
