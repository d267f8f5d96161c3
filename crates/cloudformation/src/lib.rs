//! Reads CloudFormation and SAM templates, and finds in them what is known to lose, double or delay events.
//!
//! A template passes every check of its syntax and is still a trap: the visibility timeout is shorter than the function
//! that works on the message, an outage of the receiver fills the dead-letter queue with messages that nothing is wrong
//! with, a rule drops what its target did not take. AWS takes all of that without a word, and it shows on a bad day
//! only. [`Template::parse`] reads a template as it is written or as AWS exports it; [`examine`] goes through [`Trap`]
//! after [`Trap`] and says where the template steps into one, and how it gets out.
//!
//! What hangs on a parameter without a default or on a condition cannot be judged; the report says so instead of keeping
//! silent about it.

mod report;
mod template;
mod traps;

pub use report::{Finding, Report, Trap, Unjudged, Waived};
pub use template::{Template, TemplateError};
pub use traps::examine;
