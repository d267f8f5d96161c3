//! JSON pointers (RFC 6901) into a payload, for the URL.
//!
//! The payload is scanned, not parsed into a tree: what lies beside the path is skipped without recursion, so a deeply
//! nested payload costs no stack, and a number keeps the digits it was written with.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Most tokens of a pointer. The scan recurses once for each; no payload for a CRM is addressed any deeper.
const TOKENS_LIMIT: usize = 32;

/// A JSON pointer, split and unescaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pointer {
    text: String,
    tokens: Vec<String>,
}

impl Pointer {
    /// Reads a pointer that starts with `/`; the error is what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(path) = text.strip_prefix('/') else {
            return Err("a JSON pointer starts with `/`");
        };
        let tokens = path.split('/').map(unescape).collect::<Option<Vec<_>>>();
        let tokens = tokens.ok_or("in a JSON pointer `~` is written `~0` and `/` is written `~1`")?;
        if tokens.len() > TOKENS_LIMIT {
            return Err("a JSON pointer has at most 32 parts here");
        }
        Ok(Self { text: text.to_owned(), tokens })
    }

    /// The pointer as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text, number or boolean it points to. The error says in words what is there instead.
    pub(crate) fn scalar(&self, payload: &[u8]) -> Result<String, String> {
        let mut json = serde_json::Deserializer::from_slice(payload);
        let found = Find(&self.tokens)
            .deserialize(&mut json)
            .and_then(|found| json.end().map(|()| found))
            .map_err(|e| format!("the payload is not JSON ({e})"))?;
        let missing = |what| Err(format!("{what} at `{}` of the payload", self.text));
        let Some(raw) = found.map(RawValue::get) else {
            return missing("there is nothing");
        };
        match raw.as_bytes().first() {
            Some(b'"') => match serde_json::from_str::<Cow<'_, str>>(raw) {
                Ok(text) => Ok(text.into_owned()),
                Err(_) => missing("there is a broken string"),
            },
            Some(b'n') => missing("there is null"),
            Some(b'[') => missing("there is an array instead of a text or number"),
            Some(b'{') => missing("there is an object instead of a text or number"),
            _ => Ok(raw.to_owned()),
        }
    }
}

fn unescape(token: &str) -> Option<String> {
    let well_escaped = token.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    well_escaped.then(|| token.replace("~1", "/").replace("~0", "~"))
}

/// Follows the tokens down and gives the raw value at their end. Of repeated keys the last counts, as in jq.
#[derive(Clone, Copy)]
struct Find<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            return serde::Deserialize::deserialize(deserializer).map(Some);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (token, rest) = self.0.split_first().ok_or_else(|| A::Error::custom("empty pointer"))?;
        let mut found = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == token.as_str() {
                found = map.next_value_seed(Find(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (token, rest) = self.0.split_first().ok_or_else(|| A::Error::custom("empty pointer"))?;
        let canonical = token == "0" || !token.starts_with(['0', '+']);
        let wanted = token.parse::<usize>().ok().filter(|_| canonical);
        let mut found = None;
        for index in 0.. {
            if wanted == Some(index) {
                match seq.next_element_seed(Find(rest))? {
                    Some(value) => found = value,
                    None => break,
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}
