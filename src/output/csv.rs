//! CSV and TSV: a header always, quotes where needed, NULL as an empty field, nested values as JSON.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringBuilder};
use arrow::csv::{Writer, WriterBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::writer::{EncoderOptions, make_encoder};

use super::portable::{Portable, Target};
use super::{Sink, write_failed};
use crate::error::Result;

pub(super) struct Csv<W: Write> {
    portable: Portable,
    writer: Writer<W>,
    started: bool,
}

impl<W: Write> Csv<W> {
    pub fn new(schema: &SchemaRef, delimiter: u8, writer: W) -> Self {
        let writer = WriterBuilder::new().with_header(true).with_delimiter(delimiter).build(writer);
        Self { portable: Portable::new(schema, Target::Text), writer, started: false }
    }
}

impl<W: Write + Send> Sink for Csv<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.started = true;
        let batch = flat(&self.portable.convert(batch)?)?;
        self.writer.write(&batch).map_err(write_failed)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if !self.started {
            let empty = RecordBatch::new_empty(Arc::clone(&self.portable.schema));
            self.write(&empty)?;
        }
        Ok(())
    }
}

/// Nested columns as JSON text, the rest as it is.
fn flat(batch: &RecordBatch) -> Result<RecordBatch> {
    if !batch.columns().iter().any(|c| is_nested(c.data_type())) {
        return Ok(batch.clone());
    }
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if is_nested(field.data_type()) {
            let field_of_column = Arc::clone(field);
            let options = EncoderOptions::default().with_explicit_nulls(true);
            let mut encoder = make_encoder(&field_of_column, column.as_ref(), &options).map_err(write_failed)?;
            let mut texts = StringBuilder::new();
            let mut json = Vec::new();
            for row in 0..column.len() {
                if column.is_null(row) {
                    texts.append_null();
                    continue;
                }
                json.clear();
                encoder.encode(row, &mut json);
                texts.append_value(String::from_utf8_lossy(&json));
            }
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(Arc::new(texts.finish()));
        } else {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(write_failed)
}

fn is_nested(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_nested(value),
        other => other.is_nested() && !matches!(other, DataType::RunEndEncoded(..)),
    }
}
