//! The columns of text files that a query reads: of all of them, by name, with types by example.
//!
//! Deals with: columns that only some files have, types that options say, where types come from. Does not deal with: roles, and what
//! a load decides otherwise (`ingest::columns`), or reading rows.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::cells::Reading;
use super::columns::{Column, Columns, Origin, Shape};
use super::infer::Seen;
use super::options::ReadOptions;
use super::stored_types::{is_text, readable};
use super::times::{EpochUnit, TimeFormat, TimeReader};
use crate::error::{Error, Result, suggest};

/// The name that users have where nothing else says it: what is in it is decided as identifiers are.
const USERS: &[&str] = &["user_id"];

/// Decides the columns. `user` is the column that is declared to hold users; of `declared` ones, no others are read.
pub fn decide(
    shapes: &[Shape],
    options: &ReadOptions,
    user: Option<&str>,
    declared: Option<&SchemaRef>,
) -> Result<Columns> {
    let mut names: Vec<&str> = Vec::new();
    let mut met = HashSet::new();
    for shape in shapes {
        names.extend(shape.columns.iter().map(|(name, _)| name.as_str()).filter(|name| met.insert(*name)));
    }
    if let Some(unknown) = options.types.keys().find(|name| !met.contains(name.as_str())) {
        let known = suggest(unknown, names.iter().copied());
        return Err(Error::user(format!("option 'types': the files have no column '{unknown}'; {known}")));
    }
    if let Some(declared) = declared {
        if let Some(unknown) = declared.fields().iter().find(|field| !met.contains(field.name().as_str())) {
            let known = suggest(unknown.name(), names.iter().copied());
            return Err(Error::user(format!("the files have no column '{}'; {known}", unknown.name())));
        }
        names = declared.fields().iter().map(|field| field.name().as_str()).collect();
    }
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let mut seen = Seen::default();
        for shape in shapes {
            if let Some((_, here)) = shape.columns.iter().find(|(other, _)| other == name) {
                seen.merge(here);
            }
        }
        let is_user = user.map_or_else(|| USERS.contains(&name), |user| user == name);
        let said = declared.and_then(|declared| declared.field_with_name(name).ok()).map(|field| field.data_type());
        columns.extend(column(name, &seen, said.or(options.types.get(name)), options, is_user)?);
    }
    let fields: Vec<Field> = columns.iter().map(|c| Field::new(&c.name, c.data_type.clone(), true)).collect();
    Ok(Columns {
        columns,
        schema: Arc::new(Schema::new(fields)),
        user: None,
        time: None,
        nulls: options.nulls.clone(),
        left_out: HashSet::new(),
        drop_others: false,
        part: false,
    })
}

/// A column; `None` for objects that are always empty.
fn column(
    name: &str,
    seen: &Seen,
    asked: Option<&DataType>,
    options: &ReadOptions,
    is_user: bool,
) -> Result<Option<Column>> {
    let suggested = if is_user { seen.identifier_type() } else { seen.data_type() };
    let data_type = match asked.cloned().unwrap_or(suggested) {
        DataType::Null => return Ok(None),
        // Texts of a query have no dictionary: each block would have another one.
        text if is_text(&text) => DataType::Utf8,
        DataType::Timestamp(_, zone) if asked.is_some() => {
            DataType::Timestamp(seen.unit_of_times().unwrap_or(TimeUnit::Microsecond), zone.map(|_| "UTC".into()))
        }
        DataType::Timestamp(_, zone) => match seen.unit_of_times() {
            Some(unit) => DataType::Timestamp(unit, zone.filter(|_| seen.any_zone() || options.zone.is_some())),
            // Texts tell what no time does.
            None => DataType::Utf8,
        },
        other if readable(&other) || other.is_nested() => other,
        other => return Err(Error::user(format!("column '{name}': {other} cannot be read from text"))),
    };
    let time = match &data_type {
        DataType::Timestamp(_, _) => {
            Some(time_reader(seen, options, asked.is_some()).map_err(|e| e.within(&format!("column '{name}': ")))?)
        }
        other if other.is_nested() => Some(TimeReader::new(TimeFormat::Iso, options.zone.clone(), false)),
        _ => None,
    };
    Ok(Some(Column {
        name: name.to_string(),
        reads: data_type.clone(),
        data_type,
        role: None,
        origin: Origin::Source(name.to_string()),
        told_times: time.is_some(),
        reading: match (asked, is_user) {
            (Some(_), _) => Reading::AsSaid,
            (None, true) => Reading::AsIdentifier,
            (None, false) => Reading::AsSampled,
        },
        time,
        example: seen.example.clone(),
        new: false,
        in_table: false,
    }))
}

fn time_reader(seen: &Seen, options: &ReadOptions, asked: bool) -> Result<TimeReader> {
    let said = options.time_format.as_ref().filter(|_| asked);
    let format = match said {
        Some(said) => match EpochUnit::parse(said) {
            Some(unit) => TimeFormat::Epoch(unit),
            None => TimeFormat::Pattern(said.clone()),
        },
        None if asked => seen.time_format().map_err(|why| {
            Error::data(why).hint("say it with time_format => '%d.%m.%Y %H:%M:%S' (strptime), or s, ms, us, ns")
        })?,
        None => TimeFormat::Iso,
    };
    let by_size = said.is_none() && matches!(format, TimeFormat::Epoch(_));
    let reader = TimeReader::new(format, options.zone.clone(), false);
    Ok(if by_size { reader.guessed() } else { reader })
}
