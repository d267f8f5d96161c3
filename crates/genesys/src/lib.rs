//! Genesys Cloud's platform: regions, credentials, the calls that are needed after a conversation, within its limits.
//!
//! What it guarantees:
//!
//! - No window of a minute has more requests than are allowed, however many ask at once: who comes too late waits, or
//!   is told how long.
//! - What the platform says of its limits in every answer is believed: other programs may use the same client.
//! - A token that is refused is replaced once, and the request repeated with the new one.
//! - An error says which call failed, whether to try again and when, and the id by which Genesys finds it.
//! - Addresses of transcripts are credentials: no `Debug` text or error shows one, and no token is sent to them.
//!
//! Decisions are pure: [`budget`] and [`answer`]; the shell around them is [`client`].

mod answer;
mod budget;
mod calls;
mod client;
mod error;
mod options;
mod region;
mod transcript;

pub use answer::Limits;
pub use calls::{
    AnalyticsDetails, AnalyticsParticipant, AnalyticsSession, Call, Conversation, Empathy, Metrics, Named, Participant,
    ParticipantMetrics, Recording, TokenInfo, TranscriptUrl, TranscriptUrls,
};
pub use client::Client;
pub use error::GenesysError;
pub use options::Options;
pub use region::{REGIONS, Region, UnknownRegion};
pub use transcript::{PresignedUrl, TranscriptStream};
