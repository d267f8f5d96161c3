//! A small document for patterns: members keep their order, numbers their digits.

use super::{JsonError, Scalar, Scanner, Text, unescape};
use crate::limits::MAX_PATTERN_DEPTH;

/// One JSON value of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    Text(String),
    /// The literal as written.
    Number(String),
    True,
    False,
    Null,
}

/// Reads a whole text, at most [`MAX_PATTERN_DEPTH`] levels deep.
pub(crate) fn parse_tree(text: &str) -> Result<Node, JsonError> {
    let mut reader = Reader { text, scanner: Scanner::new(text.as_bytes()) };
    let node = reader.value(0)?;
    reader.scanner.expect_end()?;
    Ok(node)
}

struct Reader<'a> {
    text: &'a str,
    scanner: Scanner<'a>,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Node, JsonError> {
        if depth > MAX_PATTERN_DEPTH {
            return Err(self.scanner.error("nested too deeply for a pattern"));
        }
        match self.scanner.peek_token() {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            _ => Ok(match self.scanner.scalar()? {
                Scalar::Text(text) => Node::Text(self.content(text)),
                Scalar::Number(start, end) => Node::Number(self.text[start..end].to_owned()),
                Scalar::True => Node::True,
                Scalar::False => Node::False,
                Scalar::Null => Node::Null,
            }),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node, JsonError> {
        self.scanner.advance();
        let mut members = Vec::new();
        if self.scanner.peek_token() != b'}' {
            loop {
                let name = self.scanner.member_name()?;
                let name = self.content(name);
                members.push((name, self.value(depth + 1)?));
                if self.scanner.peek_token() != b',' {
                    break;
                }
                self.scanner.advance();
            }
        }
        self.scanner.expect(b'}', "expected a comma or the end of the object")?;
        Ok(Node::Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Node, JsonError> {
        self.scanner.advance();
        let mut elements = Vec::new();
        if self.scanner.peek_token() != b']' {
            loop {
                elements.push(self.value(depth + 1)?);
                if self.scanner.peek_token() != b',' {
                    break;
                }
                self.scanner.advance();
            }
        }
        self.scanner.expect(b']', "expected a comma or the end of the array")?;
        Ok(Node::Array(elements))
    }

    fn content(&self, text: Text) -> String {
        let content = &self.text[text.start..text.end];
        if !text.escaped {
            return content.to_owned();
        }
        let mut out = Vec::with_capacity(content.len());
        unescape(content.as_bytes(), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}
