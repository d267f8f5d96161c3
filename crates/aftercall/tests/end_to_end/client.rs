//! An HTTP client that can do everything wrong: it writes bytes and reads answers.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;
use simulator::sign::{Scheme, Signer};

use crate::site::SECRET;
use crate::waiting::PATIENCE;

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    reader: BufReader<TcpStream>,
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Checks that it is a problem detail, and returns its code.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.headers.get("content-type").map(String::as_str), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{self:?}");
        problem["code"].as_str().unwrap().to_owned()
    }

    /// How many events of the request were accepted, and how many were duplicates.
    pub(crate) fn counts(&self) -> (u64, u64) {
        assert_eq!(self.status, 200, "{self:?}");
        let json = self.json();
        (json["accepted"].as_u64().unwrap(), json["duplicates"].as_u64().unwrap())
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, reader })
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// The next answer; an error if the connection ends before it.
    pub(crate) fn answer(&mut self) -> std::io::Result<Answer> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(format!("no answer but {line:?}")))?;
        let mut headers = HashMap::new();
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        Ok(Answer { status, headers, body: String::from_utf8(body).expect("answers are text") })
    }

    /// Whether the other side has closed the connection; waits for that.
    pub(crate) fn ended(&mut self) -> bool {
        matches!(self.reader.read(&mut [0]), Ok(0))
            || matches!(self.stream.take_error(), Ok(None)) && self.reader.read(&mut [0]).is_err()
    }

    /// One request on this connection.
    pub(crate) fn post(&mut self, path: &str, headers: &[(&str, String)], body: &[u8]) -> std::io::Result<Answer> {
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        self.send(&request)?;
        self.answer()
    }

    /// A signed body on this connection.
    pub(crate) fn post_signed(&mut self, body: &[u8]) -> std::io::Result<Answer> {
        self.post("/in/genesys", &signed(body), body)
    }
}

/// The headers of an authentic JSON body.
pub(crate) fn signed(body: &[u8]) -> Vec<(&'static str, String)> {
    let mut headers = Signer::new(Scheme::Genesys, SECRET).unwrap().headers(body, "", 0);
    headers.push(("content-type", "application/json".to_owned()));
    headers
}

/// One request on a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> std::io::Result<Answer> {
    let mut client = Client::connect(address)?;
    client.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"))?;
    client.answer()
}
