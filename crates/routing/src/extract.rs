//! One pass over an event's text that picks out the fields which patterns name, and skips everything else.

use crate::json::{JsonError, Scalar, Scanner, Text, unescape, without_bom};
use crate::limits::{MAX_EVENT_BYTES, MAX_FIELD_DEPTH};
use crate::path_tree::PathTree;
use crate::pattern::Value;

/// An event could not be matched against patterns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatchError {
    /// The event is not JSON text.
    #[error("the event is not valid JSON: {0}")]
    Json(#[from] JsonError),
    /// The event is JSON, but not an object.
    #[error("an event must be a JSON object")]
    NotAnObject,
    /// The event is longer than [`MAX_EVENT_BYTES`].
    #[error("the event has more than {MAX_EVENT_BYTES} bytes")]
    TooLong,
    /// A field that a pattern names is nested deeper than [`MAX_FIELD_DEPTH`].
    #[error("a field is nested more than {MAX_FIELD_DEPTH} levels deep")]
    TooDeep,
    /// The event's arrays offer so many ways to satisfy a pattern that the search was given up.
    #[error("the event's nested arrays take too long to match; split the event into smaller ones")]
    TooManyChoices,
}

/// No array element is around it.
pub(crate) const NONE: u32 = u32::MAX;

/// A value found at a path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) path: u32,
    /// The innermost array element that is an object or array and holds the value, or [`NONE`].
    pub(crate) element: u32,
    kind: Kind,
    start: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    /// A text whose escapes are undone, in the scratch memory.
    Unescaped,
    Number,
    True,
    False,
    Null,
}

/// An element of an array that is itself an object or array.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element {
    /// The element that the array lies in, or [`NONE`].
    pub(crate) outer: u32,
    /// How many elements are around this one.
    pub(crate) depth: u32,
    /// The number of the array, unique in the event.
    pub(crate) array: u32,
}

/// Reusable memory for [`Extraction`]; after some events nothing is allocated any more.
#[derive(Debug, Default)]
pub(crate) struct ExtractScratch {
    found: Vec<Found>,
    elements: Vec<Element>,
    unescaped: Vec<u8>,
    frames: Vec<Frame>,
    seen: Vec<u64>,
    nesting: Vec<u64>,
}

/// Scratch memory above this many entries is given back, so that one strange event does not cost memory forever.
const MAX_KEPT_SCRATCH: usize = 16 * 1024;

impl ExtractScratch {
    fn reset(&mut self) {
        self.found.clear();
        self.elements.clear();
        self.unescaped.clear();
        self.frames.clear();
        self.seen.clear();
        self.found.shrink_to(MAX_KEPT_SCRATCH);
        self.elements.shrink_to(MAX_KEPT_SCRATCH);
        self.unescaped.shrink_to(MAX_KEPT_SCRATCH);
        self.frames.shrink_to(MAX_KEPT_SCRATCH);
        self.seen.shrink_to(MAX_KEPT_SCRATCH);
        self.nesting.shrink_to(MAX_KEPT_SCRATCH);
    }
}

/// The fields of one event.
pub(crate) struct Extraction<'a> {
    text: &'a [u8],
    scratch: &'a ExtractScratch,
}

impl<'a> Extraction<'a> {
    /// Reads the event. The whole text is checked to be JSON, also where it is skipped.
    pub(crate) fn read(tree: &PathTree, text: &'a [u8], scratch: &'a mut ExtractScratch) -> Result<Self, MatchError> {
        let text = without_bom(text);
        if text.len() > MAX_EVENT_BYTES {
            return Err(MatchError::TooLong);
        }
        if let Err(error) = std::str::from_utf8(text) {
            return Err(JsonError { offset: error.valid_up_to(), what: "invalid UTF-8" }.into());
        }
        scratch.reset();
        Reader { tree, text, scanner: Scanner::new(text), scratch, arrays: 0 }.read()?;
        Ok(Self { text, scratch })
    }

    /// Every value found, in the order of the text.
    #[inline]
    pub(crate) fn found(&self) -> &'a [Found] {
        &self.scratch.found
    }

    #[inline]
    pub(crate) fn value(&self, found: &Found) -> Value<'a> {
        let range = found.start as usize..found.end as usize;
        match found.kind {
            Kind::Text => Value::Text(&self.text[range]),
            Kind::Unescaped => Value::Text(&self.scratch.unescaped[range]),
            Kind::Number => Value::Number(&self.text[range]),
            Kind::True => Value::True,
            Kind::False => Value::False,
            Kind::Null => Value::Null,
        }
    }

    /// The elements that values lie in, in the order in which they open.
    #[inline]
    pub(crate) fn elements(&self) -> &'a [Element] {
        &self.scratch.elements
    }
}

#[derive(Debug)]
enum Frame {
    Object {
        node: u32,
        element: u32,
        /// Where in the scratch memory it is kept which children were met already, one bit each.
        seen_from: usize,
        /// How many values were found before this object.
        found_before: usize,
    },
    Array {
        node: u32,
        element: u32,
        array: u32,
    },
}

struct Reader<'r, 'a> {
    tree: &'r PathTree,
    text: &'a [u8],
    scanner: Scanner<'a>,
    scratch: &'r mut ExtractScratch,
    arrays: u32,
}

impl Reader<'_, '_> {
    fn read(mut self) -> Result<(), MatchError> {
        if self.scanner.peek_token() != b'{' {
            self.scanner.skip_value(&mut self.scratch.nesting)?;
            self.scanner.expect_end()?;
            return Err(MatchError::NotAnObject);
        }
        self.value(0, NONE)?;
        while let Some(frame) = self.scratch.frames.last() {
            match *frame {
                Frame::Object { node, element, .. } => self.member(node, element)?,
                Frame::Array { node, element, array } => self.element(node, element, array)?,
            }
        }
        Ok(self.scanner.expect_end()?)
    }

    /// Reads one member of the innermost object, with the cursor on its name.
    #[inline]
    fn member(&mut self, node: u32, element: u32) -> Result<(), MatchError> {
        let name = self.scanner.member_name()?;
        match self.lookup(node, name) {
            None => self.scanner.skip_value(&mut self.scratch.nesting)?,
            Some(child) => {
                if self.value(child, element)? {
                    return Ok(());
                }
            }
        }
        self.ended()
    }

    /// Reads one element of the innermost array, with the cursor on it.
    fn element(&mut self, node: u32, element: u32, array: u32) -> Result<(), MatchError> {
        let inner = match self.scanner.peek_token() {
            b'{' | b'[' => {
                let depth = if element == NONE { 0 } else { self.scratch.elements[element as usize].depth + 1 };
                self.scratch.elements.push(Element { outer: element, depth, array });
                self.scratch.elements.len() as u32 - 1
            }
            _ => element,
        };
        if self.value(node, inner)? { Ok(()) } else { self.ended() }
    }

    /// After a value: goes over the comma to the next one, or closes all that ends here.
    #[inline]
    fn ended(&mut self) -> Result<(), MatchError> {
        while let Some(frame) = self.scratch.frames.last() {
            let close = if matches!(frame, Frame::Object { .. }) { b'}' } else { b']' };
            match self.scanner.peek_token() {
                b',' => {
                    self.scanner.advance();
                    return Ok(());
                }
                byte if byte == close => {
                    self.scanner.advance();
                    if let Some(Frame::Object { seen_from, .. }) = self.scratch.frames.pop() {
                        self.scratch.seen.truncate(seen_from);
                    }
                }
                _ => return Err(self.scanner.error("expected a comma or the end of the object or array").into()),
            }
        }
        Ok(())
    }

    /// Reads the value of a node. Answers whether it is left open, with the cursor on its first member or element.
    #[inline]
    fn value(&mut self, node: u32, element: u32) -> Result<bool, MatchError> {
        let (frame, close) = match self.scanner.peek_token() {
            b'{' if self.tree.nodes[node as usize].children.is_empty() => {
                self.scanner.skip_value(&mut self.scratch.nesting)?;
                return Ok(false);
            }
            b'{' => (
                Frame::Object {
                    node,
                    element,
                    seen_from: self.scratch.seen.len(),
                    found_before: self.scratch.found.len(),
                },
                b'}',
            ),
            b'[' => {
                self.arrays += 1;
                (Frame::Array { node, element, array: self.arrays }, b']')
            }
            _ => {
                let scalar = self.scanner.scalar()?;
                self.found(node, element, scalar);
                return Ok(false);
            }
        };
        self.scanner.advance();
        if self.scanner.peek_token() == close {
            self.scanner.advance();
            return Ok(false);
        }
        if self.scratch.frames.len() >= MAX_FIELD_DEPTH {
            return Err(MatchError::TooDeep);
        }
        if let Frame::Object { seen_from, .. } = frame {
            let words = self.tree.nodes[node as usize].children.len().div_ceil(64);
            self.scratch.seen.resize(seen_from + words, 0);
        }
        self.scratch.frames.push(frame);
        Ok(true)
    }

    #[inline]
    fn found(&mut self, node: u32, element: u32, scalar: Scalar) {
        let Some(path) = self.tree.nodes[node as usize].path else { return };
        let (kind, start, end) = match scalar {
            Scalar::Text(text) if text.escaped => {
                let start = self.scratch.unescaped.len();
                unescape(&self.text[text.start..text.end], &mut self.scratch.unescaped);
                (Kind::Unescaped, start, self.scratch.unescaped.len())
            }
            Scalar::Text(text) => (Kind::Text, text.start, text.end),
            Scalar::Number(start, end) => (Kind::Number, start, end),
            Scalar::True => (Kind::True, 0, 0),
            Scalar::False => (Kind::False, 0, 0),
            Scalar::Null => (Kind::Null, 0, 0),
        };
        self.scratch.found.push(Found { path, element, kind, start: start as u32, end: end as u32 });
    }

    /// The node that a member's name leads to, if any.
    #[inline]
    fn lookup(&mut self, node: u32, name: Text) -> Option<u32> {
        let content = &self.text[name.start..name.end];
        if name.escaped {
            return self.lookup_escaped(node, content);
        }
        let tree = self.tree;
        let parent = &tree.nodes[node as usize];
        match tree.child(parent, content) {
            Some(child) => {
                self.forget_if_repeated(child);
                Some(child)
            }
            None if parent.two_levels && content.contains(&b'.') => tree.descendant(node, content),
            None => None,
        }
    }

    #[cold]
    fn lookup_escaped(&mut self, node: u32, content: &[u8]) -> Option<u32> {
        let mut name = Vec::with_capacity(content.len());
        unescape(content, &mut name);
        let tree = self.tree;
        let parent = &tree.nodes[node as usize];
        match tree.child(parent, &name) {
            Some(child) => {
                self.forget_if_repeated(child);
                Some(child)
            }
            None => tree.descendant(node, &name),
        }
    }

    /// A repeated member replaces the earlier one.
    #[inline]
    fn forget_if_repeated(&mut self, child: u32) {
        let Some(Frame::Object { seen_from, found_before, .. }) = self.scratch.frames.last() else { return };
        let node = &self.tree.nodes[child as usize];
        let word = &mut self.scratch.seen[seen_from + node.slot as usize / 64];
        let bit = 1_u64 << (node.slot % 64);
        if *word & bit == 0 {
            *word |= bit;
            return;
        }
        let (from, to, before) = (node.paths_from, node.paths_to, *found_before);
        let mut index = 0;
        self.scratch.found.retain(|found| {
            index += 1;
            index <= before || !(from..to).contains(&found.path)
        });
    }
}
