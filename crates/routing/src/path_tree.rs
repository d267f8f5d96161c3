//! The fields that patterns name, as a tree that an event's members are followed in.

use hashbrown::HashMap;

/// The paths that are looked for, as a tree of member names.
#[derive(Debug)]
pub(crate) struct PathTree {
    pub(crate) nodes: Vec<Node>,
}

/// One member of one object.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) children: Vec<Child>,
    /// Its place among its parent's children.
    pub(crate) slot: u32,
    /// Index by name, once there are too many children to look through.
    by_name: HashMap<Box<[u8]>, u32>,
    /// The path that ends here.
    pub(crate) path: Option<u32>,
    /// The paths that end here or below: `paths_from..paths_to`.
    pub(crate) paths_from: u32,
    pub(crate) paths_to: u32,
    /// Whether some child has children itself, so that a dotted name may lead to one.
    pub(crate) two_levels: bool,
}

/// A node's child.
#[derive(Debug)]
pub(crate) struct Child {
    name: Box<[u8]>,
    node: u32,
}

/// More children than this are looked up by hash.
const MAX_LINEAR_CHILDREN: usize = 8;

impl PathTree {
    /// Builds the tree. Answers, for each given path, its number; numbers are dense, and those below one member of an
    /// object are neighbours.
    pub(crate) fn new<'p>(paths: impl IntoIterator<Item = &'p str>) -> (Self, HashMap<Box<str>, u32>) {
        let mut sorted: Vec<(Vec<&str>, &str)> =
            paths.into_iter().map(|path| (path.split('.').collect(), path)).collect();
        sorted.sort();
        sorted.dedup();
        let mut tree = Self { nodes: vec![Node::default()] };
        let mut numbers = HashMap::new();
        for (number, (names, path)) in (0..).zip(&sorted) {
            let mut node = 0;
            for name in names {
                tree.nodes[node].paths_to = number + 1;
                node = tree.child_or_new(node, name.as_bytes(), number);
            }
            tree.nodes[node].path = Some(number);
            tree.nodes[node].paths_to = number + 1;
            numbers.insert(Box::from(*path), number);
        }
        tree.finish();
        (tree, numbers)
    }

    fn child_or_new(&mut self, node: usize, name: &[u8], number: u32) -> usize {
        // Paths come sorted, so a name that is there already is the last child.
        if let Some(child) = self.nodes[node].children.last().filter(|child| &*child.name == name) {
            return child.node as usize;
        }
        let new = self.nodes.len();
        let slot = self.nodes[node].children.len() as u32;
        self.nodes.push(Node { paths_from: number, slot, ..Node::default() });
        self.nodes[node].children.push(Child { name: name.into(), node: new as u32 });
        new
    }

    fn finish(&mut self) {
        for index in 0..self.nodes.len() {
            let two_levels =
                self.nodes[index].children.iter().any(|child| !self.nodes[child.node as usize].children.is_empty());
            let node = &mut self.nodes[index];
            node.two_levels = two_levels;
            if node.children.len() > MAX_LINEAR_CHILDREN {
                node.by_name = node.children.iter().map(|child| (child.name.clone(), child.node)).collect();
            }
        }
    }

    /// The node that a member's name leads to.
    #[inline]
    pub(crate) fn child(&self, node: &Node, name: &[u8]) -> Option<u32> {
        if node.by_name.is_empty() {
            node.children.iter().find(|child| &*child.name == name).map(|child| child.node)
        } else {
            node.by_name.get(name).copied()
        }
    }

    /// The node that a name with dots in it leads to.
    #[cold]
    pub(crate) fn descendant(&self, from: u32, name: &[u8]) -> Option<u32> {
        name.split(|byte| *byte == b'.').try_fold(from, |node, name| self.child(&self.nodes[node as usize], name))
    }
}
