//! Presets: mappings that know the records of some system.
//!
//! Deals with: reading them, messages for what they must not say. Does not deal with: which there are (`presets`), or what the rules
//! do with records (`files::records`).
//!
//! A preset is a mapping (see [`mapping`](super::mapping)) that says more of the records. It lists all columns of the table; fields
//! that none of them names are left out.
//!
//! ```toml
//! title = "Segment"                        # what it is for
//! reads = "calls as archived, one a line"  # what a file must hold, for people
//! format = "ndjson"                        # or "csv"
//! needs = ["messageId", ["userId", "anonymousId"]]   # fields of every record, perhaps empty; of a list in it, one
//! ask_tz = "the time zone of the project"  # --tz must be given: nobody could guess it
//! ignore = ["IP Address"]                  # fields that are no answers (each = "field") and no `others`
//! names = ["app_id", "platform"]           # names of all columns, of CSV without a header
//! user = "user_id"                         # these, dedup_key, tz, null and [read] as in any mapping
//! time = "ts"
//! event = "event"
//!
//! [columns]                                # text, unless a type is said; an empty text is NULL
//! user_id = ["userId", "anonymousId"]      # the first that has a value
//! page = "context.page.url"                # paths: see files::records::path
//! source = "event_params[key=source].value.string_value"
//! ts = { from = "timestamp", unit = "ms" } # type, unit, format, tz as in any mapping
//! seen = { from = "time", clock = "s" }    # counts since 1970 on the clock of the zone, not in UTC
//! kind = { from = "type", words = { "6" = "send_email" } }   # other texts stay as they are
//! plan = { from = "plan", default = "free" }
//! system = { constant = "segment" }
//! key = { join = ["id", "=:opened"] }      # one text of fields and, behind =, of texts; NULL where a field is
//! params = { pairs = "event_params", key = "key", values = ["value.string_value", "value.int_value"] }   # as JSON
//! rest = { others = true }                 # fields that nothing names, as JSON
//! properties = "properties"                # an object or list in a text column is its JSON
//!
//! [[rows]]                                 # where a record makes no row or several: every kind that is met makes its rows
//! when = { type = "track", "user.id" = true }   # a text, several of which one, or whether there is a value
//! columns = { event = "event" }            # columns that differ
//!
//! [[rows]]
//! each = "field"                           # a row for each field that nothing names: '@name' and '@value'
//! # each = { item = "actions" }            # a row for each item of a list: '@', '@.type'
//! columns = { event = { constant = "answered" }, question = "@name", answer = "@value" }
//! ```

use std::collections::{BTreeMap, HashSet};
use std::path::Path as FilePath;
use std::sync::Arc;

use arrow::datatypes::DataType;
use toml::{Table, Value};

use super::mapping::{Entry, Mapping, entry, string, strings};
use super::presets;
use crate::error::{Error, Result, suggest};
use crate::files::records::path::Path;
use crate::files::records::rules::{ColumnRule, Each, Kind, Make, Part, Rules, Wanted};
use crate::files::source::SourceFormat;
use crate::files::stored_types::is_text;
use crate::files::times::EpochUnit;

const KEYS: [&str; 16] = [
    "title",
    "reads",
    "format",
    "needs",
    "ask_tz",
    "ignore",
    "names",
    "rows",
    "user",
    "time",
    "event",
    "dedup_key",
    "tz",
    "null",
    "read",
    "columns",
];
/// Keys of a mapping that are not a preset's: its columns say the same.
const OF_COLUMNS: [&str; 4] = ["time_unit", "time_format", "drop", "others"];
const OWN: [&str; 9] = ["join", "pairs", "key", "values", "others", "default", "clock", "words", "from"];
const OF_ROWS: [&str; 3] = ["when", "each", "columns"];

/// A preset by name, or from a file: its mapping and its text.
pub fn read(name: &str, tz: Option<&str>) -> Result<(Mapping, String)> {
    let by_path = name.contains(['/', '\\']) || FilePath::new(name).extension().is_some_and(|e| e == "toml");
    let (short, text) = match presets::ALL.iter().find(|(known, _)| *known == name) {
        _ if by_path => {
            let path = FilePath::new(name);
            let text = std::fs::read_to_string(path).map_err(|e| Error::io("read the preset", path, &e))?;
            (path.file_stem().map_or_else(|| name.into(), |stem| stem.to_string_lossy().into_owned()), text)
        }
        Some((known, text)) => ((*known).to_string(), (*text).to_string()),
        None => {
            let help = suggest(name, presets::ALL.iter().map(|(known, _)| *known));
            return Err(Error::usage(format!("unknown preset '{name}'; {help}"))
                .hint("tenure presets lists them; a file of your own is given with its path, as in ./mine.toml"));
        }
    };
    let mapping = parse(&short, &text, tz).map_err(|e| e.within(&format!("preset '{name}': ")))?;
    Ok((mapping, text))
}

/// The text of `title` of a preset, and of `reads`.
pub fn described(text: &str) -> (String, String) {
    let table: Table = toml::from_str(text).unwrap_or_default();
    let of = |key: &str| table.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
    (of("title"), of("reads"))
}

/// Reads a preset's text.
pub fn parse(name: &str, text: &str, tz: Option<&str>) -> Result<Mapping> {
    let mut table: Table = toml::from_str(text).map_err(|e| Error::data(crate::config::toml_message(&e, text)))?;
    if let Some(key) = table.keys().find(|key| OF_COLUMNS.contains(&key.as_str())) {
        return Err(Error::data(format!("a preset has no '{key}': its columns say it")));
    }
    if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(Error::data(format!("unknown key '{key}'; {}", suggest(key, KEYS))));
    }
    let mut need = |key: &str| match table.remove(key) {
        Some(value) => string(key, value),
        None => Err(Error::data(format!("a preset needs {key} = '..'"))),
    };
    let (title, reads, format) = (need("title")?, need("reads")?, need("format")?);
    let format = match format.as_str() {
        "csv" => SourceFormat::Csv,
        "ndjson" => SourceFormat::Ndjson,
        _ => {
            return Err(Error::data(format!(
                "format = '{format}' is unknown; {}",
                suggest(&format, ["csv", "ndjson"])
            )));
        }
    };
    let needs = match table.remove("needs") {
        Some(Value::Array(items)) => items.into_iter().map(|item| ways("needs", item)).collect::<Result<Vec<_>>>()?,
        _ => return Err(Error::data("a preset needs needs = [..]: fields by which its records are known")),
    };
    if needs.is_empty() {
        return Err(Error::data("needs = [] would take any file for one of these"));
    }
    let ask_tz = table.remove("ask_tz").map(|value| string("ask_tz", value)).transpose()?;
    let ignore: HashSet<String> = table
        .remove("ignore")
        .map(|value| strings("ignore", value))
        .transpose()?
        .unwrap_or_default()
        .into_iter()
        .collect();
    let names = table.remove("names").map(|value| strings("names", value)).transpose()?;
    let rows = table.remove("rows");
    let Some(Value::Table(columns)) = table.remove("columns") else {
        return Err(Error::data("a preset needs [columns]"));
    };
    let mut mapping = Mapping::parse_table(table)?;
    match (tz, &ask_tz) {
        (Some(tz), _) => mapping.tz = Some(tz.to_string()),
        (None, Some(what)) => {
            return Err(Error::usage(format!("--tz ZONE is needed, such as --tz Europe/Berlin or UTC: {what}")));
        }
        (None, None) => {}
    }
    let (Some(user), Some(time), Some(event)) = (&mapping.user, &mapping.time, &mapping.event) else {
        return Err(Error::data("a preset says user, time and event"));
    };
    let mut made = columns.into_iter().map(|(name, value)| column(&name, value)).collect::<Result<Vec<_>>>()?;
    for role in [user, time, event] {
        if !made.iter().any(|(rule, _)| rule.name == *role) {
            return Err(Error::data(format!("'{role}' is not among [columns]")));
        }
    }
    // The roles first, then by name.
    let order = |name: &String| [user, time, event].iter().position(|role| *role == name).unwrap_or(3);
    made.sort_by(|(one, _), (other, _)| (order(&one.name), &one.name).cmp(&(order(&other.name), &other.name)));
    let (columns, entries): (Vec<ColumnRule>, Vec<Entry>) = made.into_iter().unzip();
    let kinds = match rows {
        None => Vec::new(),
        Some(Value::Array(items)) => items.into_iter().map(|item| kind(item, &columns)).collect::<Result<Vec<_>>>()?,
        Some(_) => return Err(Error::data("rows must be tables: [[rows]]")),
    };
    mapping.columns = columns.iter().map(|column| column.name.clone()).zip(entries).collect::<BTreeMap<_, _>>();
    mapping.read.csv.header &= names.is_none();
    mapping.drop_others = true;
    mapping.rules = Some(Arc::new(Rules {
        name: name.to_string(),
        title,
        reads,
        format,
        names,
        needs,
        columns,
        kinds,
        ignore,
        user: Some(0),
    }));
    Ok(mapping)
}

fn path(at: &str, text: &str) -> Result<Path> {
    if text.is_empty() {
        return Err(Error::data(format!("{at}: an empty path")));
    }
    // Names of columns in CSV may be anything; a path that is none is such a name.
    match Path::parse(text) {
        Ok(path) => Ok(path),
        Err(_) if text.contains(|c: char| c.is_whitespace() || !c.is_ascii()) => Ok(Path::named(text)),
        Err(why) => Err(Error::data(format!("{at}: {why}"))),
    }
}

/// A path, or a list of them.
fn ways(at: &str, value: Value) -> Result<Vec<Path>> {
    let texts = match value {
        Value::String(text) => vec![text],
        list => strings(at, list)?,
    };
    texts.iter().map(|text| path(at, text)).collect()
}

/// A column's rule, and what the mapping says of the type.
fn column(name: &str, value: Value) -> Result<(ColumnRule, Entry)> {
    let at = format!("column '{name}'");
    let mut keys = match value {
        Value::Table(keys) => keys,
        from => Table::from_iter([("from".to_string(), from)]),
    };
    let mut own: BTreeMap<String, Value> = BTreeMap::new();
    for key in OWN {
        if let Some(value) = keys.remove(key) {
            own.insert(key.into(), value);
        }
    }
    let mut said = entry(name, Value::Table(keys))?;
    let data_type = said.data_type.get_or_insert(DataType::Utf8).clone();
    let of = |key: &str| format!("{at}: {key}");
    let constant = said.constant.take();
    let key = own.remove("key").map(|value| string(&of("key"), value)).transpose()?;
    let values = own.remove("values").map(|value| ways(&of("values"), value)).transpose()?;
    let default = own.remove("default").map(|value| string(&of("default"), value)).transpose()?;
    let words = match own.remove("words") {
        None => BTreeMap::new(),
        Some(Value::Table(words)) => {
            words.into_iter().map(|(word, value)| Ok((word, string(&of("words"), value)?))).collect::<Result<_>>()?
        }
        Some(_) => return Err(Error::data(format!("{at}: words must be a table of texts"))),
    };
    let clock = match own.remove("clock").map(|value| string(&of("clock"), value)).transpose()? {
        None => None,
        Some(unit) => match EpochUnit::parse(&unit).filter(|unit| *unit != EpochUnit::Nanos) {
            Some(unit) => Some(unit),
            None => return Err(Error::data(format!("{at}: clock = '{unit}' must be s, ms or us"))),
        },
    };
    let mut makes = Vec::new();
    makes.extend(constant.map(Make::Constant));
    for (key_of, value) in own {
        makes.push(match key_of.as_str() {
            "from" => Make::First(ways(&of("from"), value)?),
            "join" => {
                let part = |text: &String| match text.strip_prefix('=') {
                    Some(text) => Ok(Part::Text(text.into())),
                    None => path(&of("join"), text).map(Part::Path),
                };
                Make::Join(strings(&of("join"), value)?.iter().map(part).collect::<Result<_>>()?)
            }
            "pairs" => match (&key, &values) {
                (Some(key), Some(values)) => Make::Pairs {
                    list: path(&of("pairs"), &string(&of("pairs"), value)?)?,
                    key: key.clone(),
                    values: values.clone(),
                },
                _ => return Err(Error::data(format!("{at}: pairs needs key and values"))),
            },
            _ if value == Value::Boolean(true) => Make::Others,
            _ => return Err(Error::data(format!("{at}: others must be true"))),
        });
    }
    let [make] = <[Make; 1]>::try_from(makes)
        .map_err(|_| Error::data(format!("{at}: say one of from, join, pairs, others and constant")))?;
    let times = matches!(data_type, DataType::Timestamp(_, _));
    if !is_text(&data_type) && !matches!(make, Make::First(_) | Make::Constant(_)) {
        return Err(Error::data(format!("{at}: what is joined or JSON is text")));
    }
    let from_field = is_text(&data_type) && matches!(make, Make::First(_));
    if !words.is_empty() && !from_field {
        return Err(Error::data(format!("{at}: words are for text that comes from a field")));
    }
    if clock.is_some() {
        if said.unit.is_some() || said.format.is_some() || !(times || is_text(&data_type)) {
            return Err(Error::data(format!("{at}: a clock is for times, without unit and format")));
        }
        said.data_type = Some(crate::files::types::timestamp());
    }
    let text = is_text(&data_type) && clock.is_none();
    let rule = ColumnRule { name: name.to_string(), text, number: data_type.is_numeric(), make, words, default, clock };
    said.from = Some(name.to_string());
    Ok((rule, said))
}

fn kind(value: Value, columns: &[ColumnRule]) -> Result<Kind> {
    let Value::Table(mut keys) = value else { return Err(Error::data("rows must be tables: [[rows]]")) };
    if let Some(key) = keys.keys().find(|key| !OF_ROWS.contains(&key.as_str())) {
        return Err(Error::data(format!("[[rows]]: unknown key '{key}'; {}", suggest(key, OF_ROWS))));
    }
    let table = |key: &str, value: Option<Value>| match value {
        None => Ok(Table::new()),
        Some(Value::Table(table)) => Ok(table),
        Some(_) => Err(Error::data(format!("[[rows]]: {key} must be a table"))),
    };
    let wanted = |(field, value): (String, Value)| {
        let wanted = match value {
            Value::Boolean(present) => Wanted::Present(present),
            Value::String(text) => Wanted::Is(vec![text]),
            list => Wanted::Is(strings(&format!("[[rows]]: {field}"), list)?),
        };
        Ok((path("[[rows]]", &field)?, wanted))
    };
    let when = table("when", keys.remove("when"))?.into_iter().map(wanted).collect::<Result<Vec<_>>>()?;
    let each = match keys.remove("each") {
        None => Each::Once,
        Some(Value::String(text)) if text == "field" => Each::Field,
        Some(Value::Table(item)) => match item.get("item").and_then(Value::as_str) {
            Some(list) if item.len() == 1 => Each::Item(path("[[rows]]: each", list)?),
            _ => return Err(Error::data("[[rows]]: each must be 'field' or { item = 'a list' }")),
        },
        Some(_) => return Err(Error::data("[[rows]]: each must be 'field' or { item = 'a list' }")),
    };
    let differs = |(name, value): (String, Value)| {
        let Some(at) = columns.iter().position(|column| column.name == name) else {
            let help = suggest(&name, columns.iter().map(|column| column.name.as_str()));
            return Err(Error::data(format!("[[rows]]: '{name}' is not among [columns]; {help}")));
        };
        let (mut rule, said) = column(&name, value)?;
        let typed = said.data_type.is_some_and(|t| t != DataType::Utf8) || said.unit.is_some() || said.format.is_some();
        if typed || rule.clock.is_some() {
            return Err(Error::data(format!("[[rows]]: the type of '{name}' stands in [columns]")));
        }
        (rule.text, rule.number, rule.clock) = (columns[at].text, columns[at].number, columns[at].clock);
        Ok((at, rule))
    };
    let columns = table("columns", keys.remove("columns"))?.into_iter().map(differs).collect::<Result<Vec<_>>>()?;
    Ok(Kind { when, each, columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str =
        "title = 't'\nreads = 'r'\nformat = 'ndjson'\nneeds = ['a']\nuser = 'u'\ntime = 'ts'\nevent = 'e'\n";
    const COLUMNS: &str = "[columns]\nu = 'a'\nts = { from = 't', unit = 's' }\ne = { constant = 'x' }\n";

    #[test]
    fn every_preset_of_the_house_is_sound() {
        for (name, text) in presets::ALL {
            let mapping = parse(name, text, Some("UTC")).unwrap_or_else(|e| panic!("{name}: {}", e.message()));
            assert!(mapping.rules.is_some());
            assert!(text.starts_with("# "), "{name}: no words at the door");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let fails = |more: &str, columns: &str| {
            let text = format!("{LEAST}{more}\n{COLUMNS}{columns}");
            parse("p", &text, None).unwrap_err().message().to_string()
        };
        assert!(parse("p", &format!("{LEAST}{COLUMNS}"), None).is_ok());
        assert!(fails("nedds = []", "").contains("did you mean 'needs'"));
        assert!(fails("drop = ['x']", "").contains("its columns say it"));
        assert!(fails("ask_tz = 'the zone of the shop'", "").contains("--tz ZONE is needed"));
        assert!(fails("", "x = { join = ['a'], from = 'b' }").contains("say one of from"));
        assert!(fails("", "x = { pairs = 'a' }").contains("pairs needs key and values"));
        assert!(fails("", "x = { join = ['a'], type = 'int' }").contains("is text"));
        assert!(fails("", "x = { from = 'a', clock = 'ns' }").contains("must be s, ms or us"));
        assert!(fails("", "x = { frm = 'a' }").contains("unknown key 'frm'"));
        assert!(fails("", "x = 'a[b'").contains("a bracket is never closed"));
        assert!(fails("", "[[rows]]\ncolumns = { y = 'a' }").contains("'y' is not among"));
        assert!(fails("", "[[rows]]\neach = 'fields'").contains("each must be"));
        assert!(fails("", "[[rows]]\ncolumns = { ts = { from = 'a', unit = 's' } }").contains("stands in [columns]"));
        let bare = parse("p", LEAST, None).unwrap_err();
        assert!(bare.message().contains("[columns]"));
    }
}
