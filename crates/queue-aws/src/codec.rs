//! How items hold values: the version of the format, a checksum, and the value in the format of the crate `postcard`.

use queue::QueueError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

use crate::table::Key;

/// The version of the format; another one is refused, not guessed at. 1 had no counts of what was put aside.
const FORMAT: u8 = 2;
/// Version and checksum.
const HEAD_BYTES: usize = 9;

/// Packs a value.
pub(crate) fn pack<T: Serialize>(value: &T) -> Result<Vec<u8>, QueueError> {
    let packed = postcard::to_extend(value, vec![0; HEAD_BYTES])
        .map_err(|error| QueueError::Invalid(format!("a value cannot be packed: {error}")))?;
    let mut data = packed;
    let checksum = xxh3_64(&data[HEAD_BYTES..]);
    data[0] = FORMAT;
    data[1..HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
    Ok(data)
}

/// Reads back what [`pack`] gave; `key` says where it stood.
pub(crate) fn unpack<T: DeserializeOwned>(key: &Key, data: &[u8]) -> Result<T, QueueError> {
    let damaged = |what: &str| QueueError::Damaged {
        detail: format!("item {key}: {what}; restore the table to a time before (point-in-time recovery)"),
    };
    let (&format, rest) = data.split_first().ok_or_else(|| damaged("it is empty"))?;
    if format != FORMAT {
        return Err(QueueError::Damaged {
            detail: format!(
                "item {key}: it has format {format}, and this program knows {FORMAT}: the table is of another version of \
                 Aftercall; run that one, or make a new table (`aftercall aws table create`)"
            ),
        });
    }
    let (checksum, value) = rest.split_at_checked(HEAD_BYTES - 1).ok_or_else(|| damaged("it is cut off"))?;
    if checksum != xxh3_64(value).to_le_bytes() {
        return Err(damaged("its checksum is wrong"));
    }
    postcard::from_bytes(value).map_err(|error| damaged(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_can_be_read_and_what_is_changed_is_refused(text in "[a-z]{0,40}", at in 0usize..64, bit in 0u8..8) {
            let key = Key::new("a", "b");
            let mut data = pack(&text).unwrap();
            prop_assert_eq!(unpack::<String>(&key, &data).unwrap(), text);
            let at = at % data.len();
            data[at] ^= 1 << bit;
            let refused = matches!(unpack::<String>(&key, &data), Err(QueueError::Damaged { .. }));
            prop_assert!(refused);
        }
    }
}
