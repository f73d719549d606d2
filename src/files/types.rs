//! The types of columns that are read from text, and how people call them.
//!
//! Deals with: names to types and back. Does not deal with: telling types by example (`infer`).

use arrow::datatypes::{DataType, TimeUnit};

use crate::error::{Error, Result, suggest};

/// Names of types, beside `decimal(p,s)`.
pub const TYPES: [&str; 9] = ["text", "bigint", "int", "smallint", "double", "float", "boolean", "date", "timestamp"];

/// The type of times that are read from text.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A dictionary of texts.
pub fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// The type with this name: one of [`TYPES`], or `decimal(p,s)`.
pub fn type_named(name: &str) -> Result<DataType> {
    let wanted = name.trim().to_lowercase();
    Ok(match wanted.as_str() {
        "text" => DataType::Utf8,
        "bigint" => DataType::Int64,
        "int" => DataType::Int32,
        "smallint" => DataType::Int16,
        "double" => DataType::Float64,
        "float" => DataType::Float32,
        "boolean" => DataType::Boolean,
        "date" => DataType::Date32,
        "timestamp" => timestamp(),
        other => {
            let inner = other.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')'));
            let parts = inner.and_then(|inner| inner.split_once(','));
            let parsed = parts.and_then(|(p, s)| Some((p.trim().parse::<u8>().ok()?, s.trim().parse::<i8>().ok()?)));
            match parsed {
                Some((p @ 1..=38, s)) if s >= 0 && i16::from(s) <= i16::from(p) => DataType::Decimal128(p, s),
                Some(_) => {
                    return Err(Error::data(format!("type '{name}': decimal(p,s) takes p of 1 to 38 and s of 0 to p")));
                }
                None => {
                    let help = suggest(&wanted, TYPES);
                    return Err(Error::data(format!("unknown type '{name}'; {help}; also decimal(p,s)")));
                }
            }
        }
    })
}

/// A type as it is shown to people.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "text".into(),
        // How texts are kept is nothing that a value could fit or not.
        DataType::Dictionary(_, _) => "text".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Int32 => "int".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Float64 => "double".into(),
        DataType::Float32 => "float".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamp".into(),
        DataType::Decimal128(p, s) => format!("decimal({p},{s})"),
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|f| format!("{}: {}", f.name(), type_name(f.data_type()))).collect();
            format!("struct({})", fields.join(", "))
        }
        DataType::List(item) => format!("list({})", type_name(item.data_type())),
        other => other.to_string().to_lowercase(),
    }
}
