//! A proxy between the program and a service, on loopback, that answers badly on command.
//!
//! It handles one request a connection, so that what it is told holds from the next request on.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::Result;

/// What is done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is passed on.
    Pass,
    /// It is answered 503, as a store does that is asked too much.
    Slow,
    /// It is passed on, and the answer is kept back.
    Torn,
    /// It is never answered, until the mode changes.
    Hang,
    /// If it writes a Parquet file it is kept back, and passed on when it is [released](Proxy::release).
    Late,
}

/// Longest time that a service takes for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a request that hangs looks whether it may end.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Most bytes of a request's head.
const HEAD_MAX: usize = 64 * 1024;
const SLOW_DOWN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>SlowDown</Code><Message>Please reduce your \
                         request rate.</Message></Error>";

/// A proxy that runs as long as the process.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    mode: Arc<AtomicU8>,
    spoilt: Arc<AtomicU64>,
    /// What is kept back.
    late: Arc<Mutex<Vec<Kept>>>,
}

/// A request that is kept back: its head and its body, and whoever waits for the answer.
type Kept = (String, Vec<u8>, TcpStream);

impl Proxy {
    /// Starts one before a service.
    pub(super) fn start(service: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let proxy = Self {
            address: listener.local_addr()?,
            mode: Arc::default(),
            spoilt: Arc::default(),
            late: Arc::default(),
        };
        let handed_out = proxy.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let proxy = proxy.clone();
                // What goes wrong is what the program has to cope with.
                thread::spawn(move || drop(proxy.serve(client, service)));
            }
        });
        Ok(handed_out)
    }

    /// Changes what is done with requests, and how many were spoilt until now.
    pub(super) fn set(&self, mode: Mode) -> u64 {
        self.mode.store(mode as u8, Ordering::SeqCst);
        self.spoilt()
    }

    /// Requests that were not answered well.
    pub(super) fn spoilt(&self) -> u64 {
        self.spoilt.load(Ordering::SeqCst)
    }

    /// The place of a file that is kept back, if one is.
    pub(super) fn kept_back(&self) -> Option<String> {
        let kept = self.late.lock().ok()?;
        written(&kept.first()?.0)
    }

    /// Passes on what was kept back, long after whoever sent it has gone.
    pub(super) fn release(&self, service: SocketAddr) -> Result<usize> {
        let kept = self.late.lock().map(|mut kept| std::mem::take(&mut *kept)).unwrap_or_default();
        for (head, body, _) in &kept {
            ask(service, head, body)?;
        }
        Ok(kept.len())
    }

    fn mode(&self) -> Mode {
        match self.mode.load(Ordering::SeqCst) {
            1 => Mode::Slow,
            2 => Mode::Torn,
            3 => Mode::Hang,
            4 => Mode::Late,
            _ => Mode::Pass,
        }
    }

    fn serve(&self, mut client: TcpStream, service: SocketAddr) -> Result<()> {
        client.set_read_timeout(Some(PATIENCE))?;
        let Some((head, body)) = request(&mut client)? else { return Ok(()) };
        let mode = self.mode();
        if mode != Mode::Pass {
            self.spoilt.fetch_add(1, Ordering::SeqCst);
        }
        match mode {
            Mode::Slow => {
                let head = "HTTP/1.1 503 Slow Down\r\ncontent-type: application/xml\r\nconnection: close";
                write!(client, "{head}\r\ncontent-length: {}\r\n\r\n{SLOW_DOWN}", SLOW_DOWN.len())?;
            }
            Mode::Hang => {
                while self.mode() == Mode::Hang {
                    thread::sleep(LOOK_EVERY);
                }
            }
            Mode::Late if written(&head).is_some() => {
                if let Ok(mut kept) = self.late.lock() {
                    kept.push((head, body, client));
                }
            }
            Mode::Pass | Mode::Torn | Mode::Late => {
                let answer = ask(service, &head, &body)?;
                if mode != Mode::Torn {
                    client.write_all(&answer)?;
                }
            }
        }
        Ok(())
    }
}

/// The place of the file of rows that a request writes.
fn written(head: &str) -> Option<String> {
    let place = head.strip_prefix("PUT ")?.split([' ', '?']).next()?;
    // Some clients encode more of it than others.
    let marks = [("%2F", "/"), ("%2D", "-"), ("%2E", "."), ("%3D", "=")];
    let place = marks.iter().fold(place.to_owned(), |place, (code, mark)| place.replace(code, mark));
    place.ends_with(".parquet").then_some(place)
}

/// The head of a request, without its last empty line, and its body.
fn request(client: &mut TcpStream) -> Result<Option<(String, Vec<u8>)>> {
    let (mut text, mut part) = (Vec::new(), [0; 16 * 1024]);
    let end = loop {
        if let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        let read = client.read(&mut part)?;
        if read == 0 || text.len() > HEAD_MAX {
            return Ok(None);
        }
        text.extend_from_slice(&part[..read]);
    };
    let head = String::from_utf8_lossy(&text[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    let mut body = text.split_off(end + 4);
    while body.len() < length.unwrap_or_default() {
        let read = client.read(&mut part)?;
        if read == 0 {
            return Ok(None);
        }
        body.extend_from_slice(&part[..read]);
    }
    Ok(Some((head, body)))
}

fn ask(service: SocketAddr, head: &str, body: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(service)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let kept = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head: Vec<_> = kept.chain(["connection: close"]).collect();
    stream.write_all(format!("{}\r\n\r\n", head.join("\r\n")).as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
