//! Many paths into one text: where all that they lead to stands, found in one pass that also checks the text.
//!
//! Unlike a [`super::Lookup`], which reads fields, this finds every place: all members of a name that an object has more
//! than once, and all that `*` leads to. What is found never overlaps: of places inside each other only the outermost
//! counts, and where several paths lead to one place, the first of them.

use std::ops::Range;

use super::scan::{Fault, Scanner, Text};
use super::{Path, Raw, text};
use crate::BodyError;

/// What a path is to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// The value, to be replaced.
    Value,
    /// The member or item with what sets it apart from the others, to be cut out: without it the text is JSON still.
    Member,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place<'a> {
    /// Which of the paths has led to it.
    pub path: usize,
    /// The bytes of the body to replace or cut out.
    pub at: Range<usize>,
    /// The value. Where several members or items are cut out as one, that of the last.
    pub value: Raw<'a>,
}

/// A set of paths, ready to be looked up together.
#[derive(Debug, Clone)]
pub struct Places {
    /// The paths' steps as a tree; the first node is the whole text.
    nodes: Vec<Node>,
    takes: Vec<Take>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    named: Vec<Named>,
    /// One bit for each length that a name has, so that most members are passed over without comparing.
    lengths: u64,
    any: Option<usize>,
    /// The first path that ends here.
    here: Option<usize>,
}

#[derive(Debug, Clone)]
struct Named {
    name: String,
    /// The name read as a place in an array.
    index: Option<usize>,
    node: usize,
}

/// Which child of a value.
enum Child<'a> {
    Named(&'a [u8]),
    Numbered(usize),
}

/// The state of one pass.
struct Pass<'a> {
    found: Vec<Place<'a>>,
    /// The nodes that stand for the values from the whole to here, of each as many as paths lead on from it.
    nodes: Vec<usize>,
}

/// What has been passed of an object or array.
#[derive(Default)]
struct Passed {
    /// Where its first member or item begins.
    first: Option<usize>,
    /// Where the last one ends that stays.
    kept: Option<usize>,
}

impl Places {
    /// Prepares the paths. A path to the whole text finds nothing.
    pub fn new<'p>(paths: impl IntoIterator<Item = (&'p Path, Take)>) -> Self {
        let mut places = Self { nodes: vec![Node::default()], takes: Vec::new() };
        for (path, take) in paths {
            places.add(path);
            places.takes.push(take);
        }
        places
    }

    fn add(&mut self, path: &Path) {
        let number = self.takes.len();
        let mut at = 0;
        for step in path.steps() {
            let known = match step {
                None => self.nodes[at].any,
                Some(name) => self.nodes[at].named.iter().find(|named| named.name == name).map(|named| named.node),
            };
            at = known.unwrap_or_else(|| self.add_child(at, step));
        }
        self.nodes[at].here.get_or_insert(number);
    }

    fn add_child(&mut self, parent: usize, step: Option<&str>) -> usize {
        let node = self.nodes.len();
        self.nodes.push(Node::default());
        let parent = &mut self.nodes[parent];
        match step {
            None => parent.any = Some(node),
            Some(name) => {
                let canonical = name == "0" || name.starts_with(|first: char| matches!(first, '1'..='9'));
                let index = name.parse().ok().filter(|_| canonical);
                parent.lengths |= length_bit(name.len());
                parent.named.push(Named { name: name.to_owned(), index, node });
            }
        }
        node
    }

    /// Finds all places in `body`, in their order, and makes sure that it is JSON. Takes time in proportion to the body.
    ///
    /// # Errors
    /// If the body is empty, not UTF-8 or not JSON.
    pub fn find<'a>(&self, body: &'a [u8]) -> Result<Vec<Place<'a>>, BodyError> {
        let text = text(body)?;
        let mut pass = Pass { found: Vec::new(), nodes: vec![0] };
        let mut scanner = Scanner::new(text);
        let scanned = self.inside(&mut scanner, 0, &mut pass).and_then(|()| scanner.end());
        scanned.map_err(|fault| BodyError::at(body, text, fault))?;
        let mark = body.len() - text.len();
        if mark > 0 {
            pass.found.iter_mut().for_each(|place| place.at = place.at.start + mark..place.at.end + mark);
        }
        Ok(pass.found)
    }

    /// Takes the next value, for which the nodes from `from` on stand. Recurses once per step of a path, of which there
    /// are at most [`super::MAX_POINTER_TOKENS`].
    fn inside<'a>(&self, scanner: &mut Scanner<'a>, from: usize, pass: &mut Pass<'a>) -> Result<(), Fault> {
        let leads_on = pass.nodes[from..].iter().any(|&node| self.nodes[node].leads_on());
        match scanner.peek() {
            Some(b'{') if leads_on => self.members(scanner, from, pass),
            Some(b'[') if leads_on => self.items(scanner, from, pass),
            _ => scanner.skip().map(drop),
        }
    }

    fn members<'a>(&self, scanner: &mut Scanner<'a>, from: usize, pass: &mut Pass<'a>) -> Result<(), Fault> {
        let mut passed = Passed::default();
        let mut more = scanner.enter_object();
        while more {
            scanner.peek();
            let start = scanner.at();
            let name = scanner.key()?;
            let cut = self.child(scanner, from, &Child::Named(&Text::bytes(name)), pass)?;
            let end = scanner.at();
            more = scanner.next_member()?;
            passed.pass(scanner, start..end, more, cut, pass);
        }
        Ok(())
    }

    fn items<'a>(&self, scanner: &mut Scanner<'a>, from: usize, pass: &mut Pass<'a>) -> Result<(), Fault> {
        let mut passed = Passed::default();
        let (mut index, mut more) = (0, scanner.enter_array());
        while more {
            scanner.peek();
            let start = scanner.at();
            let cut = self.child(scanner, from, &Child::Numbered(index), pass)?;
            let end = scanner.at();
            index += 1;
            more = scanner.next_element()?;
            passed.pass(scanner, start..end, more, cut, pass);
        }
        Ok(())
    }

    /// Takes the value of a member or item, and notes what is found of it. Returns the place if it is to be cut out.
    fn child<'a>(
        &self,
        scanner: &mut Scanner<'a>,
        from: usize,
        child: &Child<'_>,
        pass: &mut Pass<'a>,
    ) -> Result<Option<(usize, Raw<'a>)>, Fault> {
        let below = pass.nodes.len();
        for at in from..below {
            let node = &self.nodes[pass.nodes[at]];
            pass.nodes.extend(node.child(child));
            pass.nodes.extend(node.any);
        }
        let hit = pass.nodes[below..].iter().filter_map(|&node| self.nodes[node].here).min();
        let done = match hit {
            None if pass.nodes.len() == below => scanner.skip().map(|_| None),
            None => self.inside(scanner, below, pass).map(|()| None),
            Some(path) => scanner.skip().map(|value| match self.takes[path] {
                Take::Member => Some((path, value)),
                Take::Value => {
                    let end = scanner.at();
                    pass.found.push(Place { path, at: end - value.as_str().len()..end, value });
                    None
                }
            }),
        };
        pass.nodes.truncate(below);
        done
    }
}

impl Passed {
    /// Notes a member or item that has been taken, with what follows it, and cuts it out if it is to be. What stays must be
    /// separated by commas, as before: one that is cut out goes with the comma behind it, and the last ones go with the
    /// comma behind the last that stays.
    fn pass<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        at: Range<usize>,
        more: bool,
        cut: Option<(usize, Raw<'a>)>,
        pass: &mut Pass<'a>,
    ) {
        let first = *self.first.get_or_insert(at.start);
        let Some((path, value)) = cut else {
            self.kept = Some(at.end);
            return;
        };
        if more {
            scanner.peek();
            pass.found.push(Place { path, at: at.start..scanner.at(), value });
            return;
        }
        let start = self.kept.unwrap_or(first);
        // What is behind the last that stays are only others that are cut out.
        while pass.found.last().is_some_and(|place| place.at.start >= start) {
            pass.found.pop();
        }
        pass.found.push(Place { path, at: start..at.end, value });
    }
}

impl Node {
    fn leads_on(&self) -> bool {
        self.any.is_some() || !self.named.is_empty()
    }

    fn child(&self, child: &Child<'_>) -> Option<usize> {
        let found = match *child {
            Child::Named(name) if self.lengths & length_bit(name.len()) == 0 => None,
            Child::Named(name) => self.named.iter().find(|named| named.name.as_bytes() == name),
            Child::Numbered(index) => self.named.iter().find(|named| named.index == Some(index)),
        };
        found.map(|named| named.node)
    }
}

/// The longest lengths share a bit.
fn length_bit(len: usize) -> u64 {
    1 << len.min(63)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of a text when all values that the paths find are replaced by `?`, and those behind a `-` cut out.
    fn changed(text: &str, paths: &[&str]) -> String {
        let parsed: Vec<(Path, Take)> = paths
            .iter()
            .map(|path| match path.strip_prefix('-') {
                Some(path) => (path.parse().unwrap(), Take::Member),
                None => (path.parse().unwrap(), Take::Value),
            })
            .collect();
        let places = Places::new(parsed.iter().map(|(path, take)| (path, *take)));
        let (mut out, mut done) = (String::new(), 0);
        for place in places.find(text.as_bytes()).unwrap() {
            out.push_str(&text[done..place.at.start]);
            out.push_str(if parsed[place.path].1 == Take::Value { "?" } else { "" });
            done = place.at.end;
        }
        out + &text[done..]
    }

    #[test]
    fn values_are_found_at_names_places_and_everywhere() {
        assert_eq!(changed(r#"{"a": 1 , "b":[1,{"c":2}]}"#, &["/a", "/b/1/c"]), r#"{"a": ? , "b":[1,{"c":?}]}"#);
        assert_eq!(changed(r#"{"a":[{"b":1},{"b":[2]},3]}"#, &["/a/*/b"]), r#"{"a":[{"b":?},{"b":?},3]}"#);
        assert_eq!(changed(r#"{"a":{"x":1,"y":{}}}"#, &["/*/*"]), r#"{"a":{"x":?,"y":?}}"#);
        assert_eq!(changed(r#"{"a":1,"\u0061":2,"a":{"b":3}}"#, &["/a"]), r#"{"a":?,"\u0061":?,"a":?}"#);
        assert_eq!(changed(r#"{"0":1,"b":[1]}"#, &["/0", "/b/00", "/b/-", "/b/c"]), r#"{"0":?,"b":[1]}"#);
        assert_eq!(changed("\u{feff}[1]", &["/0"]), "\u{feff}[?]");
        assert_eq!(changed("[1]", &[""]), "[1]");
    }

    #[test]
    fn the_outermost_place_and_the_first_path_count() {
        assert_eq!(changed(r#"{"a":{"b":1}}"#, &["/a/b", "/a"]), r#"{"a":?}"#);
        assert_eq!(changed(r#"{"a":1,"b":2}"#, &["/a", "-/*"]), r#"{"a":?}"#);
        assert_eq!(changed(r#"{"a":1,"b":2}"#, &["-/*", "/a"]), "{}");
    }

    #[test]
    fn what_is_cut_out_leaves_the_commas_right() {
        for (text, cut, left) in [
            ("[ 1 , 2 , 3 ]", "-/0", "[ 2 , 3 ]"),
            ("[ 1 , 2 , 3 ]", "-/1", "[ 1 , 3 ]"),
            ("[ 1 , 2 , 3 ]", "-/2", "[ 1 , 2 ]"),
            ("[ 1 , 2 , 3 ]", "-/*", "[  ]"),
            ("[ 1 ]", "-/0", "[  ]"),
            (r#"{"a":1,"b":2}"#, "-/a", r#"{"b":2}"#),
            (r#"{"a":1,"b":2}"#, "-/b", r#"{"a":1}"#),
            (r#"{"b":1,"a":2,"b":3,"b":4}"#, "-/b", r#"{"a":2}"#),
            (r#"[[1,2],[3],[]]"#, "-/*/0", "[[2],[],[]]"),
        ] {
            assert_eq!(changed(text, &[cut]), left, "{text} {cut}");
        }
        assert_eq!(changed("[1,2,3,4]", &["-/2", "-/3", "/1"]), "[1,?]");
        assert_eq!(changed("[1,2,3,4]", &["-/0", "-/3", "/1"]), "[?,3]");
    }

    #[test]
    fn depth_costs_no_stack_and_the_grammar_is_checked() {
        let path: Path = "/a/*/a".parse().unwrap();
        let places = Places::new([(&path, Take::Value)]);
        let deep = "{\"a\":[".repeat(100_000) + "1" + &"]}".repeat(100_000);
        assert_eq!(places.find(deep.as_bytes()).unwrap().len(), 1);
        for broken in [r#"{"a":[{"a":1]}"#, r#"{"a":1}}"#, r#"{"a" 1}"#, "", "\u{feff}", r#"{"a":[{"a":01}]}"#] {
            assert!(places.find(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
