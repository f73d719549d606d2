//! The columns that rows are read into: where each comes from, its type, how its values are read.
//!
//! Deals with: what readers of all formats need to know. Does not deal with: who decides it (`table` for queries, `ingest` for loads).

use std::collections::HashSet;

use arrow::datatypes::{DataType, SchemaRef};

use super::cells::Reading;
use super::infer::Seen;
use super::times::TimeReader;

/// What a source has, read off its beginning.
#[derive(Debug, Clone)]
pub struct Shape {
    /// The source's name.
    pub source: String,
    /// Columns in order.
    pub columns: Vec<(String, Seen)>,
    /// Whether columns may be called `#N`.
    pub by_position: bool,
    /// Whether it has no columns beside these: false where a sample of objects may lack some.
    pub whole: bool,
}

/// Where the values of a column come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A column of the sources: a name, a path with dots, or `#N`.
    Source(String),
    /// The same value in every row.
    Constant(String),
    /// Nowhere: NULL in every row.
    Missing,
}

/// A column of the table.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// The part of the type that is read: without fields that are left out or columns of their own.
    pub reads: DataType,
    /// `user`, `time` or `event`.
    pub role: Option<&'static str>,
    /// Where its values come from.
    pub origin: Origin,
    /// How much a text may differ from the way in which its value is printed.
    pub reading: Reading,
    /// How times are read, those inside structs and lists too.
    pub time: Option<TimeReader>,
    /// Whether times come as text or numbers, so that how they are read is worth telling.
    pub told_times: bool,
    /// A value of the sample.
    pub example: Option<String>,
    /// Whether the table does not have it yet.
    pub new: bool,
    /// Whether the table has it.
    pub in_table: bool,
}

/// The place that `#N` means, from 0.
pub fn position(from: &str) -> Option<usize> {
    from.strip_prefix('#')?.parse::<usize>().ok()?.checked_sub(1)
}

/// All columns, and what is common to them.
#[derive(Debug, Clone)]
pub struct Columns {
    /// The columns, in the order of the rows that are read.
    pub columns: Vec<Column>,
    /// The same as a schema.
    pub schema: SchemaRef,
    /// The column that must have a value, and names a row that has a fault: the user. A query asks for none.
    pub user: Option<usize>,
    /// Another column that must have a value: the time.
    pub time: Option<usize>,
    /// Texts that mean NULL.
    pub nulls: Vec<String>,
    /// Source columns that are left out on purpose.
    pub left_out: HashSet<String>,
    /// Whether source columns that nobody named are left out.
    pub drop_others: bool,
    /// Whether these are some of the columns, and nothing is lost where the source has others.
    pub part: bool,
}

impl Columns {
    /// The columns as a source with these constants fills them.
    pub fn with_constants(&self, constants: &[(String, Option<String>)]) -> Self {
        let mut columns = self.clone();
        for column in &mut columns.columns {
            let Origin::Source(from) = &column.origin else { continue };
            if let Some((_, value)) = constants.iter().find(|(key, _)| key == from) {
                let value = value.clone().filter(|value| !value.is_empty());
                column.origin = value.map_or(Origin::Missing, Origin::Constant);
            }
        }
        columns
    }
}
