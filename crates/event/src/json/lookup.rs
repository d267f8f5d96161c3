//! Many pointers into one text, found in one pass that also checks the text.

use super::scan::{Fault, Scanner, Text};
use super::{Pointer, Raw, text};
use crate::BodyError;

/// A set of pointers, ready to be looked up together.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The pointers' tokens as a tree; the first node is the whole text.
    nodes: Vec<Node>,
    pointers: usize,
}

#[derive(Debug, Clone, Default)]
struct Node {
    children: Vec<Child>,
    /// One bit for each length that a child's name has, so that most members are passed over without comparing.
    lengths: u64,
    /// The pointers that end here.
    here: Vec<usize>,
    /// The pointers that end here or below.
    below: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Child {
    name: String,
    /// The name read as a place in an array.
    index: Option<usize>,
    node: usize,
}

/// What a [`Lookup`] found, in the order of its pointers.
#[derive(Debug, Clone, Default)]
pub struct Found<'a>(Vec<Option<Raw<'a>>>);

impl<'a> Found<'a> {
    /// The value at the pointer of this place in the set, if there is one.
    pub fn get(&self, pointer: usize) -> Option<Raw<'a>> {
        self.0.get(pointer).copied().flatten()
    }
}

impl Lookup {
    /// Prepares the pointers.
    pub fn new<'p>(pointers: impl IntoIterator<Item = &'p Pointer>) -> Self {
        let mut lookup = Self { nodes: vec![Node::default()], pointers: 0 };
        for pointer in pointers {
            lookup.add(pointer);
        }
        lookup
    }

    fn add(&mut self, pointer: &Pointer) {
        let number = self.pointers;
        self.pointers += 1;
        let mut node = 0;
        self.nodes[node].below.push(number);
        for token in pointer.tokens() {
            let known = self.nodes[node].children.iter().find(|child| child.name == token).map(|child| child.node);
            node = known.unwrap_or_else(|| self.add_child(node, token));
            self.nodes[node].below.push(number);
        }
        self.nodes[node].here.push(number);
    }

    fn add_child(&mut self, parent: usize, token: &str) -> usize {
        let node = self.nodes.len();
        self.nodes.push(Node::default());
        let canonical = token == "0" || token.starts_with(|first: char| matches!(first, '1'..='9'));
        let index = token.parse().ok().filter(|_| canonical);
        self.nodes[parent].lengths |= length_bit(token.len());
        self.nodes[parent].children.push(Child { name: token.to_owned(), index, node });
        node
    }

    /// Looks all pointers up in `body`, and makes sure that it is JSON.
    ///
    /// # Errors
    /// If the body is empty, not UTF-8 or not JSON.
    pub fn find<'a>(&self, body: &'a [u8]) -> Result<Found<'a>, BodyError> {
        let text = text(body)?;
        self.find_in(text).map(|(_, found)| found).map_err(|fault| BodyError::at(body, text, fault))
    }

    /// Looks all pointers up in a text that must hold one value.
    pub(crate) fn find_in<'a>(&self, text: &'a str) -> Result<(Raw<'a>, Found<'a>), Fault> {
        let mut scanner = Scanner::new(text);
        let found = self.take(&mut scanner)?;
        scanner.end()?;
        Ok(found)
    }

    /// Takes the scanner's next value and looks all pointers up in it.
    pub(crate) fn take<'a>(&self, scanner: &mut Scanner<'a>) -> Result<(Raw<'a>, Found<'a>), Fault> {
        let mut found = Found(vec![None; self.pointers]);
        let value = self.value(scanner, 0, &mut found)?;
        Ok((value, found))
    }

    /// Recurses once per token of a pointer, of which there are at most [`super::MAX_POINTER_TOKENS`].
    fn value<'a>(&self, scanner: &mut Scanner<'a>, at: usize, found: &mut Found<'a>) -> Result<Raw<'a>, Fault> {
        let node = &self.nodes[at];
        let value = match scanner.peek() {
            Some(b'{') if !node.children.is_empty() => {
                scanner.spanned(|scanner| scanner.members(|scanner, name| self.child(scanner, node.named(name), found)))
            }
            Some(b'[') if node.children.iter().any(|child| child.index.is_some()) => {
                scanner.spanned(|scanner| self.elements(scanner, node, found))
            }
            _ => scanner.skip(),
        }?;
        for &pointer in &node.here {
            found.0[pointer] = Some(value);
        }
        Ok(value)
    }

    fn elements<'a>(&self, scanner: &mut Scanner<'a>, node: &Node, found: &mut Found<'a>) -> Result<(), Fault> {
        let mut index = 0;
        let mut more = scanner.enter_array();
        while more {
            self.child(scanner, node.numbered(index), found)?;
            index += 1;
            more = scanner.next_element()?;
        }
        Ok(())
    }

    fn child<'a>(&self, scanner: &mut Scanner<'a>, child: Option<usize>, found: &mut Found<'a>) -> Result<(), Fault> {
        let Some(node) = child else {
            return scanner.skip().map(drop);
        };
        // An earlier member of the same name does not count, nor does anything inside it.
        for &pointer in &self.nodes[node].below {
            found.0[pointer] = None;
        }
        self.value(scanner, node, found).map(drop)
    }
}

impl Node {
    fn named(&self, name: Text<'_>) -> Option<usize> {
        let name = name.bytes();
        if self.lengths & length_bit(name.len()) == 0 {
            return None;
        }
        self.children.iter().find(|child| child.name.as_bytes() == &*name).map(|child| child.node)
    }

    fn numbered(&self, index: usize) -> Option<usize> {
        self.children.iter().find(|child| child.index == Some(index)).map(|child| child.node)
    }
}

/// The longest lengths share a bit.
fn length_bit(len: usize) -> u64 {
    1 << len.min(63)
}
