//! Rows of identities end with a checksum over the row's key and everything before it.

/// Bytes of the checksum.
const CRC_BYTES: usize = 4;

/// Appends the checksum to what is about to be stored under `key`.
pub(crate) fn seal(key: i64, blob: &mut Vec<u8>) {
    blob.extend_from_slice(&checksum(key, blob).to_le_bytes());
}

/// What was sealed; `None` if it is not what was stored under this key.
pub(crate) fn open(key: i64, blob: &[u8]) -> Option<&[u8]> {
    let (content, crc) = blob.split_last_chunk::<CRC_BYTES>()?;
    (checksum(key, content) == u32::from_le_bytes(*crc)).then_some(content)
}

fn checksum(key: i64, content: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&key.to_le_bytes());
    crc.update(content);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_seen() {
        let mut blob = b"identities".to_vec();
        seal(7, &mut blob);
        assert_eq!(open(7, &blob), Some(&b"identities"[..]));
        assert_eq!(open(8, &blob), None, "another row's");
        assert_eq!(open(7, &blob[..3]), None, "torn");
        for bit in 0..blob.len() * 8 {
            blob[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(7, &blob), None, "bit {bit}");
            blob[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
