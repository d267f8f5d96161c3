//! Rows as the bytes of a Parquet file.
//!
//! The same rows in the same order give the same bytes: there is neither a time nor anything random in a file, and where
//! the writer is given a new batch depends on the rows alone.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::columns::Columns;
use super::row::Row;
use super::schema::{self, FIELDS, VERSION, VERSION_KEY};

/// Rows that are handed to the writer at once: enough to make each call cheap.
const BATCH_ROWS: usize = 4_096;
/// Bytes of payloads that are handed to the writer at once, so that no column of a batch comes near the 2 GiB that Arrow's
/// texts may have.
const BATCH_BYTES: usize = 32 * 1024 * 1024;
/// Zstandard's own default: higher levels save some percent and cost a multiple.
const ZSTD_LEVEL: i32 = 3;

/// The rows of a file, gathered into columns.
pub(super) struct Gathered {
    columns: Columns,
    bytes: usize,
    rows: u64,
    /// The earliest and the latest time of a row.
    times: Option<(i64, i64)>,
    batches: Vec<RecordBatch>,
}

impl Gathered {
    /// Without a row.
    pub(super) fn new() -> Self {
        Self { columns: Columns::new(), bytes: 0, rows: 0, times: None, batches: Vec::new() }
    }

    /// Appends a row, of a payload with so many bytes; `time` is the one that its folder is made of.
    pub(super) fn push(&mut self, row: &Row<'_>, bytes: usize, time: i64) -> Result<(), ParquetError> {
        self.columns.push(row);
        self.rows += 1;
        self.bytes += bytes;
        self.times = Some(self.times.map_or((time, time), |(from, to)| (from.min(time), to.max(time))));
        if self.columns.rows() >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.hand_on()?;
        }
        Ok(())
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The earliest and the latest time.
    pub(super) fn times(&self) -> (i64, i64) {
        self.times.unwrap_or_default()
    }

    /// The file.
    pub(super) fn encode(mut self) -> Result<Vec<u8>, ParquetError> {
        if self.columns.rows() > 0 {
            self.hand_on()?;
        }
        let mut writer = writer(schema::arrow(), VERSION)?;
        self.batches.iter().try_for_each(|batch| writer.write(batch))?;
        writer.into_inner()
    }

    fn hand_on(&mut self) -> Result<(), ParquetError> {
        self.bytes = 0;
        self.batches.push(self.columns.take()?);
        Ok(())
    }
}

/// What writes a file with rows of this version of the schema, in memory.
pub(super) fn writer(schema: SchemaRef, version: u32) -> Result<ArrowWriter<Vec<u8>>, ParquetError> {
    let version = KeyValue::new(VERSION_KEY.to_owned(), version.to_string());
    let properties = WriterProperties::builder()
        .set_created_by(concat!("aftercall version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        // No two rows have the same, so a dictionary of it is of no use.
        .set_column_dictionary_enabled(ColumnPath::from(FIELDS[schema::EVENT_ID].name), false)
        .set_key_value_metadata(Some(vec![version]))
        .build();
    ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))
}
