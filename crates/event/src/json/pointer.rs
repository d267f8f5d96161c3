//! JSON pointers (RFC 6901).

use std::fmt;
use std::str::FromStr;

/// Most tokens of a pointer. Looking values up recurses once per token; no field of a real event lies as deep.
pub const MAX_POINTER_TOKENS: usize = 32;

/// A path to a value inside a JSON text, such as `/detail/eventBody/conversationId`. The empty pointer is the whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Pointer {
    tokens: Vec<String>,
}

impl Pointer {
    /// The names on the path, unescaped.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tokens.iter().map(String::as_str)
    }
}

/// The text is not a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParsePointerError {
    /// A pointer begins with a slash.
    #[error("`{0}` is not a JSON pointer: it must be empty or begin with `/`, for example `/detail/eventBody/id`")]
    NoSlash(String),
    /// A tilde stands for nothing by itself.
    #[error("`{0}` is not a JSON pointer: write `~0` for `~` and `~1` for `/` in a name")]
    Tilde(String),
    /// Deeper than is looked.
    #[error("`{0}` has more than {MAX_POINTER_TOKENS} names; point to something less deep")]
    TooDeep(String),
}

impl FromStr for Pointer {
    type Err = ParsePointerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let excerpt = || text.chars().take(128).collect::<String>();
        if text.is_empty() {
            return Ok(Self::default());
        }
        let names = text.strip_prefix('/').ok_or_else(|| ParsePointerError::NoSlash(excerpt()))?;
        let tokens = names
            .split('/')
            .take(MAX_POINTER_TOKENS + 1)
            .map(unescape)
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| ParsePointerError::Tilde(excerpt()))?;
        if tokens.len() > MAX_POINTER_TOKENS {
            return Err(ParsePointerError::TooDeep(excerpt()));
        }
        Ok(Self { tokens })
    }
}

fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('~');
    let mut unescaped = parts.next()?.to_owned();
    for part in parts {
        let (escape, rest) = part.split_at_checked(1)?;
        unescaped.push(match escape {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        unescaped.push_str(rest);
    }
    Some(unescaped)
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for token in &self.tokens {
            write!(f, "/{}", token.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

impl serde::Serialize for Pointer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Pointer {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
