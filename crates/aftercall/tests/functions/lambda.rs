//! Lambda's runtime interface, from the side of Lambda: hands a function one event after the other, and takes what it says.

use std::collections::VecDeque;
use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::recorder::Request;

/// What a function said of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    Answer(String),
    Failure(Value),
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(String, String, Duration)>,
    said: Vec<(String, Said)>,
    /// How often the next event was asked for.
    asked: usize,
}

/// The interface.
#[derive(Clone)]
pub(crate) struct Lambda {
    pub(crate) address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Lambda {
    /// Runs until the test process ends.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let lambda = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let serving = lambda.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                // It ends with the connection, whatever the reason.
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        lambda
    }

    /// Hands over an event, which is to be answered in so much time.
    pub(crate) fn give(&self, id: &str, event: &str, time: Duration) {
        self.state.0.lock().unwrap().waiting.push_back((id.to_owned(), event.to_owned(), time));
        self.state.1.notify_all();
    }

    /// What was said of it, if anything was.
    pub(crate) fn said(&self, id: &str) -> Option<Said> {
        let state = self.state.0.lock().unwrap();
        state.said.iter().find(|(known, _)| known == id).map(|(_, said)| said.clone())
    }

    /// How often the next event was asked for.
    pub(crate) fn asked(&self) -> usize {
        self.state.0.lock().unwrap().asked
    }

    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut writer = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        while let Some(Request { path, body, .. }) = Request::read(&mut reader)? {
            let body = String::from_utf8(body).unwrap();
            let path = path.strip_prefix("/2018-06-01/runtime/").unwrap_or_else(|| panic!("{path}"));
            match path.split('/').collect::<Vec<_>>()[..] {
                ["invocation", "next"] => {
                    let (id, event, time) = self.next();
                    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + time;
                    write!(
                        writer,
                        "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: {id}\r\nlambda-runtime-deadline-ms: {}\r\n\
                         lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:1:function:f\r\n\
                         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
                        deadline.as_millis(),
                        event.len()
                    )?;
                    writer.write_all(event.as_bytes())?;
                }
                ["invocation", id, "response"] => self.note(&mut writer, id, Said::Answer(body))?,
                ["invocation", id, "error"] => {
                    self.note(&mut writer, id, Said::Failure(serde_json::from_str(&body).unwrap()))?;
                }
                ["init", "error"] => {
                    self.note(&mut writer, "init", Said::Failure(serde_json::from_str(&body).unwrap()))?
                }
                _ => panic!("{path}"),
            }
        }
        Ok(())
    }

    fn next(&self) -> (String, String, Duration) {
        let mut state = self.state.0.lock().unwrap();
        state.asked += 1;
        loop {
            if let Some(next) = state.waiting.pop_front() {
                return next;
            }
            state = self.state.1.wait(state).unwrap();
        }
    }

    fn note(&self, writer: &mut TcpStream, id: &str, said: Said) -> std::io::Result<()> {
        self.state.0.lock().unwrap().said.push((id.to_owned(), said));
        write!(writer, "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
    }
}
