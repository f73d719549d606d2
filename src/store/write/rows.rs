//! The columns of a stream as the columns of a table.
//!
//! Deals with: which types may go into which column, values that do not fit, what a table made from a query is. Does not deal with:
//! how a value is converted (`files::convert`), or the order of rows.
//!
//! A value arrives as it is or not at all: nothing is rounded, cut or made NULL, but decimal places that a FLOAT or DOUBLE cannot hold exactly and
//! times finer than a microsecond, of which the rest is cut. Times without a zone are of UTC, as they are for `ingest`.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{Destination, PERIOD, USER};
use crate::error::{Error, Result, suggest};
use crate::files::cells::Reading;
use crate::files::columns::{Column, Columns, Origin};
use crate::files::convert::convert;
use crate::files::decoded::IS_NULL;
use crate::files::stored_types::{fits, is_text, readable, stored};
use crate::files::times::{TimeFormat, TimeReader};
use crate::files::types::{dictionary, timestamp, type_name};
use crate::store::layout::Period;
use crate::store::managed::Roles;
use crate::store::managed::commit::Definition;
use crate::store::managed::schema::to_delta;
use crate::store::table::{CONVENTIONS, ROLE_KEY};

/// How rows that arrive become rows of a table.
pub(super) struct Arrival {
    columns: Columns,
    /// The table, as messages call it.
    table: String,
}

impl Arrival {
    /// `arriving` are the columns by the names of the table's, in any order; texts in columns that are `constants` of the statement
    /// are read as what the column holds. Errors: a column that has no place, or another type.
    pub fn new(to: &Destination, arriving: &Schema, constants: &HashSet<String>) -> Result<Self> {
        let table = to.folder().display().to_string();
        for field in arriving.fields() {
            let there = to.schema().field_with_name(field.name());
            let there = there.map_err(|_| Error::internal(format!("'{table}' has no column '{}'", field.name())))?;
            check(&table, field, there.data_type(), constants.contains(field.name()))?;
        }
        let columns = to.schema().fields().iter().map(|field| {
            let data_type = field.data_type().clone();
            let timed = matches!(data_type, DataType::Timestamp(..)) || data_type.is_nested();
            Column {
                name: field.name().clone(),
                reads: data_type.clone(),
                data_type,
                role: None,
                origin: match arriving.index_of(field.name()) {
                    Ok(_) => Origin::Source(field.name().clone()),
                    Err(_) => Origin::Missing,
                },
                // The table's own types: somebody said them.
                reading: Reading::AsSaid,
                time: timed.then(|| TimeReader::new(TimeFormat::Iso, None, true)),
                told_times: false,
                example: None,
                new: false,
                in_table: true,
            }
        });
        let at = |name: &str| to.schema().index_of(name).ok();
        let columns = Columns {
            columns: columns.collect(),
            schema: to.schema().clone(),
            user: to.roles().and_then(|roles| at(&roles.user)),
            time: to.roles().and_then(|roles| at(&roles.time)),
            nulls: Vec::new(),
            left_out: HashSet::new(),
            drop_others: false,
            part: false,
        };
        Ok(Self { columns, table })
    }

    /// The rows of a batch. Errors: a value that does not fit; a row without a user or a time where the table orders by them.
    pub fn rows(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let decoded = convert(batch, 1, &self.columns)?;
        let Some(first) = decoded.rejects.first() else { return Ok(decoded.batch) };
        let error = Error::data(format!("'{}': {}", self.table, first.reason()));
        Err(if first.what == IS_NULL.0 {
            error.hint("a table that is ordered by user and time has no row without them: leave such rows out with WHERE .. IS NOT NULL")
        } else {
            error.hint("round or convert the column in the query, or leave such rows out with WHERE")
        })
    }
}

/// Whether values of a field may go into a column at all.
fn check(table: &str, field: &Field, to: &DataType, constant: bool) -> Result<()> {
    let from = field.data_type();
    let read = constant && is_text(from) && readable(to);
    let can = read || *from == DataType::Null || stored(from).is_some_and(|from| fits(&from, to));
    if can {
        return Ok(());
    }
    let name = field.name();
    let shown = stored(from).map_or_else(|| from.to_string(), |from| type_name(&from));
    Err(Error::user(format!("'{table}': column '{name}' holds {}, and what comes for it is {shown}", type_name(to)))
        .hint(format!("convert it in the query: CAST({name} AS {})", sql_name(to))))
}

/// A type's name in SQL.
fn sql_name(data_type: &DataType) -> String {
    match data_type {
        text if is_text(text) => "VARCHAR".into(),
        other => type_name(other).to_uppercase(),
    }
}

/// What a new table is that holds the rows of a query: its columns in types that a table can hold, and the user, time and event
/// column where there are any.
///
/// A role is that which `options` name (`tenure.user`, `tenure.time`, `tenure.event`), else the column that has it in the table of
/// the query, else the one with a conventional name. Without both a user and a time rows have no order; the user alone is
/// remembered, so that a user can be erased. `tenure.period` gives time slices.
pub fn defined(folder: &Path, query: &Schema, options: &BTreeMap<String, String>) -> Result<Definition> {
    const OPTIONS: [&str; 4] = ["tenure.user", "tenure.time", "tenure.event", "tenure.period"];
    if let Some(unknown) = options.keys().find(|key| !OPTIONS.contains(&key.as_str())) {
        return Err(Error::user(format!("unknown option '{unknown}'; {}", suggest(unknown, OPTIONS))));
    }
    let mut fields = Vec::new();
    for field in query.fields() {
        let data_type = stored(field.data_type()).ok_or_else(|| {
            let message = format!("column '{}' is {}, which a table cannot hold", field.name(), field.data_type());
            Error::user(message).hint("convert it in the query, as in CAST(column AS VARCHAR), or leave it out")
        })?;
        fields.push(Field::new(field.name(), data_type, true));
    }
    let found = found(query, &fields, options)?;
    for field in &mut fields {
        let data_type = match field.name() {
            name if found.user.as_ref() == Some(name) && field.data_type().is_integer() => DataType::Int64,
            name if found.user.as_ref() == Some(name) => DataType::Utf8,
            name if found.time.as_ref() == Some(name) => timestamp(),
            name if found.event.as_ref() == Some(name) => dictionary(),
            _ => continue,
        };
        field.set_data_type(data_type);
    }
    let mut settings = Vec::new();
    let roles = match found {
        Found { user: Some(user), time: Some(time), event } => Some(Roles { user, time, event }),
        Found { user, .. } => {
            settings.extend(user.map(|user| (USER.to_string(), user)));
            None
        }
    };
    if let Some(period) = options.get("tenure.period") {
        let known = period.parse::<Period>().map_err(|_| {
            Error::user(format!("unknown tenure.period '{period}'; {}", suggest(period, Period::NAMES)))
        })?;
        if roles.is_none() {
            return Err(Error::user(format!("'{}': tenure.period needs a user and a time column", folder.display())));
        }
        settings.push((PERIOD.to_string(), known.to_string()));
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    // What the log could not keep is refused before a row is written.
    to_delta(schema.fields())?;
    Ok(Definition { schema, roles, settings })
}

/// The columns of a query that have a role.
struct Found {
    user: Option<String>,
    time: Option<String>,
    event: Option<String>,
}

fn found(query: &Schema, fields: &[Field], options: &BTreeMap<String, String>) -> Result<Found> {
    let can_be = |role: &str, field: &Field| match role {
        "user" => field.data_type().is_integer() || is_text(field.data_type()),
        "time" => matches!(field.data_type(), DataType::Timestamp(..)),
        _ => is_text(field.data_type()),
    };
    let role = |role: &str| -> Result<Option<String>> {
        if let Some(asked) = options.get(&format!("tenure.{role}")) {
            let names = || fields.iter().map(|field| field.name().as_str()).collect::<Vec<_>>();
            let Some(field) = fields.iter().find(|field| field.name() == asked) else {
                return Err(Error::user(format!(
                    "the {role} column '{asked}' does not exist; {}",
                    suggest(asked, names())
                )));
            };
            return if can_be(role, field) {
                Ok(Some(asked.clone()))
            } else {
                Err(Error::user(format!("the {role} column '{asked}' cannot be {}", type_name(field.data_type()))))
            };
        }
        let fitting = |name: &String| fields.iter().any(|field| field.name() == name && can_be(role, field));
        let declared = query.fields().iter().filter(|f| f.metadata().get(ROLE_KEY).is_some_and(|r| r == role));
        let declared: Vec<String> = declared.map(|field| field.name().clone()).filter(fitting).collect();
        if let [only] = declared.as_slice() {
            return Ok(Some(only.clone()));
        }
        let usual = CONVENTIONS.iter().find(|(of, _)| *of == role).map_or(&[][..], |(_, names)| names);
        let usual: Vec<String> = usual.iter().map(|name| (*name).to_string()).filter(fitting).collect();
        match usual.as_slice() {
            [only] => Ok(Some(only.clone())),
            _ => Ok(None),
        }
    };
    let (user, time, event) = (role("user")?, role("time")?, role("event")?);
    let named = [&user, &time, &event];
    let same = |at: usize, other: usize| named[at].is_some() && named[at] == named[other];
    if same(0, 1) || same(0, 2) || same(1, 2) {
        return Err(Error::user("user, time and event must be three columns"));
    }
    for (given, missing) in [("tenure.time", &user), ("tenure.event", &user), ("tenure.event", &time)] {
        if options.contains_key(given) && missing.is_none() {
            return Err(Error::user(format!("{given} is given, but no user or no time column is found"))
                .hint("name both: OPTIONS ('tenure.user' 'column', 'tenure.time' 'column')"));
        }
    }
    Ok(Found { user, time, event })
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    fn schema(fields: &[(&str, DataType)]) -> Schema {
        Schema::new(fields.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect::<Vec<_>>())
    }

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn a_query_tells_what_its_table_is() {
        let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let query = schema(&[
            ("user_id", DataType::Int32),
            ("ts", nanos),
            ("event", DataType::Utf8View),
            ("n", DataType::UInt32),
        ]);
        let made = defined(Path::new("t"), &query, &options(&[("tenure.period", "month")])).unwrap();
        let types: Vec<DataType> = made.schema.fields().iter().map(|f| f.data_type().clone()).collect();
        assert_eq!(types, [DataType::Int64, timestamp(), dictionary(), DataType::Int64]);
        let roles = Roles { user: "user_id".into(), time: "ts".into(), event: Some("event".into()) };
        assert_eq!((made.roles, made.settings), (Some(roles), vec![("period".into(), "month".into())]));
        // No time: no order.
        let made = defined(Path::new("t"), &schema(&[("user_id", DataType::Int32)]), &options(&[])).unwrap();
        assert_eq!((made.roles, made.schema.field(0).data_type()), (None, &DataType::Int64));
        assert_eq!(made.settings, [("user".to_string(), "user_id".to_string())]);
    }

    #[test]
    fn what_a_table_cannot_be_is_named() {
        let wrong = |fields: &[(&str, DataType)], pairs: &[(&str, &str)]| {
            defined(Path::new("t"), &schema(fields), &options(pairs)).unwrap_err().message().to_string()
        };
        let users = [("user_id", DataType::Int64)];
        assert!(wrong(&users, &[("tenure.usr", "x")]).contains("did you mean"));
        assert!(wrong(&users, &[("tenure.time", "t")]).starts_with("the time column 't' does not exist"));
        assert!(wrong(&users, &[("tenure.time", "user_id")]).contains("cannot be bigint"));
        assert!(wrong(&[("ts", timestamp())], &[("tenure.time", "ts")]).contains("no user or no time column"));
        assert!(wrong(&users, &[("tenure.period", "day")]).contains("needs a user and a time"));
        let span = DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano);
        assert!(wrong(&[("span", span)], &[]).contains("which a table cannot hold"));
    }

    #[test]
    fn types_that_would_change_values_are_refused() {
        let into = |from: DataType, to: DataType, constant: bool| {
            check("t", &Field::new("c", from, true), &to, constant).map_err(|e| e.message().to_string())
        };
        assert!(into(DataType::Int32, DataType::Int64, false).is_ok());
        assert!(into(DataType::Null, DataType::Int64, false).is_ok());
        assert!(into(DataType::BinaryView, DataType::Binary, false).is_ok());
        assert!(into(DataType::Utf8, timestamp(), true).is_ok());
        for (from, to) in [
            (DataType::Utf8, timestamp()),
            (DataType::Float64, DataType::Int64),
            (DataType::Int64, timestamp()),
            (DataType::Boolean, DataType::Int64),
        ] {
            assert!(into(from, to, false).unwrap_err().starts_with("'t': column 'c' holds "));
        }
    }
}
