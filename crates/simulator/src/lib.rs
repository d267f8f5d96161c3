//! A contact centre, its platform and a CRM to test against: realistic events, signed and sent; a destination that keeps
//! a ledger and fails on command.
//!
//! | module | plays |
//! |---|---|
//! | [`contact_centre`] | Genesys Cloud: life-cycles of conversations as request bodies, the same ones for the same seed |
//! | [`sign`] | the sender's half of the signature schemes |
//! | [`client`] | the network between: sends the requests in order, again and again until they are acknowledged |
//! | [`crm`] | the destination: a table of upserted rows, and faults on command |
//! | [`load`] | many cheap requests for a measurement |
//! | [`platform`] | Genesys Cloud's token endpoint and API, strict and limited |
//! | [`services`] | Salesforce, HubSpot and Dataverse: upserts of records, strict, and faults on command |
//!
//! What goes in at one end and comes out at the other is compared by [`Tag`]: every event carries its conversation and
//! its place in it, so the CRM can tell what is missing, doubled or out of order without knowing what was sent.
//!
//! Nothing here depends on the code under test, and signatures are computed independently of the code that verifies
//! them. Sockets are opened on loopback addresses only, and everything that loops ends by a deadline.

pub mod client;
pub mod contact_centre;
pub mod crm;
mod dice;
mod error;
mod json;
mod latency;
pub mod load;
pub mod platform;
pub mod services;
pub mod sign;
#[cfg(test)]
mod stub;
mod tag;
mod uuid;

pub use error::SimulatorError;
pub use latency::{Latency, LatencySummary};
pub use tag::Tag;
pub use uuid::{ParseUuidError, Uuid};
