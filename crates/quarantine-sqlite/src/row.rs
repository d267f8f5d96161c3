//! A request as a row: its columns, their checksum, and the bytes that it counts.
//!
//! Headers are stored as text, one `name: value` a line; a value cannot hold the end of a line. A credential is its
//! salt, its proof and the name of its place, one behind the other. The checksum is over everything, so that a damaged
//! request is never taken for what was sent.

use bytes::Bytes;
use event::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};
use intake::{Credential, Quarantined, Reason};
use rusqlite::Row;

use crate::options::ROW_BYTES;

/// The columns that [`decode`] reads, in its order.
pub(crate) const COLUMNS: &str = "source, received, sender, reason, headers, credential, body, crc";

/// Bytes that a request counts.
pub(crate) fn size(request: &Quarantined) -> usize {
    let headers: usize = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 3).sum();
    size_with(request.body.len() + headers)
}

/// Bytes that a request with this body counts at least.
pub(crate) fn size_with(body: usize) -> usize {
    body + ROW_BYTES
}

pub(crate) fn encode_headers(headers: &HeaderMap) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.push(b'\n');
    }
    text
}

fn decode_headers(text: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let colon = line.windows(2).position(|two| two == b": ")?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        headers.append(name, HeaderValue::from_bytes(&line[colon + 2..]).ok()?);
    }
    Some(headers)
}

pub(crate) fn encode_credential(credential: &Credential) -> Vec<u8> {
    [&credential.salt[..], &credential.proof, credential.place.as_bytes()].concat()
}

fn decode_credential(bytes: &[u8]) -> Option<Credential> {
    let (salt, rest) = bytes.split_first_chunk::<16>()?;
    let (proof, place) = rest.split_first_chunk::<32>()?;
    Some(Credential { place: String::from_utf8(place.to_vec()).ok()?, salt: *salt, proof: *proof })
}

/// CRC-32 of all columns, each preceded by its length.
pub(crate) fn checksum(
    [source, sender, reason]: [&str; 3],
    received: i64,
    headers: &[u8],
    credential: Option<&[u8]>,
    body: &[u8],
) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    let texts =
        [source.as_bytes(), sender.as_bytes(), reason.as_bytes(), headers, credential.unwrap_or_default(), body];
    crc.update(&received.to_be_bytes());
    crc.update(&[u8::from(credential.is_some())]);
    for text in texts {
        crc.update(&(text.len() as u64).to_be_bytes());
        crc.update(text);
    }
    crc.finalize()
}

/// Reads a row; `None` if it is damaged.
pub(crate) fn decode(row: &Row<'_>) -> Result<Option<Quarantined>, rusqlite::Error> {
    let (source, received, sender): (String, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (reason, headers): (String, Vec<u8>) = (row.get(3)?, row.get(4)?);
    let (credential, body): (Option<Vec<u8>>, Vec<u8>) = (row.get(5)?, row.get(6)?);
    let crc: u32 = row.get(7)?;
    if crc != checksum([&source, &sender, &reason], received, &headers, credential.as_deref(), &body) {
        return Ok(None);
    }
    let whole = || {
        Some(Quarantined {
            source: source.into(),
            received: Timestamp::from_millis(received),
            sender: sender.parse().ok()?,
            reason: Reason::from_code(&reason)?,
            headers: decode_headers(&headers)?,
            credential: credential.as_deref().map(decode_credential).map_or(Some(None), |read| read.map(Some))?,
            body: Bytes::from(body),
        })
    };
    Ok(whole())
}
