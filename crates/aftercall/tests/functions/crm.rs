//! A CRM that records every request and answers what it is told to.

use std::collections::HashMap;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::recorder;

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    Answer(u16),
    /// 200, after this time.
    Slow(Duration),
    /// 200 to who sends this as `Authorization`, and 401 to others.
    Want(&'static str),
    /// Nothing, for ever.
    Hang,
    /// Reads nothing of what is sent.
    ReadNothing,
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
    pub(crate) status: Option<u16>,
}

/// Runs until the test process ends.
#[derive(Clone)]
pub(crate) struct Crm {
    pub(crate) address: SocketAddr,
    does: Arc<Mutex<Does>>,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<Mutex<usize>>,
}

impl Crm {
    pub(crate) fn start(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let crm = Self {
            address: listener.local_addr().unwrap(),
            does: Arc::new(Mutex::new(does)),
            requests: Arc::default(),
            connections: Arc::default(),
        };
        let serving = crm.clone();
        std::thread::spawn(move || {
            let mut unread = Vec::new();
            for stream in listener.incoming().flatten() {
                *serving.connections.lock().unwrap() += 1;
                if *serving.does.lock().unwrap() == Does::ReadNothing {
                    unread.push(stream);
                    continue;
                }
                let serving = serving.clone();
                // It ends with the connection, whatever the reason.
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        crm
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/calls", self.address)
    }

    pub(crate) fn now_does(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    /// Connections that were made to it.
    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The `number` of each event that it has taken, in their order.
    pub(crate) fn taken(&self) -> Vec<String> {
        self.numbers(|request| request.status == Some(200))
    }

    /// The `number` of each event that came, whatever became of it.
    pub(crate) fn came(&self) -> Vec<String> {
        self.numbers(|_| true)
    }

    fn numbers(&self, wanted: impl Fn(&Request) -> bool) -> Vec<String> {
        let number = |request: &Request| {
            let (_, rest) = request.body.split_once(r#""number":""#).unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        self.requests().iter().filter(|request| wanted(request)).map(number).collect()
    }

    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut writer = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        while let Some(recorder::Request { headers, body, .. }) = recorder::Request::read(&mut reader)? {
            let does = *self.does.lock().unwrap();
            let status = match does {
                Does::Answer(status) => Some(status),
                Does::Slow(time) => {
                    std::thread::park_timeout(time);
                    Some(200)
                }
                Does::Want(wanted) if headers.get("authorization").is_some_and(|sent| sent == wanted) => Some(200),
                Does::Want(_) => Some(401),
                Does::Hang | Does::ReadNothing => None,
            };
            let body = String::from_utf8(body).unwrap();
            self.requests.lock().unwrap().push(Request { headers, body, status });
            match status {
                Some(status) => write!(writer, "HTTP/1.1 {status} Told\r\ncontent-length: 0\r\n\r\n")?,
                None => {
                    // Until the other side goes away.
                    let _ = reader.read(&mut [0]);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
