//! One value of a template, and the line that it begins in.

/// One value of a template.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) value: Value,
}

/// What a value is. Scalars stay as they are written: CloudFormation takes `30` and `"30"` alike.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Nothing,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
    /// An intrinsic function without `Fn::`, in whichever of its two ways it is written.
    Call(String, Box<Node>),
}

impl Node {
    /// An empty map: the properties of a resource that has none.
    pub(crate) const fn empty(line: usize) -> Self {
        Self { line, value: Value::Map(Vec::new()) }
    }

    /// A member of a map.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.members().find(|(key, _)| *key == name).map(|(_, node)| node)
    }

    /// The members of a map; none of anything else.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &Self)> {
        let members = if let Value::Map(members) = &self.value { members.as_slice() } else { &[] };
        members.iter().map(|(key, node)| (key.as_str(), node))
    }

    /// The elements of a list; of anything else, itself.
    pub(crate) fn elements(&self) -> &[Self] {
        if let Value::List(elements) = &self.value { elements } else { std::slice::from_ref(self) }
    }

    /// A scalar, as it is written.
    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }
}
