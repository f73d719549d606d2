//! A table's columns: Arrow types as queries see them, Delta types as the log keeps them.
//!
//! Deals with: which types a managed table can hold, columns read as dictionaries, the roles of columns.
//! Does not deal with: converting values; whoever writes a file brings columns of these types.
//!
//! Delta has one text type. That a column is read as a dictionary is recorded in its metadata ([`DICTIONARY_KEY`]), which other
//! readers pass over. Roles are recorded once, in the table's configuration.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use deltalake_core::kernel::StructType;
use deltalake_core::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};

use super::Roles;
use crate::error::{Error, Result, suggest};
use crate::files::parquet::Renamed;
use crate::store::table::ROLE_KEY;

/// Key of the column metadata that says a text column is to be read as `Dictionary(Int32, Utf8)`.
pub const DICTIONARY_KEY: &str = "tenure.dictionary";

/// The type of every managed table's time column.
pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The Arrow type of a column that is read as a dictionary.
pub fn dictionary_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// The columns as the log keeps them. Refuses types that Delta does not have: unsigned integers, times finer or coarser than the
/// microsecond, times in another zone than UTC.
pub fn to_delta(fields: &Fields) -> Result<StructType> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for field in fields {
        if let Some(other) = seen.insert(field.name().to_lowercase(), field.name()) {
            let message = match other == field.name() {
                true => format!("column '{other}' exists twice"),
                false => format!("columns '{other}' and '{}' differ only in case", field.name()),
            };
            return Err(
                Error::data(message).hint("a managed table tells columns apart whatever their case: rename one")
            );
        }
    }
    let stored = fields.iter().map(|f| stored_field(f)).collect::<Result<Vec<_>>>()?;
    Ok((&Schema::new(stored)).try_into_kernel()?)
}

fn stored_field(field: &Field) -> Result<Field> {
    let stored = stored_type(field.data_type()).ok_or_else(|| {
        Error::data(format!("column '{}': a managed table cannot hold {}", field.name(), field.data_type()))
            .hint("integers are signed, times are TIMESTAMP(us, UTC), text is UTF-8; cast the column to one of these")
    })?;
    let metadata = match field.data_type() {
        DataType::Dictionary(..) => HashMap::from([(DICTIONARY_KEY.to_string(), "true".to_string())]),
        _ => HashMap::new(),
    };
    // Whoever appends later may lack a column, so all of them can be NULL.
    Ok(Field::new(field.name(), stored, true).with_metadata(metadata))
}

fn stored_type(data_type: &DataType) -> Option<DataType> {
    let inner = |field: &Arc<Field>| {
        stored_type(field.data_type()).map(|t| Arc::new(Field::new(field.name(), t, field.is_nullable())))
    };
    Some(match data_type {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32 => data_type.clone(),
        DataType::Decimal128(precision, scale) if (0..=*precision as i8).contains(scale) => data_type.clone(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Timestamp(TimeUnit::Microsecond, None) => data_type.clone(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.eq_ignore_ascii_case("utc") => time_type(),
        DataType::Dictionary(_, value) if stored_type(value)? == DataType::Utf8 => DataType::Utf8,
        DataType::List(item) | DataType::LargeList(item) => DataType::List(inner(item)?),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect::<Option<_>>()?),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries)?, *sorted),
        _ => return None,
    })
}

/// The columns as queries see them.
pub fn from_delta(stored: &StructType, roles: Option<&Roles>) -> Result<SchemaRef> {
    let schema: Schema = stored.try_into_arrow()?;
    let fields = schema.fields().iter().map(|field| {
        let dictionary = field.metadata().get(DICTIONARY_KEY).is_some_and(|v| v == "true");
        let data_type = match field.data_type() {
            DataType::Utf8 if dictionary => dictionary_type(),
            other => other.clone(),
        };
        let mut metadata = HashMap::new();
        if let Some(role) = roles.and_then(|r| r.role_of(field.name())) {
            metadata.insert(ROLE_KEY.to_string(), role.to_string());
        }
        Field::new(field.name(), data_type, field.is_nullable()).with_metadata(metadata)
    });
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// The setting that says how columns are mapped to those of files.
pub const MAPPING_MODE: &str = "delta.columnMapping.mode";
/// Key of a field's metadata: its name in files.
const PHYSICAL_NAME: &str = "delta.columnMapping.physicalName";

/// What files call the columns; `None` where they call them as the table does.
pub fn renamed(stored: &StructType, settings: &BTreeMap<String, String>) -> Result<Option<Renamed>> {
    if settings.get(MAPPING_MODE).is_none_or(|mode| mode != "name") {
        return Ok(None);
    }
    let schema: Schema = stored.try_into_arrow()?;
    let each = schema.fields().iter().map(|field| {
        let named = in_files(field);
        (field.name().clone(), (named.name().clone(), named.data_type().clone()))
    });
    Ok(Some(each.collect()))
}

/// A field, and those in it, by their names in files.
fn in_files(field: &Field) -> Field {
    let inner = |field: &Arc<Field>| Arc::new(in_files(field));
    let data_type = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::List(item) => DataType::List(inner(item)),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        other => other.clone(),
    };
    let name = field.metadata().get(PHYSICAL_NAME).unwrap_or(field.name());
    Field::new(name, data_type, field.is_nullable())
}

/// The columns by their names in files.
pub fn as_in_files(schema: &Schema, renamed: &Renamed) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let name = renamed.get(field.name()).map_or(field.name(), |(in_files, _)| in_files);
        field.as_ref().clone().with_name(name)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The type that a column of this type is read as once it is part of a table.
pub fn read_type(field: &Field) -> Result<DataType> {
    let stored = stored_field(field)?;
    Ok(if stored.metadata().contains_key(DICTIONARY_KEY) { dictionary_type() } else { stored.data_type().clone() })
}

/// Checks that the columns with a role exist and have types that can play it.
pub fn check_roles(fields: &Fields, roles: &Roles) -> Result<()> {
    let find = |role: &str, name: &str| {
        let known = fields.iter().map(|f| f.name().as_str());
        fields.iter().find(|f| f.name() == name).ok_or_else(|| {
            Error::user(format!(
                "the {role} column '{name}' does not exist; {}",
                suggest(name, known.collect::<Vec<_>>())
            ))
        })
    };
    let user = find("user", &roles.user)?.data_type();
    if !(user.is_signed_integer() || stored_type(user) == Some(DataType::Utf8)) {
        let message = format!("the user column '{}' must hold integers or text, got {user}", roles.user);
        return Err(Error::user(message));
    }
    let time = find("time", &roles.time)?.data_type();
    if stored_type(time) != Some(time_type()) {
        let message = format!("the time column '{}' must be TIMESTAMP(us, UTC), got {time}", roles.time);
        return Err(Error::user(message));
    }
    if let Some(event) = &roles.event {
        find("event", event)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        let list = DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)));
        let nested = DataType::Struct(vec![Field::new("a", DataType::Int32, true)].into());
        vec![
            Field::new("user_id", DataType::Int64, true),
            Field::new("ts", time_type(), true),
            Field::new("event", dictionary_type(), true),
            Field::new("price", DataType::Decimal128(10, 2), true),
            Field::new("day", DataType::Date32, true),
            Field::new("tags", list, true),
            Field::new("more", nested, true),
            Field::new("local", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        ]
        .into()
    }

    #[test]
    fn columns_survive_the_log() {
        let roles = Roles { user: "user_id".into(), time: "ts".into(), event: Some("event".into()) };
        check_roles(&fields(), &roles).unwrap();
        let back = from_delta(&to_delta(&fields()).unwrap(), Some(&roles)).unwrap();
        let types =
            |fields: &Fields| fields.iter().map(|f| (f.name().clone(), f.data_type().clone())).collect::<Vec<_>>();
        assert_eq!(types(back.fields()), types(&fields()));
        let roles: Vec<_> = back.fields().iter().map(|f| f.metadata().get(ROLE_KEY).map(String::as_str)).collect();
        assert_eq!(roles[..4], [Some("user"), Some("time"), Some("event"), None]);
    }

    #[test]
    fn kinds_of_text_are_one() {
        let read = |t: DataType| read_type(&Field::new("x", t, true)).unwrap();
        assert_eq!([DataType::LargeUtf8, DataType::Utf8View].map(read), [DataType::Utf8, DataType::Utf8]);
        let small = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::LargeUtf8));
        assert_eq!(read(small), dictionary_type());
    }

    #[test]
    fn types_that_delta_lacks_are_refused_by_name() {
        let message = |t: DataType| to_delta(&vec![Field::new("x", t, true)].into()).unwrap_err().message().to_string();
        for wrong in [
            DataType::UInt64,
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            DataType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into())),
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Int64)),
            DataType::Struct(vec![Field::new("a", DataType::UInt8, true)].into()),
        ] {
            assert!(message(wrong.clone()).starts_with("column 'x': a managed table cannot hold"), "{wrong}");
        }
        let twice = vec![Field::new("a", DataType::Int8, true), Field::new("A", DataType::Int8, true)];
        assert_eq!(to_delta(&twice.into()).unwrap_err().message(), "columns 'a' and 'A' differ only in case");
    }

    #[test]
    fn roles_need_columns_that_can_play_them() {
        let message = |user: &str, time: &str| {
            let roles = Roles { user: user.into(), time: time.into(), event: None };
            check_roles(&fields(), &roles).unwrap_err().message().to_string()
        };
        assert!(message("usr_id", "ts").contains("did you mean 'user_id'"));
        assert!(message("day", "ts").contains("must hold integers or text, got Date32"));
        assert!(message("user_id", "local").contains("must be TIMESTAMP(us, UTC)"));
    }
}
