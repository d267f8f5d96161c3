//! The rules of one source, applied to the bytes of an event.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use event::json::{Place, Places, Pointer, Raw, Take};

use crate::error::Error;
use crate::keys::Keys;
use crate::limits::{MAX_RULES, redacted_max};
use crate::rule::{How, Rule};

/// What stands in place of a masked value, or of what is masked of it.
const MASK: &str = "***";

/// Rules that are ready to be applied.
#[derive(Debug, Clone)]
pub struct Redactor {
    rules: Vec<Rule>,
    places: Places,
    keys: Arc<Keys>,
}

impl Redactor {
    /// Prepares rules. Where several lead to one place, the first counts; where one leads to something around what another
    /// leads to, the one around it does.
    ///
    /// # Errors
    /// If there are too many, or two have the same path.
    pub fn new(rules: Vec<Rule>, keys: Arc<Keys>) -> Result<Self, Error> {
        if rules.len() > MAX_RULES {
            return Err(Error::TooManyRules);
        }
        let same = rules.iter().enumerate().find(|(at, rule)| rules[..*at].iter().any(|other| other.path == rule.path));
        if let Some((_, rule)) = same {
            return Err(Error::SamePath(rule.path.to_string()));
        }
        let take = |how| if how == How::Drop { Take::Member } else { Take::Value };
        let places = Places::new(rules.iter().map(|rule| (&rule.path, take(rule.how))));
        Ok(Self { rules, places, keys })
    }

    /// Its keys.
    pub fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// The first rule that leads to the place of a pointer, or to something around it.
    pub fn covers(&self, pointer: &Pointer) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.path.covers(pointer))
    }

    /// The event without what the rules take. What they do not lead to keeps its bytes; if they lead to nothing, it is the
    /// event itself, not a copy.
    ///
    /// # Errors
    /// If it is no JSON, or would become too long ([`redacted_max`]).
    pub fn apply(&self, event: &Bytes) -> Result<Bytes, Error> {
        self.apply_within(event, redacted_max(event.len()))
    }

    /// The same, with the bytes that it may have.
    ///
    /// # Errors
    /// If it is no JSON, or would become longer.
    pub fn apply_within(&self, event: &Bytes, max: usize) -> Result<Bytes, Error> {
        let places = self.places(event)?;
        let within = |bytes: usize| if bytes > max { Err(Error::TooLarge { max }) } else { Ok(()) };
        if places.is_empty() {
            return within(event.len()).map(|()| event.clone());
        }
        let mut redacted = Vec::with_capacity(event.len().min(max));
        let mut done = 0;
        for place in places {
            redacted.extend_from_slice(&event[done..place.at.start]);
            redacted.extend_from_slice(self.instead(&place)?.as_bytes());
            within(redacted.len())?;
            done = place.at.end;
        }
        redacted.extend_from_slice(&event[done..]);
        within(redacted.len())?;
        Ok(redacted.into())
    }

    /// What stands in place of a value, as JSON.
    fn instead(&self, place: &Place<'_>) -> Result<String, Error> {
        match self.rules[place.path].how {
            How::Drop => Ok(String::new()),
            How::Mask { keep_last } => Ok(masked(place.value, keep_last)),
            // Hashes and tokens need no escapes.
            How::Hash => self.keys.first().map(|key| format!("\"{}\"", key.hash_of(place.value))),
            How::Tokenise => self.keys.tokenise(place.value).map(|token| format!("\"{token}\"")),
        }
    }

    /// All places of a body that the rules lead to.
    pub(crate) fn places<'b>(&self, body: &'b [u8]) -> Result<Vec<Place<'b>>, Error> {
        Ok(self.places.find(body)?)
    }

    /// What a rule does.
    pub(crate) fn how(&self, rule: usize) -> How {
        self.rules[rule].how
    }
}

fn masked(value: Raw<'_>, keep_last: usize) -> String {
    let text = value.string().filter(|_| keep_last > 0).unwrap_or_default();
    let count = text.chars().count();
    let kept = text.chars().skip(count - keep_last.min(count / 2));
    let mut json = format!("\"{MASK}");
    for sign in kept {
        match sign {
            '"' | '\\' => json.extend(['\\', sign]),
            // Writing to a string does not fail.
            '\0'..' ' => drop(write!(json, "\\u{:04x}", u32::from(sign))),
            _ => json.push(sign),
        }
    }
    json.push('"');
    json
}
