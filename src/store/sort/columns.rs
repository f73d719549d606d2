//! Rows as they are held while being sorted: text of few values as numbers.
//!
//! Deals with: taking batches in, bringing columns that are held differently to one form, giving batches out.
//! Does not deal with: order.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, MutableArrayData, RecordBatch, TimestampMicrosecondArray, make_array, new_null_array,
};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{cast, concat, interleave};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};

use super::words::{Coded, Limit};
use crate::error::{Error, Result};
use crate::store::managed::Roles;
use crate::store::user_id::Users;

/// Slices that are shorter on average are gathered row by row.
const SHORT: usize = 16;

/// Some rows, columns as they are held.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub columns: Vec<ArrayRef>,
    pub len: usize,
}

impl Rows {
    pub fn slice(&self, from: usize, len: usize) -> Self {
        Self { columns: self.columns.iter().map(|c| c.slice(from, len)).collect(), len }
    }

    /// Bytes of the rows themselves, whatever larger arrays they may be slices of.
    pub fn bytes(&self) -> usize {
        self.columns
            .iter()
            .map(|c| c.to_data().get_slice_memory_size().unwrap_or_else(|_| c.get_array_memory_size()))
            .sum()
    }
}

/// A piece of one of several [`Rows`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Slice {
    pub rows: u32,
    pub from: u32,
    pub len: u32,
}

/// How the columns of a table are held.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub schema: SchemaRef,
    pub user: usize,
    pub time: usize,
    coded: Vec<Option<Coded>>,
}

impl Columns {
    /// Checks the roles' types, in the words of whoever made the schema. Words have at most about `memory` bytes.
    pub fn new(schema: SchemaRef, roles: &Roles, memory: usize) -> Result<Self> {
        let coded = schema.fields().iter().filter(|f| is_coded(f.data_type())).count();
        Self::with_limit(schema, roles, Limit::within(memory, coded))
    }

    /// With a limit of words for each column.
    pub fn with_limit(schema: SchemaRef, roles: &Roles, limit: Limit) -> Result<Self> {
        let position = |name: &str| {
            schema.index_of(name).map_err(|_| Error::internal(format!("sort: there is no column '{name}'")))
        };
        let (user, time) = (position(&roles.user)?, position(&roles.time)?);
        let users = schema.field(user).data_type();
        if !matches!(users, DataType::Int64 | DataType::Utf8) {
            return Err(Error::internal(format!("sort: users are BIGINT or text, not {users}")));
        }
        let times = schema.field(time).data_type();
        if !matches!(times, DataType::Timestamp(TimeUnit::Microsecond, _)) {
            return Err(Error::internal(format!("sort: times are microseconds, not {times}")));
        }
        let coded = schema.fields().iter().map(|f| is_coded(f.data_type()).then(|| Coded::new(limit))).collect();
        Ok(Self { schema, user, time, coded })
    }

    /// Takes a batch with the table's columns, text in any of its types; anything else has to have the table's type.
    pub fn take_in(&mut self, batch: &RecordBatch) -> Result<Rows> {
        if batch.num_columns() != self.schema.fields().len() {
            return Err(Error::internal(format!(
                "sort: {} columns came, the table has {}",
                batch.num_columns(),
                self.schema.fields().len()
            )));
        }
        let mut columns = Vec::with_capacity(batch.num_columns());
        for ((column, field), coded) in batch.columns().iter().zip(self.schema.fields()).zip(&mut self.coded) {
            columns.push(match coded {
                Some(coded) => coded.encode(column)?,
                None if column.data_type() == field.data_type() => Arc::clone(column),
                None if is_text(field.data_type()) => cast(column, field.data_type())?,
                None => {
                    return Err(Error::internal(format!(
                        "sort: column '{}' came as {}, the table has {}",
                        field.name(),
                        column.data_type(),
                        field.data_type()
                    )));
                }
            });
        }
        Ok(Rows { columns, len: batch.num_rows() })
    }

    /// Rows as the table has them.
    pub fn give_out(&mut self, rows: &Rows) -> Result<RecordBatch> {
        let columns = (rows.columns.iter().zip(&mut self.coded))
            .map(|(column, coded)| match coded {
                Some(coded) => coded.dictionary(column),
                None => Ok(Arc::clone(column)),
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// Slices of rows one after the other.
    pub fn gather(&mut self, rows: &[Rows], slices: &[Slice]) -> Result<Rows> {
        let len: usize = slices.iter().map(|s| s.len as usize).sum();
        if let [only] = slices {
            return Ok(rows[only.rows as usize].slice(only.from as usize, len));
        }
        if len < SHORT * slices.len() {
            let mut places = Vec::with_capacity(len);
            for slice in slices {
                places.extend((slice.from..slice.from + slice.len).map(|row| (slice.rows as usize, row as usize)));
            }
            return self.pick(rows, &places);
        }
        let mut columns = Vec::with_capacity(self.coded.len());
        for at in 0..self.coded.len() {
            let arrays = self.alike(at, rows.iter().map(|r| &r.columns[at]))?;
            let data: Vec<_> = arrays.iter().map(|a| a.to_data()).collect();
            let mut all = MutableArrayData::new(data.iter().collect(), false, len);
            for slice in slices {
                all.try_extend(slice.rows as usize, slice.from as usize, (slice.from + slice.len) as usize)?;
            }
            columns.push(make_array(all.freeze()));
        }
        Ok(Rows { columns, len })
    }

    /// Single rows, each given by its number among `rows` and in them.
    pub fn pick(&mut self, rows: &[Rows], places: &[(usize, usize)]) -> Result<Rows> {
        let mut columns = Vec::with_capacity(self.coded.len());
        for at in 0..self.coded.len() {
            let arrays = self.alike(at, rows.iter().map(|r| &r.columns[at]))?;
            columns.push(interleave(&arrays.iter().map(|a| a.as_ref()).collect::<Vec<_>>(), places)?);
        }
        Ok(Rows { columns, len: places.len() })
    }

    /// Turns numbers into text where the column's words have become too many since.
    pub fn settle(&mut self, rows: &mut Rows) -> Result<()> {
        for (column, coded) in rows.columns.iter_mut().zip(&mut self.coded) {
            if let Some(coded) = coded.as_mut().filter(|c| c.given_up()) {
                *column = coded.text(column)?;
            }
        }
        Ok(())
    }

    /// All rows one after the other, in arrays that hold nothing else.
    pub fn compact(&mut self, rows: &[Rows]) -> Result<Rows> {
        let len = rows.iter().map(|r| r.len).sum();
        let mut columns = Vec::with_capacity(self.coded.len());
        for at in 0..self.coded.len() {
            let arrays = self.alike(at, rows.iter().map(|r| &r.columns[at]))?;
            columns.push(match arrays.as_slice() {
                // Arrow hands out a lone array as it is, with all that it is a slice of.
                [only] => {
                    let data = only.to_data();
                    let mut copy = MutableArrayData::new(vec![&data], false, len);
                    copy.try_extend(0, 0, len)?;
                    make_array(copy.freeze())
                }
                several => concat(&several.iter().map(|a| a.as_ref()).collect::<Vec<_>>())?,
            });
        }
        Ok(Rows { columns, len })
    }

    /// A column of several rows in one form: numbers if all are, else text.
    fn alike<'a>(&mut self, at: usize, arrays: impl Iterator<Item = &'a ArrayRef>) -> Result<Vec<ArrayRef>> {
        let arrays: Vec<ArrayRef> = arrays.cloned().collect();
        match &mut self.coded[at] {
            Some(coded) if arrays.iter().any(|a| *a.data_type() == DataType::Utf8) => {
                arrays.iter().map(|a| coded.text(a)).collect()
            }
            _ => Ok(arrays),
        }
    }

    /// The fields of rows as they are held.
    pub fn held_schema(&self, rows: &Rows) -> Schema {
        let fields = self.schema.fields().iter().zip(&rows.columns);
        let fields =
            fields.map(|(field, held)| Field::new(field.name(), held.data_type().clone(), field.is_nullable()));
        Schema::new(fields.collect::<Vec<_>>())
    }

    /// Columns held as numbers or, since their words became too many, as text.
    pub fn coded(&self) -> impl Iterator<Item = (usize, &Coded)> {
        self.coded.iter().enumerate().filter_map(|(at, coded)| coded.as_ref().map(|c| (at, c)))
    }

    pub fn coded_mut(&mut self, at: usize) -> Option<&mut Coded> {
        self.coded.get_mut(at)?.as_mut()
    }

    /// The users of some rows.
    pub fn users(&self, rows: &Rows) -> Result<Users> {
        Users::new(&rows.columns[self.user])
    }

    /// The times of some rows.
    pub fn times(&self, rows: &Rows) -> Result<ScalarBuffer<i64>> {
        let times: &TimestampMicrosecondArray = rows.columns[self.time].as_primitive::<TimestampMicrosecondType>();
        match times.null_count() {
            0 => Ok(times.values().clone()),
            _ => Err(Error::internal("a NULL time among rows to be ordered")),
        }
    }

    /// Bytes of words.
    pub fn size(&self) -> usize {
        self.coded.iter().flatten().map(Coded::size).sum()
    }

    /// No rows.
    pub fn none(&self) -> Rows {
        let columns = self.schema.fields().iter().zip(&self.coded).map(|(field, coded)| match coded {
            Some(coded) if coded.given_up() => new_null_array(&DataType::Utf8, 0),
            Some(_) => new_null_array(&DataType::Int32, 0),
            None => new_null_array(field.data_type(), 0),
        });
        Rows { columns: columns.collect(), len: 0 }
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether a column is held as numbers of words.
fn is_coded(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Dictionary(key, value) if **key == DataType::Int32 && **value == DataType::Utf8)
}
