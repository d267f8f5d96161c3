//! Rows, gathered into columns.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder as _, Float64Builder, Int64Builder, StringBuilder, TimestampMillisecondBuilder,
};
use arrow_array::{Array as _, ArrayRef, ListArray, RecordBatch, StructArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, SchemaRef};

use super::row::{Cell, Row};
use super::schema::{self, FIELDS, Kind, ZONE};

/// The columns of some rows.
pub(super) struct Columns {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
}

enum Column {
    Text(StringBuilder),
    Integer(Int64Builder),
    Number(Float64Builder),
    Time(TimestampMillisecondBuilder),
    List { kind: Kind, lengths: Vec<usize>, elements: Box<Column> },
    Struct { kind: &'static [schema::Field], members: Vec<Column> },
}

impl Columns {
    /// Without a row.
    pub(super) fn new() -> Self {
        let columns = FIELDS.iter().map(|field| Column::new(field.kind)).collect();
        Self { schema: schema::arrow(), columns, rows: 0 }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Appends a row.
    pub(super) fn push(&mut self, row: &Row<'_>) {
        self.columns.iter_mut().zip(row.cells()).for_each(|(column, cell)| column.push(cell));
        self.rows += 1;
    }

    /// The rows so far; none is left.
    pub(super) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let arrays = self.columns.iter_mut().map(Column::take).collect::<Result<_, _>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }
}

impl Column {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text | Kind::Json => Self::Text(StringBuilder::new()),
            Kind::Integer => Self::Integer(Int64Builder::new()),
            Kind::Number => Self::Number(Float64Builder::new()),
            Kind::Time => Self::Time(TimestampMillisecondBuilder::new().with_timezone(ZONE)),
            Kind::List(kind) => Self::List { kind: *kind, lengths: Vec::new(), elements: Box::new(Self::new(*kind)) },
            Kind::Struct(kind) => {
                Self::Struct { kind, members: kind.iter().map(|member| Self::new(member.kind)).collect() }
            }
        }
    }

    /// A cell of another kind than the column's is null; a row has none.
    fn push(&mut self, cell: &Cell<'_>) {
        match (self, cell) {
            (Self::Text(column), Cell::Text(text)) => column.append_value(text),
            (Self::Text(column), _) => column.append_null(),
            (Self::Integer(column), Cell::Integer(value)) => column.append_value(*value),
            (Self::Integer(column), _) => column.append_null(),
            (Self::Number(column), Cell::Number(value)) => column.append_value(*value),
            (Self::Number(column), _) => column.append_null(),
            (Self::Time(column), Cell::Time(millis)) => column.append_value(*millis),
            (Self::Time(column), _) => column.append_null(),
            (Self::List { lengths, elements, .. }, Cell::List(cells)) => {
                cells.iter().for_each(|cell| elements.push(cell));
                lengths.push(cells.len());
            }
            (Self::List { lengths, .. }, _) => lengths.push(0),
            (Self::Struct { members, .. }, Cell::Struct(cells)) => {
                members.iter_mut().zip(cells).for_each(|(member, cell)| member.push(cell));
            }
            (Self::Struct { members, .. }, _) => members.iter_mut().for_each(|member| member.push(&Cell::Null)),
        }
    }

    fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Text(column) => {
                // The next batch is much like this one.
                let next = StringBuilder::with_capacity(column.len(), column.values_slice().len());
                Arc::new(std::mem::replace(column, next).finish())
            }
            Self::Integer(column) => Arc::new(column.finish()),
            Self::Number(column) => Arc::new(column.finish()),
            Self::Time(column) => Arc::new(column.finish()),
            Self::List { kind, lengths, elements } => {
                let offsets = OffsetBuffer::from_lengths(std::mem::take(lengths));
                Arc::new(ListArray::try_new(schema::element(*kind), offsets, elements.take()?, None)?)
            }
            Self::Struct { kind, members } => {
                let arrays: Vec<_> = members.iter_mut().map(Self::take).collect::<Result<_, _>>()?;
                debug_assert!(arrays.windows(2).all(|pair| pair[0].len() == pair[1].len()));
                Arc::new(StructArray::try_new(schema::fields(kind), arrays, None)?)
            }
        })
    }
}
