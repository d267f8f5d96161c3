//! Which event goes where, and as what: EventBridge patterns and jq mappings. Pure: no I/O, no clock.

mod cases;
mod consistency;
mod explain;
mod extract;
mod json;
pub mod limits;
mod mapping;
mod path_tree;
mod pattern;
mod pattern_set;

pub use cases::{FailedCase, Summary, run_cases};
pub use explain::{Explanation, FieldReport, FoundReport};
pub use extract::MatchError;
pub use json::JsonError;
pub use mapping::{Mapping, MappingError, MappingLimit};
pub use pattern::{Pattern, PatternError};
pub use pattern_set::{MatchScratch, MatchSet, PatternSet};
