//! Against a real server over the network, and what can be known without one.

mod options;
mod rig;
mod schema;
mod tls;
mod trouble;
mod upsert;
mod values;
