//! Files of rows made anew: several as one, or one without the rows of a conversation.
//!
//! Files of another version of the schema keep it: nothing is put into columns that it was not written in, so files are
//! made one of only if they have the same columns.

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, RecordBatch};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use super::encode;
use super::schema::{CONVERSATION_ID, FIELDS, VERSION_KEY};

/// Rows that are read at once.
const BATCH_ROWS: usize = 4_096;

/// A file that is being made of others.
pub(super) struct Rewriter {
    schema: SchemaRef,
    version: u32,
    /// The conversation whose rows are left out.
    without: Option<String>,
    rows: u64,
    writer: ArrowWriter<Vec<u8>>,
}

/// A file that was made of others.
pub(super) struct Rewritten {
    pub(super) data: Bytes,
    pub(super) rows: u64,
    /// The version of its rows.
    pub(super) version: u32,
}

impl Rewriter {
    /// Of files like this one, which is not in it yet.
    pub(super) fn like(data: &Bytes, without: Option<&str>) -> Result<Self, ParquetError> {
        let file = reader(data)?;
        let (schema, version) = (file.schema().clone(), version(&file));
        let writer = encode::writer(schema.clone(), version)?;
        Ok(Self { schema, version, without: without.map(str::to_owned), rows: 0, writer })
    }

    /// Appends the rows of a file; whether it has the same columns. If not, nothing is appended.
    pub(super) fn push(&mut self, data: &Bytes) -> Result<bool, ParquetError> {
        let file = reader(data)?;
        if *file.schema() != self.schema || version(&file) != self.version {
            return Ok(false);
        }
        for batch in file.with_batch_size(BATCH_ROWS).build()? {
            let batch = batch?;
            for part in kept(&batch, self.without.as_deref()) {
                self.rows += part.num_rows() as u64;
                self.writer.write(&part)?;
            }
        }
        Ok(true)
    }

    /// The file.
    pub(super) fn finish(self) -> Result<Rewritten, ParquetError> {
        let data = Bytes::from(self.writer.into_inner()?);
        Ok(Rewritten { data, rows: self.rows, version: self.version })
    }
}

/// How many rows of a file are a conversation's.
pub(super) fn count(data: &Bytes, conversation: &str) -> Result<u64, ParquetError> {
    let file = reader(data)?;
    let Ok(place) = file.schema().index_of(FIELDS[CONVERSATION_ID].name) else { return Ok(0) };
    let mask = parquet::arrow::ProjectionMask::roots(file.parquet_schema(), [place]);
    let mut count = 0;
    for batch in file.with_projection(mask).with_batch_size(BATCH_ROWS).build()? {
        let batch = batch?;
        count +=
            batch.num_rows() as u64 - kept(&batch, Some(conversation)).map(|part| part.num_rows() as u64).sum::<u64>();
    }
    Ok(count)
}

fn reader(data: &Bytes) -> Result<ParquetRecordBatchReaderBuilder<Bytes>, ParquetError> {
    ParquetRecordBatchReaderBuilder::try_new(data.clone())
}

/// What the file says, which is 1 if it says nothing.
fn version(file: &ParquetRecordBatchReaderBuilder<Bytes>) -> u32 {
    let pairs = file.metadata().file_metadata().key_value_metadata();
    let version = pairs.into_iter().flatten().find(|pair| pair.key == VERSION_KEY).and_then(|pair| pair.value.as_ref());
    version.and_then(|version| version.parse().ok()).unwrap_or(1)
}

/// The runs of rows that are not the conversation's.
fn kept<'a>(batch: &'a RecordBatch, without: Option<&'a str>) -> impl Iterator<Item = RecordBatch> + 'a {
    let column = batch.column_by_name(FIELDS[CONVERSATION_ID].name).and_then(|column| column.as_string_opt::<i32>());
    let is_gone = move |row: usize| match (column, without) {
        (Some(column), Some(without)) => column.is_valid(row) && column.value(row) == without,
        _ => false,
    };
    let rows = batch.num_rows();
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = (at..rows).find(|row| !is_gone(*row))?;
        at = (from..rows).find(|row| is_gone(*row)).unwrap_or(rows);
        Some(batch.slice(from, at - from))
    })
}
