//! The grammar of JSON (RFC 8259), walked over text without recursion.

mod text;

pub(crate) use text::Text;

use super::Raw;

/// Where and why a text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What is wrong.
    pub(crate) problem: &'static str,
    /// The byte of the text at which it shows.
    pub(crate) at: usize,
}

/// An object or an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    Object,
    Array,
}

/// Is told what a value is made of, in the order of the text.
pub(crate) trait Visit<'a> {
    /// An object or array begins.
    fn open(&mut self, _container: Container) {}
    /// The object or array that began last ends.
    fn close(&mut self) {}
    /// The name of an object's member; its value follows.
    fn key(&mut self, _name: Text<'a>) {}
    /// A string.
    fn string(&mut self, _string: Text<'a>) {}
    /// A number, `true`, `false` or `null`, as it is written.
    fn bare(&mut self, _word: &'a str) {}
}

/// Looks at nothing, which leaves the check of the grammar.
struct Skip;

impl Visit<'_> for Skip {}

/// A place in a text.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// At the start of `text`.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The byte of the text that comes next.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The byte that the next value begins with.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|&&byte| is_whitespace(byte)).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Makes sure that nothing but whitespace follows.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fault("there is more text after the value")),
        }
    }

    /// Takes the next value, whatever it is.
    pub(crate) fn skip(&mut self) -> Result<Raw<'a>, Fault> {
        match self.peek() {
            Some(b'{' | b'[') => self.walk(&mut Skip),
            Some(b'"') => {
                let start = self.at;
                self.string().map(|_| Raw::new(&self.text[start..self.at]))
            }
            _ => self.bare().map(Raw::new),
        }
    }

    /// Takes the next value and runs `read` to get through it, for a `read` that leaves the scanner at its end.
    pub(crate) fn spanned(&mut self, read: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<Raw<'a>, Fault> {
        self.peek();
        let start = self.at;
        read(self)?;
        Ok(Raw::new(&self.text[start..self.at]))
    }

    /// Steps into the next value, which is an object. Says whether it has a member, whose name must be taken next.
    pub(crate) fn enter_object(&mut self) -> bool {
        self.enter();
        !self.leave(b'}')
    }

    /// Steps over what follows a member's value. Says whether there is another member; if not, the object is taken.
    pub(crate) fn next_member(&mut self) -> Result<bool, Fault> {
        self.more(Container::Object)
    }

    /// Takes the next value, which is an object: at each value of a member `each` is called and must take it.
    pub(crate) fn members(
        &mut self,
        mut each: impl FnMut(&mut Self, Text<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut more = self.enter_object();
        while more {
            let name = self.key()?;
            each(self, name)?;
            more = self.next_member()?;
        }
        Ok(())
    }

    /// Steps into the next value, which is an array. Says whether it has an element, which must be taken next.
    pub(crate) fn enter_array(&mut self) -> bool {
        self.enter();
        !self.leave(b']')
    }

    /// Steps over what follows an element. Says whether there is another one; if not, the array is taken.
    pub(crate) fn next_element(&mut self) -> Result<bool, Fault> {
        self.more(Container::Array)
    }

    /// Takes the next value and tells `visit` about all of it.
    pub(crate) fn walk(&mut self, visit: &mut impl Visit<'a>) -> Result<Raw<'a>, Fault> {
        self.spanned(|scanner| {
            let mut nesting = Nesting::default();
            loop {
                if scanner.begin(visit, &mut nesting)? && !scanner.finish(visit, &mut nesting)? {
                    return Ok(());
                }
            }
        })
    }

    /// Takes a value, or the start of a container up to its first value. Says whether a value is complete.
    fn begin(&mut self, visit: &mut impl Visit<'a>, nesting: &mut Nesting) -> Result<bool, Fault> {
        let (container, closing) = match self.peek() {
            Some(b'"') => {
                visit.string(self.string()?);
                return Ok(true);
            }
            Some(b'{') => (Container::Object, b'}'),
            Some(b'[') => (Container::Array, b']'),
            _ => {
                visit.bare(self.bare()?);
                return Ok(true);
            }
        };
        self.enter();
        visit.open(container);
        if self.leave(closing) {
            visit.close();
            return Ok(true);
        }
        nesting.push(container);
        if container == Container::Object {
            visit.key(self.key()?);
        }
        Ok(false)
    }

    /// Takes what follows a value, up to the next one. Says whether there is a next one.
    fn finish(&mut self, visit: &mut impl Visit<'a>, nesting: &mut Nesting) -> Result<bool, Fault> {
        while let Some(container) = nesting.top() {
            if self.more(container)? {
                if container == Container::Object {
                    visit.key(self.key()?);
                }
                return Ok(true);
            }
            nesting.pop();
            visit.close();
        }
        Ok(false)
    }

    /// Steps over the opening bracket that comes next.
    fn enter(&mut self) {
        self.peek();
        self.at += 1;
    }

    /// Steps over the closing bracket, if that is what comes.
    fn leave(&mut self, closing: u8) -> bool {
        let closes = self.peek() == Some(closing);
        self.at += usize::from(closes);
        closes
    }

    /// Steps over the comma or closing bracket after a value; true if it was a comma.
    pub(crate) fn more(&mut self, container: Container) -> Result<bool, Fault> {
        let problem = match (container, self.peek()) {
            (_, Some(b',')) => {
                self.at += 1;
                return Ok(true);
            }
            (Container::Object, Some(b'}')) | (Container::Array, Some(b']')) => {
                self.at += 1;
                return Ok(false);
            }
            (Container::Object, Some(_)) => "a comma or `}` is missing",
            (Container::Array, Some(_)) => "a comma or `]` is missing",
            (Container::Object, None) => "the text ends inside an object",
            (Container::Array, None) => "the text ends inside an array",
        };
        Err(self.fault(problem))
    }

    /// Takes a member's name and the colon after it.
    pub(crate) fn key(&mut self) -> Result<Text<'a>, Fault> {
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(self.fault("the name of a member must be a string in double quotes")),
            None => return Err(self.fault("the text ends inside an object")),
        }
        let name = self.string()?;
        if self.leave(b':') { Ok(name) } else { Err(self.fault("a colon is missing after a member's name")) }
    }

    /// Takes a string; its opening quote is what comes next.
    fn string(&mut self) -> Result<Text<'a>, Fault> {
        let string = Text::at(self.text, self.at)?;
        self.at += string.quoted_len();
        Ok(string)
    }

    /// Takes a number, `true`, `false` or `null`.
    fn bare(&mut self) -> Result<&'a str, Fault> {
        let rest = &self.text.as_bytes()[self.at..];
        let len = match rest.first() {
            Some(b'-' | b'0'..=b'9') => number_len(rest).map_err(|len| self.fault_after(len, "a number lacks a digit")),
            Some(b't') if rest.starts_with(b"true") => Ok(4),
            Some(b'f') if rest.starts_with(b"false") => Ok(5),
            Some(b'n') if rest.starts_with(b"null") => Ok(4),
            Some(_) => Err(self.fault("a value was expected")),
            None => Err(self.fault("the text ends where a value was expected")),
        }?;
        let word = &self.text[self.at..self.at + len];
        self.at += len;
        Ok(word)
    }

    fn fault(&self, problem: &'static str) -> Fault {
        self.fault_after(0, problem)
    }

    fn fault_after(&self, len: usize, problem: &'static str) -> Fault {
        Fault { problem, at: self.at + len }
    }
}

/// How long the number at the start is, or where a digit is missing.
fn number_len(text: &[u8]) -> Result<usize, usize> {
    let digits = |from: usize| {
        let end = from + text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if end == from { Err(from) } else { Ok(end) }
    };
    let mut at = usize::from(text.first() == Some(&b'-'));
    at = if text.get(at) == Some(&b'0') { at + 1 } else { digits(at)? };
    if text.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        at += usize::from(matches!(text.get(at), Some(b'+' | b'-')));
        at = digits(at)?;
    }
    Ok(at)
}

/// The whitespace of JSON, which is less than that of Unicode.
pub(crate) const fn is_whitespace(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// The containers that are open, innermost last: one bit for each, so that deep nesting costs next to nothing.
#[derive(Default)]
struct Nesting {
    depth: usize,
    /// The innermost 64 or fewer; the innermost in the lowest bit, which is set for an object.
    near: u64,
    /// All others, in whole words.
    far: Vec<u64>,
}

impl Nesting {
    fn push(&mut self, container: Container) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.far.push(self.near);
        }
        self.near = self.near << 1 | u64::from(container == Container::Object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth -= 1;
        if self.depth.is_multiple_of(64) {
            self.near = self.far.pop().unwrap_or(0);
        } else {
            self.near >>= 1;
        }
    }

    fn top(&self) -> Option<Container> {
        match (self.depth, self.near & 1) {
            (0, _) => None,
            (_, 1) => Some(Container::Object),
            _ => Some(Container::Array),
        }
    }
}
