//! A template: its resources, and what its values come to.

mod function;
mod node;
mod queue;
mod read;
mod rule;
mod value;

use std::collections::BTreeMap;

pub(crate) use function::{Consumer, Function};
pub(crate) use node::{Node, Value};
pub(crate) use queue::{Queue, Redrive};
pub use read::TemplateError;
pub(crate) use rule::{Delivery, Kind};
pub(crate) use value::{Setting, Target, Written};

/// A template that could be read.
#[derive(Debug)]
pub struct Template {
    resources: Vec<Resource>,
    /// Parameters that have a default, and it.
    defaults: BTreeMap<String, String>,
    /// What SAM gives to every function that does not say otherwise.
    function_globals: Option<Node>,
}

/// One resource, as it stands there.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) id: String,
    pub(crate) line: usize,
    pub(crate) kind: String,
    pub(crate) properties: Node,
    metadata: Option<Node>,
}

impl Template {
    /// Bytes of a text at most. A template in S3 has at most 1 MB; an exported one is wrapped once more.
    pub const TEXT_MAX: usize = 4 * 1024 * 1024;

    /// Reads a template: YAML or JSON, as it is written, or as `aws cloudformation get-template` prints it.
    ///
    /// # Errors
    /// When it is not YAML, not a template, or deeper or larger than AWS would take it.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        read::template(text)
    }

    /// How many resources it has.
    pub const fn resources(&self) -> usize {
        self.resources.len()
    }

    /// The resources of a type.
    pub(crate) fn of_kind<'a>(&'a self, kinds: &'a [&str]) -> impl Iterator<Item = &'a Resource> {
        self.resources.iter().filter(move |resource| kinds.contains(&resource.kind.as_str()))
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Resource> {
        self.resources.iter()
    }

    fn resource(&self, id: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.id == id)
    }

    /// A property of a function: its own, or what all functions have.
    fn of_function<'a>(&'a self, resource: &'a Resource, name: &str) -> Option<&'a Node> {
        let global = || self.function_globals.as_ref().and_then(|globals| globals.get(name));
        let is_sam = resource.kind == function::SAM_FUNCTION;
        resource.properties.get(name).or_else(|| if is_sam { global() } else { None })
    }
}

impl Resource {
    /// Why its owner wants a trap to stand: `Metadata: {aftercall: {waive: {TRAP: REASON}}}`.
    pub(crate) fn waiver(&self, trap: &str) -> Option<&str> {
        let waivers = self.metadata.as_ref()?.get("aftercall")?.get("waive")?;
        waivers.get(trap)?.as_text().filter(|reason| !reason.trim().is_empty())
    }
}
