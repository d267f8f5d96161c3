//! Makes a quarantine with one request of each kind and the use of one key: the database of a format, for its test.
//!
//! `cargo run -p quarantine-sqlite --example fill_quarantine -- DIR`; the directory must exist.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use event::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};
use intake::{Credential, KeyUse, Quarantine, QuarantineError, Quarantined, Reason};
use quarantine_sqlite::{Options, SqliteQuarantine};

const THEN: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args_os().nth(1).map(PathBuf::from).ok_or("name a directory that exists")?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    Ok(runtime.block_on(fill(&SqliteQuarantine::open(Options::new(dir))))?)
}

async fn fill(quarantine: &SqliteQuarantine) -> Result<(), QuarantineError> {
    let header = HeaderName::from_static("x-genesys-webhook-signature");
    let signed = Quarantined {
        source: Arc::from("genesys"),
        received: THEN,
        sender: [192, 0, 2, 7].into(),
        reason: Reason::AuthMismatch,
        headers: HeaderMap::from_iter([(header, HeaderValue::from_static("00ff"))]),
        credential: None,
        body: Bytes::from_static(br#"{"webhookEventId":"kept-1"}"#),
    };
    let credential = Credential { place: "x-api-key".to_owned(), salt: [7; 16], proof: [9; 32] };
    let keyed = Quarantined {
        source: Arc::from("bus"),
        headers: HeaderMap::new(),
        credential: Some(credential),
        ..signed.clone()
    };
    quarantine.keep(signed);
    quarantine.keep(keyed);
    let used = KeyUse { source: Arc::from("genesys"), fingerprint: "00ff00ff".to_owned(), last_used: THEN, uses: 7 };
    quarantine.maintain(vec![used], THEN).await?;
    quarantine.close().await;
    Ok(())
}
