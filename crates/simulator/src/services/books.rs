//! What a service knows and counts: its table, its tokens, its ledger.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::header;
use serde_json::{Map, Value};

use super::{CLIENT_ID, CLIENT_SECRET, Options, REFUSED};
use crate::dice::Dice;
use crate::platform::Asked;

/// Malformed requests and calls that are written down; more are only counted.
const KEPT_MAX: usize = 100_000;

/// What it does instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is down for maintenance: 503.
    Unavailable,
    /// An error of its own: 500.
    Broken,
    /// The calls of a day are used up.
    DailyLimit,
    /// Somebody else holds a lock on each record.
    Locked,
    /// Closes the connection without an answer; nothing is written.
    Reset,
    /// The same, and everything is written.
    LostAnswer,
    /// Answers well, but not what is documented; everything is written.
    Unreadable,
    /// Does its work and answers so much later.
    Slow(Duration),
}

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What was written to its fields, the newest of each.
    pub fields: Map<String, Value>,
    /// How often it was written.
    pub writes: u32,
}

/// A call for records, as it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// What it was answered with; 0 if it got no answer.
    pub status: u16,
    /// Records that were in it.
    pub records: usize,
    /// Records that were written.
    pub written: usize,
}

/// What a service was asked, since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The calls for records.
    pub calls: Vec<Call>,
    /// Tokens that were issued.
    pub tokens_issued: u64,
    /// Calls without a valid token.
    pub unauthorised: u64,
    /// Records whose sequence went back.
    pub out_of_order: u64,
    /// What was wrong with requests that no client may send.
    pub malformed: Vec<String>,
}

/// Why a record is not written.
pub(super) struct Refusal {
    pub(super) field: String,
}

#[derive(Debug)]
pub(super) struct Books {
    pub(super) options: Options,
    pub(super) origin: String,
    pub(super) report: Report,
    pub(super) fault: Option<Fault>,
    pub(super) tokens: HashMap<String, Instant>,
    /// By the key in small letters, with the key as it was written first.
    pub(super) table: BTreeMap<String, (String, Row)>,
    dice: Dice,
}

impl Books {
    pub(super) fn new(options: Options, address: SocketAddr) -> Self {
        let dice = Dice::new(u64::from(address.port()));
        Self {
            options,
            origin: format!("http://{address}"),
            report: Report::default(),
            fault: None,
            tokens: HashMap::new(),
            table: BTreeMap::new(),
            dice,
        }
    }

    /// An 18-character id of a record, or a part of a token.
    pub(super) fn id(&mut self) -> String {
        self.dice.uuid().to_string().replace('-', "").chars().take(18).collect()
    }

    pub(super) fn issue(&mut self, now: Instant) -> String {
        let token = format!("00D!{}{}", self.id(), self.id());
        self.tokens.insert(token.clone(), now + self.options.token_lifetime);
        self.report.tokens_issued += 1;
        token
    }

    /// Whether a request has a valid token.
    pub(super) fn accepts(&mut self, asked: &Asked, fixed: Option<&str>, now: Instant) -> bool {
        let text = asked.header(&header::AUTHORIZATION).ok().flatten();
        let token = text.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
        let accepted = match fixed {
            Some(fixed) => token == fixed,
            None => self.tokens.get(token).is_some_and(|ends| now < *ends),
        };
        self.report.unauthorised += u64::from(!accepted);
        accepted
    }

    pub(super) fn knows(credentials: &(String, String)) -> bool {
        (credentials.0.as_str(), credentials.1.as_str()) == (CLIENT_ID, CLIENT_SECRET)
    }

    pub(super) fn malformed(&mut self, what: impl Into<String>) {
        if self.report.malformed.len() < KEPT_MAX {
            self.report.malformed.push(what.into());
        }
    }

    pub(super) fn note(&mut self, status: u16, records: usize, written: usize) {
        if self.report.calls.len() < KEPT_MAX {
            self.report.calls.push(Call { status, records, written });
        }
    }

    /// A field that the object does not have. Names are known in any letters, large or small.
    pub(super) fn unknown_field<'f>(&self, mut fields: impl Iterator<Item = &'f String>) -> Option<&'f String> {
        fields.find(|field| !self.options.fields.iter().any(|known| known.eq_ignore_ascii_case(field)))
    }

    /// Why this record is refused, if it is.
    pub(super) fn refusal(fields: &Map<String, Value>) -> Option<Refusal> {
        let refused = fields.iter().find(|(_, value)| value.as_str() == Some(REFUSED));
        refused.map(|(field, _)| Refusal { field: field.clone() })
    }

    /// Writes a record. Whether it is new.
    pub(super) fn upsert(&mut self, key: &str, fields: Map<String, Value>) -> bool {
        let name = self.options.sequence.clone();
        let number = |fields: &Map<String, Value>| {
            let value = fields.get(name.as_ref()?)?;
            value.as_f64().or_else(|| value.as_str()?.parse().ok())
        };
        let identity = key.trim().to_lowercase();
        let new = !self.table.contains_key(&identity);
        let (_, row) =
            self.table.entry(identity).or_insert_with(|| (key.to_owned(), Row { fields: Map::new(), writes: 0 }));
        if number(&fields) < number(&row.fields) {
            self.report.out_of_order += 1;
        }
        row.writes += 1;
        row.fields.extend(fields);
        new
    }
}
