//! Recipes of the `http` kind: how Salesforce, HubSpot and Dataverse want a record to be written, many in a call where
//! they take many, with a result for each.
//!
//! What it guarantees: every write is an upsert by a key of the payload, so one that is repeated changes nothing. Each
//! delivery is settled by what the service says of its own record; one that is refused never fails the others. Two
//! records of one key are never in one call, and those of one key are written in the order of their arrival, one call
//! after the other. What concerns all deliveries (credentials, rights, limits, a missing object) kills none of them.
//!
//! A crash in the middle leaves records written or not; their deliveries come again and are written again.
//!
//! [`service`] is the port; what a service wants and what its answers mean is pure and stands in a module for each.

mod dataverse;
mod hubspot;
mod lane;
mod options;
mod record;
mod refusal;
mod salesforce;
mod send;
mod service;
#[cfg(test)]
mod tests;

pub use options::{Options, Recipe};
pub use send::RecipeDestination;
