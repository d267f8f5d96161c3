//! The traps, one function each.

mod functions;
mod queues;
mod senders;
#[cfg(test)]
mod tests;

use crate::report::{Judge, Report};
use crate::template::Template;

/// Goes through a template and tells every trap that it steps into.
pub fn examine(template: &Template) -> Report {
    let mut judge = Judge::new(template);
    queues::examine(&mut judge);
    functions::examine(&mut judge);
    senders::examine(&mut judge);
    judge.report()
}
