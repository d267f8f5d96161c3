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
use parquet::file::properties::{BloomFilterPosition, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::columns::Columns;
use super::row::Row;
use super::schema::{self, FIELDS, VERSION, VERSION_KEY};

/// Rows that are handed to the writer at once: enough to make each call cheap.
const BATCH_ROWS: usize = 4_096;
/// Bytes of payloads that are handed to the writer at once, so that no column of a batch comes near the 2 GiB that Arrow's
/// texts may have.
const BATCH_BYTES: usize = 32 * 1024 * 1024;
/// Share of conversations of which a file says wrongly that it may have them: each costs whoever erases one reading of the
/// file.
const FILTER_ERRORS: f64 = 0.01;
/// Conversations up to which that holds; with more of them it says so more often. While a file is made its filter takes
/// memory for so many, some 256 KiB, and in the file for those that it has, about a byte for each.
const FILTER_MOST: u64 = 128 * 1024;
/// Zstandard's own default: higher levels save some percent and cost a multiple.
const ZSTD_LEVEL: i32 = 3;

/// The rows of a file: the last in columns, those before in batches, and the first as bytes of the file already, which take
/// a small part of the memory. So the rows of a large file are never in memory together.
pub(super) struct Gathered {
    columns: Columns,
    /// Bytes of the payloads in `columns`.
    bytes: usize,
    rows: u64,
    /// The earliest and the latest time of a row.
    times: Option<(i64, i64)>,
    waiting: Vec<RecordBatch>,
    /// Bytes of their payloads.
    waiting_bytes: usize,
    /// What there is of the file.
    file: Option<File>,
}

/// A file that is being made, in memory.
pub(super) type File = ArrowWriter<Vec<u8>>;

/// Some batches that are to become a part of a file.
pub(super) struct Part {
    batches: Vec<RecordBatch>,
    /// Bytes of their payloads.
    pub(super) bytes: usize,
    file: Option<File>,
}

impl Part {
    /// The file with them.
    pub(super) fn encode(self) -> Result<File, ParquetError> {
        let mut file = self.file.map_or_else(|| writer(schema::arrow(), VERSION), Ok)?;
        self.batches.iter().try_for_each(|batch| file.write(batch))?;
        Ok(file)
    }
}

impl Gathered {
    /// Without a row.
    pub(super) fn new() -> Self {
        Self {
            columns: Columns::new(),
            bytes: 0,
            rows: 0,
            times: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            file: None,
        }
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

    /// What can be made of the file now, if there is something; until it is [put back](Self::put_back) there is no file here.
    pub(super) fn part(&mut self) -> Option<Part> {
        if self.waiting.is_empty() {
            return None;
        }
        let (batches, bytes) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.waiting_bytes));
        Some(Part { batches, bytes, file: self.file.take() })
    }

    /// Whether there is a [`Self::part`].
    pub(super) fn has_part(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes the file back.
    pub(super) fn put_back(&mut self, file: File) {
        self.file = Some(file);
    }

    /// Makes what can be made of the file.
    pub(super) fn encode_part(&mut self) -> Result<(), ParquetError> {
        if let Some(part) = self.part() {
            self.file = Some(part.encode()?);
        }
        Ok(())
    }

    /// Bytes that the file takes so far.
    pub(super) fn file_bytes(&self) -> usize {
        self.file.as_ref().map_or(0, File::memory_size)
    }

    /// The file.
    pub(super) fn encode(mut self) -> Result<Vec<u8>, ParquetError> {
        if self.columns.rows() > 0 {
            self.hand_on()?;
        }
        let part = Part { batches: self.waiting, bytes: self.waiting_bytes, file: self.file };
        part.encode()?.into_inner()
    }

    fn hand_on(&mut self) -> Result<(), ParquetError> {
        self.waiting_bytes += std::mem::take(&mut self.bytes);
        self.waiting.push(self.columns.take()?);
        Ok(())
    }
}

/// What writes a file with rows of this version of the schema, in memory.
pub(super) fn writer(schema: SchemaRef, version: u32) -> Result<ArrowWriter<Vec<u8>>, ParquetError> {
    let version = KeyValue::new(VERSION_KEY.to_owned(), version.to_string());
    let properties = WriterProperties::builder()
        .set_created_by(concat!("aftercall version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        // By it a file says, at its end, which conversations it does not have ([`super::peek`]).
        .set_column_bloom_filter_enabled(ColumnPath::from(FIELDS[schema::CONVERSATION_ID].name), true)
        .set_column_bloom_filter_fpp(ColumnPath::from(FIELDS[schema::CONVERSATION_ID].name), FILTER_ERRORS)
        .set_column_bloom_filter_max_ndv(ColumnPath::from(FIELDS[schema::CONVERSATION_ID].name), FILTER_MOST)
        .set_bloom_filter_position(BloomFilterPosition::End)
        // No two rows have the same, so a dictionary of it is of no use.
        .set_column_dictionary_enabled(ColumnPath::from(FIELDS[schema::EVENT_ID].name), false)
        .set_key_value_metadata(Some(vec![version]))
        .build();
    ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))
}
