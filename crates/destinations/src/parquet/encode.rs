//! Rows as the bytes of a Parquet file.
//!
//! The same rows give the same bytes: there is neither a time nor anything random in a file.

use std::sync::Arc;

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::columns::Columns;
use super::row::Row;
use super::schema::{VERSION, VERSION_KEY};

/// Rows that are handed to the writer at once: enough to make each call cheap.
const BATCH_ROWS: usize = 4_096;
/// Bytes of payloads that are handed to the writer at once, so that no column of a batch comes near the 2 GiB that Arrow's
/// texts may have.
const BATCH_BYTES: usize = 32 * 1024 * 1024;
/// Zstandard's own default: higher levels save some percent and cost a multiple.
const ZSTD_LEVEL: i32 = 3;

/// A file that is being written, in memory.
pub struct Encoder {
    columns: Columns,
    bytes: usize,
    rows: u64,
    writer: ArrowWriter<Vec<u8>>,
}

impl Encoder {
    /// Without a row.
    ///
    /// # Errors
    /// None that depends on an event.
    pub fn new() -> Result<Self, ParquetError> {
        let columns = Columns::new();
        let version = KeyValue::new(VERSION_KEY.to_owned(), VERSION.to_string());
        let properties = WriterProperties::builder()
            .set_created_by(concat!("aftercall version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
            .set_key_value_metadata(Some(vec![version]))
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(columns.schema()), Some(properties))?;
        Ok(Self { columns, bytes: 0, rows: 0, writer })
    }

    /// Appends the row of a payload.
    ///
    /// # Errors
    /// The payload is no outcome, or the writer fails.
    pub fn push(&mut self, payload: &[u8]) -> Result<(), ParquetError> {
        let row = Row::parse(payload).map_err(|misfit| ParquetError::General(misfit.to_string()))?;
        self.columns.push(&row);
        self.rows += 1;
        self.bytes += payload.len();
        if self.columns.rows() >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.hand_on()?;
        }
        Ok(())
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The file.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(mut self) -> Result<Vec<u8>, ParquetError> {
        if self.columns.rows() > 0 {
            self.hand_on()?;
        }
        self.writer.into_inner()
    }

    fn hand_on(&mut self) -> Result<(), ParquetError> {
        self.bytes = 0;
        self.writer.write(&self.columns.take()?)
    }
}
