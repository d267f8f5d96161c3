//! Paths: JSON pointers that may lead to many places.

use std::fmt;
use std::str::FromStr;

use super::{ParsePointerError, Pointer};

/// A step that leads to every member of an object and every item of an array.
const ANY: &str = "*";

/// A JSON pointer in which a step may be `*`: every member or item. So a member that is called `*` cannot be named alone;
/// `*` leads to it among the others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path(Pointer);

impl Path {
    /// Its steps from the whole on; `None` is every member or item.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        self.0.tokens().map(|token| (token != ANY).then_some(token))
    }

    /// Whether it leads to the place that `pointer` names, or to something around it.
    pub fn covers(&self, pointer: &Pointer) -> bool {
        let (steps, tokens) = (self.steps(), pointer.tokens());
        steps.len() <= tokens.len() && steps.zip(tokens).all(|(step, token)| step.is_none_or(|step| step == token))
    }
}

impl FromStr for Path {
    type Err = ParsePointerError;

    fn from_str(text: &str) -> Result<Self, ParsePointerError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_covers_what_is_at_it_and_inside_it() {
        let covers = |path: &str, pointer: &str| path.parse::<Path>().unwrap().covers(&pointer.parse().unwrap());
        assert!(covers("/a", "/a") && covers("/a", "/a/b") && covers("/*", "/a/b") && covers("/*/b", "/a/b"));
        assert!(!covers("/a/b", "/a") && !covers("/b", "/a") && !covers("/*/c", "/a/b") && !covers("/*", ""));
        assert_eq!("/a/*/~0".parse::<Path>().unwrap().to_string(), "/a/*/~0");
        assert!("a".parse::<Path>().is_err());
    }
}
