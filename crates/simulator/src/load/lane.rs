//! One keep-alive connection, with at most one request under way.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::answer::Answer;
use super::template::{Sequence, Template};

/// Room for an answer; a longer one makes it grow.
const ANSWER_ROOM: usize = 8 * 1024;

/// A connection and what is under way on it.
#[derive(Debug)]
pub(super) struct Lane {
    stream: TcpStream,
    connected: bool,
    sequence: Sequence,
    out: Vec<u8>,
    written: usize,
    received: Vec<u8>,
    filled: usize,
    /// From when the latency of the request under way counts.
    under_way: Option<Instant>,
}

/// A request that has its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    pub(super) since: Instant,
    pub(super) status: u16,
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
}

impl Lane {
    /// Begins to connect; it is writable once that is done.
    pub(super) fn connect(
        registry: &Registry,
        token: Token,
        target: SocketAddr,
        sequence: Sequence,
    ) -> io::Result<Self> {
        let mut stream = TcpStream::connect(target)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            connected: false,
            sequence,
            out: Vec::new(),
            written: 0,
            received: vec![0; ANSWER_ROOM],
            filled: 0,
            under_way: None,
        })
    }

    /// What to go on with over another connection.
    pub(super) fn sequence(&self) -> Sequence {
        self.sequence.clone()
    }

    /// Whether a request waits for its answer.
    pub(super) fn busy(&self) -> bool {
        self.under_way.is_some()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether connecting has come to its end; an error if it failed.
    pub(super) fn connected(&mut self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => self.stream.set_nodelay(true)?,
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
            Err(error) => return Err(error),
        }
        self.connected = true;
        Ok(true)
    }

    /// Sends the next request.
    pub(super) fn send(&mut self, template: &mut Template, since: Instant) -> io::Result<()> {
        template.write(&mut self.sequence, &mut self.out);
        self.written = 0;
        self.under_way = Some(since);
        self.go_on_writing()
    }

    /// Writes what the socket takes; more when it is writable again.
    pub(super) fn go_on_writing(&mut self) -> io::Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(wrote) => self.written += wrote,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what there is; the answer, if it is complete.
    ///
    /// A read that does not fill the room has emptied the socket, so the next bytes will wake the poll again.
    pub(super) fn receive(&mut self) -> io::Result<Option<Done>> {
        loop {
            if self.filled == self.received.len() {
                self.received.resize(self.filled * 2, 0);
            }
            let room = self.received.len() - self.filled;
            match self.stream.read(&mut self.received[self.filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    self.filled += read;
                    if read < room {
                        return self.answer();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.answer(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn answer(&mut self) -> io::Result<Option<Done>> {
        let received = &self.received[..self.filled];
        let Some(answer) = Answer::read(received).map_err(io::Error::other)? else {
            return Ok(None);
        };
        let Some(since) = self.under_way.take() else {
            return Err(io::Error::other("an answer that was not asked for"));
        };
        let done = Done {
            since,
            status: answer.status,
            accepted: answer.count(received, b"\"accepted\":"),
            duplicates: answer.count(received, b"\"duplicates\":"),
        };
        self.received.copy_within(answer.len..self.filled, 0);
        self.filled -= answer.len;
        Ok(Some(done))
    }
}
