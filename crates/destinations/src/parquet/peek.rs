//! Whether a file may have rows of a conversation, by what it says of itself at its end: the filter of its conversations, or
//! the first and the last of them. So whoever looks for one among thousands of files reads few of them whole.
//!
//! Files of before there was a filter, and of other writers, mostly have only the first and the last: they are read whole.

use bytes::Bytes;
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};

use super::lake::{Found, Lake};
use super::schema::{CONVERSATION_ID, FIELDS};
use super::upload::Failed;

/// Bytes of a file's end that are read first: what a file of the default size says of itself takes less.
const END_BYTES: u64 = 256 * 1024;

/// The end of a file.
struct End<'l> {
    lake: &'l Lake,
    name: &'l str,
    /// Of the whole file.
    length: u64,
    bytes: Bytes,
}

/// Whether a file may have rows of a conversation. True if it does not say, and if it cannot be understood: whoever reads it
/// whole will see.
pub(super) async fn may_have(lake: &Lake, file: &Found, conversation: &str) -> Result<bool, Failed> {
    if file.bytes == 0 {
        return Ok(true);
    }
    let mut end = End { lake, name: &file.name, length: file.bytes, bytes: Bytes::new() };
    end.read(END_BYTES).await?;
    let Some(metadata) = end.metadata().await? else { return Ok(true) };
    let name = FIELDS[CONVERSATION_ID].name;
    for group in metadata.row_groups() {
        // Without the column nobody's rows can be told.
        let Some(column) = group.columns().iter().find(|column| column.column_path().string() == name) else {
            continue;
        };
        if is_within(column, conversation) && end.filter(column).await?.is_none_or(|filter| filter.check(conversation))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether it lies between the first and the last of a column, or these are not known.
fn is_within(column: &ColumnChunkMetaData, conversation: &str) -> bool {
    let Some(statistics) = column.statistics().filter(|statistics| !statistics.is_min_max_deprecated()) else {
        return true;
    };
    let text = conversation.as_bytes();
    statistics.min_bytes_opt().is_none_or(|first| first <= text)
        && statistics.max_bytes_opt().is_none_or(|last| text <= last)
}

impl End<'_> {
    /// Reads so much of it, if there is so much.
    async fn read(&mut self, bytes: u64) -> Result<(), Failed> {
        let from = self.length.saturating_sub(bytes);
        self.bytes = self.lake.get_range(self.name, from..self.length).await?;
        Ok(())
    }

    /// What the file says of itself; none if it cannot be understood.
    async fn metadata(&mut self) -> Result<Option<ParquetMetaData>, Failed> {
        let mut reader = ParquetMetaDataReader::new();
        let mut read = reader.try_parse_sized(&self.bytes, self.length);
        if let Err(ParquetError::NeedMoreData(needed)) = read {
            self.read(needed as u64).await?;
            read = reader.try_parse_sized(&self.bytes, self.length);
        }
        Ok(read.and_then(|()| reader.finish()).ok())
    }

    /// The filter of a column; none if there is none.
    async fn filter(&self, column: &ColumnChunkMetaData) -> Result<Option<Sbbf>, Failed> {
        let at = column.bloom_filter_offset().and_then(|at| u64::try_from(at).ok());
        let length = column.bloom_filter_length().and_then(|length| u64::try_from(length).ok());
        let Some((at, length)) = at.zip(length) else { return Ok(None) };
        let until = at.saturating_add(length);
        if until > self.length {
            return Ok(None);
        }
        let begins = self.length - self.bytes.len() as u64;
        let text = match at.checked_sub(begins).and_then(|at| usize::try_from(at).ok()) {
            Some(at) => self.bytes.slice(at..at + usize::try_from(length).unwrap_or_default()),
            None => self.lake.get_range(self.name, at..until).await?,
        };
        Ok(Sbbf::from_bytes(&text).ok())
    }
}
