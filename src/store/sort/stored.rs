//! Ordered Parquet files of a table as inputs of a merge.
//!
//! Deals with: reading a range of users, by the statistics of row groups; columns that the file does not have; types that other
//! writers chose. Does not deal with: files that are not in order.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{and, cast, filter_record_batch, is_not_null};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

use super::PIECE_BYTES;
use super::buffer::rows_of;
use super::columns::{Columns, Rows};
use super::source::{Fence, Reader, Source, UserRange};
use crate::error::{Error, Result};
use crate::files::checksums::FooterSum;
use crate::files::checksums::read::{CheckedFile, decoded};
use crate::files::checksums::whole::unreadable;
use crate::files::nested::{adapt, lost};
use crate::store::managed::{Roles, StoredFile};
use crate::store::user_id::{UserId, Users};

/// A file of a table, with the columns of a schema.
pub(in crate::store) struct StoredSource {
    file: CheckedFile,
    sum: Option<FooterSum>,
    metadata: ArrowReaderMetadata,
    schema: SchemaRef,
    user: usize,
    /// For each column of the schema its place in the file.
    places: Vec<Option<usize>>,
    /// Users of the row groups, by their statistics.
    groups: Vec<Option<(UserId, UserId)>>,
    /// Of the whole file, as the commit log knows them.
    users: Option<(UserId, UserId)>,
    piece: usize,
}

fn unread(path: &Path, error: ParquetError) -> Error {
    Error::data(format!("cannot read '{}': {error}", path.display()))
}

impl StoredSource {
    /// Opens a file and reads its footer. Columns of `schema` that the file does not have are NULL.
    pub fn open(folder: &Path, stored: &StoredFile, schema: &SchemaRef, roles: &Roles) -> Result<Self> {
        let path = folder.join(&stored.path);
        let file = CheckedFile::open(&path, stored.checksum)?;
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(file.metadata()), ArrowReaderOptions::new());
        let metadata = as_wanted(metadata.map_err(|e| unread(&path, e))?, schema);
        let user = schema.index_of(&roles.user)?;
        let places: Vec<_> = schema.fields().iter().map(|f| metadata.schema().index_of(f.name()).ok()).collect();
        for role in [&roles.user, &roles.time] {
            if schema.index_of(role).is_ok_and(|at| places[at].is_none()) {
                return Err(Error::data(format!("'{}' has no column '{role}'", path.display())));
            }
        }
        let groups = group_users(&metadata, &roles.user).map_err(|e| unread(&path, e))?;
        let parquet = metadata.metadata();
        let bytes: i64 = parquet.row_groups().iter().map(|g| g.total_byte_size()).sum();
        // Encoded; in memory it is some times more.
        let piece = rows_of(PIECE_BYTES, 2 * bytes.max(0) as usize, stored.rows as usize);
        let users =
            stored.users.as_ref().and_then(|(low, high)| Some((UserId::from_scalar(low)?, UserId::from_scalar(high)?)));
        let sum = stored.checksum;
        Ok(Self { file, sum, metadata, schema: Arc::clone(schema), user, places, groups, users, piece })
    }

    /// That each row has a user and a time: others have no place in the order.
    pub fn check_complete(&self, batch: &RecordBatch, roles: &Roles) -> Result<()> {
        for role in [&roles.user, &roles.time] {
            if batch.column(batch.schema_ref().index_of(role)?).null_count() > 0 {
                let path = self.file.path().display();
                return Err(Error::data(format!(
                    "'{path}' cannot be put in order: it has rows whose '{role}' is NULL"
                ))
                .hint("tenure did not write it; whoever did can delete those rows"));
            }
        }
        Ok(())
    }

    /// Row groups that may hold one of these users, which are in order.
    pub fn groups_with(&self, users: &[UserId]) -> Vec<usize> {
        let holds = |bounds: &Option<(UserId, UserId)>| match bounds {
            Some((low, high)) => users.get(users.partition_point(|user| user < low)).is_some_and(|user| user <= high),
            None => true,
        };
        if !holds(&self.users) {
            return Vec::new();
        }
        (0..self.groups.len()).filter(|group| holds(&self.groups[*group])).collect()
    }

    /// Row groups that may hold users of a range.
    fn groups_of(&self, range: &UserRange) -> Vec<usize> {
        let meets = |users: &Option<(UserId, UserId)>| {
            users.as_ref().is_none_or(|(low, high)| range.meets(low.as_ref(), high.as_ref()))
        };
        if !meets(&self.users) {
            return Vec::new();
        }
        (0..self.groups.len()).filter(|group| meets(&self.groups[*group])).collect()
    }

    /// Batches of a range's row groups, with the schema's columns; rows of other users may be among them.
    pub fn batches(&self, groups: Vec<usize>) -> Result<Batches<'_>> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone());
        let mask = ProjectionMask::roots(builder.parquet_schema(), self.places.iter().flatten().copied());
        let builder = builder.with_projection(mask).with_row_groups(groups).with_batch_size(self.piece);
        let reader = builder.build().map_err(|e| unread(self.file.path(), e))?;
        Ok(Batches { source: self, reader })
    }

    /// Rows, as the file itself says.
    pub fn rows(&self) -> u64 {
        self.metadata.metadata().file_metadata().num_rows().max(0) as u64
    }

    /// Batches of the whole file.
    pub fn batches_of_all(&self) -> Result<Batches<'_>> {
        self.batches((0..self.groups.len()).collect())
    }

    /// A batch of the file with the schema's columns and types.
    fn adapt(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = (self.schema.fields().iter().zip(&self.places))
            .map(|(field, place)| {
                let Some(place) = place else { return Ok(new_null_array(field.data_type(), batch.num_rows())) };
                // The reader gives the wanted columns in the file's order.
                let at = self.places.iter().flatten().filter(|other| *other < place).count();
                self.adapt_column(field, batch.column(at))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn adapt_column(&self, field: &Field, column: &ArrayRef) -> Result<ArrayRef> {
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        let mut single = |part: &ArrayRef, target: &DataType, _: &str| {
            let cast = cast(part, target)?;
            let wrong = lost(part, &cast).into_iter().map(|row| (row, ())).collect();
            Ok((cast, wrong))
        };
        let (adapted, wrong) = adapt(column, field.data_type(), field.name(), &mut single).map_err(|e| {
            e.within(&format!("cannot read column '{}' of '{}': ", field.name(), self.file.path().display()))
        })?;
        if !wrong.is_empty() {
            return Err(Error::data(format!(
                "column '{}' of '{}' is {}, and holds values that are no {}",
                field.name(),
                self.file.path().display(),
                column.data_type(),
                field.data_type()
            )));
        }
        Ok(adapted)
    }
}

/// Without rows that have no user or no time, which belong to nobody.
pub(in crate::store) fn with_user_and_time(batch: &RecordBatch, roles: &Roles) -> Result<RecordBatch> {
    let mut there = None;
    for role in [&roles.user, &roles.time] {
        let column = batch.column(batch.schema_ref().index_of(role)?);
        if column.null_count() > 0 {
            let valid = is_not_null(column)?;
            there = Some(match there {
                Some(other) => and(&other, &valid)?,
                None => valid,
            });
        }
    }
    match there {
        Some(there) => Ok(filter_record_batch(batch, &there)?),
        None => Ok(batch.clone()),
    }
}

/// The metadata so that text columns are read in the form that is wanted: dictionaries stay dictionaries.
fn as_wanted(metadata: ArrowReaderMetadata, schema: &Schema) -> ArrowReaderMetadata {
    let text = |t: &DataType| match t {
        DataType::Dictionary(_, value) => **value == DataType::Utf8,
        other => matches!(other, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
    };
    let fields = metadata.schema().fields().iter().map(|field| match schema.field_with_name(field.name()) {
        Ok(wanted)
            if wanted.data_type() != field.data_type() && text(wanted.data_type()) && text(field.data_type()) =>
        {
            Arc::new(field.as_ref().clone().with_data_type(wanted.data_type().clone()))
        }
        _ => Arc::clone(field),
    });
    let hinted = Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), metadata.schema().metadata().clone()));
    if hinted == *metadata.schema() {
        return metadata;
    }
    let options = ArrowReaderOptions::new().with_schema(hinted);
    // Where the hint does not fit, columns are cast once they are read.
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options).unwrap_or(metadata)
}

/// Smallest and largest user of each row group, where its statistics say so.
fn group_users(
    metadata: &ArrowReaderMetadata,
    user: &str,
) -> std::result::Result<Vec<Option<(UserId, UserId)>>, ParquetError> {
    let groups = metadata.metadata().row_groups();
    let converter = StatisticsConverter::try_new(user, metadata.schema(), metadata.parquet_schema())?;
    let (low, high) = (converter.row_group_mins(groups)?, converter.row_group_maxes(groups)?);
    let at = |bounds: &ArrayRef, group: usize| {
        ScalarValue::try_from_array(bounds, group).ok().and_then(|value| UserId::from_scalar(&value))
    };
    Ok((0..groups.len()).map(|group| Some((at(&low, group)?, at(&high, group)?))).collect())
}

impl Source for StoredSource {
    fn fences(&self) -> Result<Vec<Fence>> {
        let groups = self.metadata.metadata().row_groups().iter().zip(&self.groups);
        Ok(groups
            .filter_map(|(group, users)| Some((users.as_ref()?.0.clone(), group.num_rows().max(0) as u64)))
            .collect())
    }

    fn piece(&self) -> usize {
        self.piece
    }

    fn read<'a>(&'a self, range: &UserRange) -> Result<Box<dyn Reader + 'a>> {
        let batches = self.batches(self.groups_of(range))?;
        Ok(Box::new(StoredReader { batches, range: range.clone(), last: None }))
    }
}

/// Batches of a file with the wanted columns.
pub(in crate::store) struct Batches<'a> {
    source: &'a StoredSource,
    reader: ParquetRecordBatchReader,
}

impl Iterator for Batches<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match decoded(self.source.file.path(), || self.reader.next()) {
            Ok(batch) => batch?,
            Err(error) => return Some(Err(error)),
        };
        let batch = batch.map_err(|error| unreadable(self.source.file.path(), self.source.sum, error.into()));
        Some(batch.and_then(|batch| self.source.adapt(&batch)))
    }
}

struct StoredReader<'a> {
    batches: Batches<'a>,
    range: UserRange,
    last: Option<(UserId, i64)>,
}

impl StoredReader<'_> {
    /// That a file is in order is written in the log; believing it wrongly would lose rows or answer wrongly later.
    fn check(&mut self, columns: &Columns, rows: &Rows, users: &Users) -> Result<()> {
        let times = columns.times(rows)?;
        let rises = (1..rows.len).all(|row| (users.at(row - 1), times[row - 1]) <= (users.at(row), times[row]));
        let follows = self.last.as_ref().is_none_or(|(user, time)| (user.as_ref(), *time) <= (users.at(0), times[0]));
        if !rises || !follows {
            let path = self.batches.source.file.path().display();
            return Err(Error::data(format!("'{path}' is not in the order of user and time, as the table says")));
        }
        self.last = Some((users.at(rows.len - 1).to_owned(), times[rows.len - 1]));
        Ok(())
    }
}

impl Reader for StoredReader<'_> {
    fn next(&mut self, columns: &mut Columns) -> Result<Option<Rows>> {
        loop {
            let Some(batch) = self.batches.next().transpose()? else { return Ok(None) };
            if batch.num_rows() == 0 {
                continue;
            }
            let source = self.batches.source;
            if batch.column(source.user).null_count() > 0 {
                return Err(Error::data(format!("'{}' holds a row without a user", source.file.path().display())));
            }
            let mut users = Users::new(batch.column(source.user))?;
            let (from, to) = self.range.within(&users);
            if from == to {
                continue;
            }
            let batch = batch.slice(from, to - from);
            if to - from < users.len() {
                users = Users::new(batch.column(source.user))?;
            }
            let rows = columns.take_in(&batch)?;
            self.check(columns, &rows, &users)?;
            return Ok(Some(rows));
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array, ListArray, StructArray, TimestampMicrosecondArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{Int64Type, TimeUnit};
    use std::fs::File;

    use parquet::arrow::ArrowWriter;

    use super::*;

    /// A struct that was smaller when another writer wrote the file, also as the items of a list.
    #[test]
    fn structs_with_fewer_fields_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let few: ArrayRef = Arc::new(StructArray::from(vec![(
            Arc::new(Field::new("a", DataType::Int32, true)),
            cast(&Int64Array::from(vec![1, 2]), &DataType::Int32).unwrap(),
        )]));
        let item = Arc::new(Field::new("item", few.data_type().clone(), true));
        let list = ListArray::new(item, OffsetBuffer::from_lengths([2, 0]), Arc::clone(&few), None);
        let batch = RecordBatch::try_from_iter([
            ("user_id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
            ("ts", Arc::new(TimestampMicrosecondArray::from(vec![1, 2]).with_timezone("UTC"))),
            ("p", few),
            ("l", Arc::new(list)),
        ])
        .unwrap();
        let path = folder.path().join("a.parquet");
        let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let many = vec![Field::new("b", DataType::Utf8, true), Field::new("a", DataType::Int64, true)];
        let many = DataType::Struct(many.into());
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("user_id", DataType::Int64, true),
            Field::new("ts", time, true),
            Field::new("p", many.clone(), true),
            Field::new("l", DataType::List(Arc::new(Field::new("element", many, true))), true),
        ]));
        let roles = Roles { user: "user_id".into(), time: "ts".into(), event: None };
        let file = StoredFile {
            path: "a.parquet".into(),
            size: 1,
            modified: 0,
            rows: 2,
            ordered: false,
            users: None,
            times: None,
            checksum: None,
            statistics: String::new(),
        };
        let source = StoredSource::open(folder.path(), &file, &schema, &roles).unwrap();
        let read = source.batches_of_all().unwrap().next().unwrap().unwrap();
        for part in [read.column(2).as_struct(), read.column(3).as_list::<i32>().values().as_struct()] {
            assert_eq!(part.column(0).null_count(), 2);
            assert_eq!(part.column(1).as_primitive::<Int64Type>().values().to_vec(), [1, 2]);
        }
    }
}
