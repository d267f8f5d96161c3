//! What the platform knows and counts.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Options;
use super::ratelimit::Window;
use crate::dice::Dice;

/// Malformed requests that are written down; more are only counted.
const MALFORMED_MAX: usize = 1_000;

/// A conversation that has ended.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// Its id, a UUID.
    pub id: String,
    /// Its communications.
    pub communications: Vec<Communication>,
}

/// One leg of a conversation.
#[derive(Debug, Clone)]
pub struct Communication {
    /// Its id, a UUID; analytics call it the session's.
    pub id: String,
    /// Whether it was recorded.
    pub recorded: bool,
    /// Its transcript, if there will ever be one.
    pub transcript: Option<Transcript>,
}

/// A transcript, which may be late.
#[derive(Debug, Clone, Copy, Default)]
pub struct Transcript {
    /// Its size in bytes, at least that of one without a word.
    pub bytes: u64,
    /// It is not there yet for so many requests.
    pub after_requests: u32,
    /// It is not there yet for so long.
    pub after: Duration,
    /// Into how many recordings the communication was cut, each with a transcript of its own; 0 is one like 1.
    pub recordings: u32,
}

/// What is wrong with a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is refused with this status.
    Status(u16),
    /// The connection breaks off after so many bytes.
    BreaksOff(u64),
    /// Nothing comes any more after so many bytes.
    Stalls(u64),
    /// It ends after so many bytes as if that were all, without having said how many there are.
    EndsEarly(u64),
    /// A page instead of a transcript, with status 200.
    Page,
    /// Another address is named.
    Redirect,
}

/// What the platform was asked, since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Requests for tokens, however they ended.
    pub token_requests: u64,
    /// Tokens that were issued.
    pub tokens_issued: u64,
    /// Requests for tokens with wrong credentials.
    pub credentials_refused: u64,
    /// Requests for tokens that were too many.
    pub token_requests_limited: u64,
    /// Requests to the API, however they ended.
    pub api_requests: u64,
    /// Requests to the API without a valid token.
    pub unauthorised: u64,
    /// Requests to the API that were too many.
    pub api_requests_limited: u64,
    /// Transcripts that were handed out.
    pub downloads: u64,
    /// How many requests no client may send, and what was wrong with the first thousand.
    pub malformed_count: u64,
    /// What was wrong with them.
    pub malformed: Vec<String>,
}

/// An address that was given out for a transcript.
#[derive(Debug, Clone)]
pub(super) struct Presigned {
    pub(super) path: String,
    pub(super) ends: Instant,
    pub(super) conversation: String,
    pub(super) communication: String,
    pub(super) bytes: u64,
}

/// A transcript and how often it was asked for.
#[derive(Debug)]
pub(super) struct Making {
    pub(super) transcript: Transcript,
    pub(super) begun: Instant,
    pub(super) asked: u32,
}

#[derive(Debug)]
pub(super) struct Books {
    pub(super) options: Options,
    pub(super) address: SocketAddr,
    pub(super) report: Report,
    /// Every token that was issued and not revoked, and its end.
    pub(super) tokens: HashMap<String, Instant>,
    pub(super) token_failure: Option<u16>,
    pub(super) api_failure: (u16, u32),
    pub(super) download_fault: Option<(Fault, u32)>,
    /// What addresses of transcripts begin with, if it is not this platform.
    pub(super) elsewhere: Option<String>,
    pub(super) token_window: Window,
    pub(super) api_window: Window,
    pub(super) conversations: HashMap<String, Conversation>,
    /// By conversation and communication.
    pub(super) transcripts: HashMap<(String, String), Making>,
    /// By signature.
    pub(super) presigned: HashMap<String, Presigned>,
    dice: Dice,
}

impl Books {
    pub(super) fn new(options: Options, address: SocketAddr) -> Self {
        Self {
            options,
            address,
            report: Report::default(),
            tokens: HashMap::new(),
            token_failure: None,
            api_failure: (0, 0),
            download_fault: None,
            elsewhere: None,
            token_window: Window::default(),
            api_window: Window::default(),
            conversations: HashMap::new(),
            transcripts: HashMap::new(),
            presigned: HashMap::new(),
            // Two platforms must not know each other's tokens.
            dice: Dice::new(u64::from(address.port())),
        }
    }

    pub(super) fn add(&mut self, conversation: Conversation, now: Instant) {
        for communication in &conversation.communications {
            if let Some(transcript) = communication.transcript {
                let key = (conversation.id.clone(), communication.id.clone());
                self.transcripts.insert(key, Making { transcript, begun: now, asked: 0 });
            }
        }
        self.conversations.insert(conversation.id.clone(), conversation);
    }

    /// What is wrong with the next download.
    pub(super) fn next_fault(&mut self) -> Option<Fault> {
        let (fault, times) = self.download_fault.as_mut()?;
        let fault = *fault;
        *times -= 1;
        if *times == 0 {
            self.download_fault = None;
        }
        Some(fault)
    }

    pub(super) fn accepts(&self, authorization: &str, now: Instant) -> bool {
        let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
        self.tokens.get(token).is_some_and(|ends| now < *ends)
    }

    /// A text that nobody can guess who does not know this code.
    pub(super) fn unguessable(&mut self) -> String {
        format!("{}{}", self.dice.uuid(), self.dice.uuid()).replace('-', "")
    }

    pub(super) fn correlation_id(&mut self) -> String {
        self.dice.uuid().to_string()
    }

    /// Writes down what no client may send.
    pub(super) fn note_malformed(&mut self, what: impl Into<String>) {
        self.report.malformed_count += 1;
        if self.report.malformed.len() < MALFORMED_MAX {
            self.report.malformed.push(what.into());
        }
    }
}
