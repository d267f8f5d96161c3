//! Large batches over kills: each event once at the destination, as it received them, and each conversation in order.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::batches::{LARGE, site, spool};
use crate::client::{Answer, signed};
use crate::recorder::Recorder;
use crate::site::{Server, Site};
use crate::waiting;

/// Conversations of a batch; its events take turns.
const CONVERSATIONS: usize = 40;
/// Bytes of an event.
const EVENT: usize = 16 * 1024;

/// A CRM that takes nothing until it is `up`, and a site with it as its destination.
struct Stage {
    crm: Recorder,
    up: Arc<AtomicBool>,
    site: Site,
}

impl Stage {
    fn new(up: bool) -> Self {
        let up = Arc::new(AtomicBool::new(up));
        let takes = Arc::clone(&up);
        let crm = Recorder::start(move |_| if takes.load(Ordering::Relaxed) { 200 } else { 503 });
        // Only the name of an event, so that what the CRM has recorded is small.
        let site = site(
            "",
            &format!(
                "[destinations.crm]\nkind = \"http\"\nmethod = \"PUT\"\nurl = \"http://{}/{{event_id}}\"\n\
                 [[routes]]\ndestination = \"crm\"\nmapping = '.webhookEventId'\n",
                crm.address
            ),
        );
        Self { crm, up, site }
    }

    /// The events that the CRM has taken, each conversation's in the order in which it did. Nothing is left out.
    fn taken(&self) -> HashMap<String, Vec<usize>> {
        let mut taken: HashMap<String, Vec<usize>> = HashMap::new();
        for request in self.crm.answered(200) {
            let name = String::from_utf8(request.body).unwrap();
            let (conversation, number) = name.trim_matches('"').split_once('-').unwrap();
            taken.entry(conversation.to_owned()).or_default().push(number.parse().unwrap());
        }
        taken
    }

    /// Lets the CRM take what is there, and waits until it has.
    fn deliver(&self, server: &Server) {
        self.up.store(true, Ordering::Relaxed);
        server.until_settled("crm");
        assert_eq!(server.count("dead_letters"), 0);
    }
}

/// A batch of at least so many bytes, and how many events each of its conversations has.
fn batch(bytes: usize) -> (Vec<u8>, usize) {
    let each = bytes / EVENT / CONVERSATIONS + 1;
    let mut body = b"[".to_vec();
    for number in 0..each {
        for conversation in 0..CONVERSATIONS {
            let comma = if body.len() == 1 { "" } else { ",\n" };
            let start = body.len();
            body.extend(event_begin(comma, conversation, number).as_bytes());
            body.resize(start + EVENT, b'f');
            body.extend(b"\"}");
        }
    }
    body.push(b']');
    (body, each)
}

fn event_begin(comma: &str, conversation: usize, number: usize) -> String {
    format!(
        "{comma}{{\"webhookEventId\":\"c{conversation}-{number}\",\"conversationId\":\"c{conversation}\",\"filler\":\""
    )
}

/// A single event of the batch's first conversation.
fn newer(number: usize) -> String {
    event_begin("", 0, number) + "\"}"
}

/// Sends on a thread of its own.
fn sending(server: &Server, body: &[u8]) -> JoinHandle<std::io::Result<Answer>> {
    let (mut client, body) = (server.client(), body.to_vec());
    thread::spawn(move || client.post("/in/genesys", &signed(&body), &body))
}

/// Sends as a sender does: again as long as it is told to.
fn send_until_taken(server: &Server, body: &[u8]) -> (u64, u64) {
    let taken = waiting::until("it is taken", || {
        let answer = server.post(body);
        assert!(answer.status == 200 || answer.status == 503, "{answer:?}");
        (answer.status == 200).then_some(answer)
    });
    taken.counts()
}

/// Bytes of the files of the spool, and whether one is accepted.
fn spooled(site: &Site) -> (u64, bool) {
    let Ok(files) = fs::read_dir(site.path("data/spool")) else { return (0, false) };
    files.flatten().fold((0, false), |(bytes, accepted), file| {
        let bytes = bytes + file.metadata().map_or(0, |data| data.len());
        (bytes, accepted || file.path().extension().is_some_and(|extension| extension == "accepted"))
    })
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    Spooling,
    Looking,
    Publishing,
}

/// Kills the server at this moment, and has the sender send again. The CRM is down until then, so nothing but the batch can
/// be the reason if an event comes twice.
fn killed_while(moment: Moment) {
    let stage = Stage::new(false);
    let server = stage.site.start();
    let (body, each) = batch(2 * LARGE);
    let total = (CONVERSATIONS * each) as u64;
    match moment {
        Moment::Spooling => {
            let mut head = format!("POST /in/genesys HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
            signed(&body).iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
            let mut client = server.client();
            client.send(head + "\r\n").unwrap();
            client.send(&body[..body.len() / 2]).unwrap();
            waiting::until_so("a part of it is spooled", || spooled(&stage.site).0 > (body.len() / 4) as u64);
            server.kill();
        }
        Moment::Looking | Moment::Publishing => {
            let answer = sending(&server, &body);
            match moment {
                Moment::Looking => waiting::until_so("it is spooled", || spooled(&stage.site).0 >= body.len() as u64),
                _ => waiting::until_so("publishing has begun", || server.count("accepted") > 0),
            }
            server.kill();
            assert!(answer.join().unwrap().is_err(), "it was killed too late to show anything");
        }
    }
    if moment == Moment::Publishing {
        assert!(spooled(&stage.site).1, "{:?}", spool(&stage.site));
    }
    let server = stage.site.start();
    let (accepted, duplicates) = send_until_taken(&server, &body);
    assert_eq!(accepted + duplicates, total);
    assert_eq!(server.count("accepted"), total);
    waiting::until_so("the spool is empty", || spool(&stage.site).is_empty());
    stage.deliver(&server);
    let taken = stage.taken();
    assert_eq!(taken.len(), CONVERSATIONS);
    for (conversation, numbers) in taken {
        assert!(numbers.iter().copied().eq(0..each), "{conversation}: {numbers:?}");
    }
    assert_eq!(server.stop(), Some(0));
    assert_eq!(stage.site.check().0, 0);
}

#[test]
fn a_kill_while_a_batch_is_spooled_leaves_each_event_once_and_in_order() {
    killed_while(Moment::Spooling);
}

#[test]
fn a_kill_while_a_batch_is_looked_through_leaves_each_event_once_and_in_order() {
    killed_while(Moment::Looking);
}

#[test]
fn a_kill_while_a_batch_is_published_leaves_each_event_once_and_in_order() {
    killed_while(Moment::Publishing);
}

/// What was under way to the CRM when the server was killed comes again, with the same id: of each conversation one event.
#[test]
fn a_kill_while_a_batch_is_published_and_delivered_repeats_at_most_one_event_of_a_conversation() {
    let stage = Stage::new(true);
    let server = stage.site.start();
    let (body, each) = batch(3 * LARGE);
    let answer = sending(&server, &body);
    waiting::until_so("some of it is delivered", || !stage.crm.requests().is_empty());
    server.kill();
    assert!(answer.join().unwrap().is_err(), "it was killed too late to show anything");
    let server = stage.site.start();
    waiting::until_so("all of it is there, without its sender", || {
        server.count("accepted") == (CONVERSATIONS * each) as u64
    });
    stage.deliver(&server);
    for (conversation, numbers) in stage.taken() {
        let repeated = numbers.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!(repeated <= 1, "{conversation}: {numbers:?}");
        let mut once = numbers.clone();
        once.dedup();
        assert!(once.iter().copied().eq(0..each), "{conversation}: {numbers:?}");
    }
}

#[test]
fn newer_events_of_a_conversation_come_behind_a_batch_that_is_pending_also_when_its_sender_has_gone() {
    let stage = Stage::new(true);
    let server = stage.site.start();
    let (body, each) = batch(3 * LARGE);
    let mut head = format!("POST /in/genesys HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
    signed(&body).iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    let mut client = server.client();
    client.send(head + "\r\n").unwrap();
    client.send(&body).unwrap();
    waiting::until_so("it is accepted", || spooled(&stage.site).1);
    // Its sender does not wait for the answer, and goes on with what comes next.
    drop(client);
    assert_eq!(send_until_taken(&server, newer(each).as_bytes()), (1, 0));
    // Of other conversations nothing has to wait.
    let other = r#"{"webhookEventId":"other-0","conversationId":"other"}"#;
    assert_eq!(server.post(other).counts(), (1, 0));
    waiting::until_so("all of it is there", || server.count("accepted") == (CONVERSATIONS * each + 2) as u64);
    stage.deliver(&server);
    let taken = stage.taken();
    assert!(taken["c0"].iter().copied().eq(0..=each), "{:?}", taken["c0"]);
    assert!(taken["c1"].iter().copied().eq(0..each), "{:?}", taken["c1"]);
}

#[test]
fn newer_events_of_a_conversation_come_behind_a_batch_that_was_accepted_before_a_kill() {
    let stage = Stage::new(false);
    let server = stage.site.start();
    let (body, each) = batch(3 * LARGE);
    let answer = sending(&server, &body);
    waiting::until_so("publishing has begun", || server.count("accepted") > 0);
    server.kill();
    assert!(answer.join().unwrap().is_err(), "it was killed too late to show anything");
    let server = stage.site.start();
    // It never hears of the batch again.
    assert_eq!(send_until_taken(&server, newer(each).as_bytes()), (1, 0));
    waiting::until_so("all of it is there", || server.count("accepted") == (CONVERSATIONS * each + 1) as u64);
    stage.deliver(&server);
    let taken = stage.taken();
    assert!(taken["c0"].iter().copied().eq(0..=each), "{:?}", taken["c0"]);
    assert!(taken["c1"].iter().copied().eq(0..each), "{:?}", taken["c1"]);
}
