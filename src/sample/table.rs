//! The columns and files of the shop.
//!
//! Deals with: Arrow schemas, batches, Parquet properties. Does not deal with: what is in the rows.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::session::{EVENTS, Event, PAGES};
use super::user::{CAMPAIGNS, CHANNELS, COUNTRIES, PLANS, PLATFORMS, User};
use super::{GenerateOptions, Order};
use crate::error::{Error, Result};
use crate::files::checksums::write::Writer;

/// Rows of a batch and of a row group.
pub const BATCH: usize = 32_768;
const ROW_GROUP: usize = 1 << 20;

/// A row of the events: the event and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub user: u64,
    pub country: u8,
    pub event: Event,
}

/// A row of the users, with what was counted while their events were made.
#[derive(Debug, Clone)]
pub struct UserRow {
    pub user: User,
    pub sessions: i64,
    pub events: i64,
    pub orders: i64,
}

/// How users are named in both files.
#[derive(Debug, Clone, Copy)]
struct Ids {
    strings: bool,
    /// Equal widths, so that the order of the strings is that of the numbers.
    digits: usize,
}

impl Ids {
    fn new(options: &GenerateOptions) -> Self {
        Self { strings: options.string_ids, digits: options.users.to_string().len().max(7) }
    }

    fn field(self) -> Field {
        Field::new("user_id", if self.strings { DataType::Utf8 } else { DataType::Int64 }, false)
    }

    fn array(self, users: impl ExactSizeIterator<Item = u64>) -> ArrayRef {
        if self.strings {
            let digits = self.digits;
            Arc::new(StringArray::from_iter_values(users.map(|user| format!("u{:0digits$}", user + 1))))
        } else {
            Arc::new(Int64Array::from_iter_values(users.map(|user| user as i64 + 1)))
        }
    }
}

/// A column of few strings, shared by all batches.
struct Names(ArrayRef);

impl Names {
    fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(Arc::new(StringArray::from_iter_values(names)))
    }

    fn array(&self, keys: impl Iterator<Item = u8>) -> Result<ArrayRef> {
        self.some(keys.map(Some))
    }

    fn some(&self, keys: impl Iterator<Item = Option<u8>>) -> Result<ArrayRef> {
        let keys: Int32Array = keys.map(|key| key.map(i32::from)).collect();
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::clone(&self.0))?))
    }
}

fn names(name: &str) -> Field {
    Field::new_dictionary(name, DataType::Int32, DataType::Utf8, false)
}

fn instant(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, None), nullable)
}

/// A Parquet file being written, with a path for its errors.
struct Sink {
    path: PathBuf,
    schema: SchemaRef,
    writer: Writer<File>,
}

impl Sink {
    fn new(path: PathBuf, schema: Schema, properties: WriterPropertiesBuilder, sorted_by: &[&str]) -> Result<Self> {
        let file = File::create_new(&path).map_err(|error| Error::io("create", &path, &error))?;
        let schema = Arc::new(schema);
        let sorting = (sorted_by.iter())
            .map(|name| {
                Ok(SortingColumn { column_idx: schema.index_of(name)? as i32, descending: false, nulls_first: false })
            })
            .collect::<Result<Vec<_>>>()?;
        let properties = properties
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .set_sorting_columns(Some(sorting))
            .build();
        let writer = Writer::plain(file, Arc::clone(&schema), properties);
        let writer = writer.map_err(|error| unwritten(&path, error))?;
        Ok(Self { path, schema, writer })
    }

    fn write(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let mut from = 0;
        while from < batch.num_rows() {
            let rows = (ROW_GROUP - self.writer.in_progress_rows()).min(batch.num_rows() - from);
            self.writer.write(&batch.slice(from, rows)).map_err(|error| unwritten(&self.path, error))?;
            from += rows;
            if self.writer.in_progress_rows() == ROW_GROUP {
                self.writer.flush().map_err(|error| unwritten(&self.path, error))?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.writer.finish().map_err(|error| unwritten(&self.path, error))?;
        let synced = self.writer.sync().and_then(|()| self.writer.inner().sync_all());
        synced.map_err(|error| Error::io("write", &self.path, &error))
    }
}

/// An error of the Parquet writer on a named file; the cause may be a full disk.
fn unwritten(path: &Path, error: ParquetError) -> Error {
    if let ParquetError::External(cause) = &error
        && let Some(cause) = cause.downcast_ref::<std::io::Error>()
    {
        return Error::io("write", path, cause);
    }
    Error::data(format!("cannot write '{}': {error}", path.display()))
}

/// The events file.
pub struct EventsFile {
    sink: Sink,
    ids: Ids,
    rows: Vec<Row>,
    events: Names,
    countries: Names,
    platforms: Names,
    channels: Names,
    campaigns: Names,
    pages: Names,
}

impl EventsFile {
    pub fn create(path: PathBuf, options: &GenerateOptions) -> Result<Self> {
        let ids = Ids::new(options);
        let schema = Schema::new(vec![
            ids.field(),
            instant("ts", false),
            names("event"),
            names("platform"),
            names("country"),
            names("channel"),
            names("campaign").with_nullable(true),
            names("page"),
            Field::new("item_id", DataType::Int32, true),
            Field::new("price", DataType::Float64, true),
            Field::new("order_id", DataType::Int64, true),
        ]);
        // Times and order numbers hardly repeat: a dictionary would only be built and thrown away. So it is with
        // users in time order, whose numbers go up and down; in their own order they are runs, the dictionary's best case.
        let mut properties = plain(WriterProperties::builder(), "ts");
        properties = plain(properties, "order_id");
        let sorted_by: &[&str] = match options.order {
            Order::User => &["user_id", "ts"],
            Order::Time => &["ts"],
        };
        if options.order == Order::Time && !options.string_ids {
            properties = plain(properties, "user_id");
        }
        Ok(Self {
            sink: Sink::new(path, schema, properties, sorted_by)?,
            ids,
            rows: Vec::with_capacity(BATCH),
            events: Names::new(EVENTS),
            countries: Names::new(COUNTRIES.map(|country| country.0)),
            platforms: Names::new(PLATFORMS.map(|platform| platform.0)),
            channels: Names::new([CHANNELS[0].name, CHANNELS[1].name]),
            campaigns: Names::new(CAMPAIGNS.map(|campaign| campaign.0)),
            pages: Names::new(PAGES),
        })
    }

    /// Takes one row; true when it wrote a batch.
    pub fn push(&mut self, row: Row) -> Result<bool> {
        self.rows.push(row);
        if self.rows.len() < BATCH {
            return Ok(false);
        }
        self.flush()?;
        Ok(true)
    }

    fn flush(&mut self) -> Result<()> {
        let rows = &self.rows;
        let positive = |value: u32| (value > 0).then_some(value);
        let columns: Vec<ArrayRef> = vec![
            self.ids.array(rows.iter().map(|row| row.user)),
            Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.event.ts))),
            self.events.array(rows.iter().map(|row| row.event.kind))?,
            self.platforms.array(rows.iter().map(|row| row.event.way.platform))?,
            self.countries.array(rows.iter().map(|row| row.country))?,
            self.channels.array(rows.iter().map(|row| row.event.way.channel))?,
            self.campaigns.some(rows.iter().map(|row| row.event.way.campaign.checked_sub(1)))?,
            self.pages.array(rows.iter().map(|row| row.event.page))?,
            Arc::new(Int32Array::from_iter(rows.iter().map(|row| positive(row.event.item).map(|item| item as i32)))),
            Arc::new(Float64Array::from_iter(
                rows.iter().map(|row| positive(row.event.cents).map(|c| f64::from(c) / 100.0)),
            )),
            Arc::new(Int64Array::from_iter(rows.iter().map(|row| {
                let number = positive(row.event.order)?;
                Some(((row.user as i64 + 1) << 24) + i64::from(number))
            }))),
        ];
        self.sink.write(columns)?;
        self.rows.clear();
        Ok(())
    }

    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.sink.finish()
    }
}

/// Without a dictionary, as differences.
fn plain(properties: WriterPropertiesBuilder, column: &str) -> WriterPropertiesBuilder {
    let path = ColumnPath::from(column);
    properties
        .set_column_dictionary_enabled(path.clone(), false)
        .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
}

/// The users file, in the order of their ids.
pub struct UsersFile {
    sink: Sink,
    ids: Ids,
    rows: Vec<UserRow>,
    countries: Names,
    platforms: Names,
    channels: Names,
    plans: Names,
}

impl UsersFile {
    pub fn create(path: PathBuf, options: &GenerateOptions) -> Result<Self> {
        let ids = Ids::new(options);
        let schema = Schema::new(vec![
            ids.field(),
            instant("signup_at", false),
            names("country"),
            names("platform"),
            names("channel"),
            names("plan"),
            Field::new("birth_year", DataType::Int32, false),
            Field::new("email", DataType::Utf8, false),
            instant("churned_at", true),
            Field::new("sessions", DataType::Int64, false),
            Field::new("events", DataType::Int64, false),
            Field::new("orders", DataType::Int64, false),
        ]);
        let mut properties = plain(WriterProperties::builder(), "signup_at");
        properties = plain(properties, "churned_at");
        properties = properties.set_column_dictionary_enabled(ColumnPath::from("email"), false);
        if !options.string_ids {
            properties = plain(properties, "user_id");
        }
        Ok(Self {
            sink: Sink::new(path, schema, properties, &["user_id"])?,
            ids,
            rows: Vec::with_capacity(BATCH),
            countries: Names::new(COUNTRIES.map(|country| country.0)),
            platforms: Names::new(PLATFORMS.map(|platform| platform.0)),
            channels: Names::new([CHANNELS[0].name, CHANNELS[1].name]),
            plans: Names::new(PLANS.map(|plan| plan.0)),
        })
    }

    pub fn push(&mut self, row: UserRow) -> Result<()> {
        self.rows.push(row);
        if self.rows.len() < BATCH { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        let rows = &self.rows;
        let users = || rows.iter().map(|row| &row.user);
        let columns: Vec<ArrayRef> = vec![
            self.ids.array(users().map(|user| user.index)),
            Arc::new(TimestampMicrosecondArray::from_iter_values(users().map(|user| user.signup_at))),
            self.countries.array(users().map(|user| user.country as u8))?,
            self.platforms.array(users().map(|user| user.platform as u8))?,
            self.channels.array(users().map(|user| user.channel as u8))?,
            self.plans.array(users().map(|user| user.plan as u8))?,
            Arc::new(Int32Array::from_iter_values(users().map(|user| user.birth_year))),
            Arc::new(StringArray::from_iter_values(users().map(|user| format!("user{}@example.com", user.index + 1)))),
            Arc::new(TimestampMicrosecondArray::from_iter(users().map(|user| user.churned_at))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.sessions))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.events))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.orders))),
        ];
        self.sink.write(columns)?;
        self.rows.clear();
        Ok(())
    }

    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.sink.finish()
    }
}
