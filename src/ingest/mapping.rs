//! The mapping file: which source column becomes which column of the table, with which type.
//!
//! Deals with: reading it, and messages for what it must not say. Does not deal with: whether its columns exist (`columns`), or what
//! presets say beyond it (`preset`).
//!
//! ```toml
//! user = "user_id"                  # columns of the table, as flags name them too
//! time = "ts"
//! event = "event"
//! dedup_key = "insert_id"
//! tz = "Europe/Berlin"              # of times that name no zone; UTC where absent
//! time_unit = "ms"                  # of the time column: s, ms, us, ns; or
//! time_format = "%d.%m.%Y %H:%M"    # strptime
//! null = ["NULL", "\\N"]            # texts that mean NULL, beside the empty one
//! drop = ["debug", "props.email"]   # source columns and fields that are left out; each must be there
//! others = "drop"                   # what is not named below: "keep" (default) or "drop"
//!
//! [read]                            # how files are written, as the options of read_csv(..) say it
//! encoding = "gbk"
//! decimal = ","
//!
//! [columns]
//! user_id = "uid"                   # column of the table = column of the source
//! price = "properties.price"        # a field of a nested object
//! first = "#1"                      # the first column of a CSV file, whatever it is called
//! amount = { from = "amt", type = "decimal(12,2)" }
//! seen_at = { from = "seen", type = "timestamp", unit = "s", tz = "Europe/Rome" }
//! born = { from = "dob", type = "timestamp", format = "%d/%m/%Y" }
//! platform = { constant = "ios" }
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::DataType;

use crate::error::{Error, Result, suggest};
use crate::files::options::ReadOptions;
use crate::files::records::rules::Rules;
use crate::files::times::EpochUnit;
use crate::files::types::{timestamp, type_name, type_named};
use crate::store::table::given;

/// What a mapping file says.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    /// The user column.
    pub user: Option<String>,
    /// The time column.
    pub time: Option<String>,
    /// The event column.
    pub event: Option<String>,
    /// The column whose values tell whether two rows are one.
    pub dedup_key: Option<String>,
    /// Zone of times that name none.
    pub tz: Option<String>,
    /// Unit of the time column.
    pub time_unit: Option<String>,
    /// Pattern of the time column.
    pub time_format: Option<String>,
    /// Texts that mean NULL.
    pub null: Vec<String>,
    /// Source columns that are left out.
    pub drop: Vec<String>,
    /// Whether source columns that are not named are left out.
    pub drop_others: bool,
    /// How the sources are written, where they do not say it.
    pub read: ReadOptions,
    /// Columns by their names in the table.
    pub columns: BTreeMap<String, Entry>,
    /// How records become rows, where a preset says it.
    pub rules: Option<Arc<Rules>>,
}

/// What a column of the table is made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    /// The source column, a path with dots, or `#N`.
    pub from: Option<String>,
    /// A text that every row has.
    pub constant: Option<String>,
    /// The type.
    pub data_type: Option<DataType>,
    /// Unit of a time that is a number.
    pub unit: Option<EpochUnit>,
    /// Pattern of a time.
    pub format: Option<String>,
    /// Zone of times that name none.
    pub tz: Option<String>,
}

const KEYS: [&str; 12] = [
    "user",
    "time",
    "event",
    "dedup_key",
    "tz",
    "time_unit",
    "time_format",
    "null",
    "drop",
    "others",
    "read",
    "columns",
];
/// Options of reading that a mapping says in words of its own.
const OF_MAPPING: [(&str, &str); 5] = [
    ("null", "null = [..], before any [..]"),
    ("types", "[columns] name = { from = .., type = .. }"),
    ("time_format", "time_format = '..', or [columns] name = { from = .., format = .. }"),
    ("tz", "tz = '..'"),
    ("sample", "--sample"),
];

const COLUMN_KEYS: [&str; 6] = ["from", "constant", "type", "unit", "format", "tz"];

impl Mapping {
    /// Reads the file, and gives its text too.
    pub fn read(path: &Path) -> Result<(Self, String)> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("read the mapping", path, &e))?;
        let mapping = Self::parse(&text).map_err(|e| e.at(path.display()))?;
        Ok((mapping, text))
    }

    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Self> {
        let table: toml::Table =
            toml::from_str(text).map_err(|e| Error::data(crate::config::toml_message(&e, text)))?;
        Self::parse_table(table)
    }

    /// Reads what a file holds.
    pub fn parse_table(table: toml::Table) -> Result<Self> {
        let mut mapping = Self::default();
        for (key, value) in table {
            match key.as_str() {
                "user" => mapping.user = Some(string(&key, value)?),
                "time" => mapping.time = Some(string(&key, value)?),
                "event" => mapping.event = Some(string(&key, value)?),
                "dedup_key" => mapping.dedup_key = Some(string(&key, value)?),
                "tz" => mapping.tz = Some(string(&key, value)?),
                "time_unit" => mapping.time_unit = Some(string(&key, value)?),
                "time_format" => mapping.time_format = Some(string(&key, value)?),
                "null" => mapping.null = strings(&key, value)?,
                "drop" => mapping.drop = strings(&key, value)?,
                "others" => {
                    let others = string(&key, value)?;
                    mapping.drop_others = match others.as_str() {
                        "keep" => false,
                        "drop" => true,
                        _ => {
                            let help = suggest(&others, ["keep", "drop"]);
                            return Err(Error::data(format!("others = '{others}' is unknown; {help}")));
                        }
                    };
                }
                "read" => {
                    let toml::Value::Table(options) = value else {
                        return Err(Error::data("read must be a table: [read], then option = value"));
                    };
                    for (key, value) in &options {
                        // What the mapping says in words of its own.
                        if let Some((_, own)) = OF_MAPPING.iter().find(|(known, _)| known == key) {
                            return Err(Error::data(format!("[read] {key}: in a mapping it is {own}")));
                        }
                        mapping.read.set(key, given(value)).map_err(|e| e.within("[read] "))?;
                    }
                }
                "columns" => {
                    let toml::Value::Table(columns) = value else {
                        return Err(Error::data("columns must be a table: [columns], then name = \"source column\""));
                    };
                    for (name, value) in columns {
                        let entry = entry(&name, value)?;
                        mapping.columns.insert(name, entry);
                    }
                }
                unknown => return Err(Error::data(format!("unknown key '{unknown}'; {}", suggest(unknown, KEYS)))),
            }
        }
        Ok(mapping)
    }
}

pub(super) fn string(key: &str, value: toml::Value) -> Result<String> {
    match value {
        toml::Value::String(text) => Ok(text),
        other => Err(Error::data(format!("{key} must be a text, got {}", other.type_str()))),
    }
}

pub(super) fn strings(key: &str, value: toml::Value) -> Result<Vec<String>> {
    match value {
        toml::Value::Array(items) => items.into_iter().map(|item| string(key, item)).collect(),
        other => Err(Error::data(format!("{key} must be a list of texts, got {}", other.type_str()))),
    }
}

pub(super) fn entry(name: &str, value: toml::Value) -> Result<Entry> {
    let keys = match value {
        toml::Value::String(from) => return Ok(Entry { from: Some(from), ..Entry::default() }),
        toml::Value::Table(keys) => keys,
        other => {
            let got = other.type_str();
            return Err(Error::data(format!("column '{name}' must be a source column or a table of keys, got {got}")));
        }
    };
    let mut entry = Entry::default();
    for (key, value) in keys {
        let value = match value {
            // A constant may be written as it is meant.
            toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) if key == "constant" => {
                value.to_string()
            }
            value => string(&format!("column '{name}': {key}"), value)?,
        };
        match key.as_str() {
            "from" => entry.from = Some(value),
            "constant" => entry.constant = Some(value),
            "type" => entry.data_type = Some(type_named(&value).map_err(|e| e.at(format!("column '{name}'")))?),
            "unit" => {
                let unit = EpochUnit::parse(&value).ok_or_else(|| {
                    let help = suggest(&value, crate::store::table::TIME_UNITS);
                    Error::data(format!("column '{name}': unknown unit '{value}'; {help}"))
                })?;
                entry.unit = Some(unit);
            }
            "format" => entry.format = Some(value),
            "tz" => entry.tz = Some(value),
            unknown => {
                let help = suggest(unknown, COLUMN_KEYS);
                return Err(Error::data(format!("column '{name}': unknown key '{unknown}'; {help}")));
            }
        }
    }
    if entry.constant.is_some() && (entry.from.is_some() || entry.unit.is_some() || entry.format.is_some()) {
        return Err(Error::data(format!("column '{name}': a constant takes no from, unit or format")));
    }
    if entry.unit.is_some() && entry.format.is_some() {
        return Err(Error::data(format!("column '{name}': give unit or format, not both")));
    }
    let times = entry.unit.is_some() || entry.format.is_some() || entry.tz.is_some();
    match &entry.data_type {
        None if times => entry.data_type = Some(timestamp()),
        Some(DataType::Timestamp(_, _)) | None => {}
        Some(other) if times => {
            let other = type_name(other);
            return Err(Error::data(format!(
                "column '{name}': unit, format and tz are for type = 'timestamp', not {other}"
            )));
        }
        Some(_) => {}
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_can_be_said() {
        let text = r##"
            user = "user_id"
            time = "ts"
            tz = "Europe/Berlin"
            null = ["NULL", "\\N"]
            drop = ["debug"]
            others = "drop"
            [columns]
            user_id = "uid"
            ts = { from = "t", unit = "ms" }
            amount = { from = "amt", type = "Decimal(12, 2)" }
            platform = { constant = "ios" }
            version = { constant = 3, type = "int" }
        "##;
        let mapping = Mapping::parse(text).unwrap();
        assert_eq!(mapping.columns["user_id"].from.as_deref(), Some("uid"));
        assert_eq!(mapping.columns["ts"].unit, Some(EpochUnit::Millis));
        assert_eq!(mapping.columns["ts"].data_type, Some(timestamp()));
        assert_eq!(mapping.columns["amount"].data_type, Some(DataType::Decimal128(12, 2)));
        assert_eq!(mapping.columns["version"].constant.as_deref(), Some("3"));
        assert_eq!(mapping.null, ["NULL", "\\N"]);
        assert!(mapping.drop_others && mapping.event.is_none());
    }

    #[test]
    fn mistakes_are_named() {
        let fails = |text: &str| Mapping::parse(text).unwrap_err().message().to_string();
        assert_eq!(fails("usr = 'x'"), "unknown key 'usr'; did you mean 'user'?");
        assert!(fails("user = 3").contains("user must be a text, got integer"));
        assert!(fails("user = \n").starts_with("line 1"), "{}", fails("user = \n"));
        assert!(fails("[columns]\na = { form = 'x' }").contains("column 'a': unknown key 'form'; did you mean"));
        assert!(fails("[columns]\na = { from = 'x', type = 'txt' }").contains("did you mean 'text'"));
        assert!(fails("[columns]\na = { from = 'x', type = 'decimal(2,3)' }").contains("s of 0 to p"));
        assert!(fails("[columns]\na = { from = 'x', type = 'int', unit = 'ms' }").contains("not int"));
        assert!(fails("[columns]\na = { constant = 'x', from = 'y' }").contains("takes no from"));
        assert!(fails("[columns]\na = { from = 'x', unit = 'm' }").contains("unknown unit 'm'"));
        assert!(fails("others = 'droop'").contains("did you mean 'drop'"));
    }
}
