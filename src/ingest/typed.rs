//! The type of a column of a load, and how its texts are read.
//!
//! Deals with: what the mapping says, else what the table has, else what the sample suggests; formats, units and zones of times; types
//! that hardly a value fits. Does not deal with: names (`drafts`), or types that a table must get first (`widen`).
//!
//! Texts that are not of the type are rejected with their rows, as long as most of the sample is of it: another type altogether is
//! refused as a whole. The user is a BIGINT or text, the time a timestamp, the event text with a dictionary.

use arrow::datatypes::{DataType, Field};
use jiff::tz::TimeZone;

use super::columns::{Existing, Wishes};
use super::drafts::{Draft, lookup};
use super::mapping::Mapping;
use crate::error::{Error, Result, suggest};
use crate::files::cells::Reading;
use crate::files::columns::{Column, Origin, Shape};
use crate::files::stored_types::{fits, is_text, readable, without};
use crate::files::times::{EpochUnit, TimeFormat, TimeReader};
use crate::files::types::{dictionary, timestamp, type_name};
use crate::store::table::TIME_UNITS;

/// A draft with its type; `None` where it holds nothing that a table can hold (objects that are always empty).
pub fn typed(
    draft: &Draft,
    role: Option<&'static str>,
    shapes: &[Shape],
    mapping: &Mapping,
    wishes: &Wishes,
    table: Option<&Existing>,
) -> Result<Option<Column>> {
    let suggested = draft.suggested()?;
    let in_table = table.and_then(|t| t.schema.field_with_name(&draft.name).ok()).map(Field::data_type);
    if let Some(table) = table
        && in_table.is_none()
        && let Some(other) = table.schema.fields().iter().find(|f| f.name().eq_ignore_ascii_case(&draft.name))
    {
        return Err(Error::data(format!(
            "column '{}' and the table's '{}' differ only by case",
            draft.name,
            other.name()
        ))
        .hint(format!("map it: [columns] {} = \"{}\"", other.name(), draft.from())));
    }
    let asked = draft.entry.data_type.as_ref();
    let data_type = match (in_table, asked) {
        (Some(has), Some(asked)) if has != asked && !(is_text(has) && is_text(asked)) => {
            return Err(Error::data(format!(
                "column '{}' is {} in the table; the mapping says {}",
                draft.name,
                type_name(has),
                type_name(asked)
            )));
        }
        (Some(has), _) => has.clone(),
        (None, Some(asked)) => match asked {
            DataType::Utf8 if draft.seen.repeats() => dictionary(),
            asked => asked.clone(),
        },
        (None, None) if suggested == DataType::Null => return Ok(None),
        (None, None) => suggested.clone(),
    };
    let data_type = match (in_table, role) {
        (None, Some("user")) if asked.is_none() && draft.declared.is_empty() => draft.seen.identifier_type(),
        (None, Some("user")) if data_type.is_integer() => DataType::Int64,
        (None, Some("user")) => DataType::Utf8,
        (None, Some("time")) => timestamp(),
        (None, Some("event")) => dictionary(),
        (None, None) if matches!(draft.origin, Origin::Constant(_)) && is_text(&data_type) => dictionary(),
        _ => data_type,
    };
    if is_text(&data_type)
        && draft.seen.any_nested()
        && let Some(path) = draft.taken.first()
    {
        let from = draft.from();
        return Err(Error::data(format!("'{from}' is kept as text, and '{from}.{path}' cannot be left out of it"))
            .hint(format!("leave out all of it with drop = [\"{from}\"] in the mapping")));
    }
    let Some(reads) = draft.taken.iter().try_fold(data_type.clone(), |left, path| without(&left, path)) else {
        return Ok(None);
    };
    let is_time = matches!(data_type, DataType::Timestamp(_, _));
    let time = match is_time {
        true => Some(time_reader(draft, role, &suggested, mapping, wishes)?),
        false if data_type.is_nested() => {
            Some(TimeReader::new(TimeFormat::Iso, zone(draft, mapping)?, wishes.floor_time))
        }
        false => None,
    };
    let anything = draft.seen.values() > 0 || !draft.declared.is_empty();
    if let (Some(asked), true) = (asked, draft.declared.is_empty()) {
        check_asked(draft, asked, time.as_ref())?;
    }
    // Text is read as what is asked for, and where it cannot be, that is the row's fault; a table is not asked for.
    let reads_text = asked.is_some() && draft.declared.iter().all(|(declared, _)| is_text(declared));
    // So it is where the table's type suits most of the texts: a few words among prices are no other column.
    let mostly_suits =
        in_table.is_some() && draft.declared.is_empty() && draft.seen.fitting(&data_type) > draft.seen.values() / 2;
    let suits = fits(&suggested, &data_type) || (draft.declared.is_empty() && draft.seen.suits(&data_type));
    if anything && !reads_text && !mostly_suits && !is_time && !suits {
        let example = draft.seen.example.as_deref().map(|e| format!(" (such as '{e}')")).unwrap_or_default();
        let from = shapes.iter().find(|s| lookup(s, draft.from()).is_some()).map_or("", |s| s.source.as_str());
        let place = if in_table.is_some() { "in the table" } else { "as its role needs" };
        return Err(Error::data(format!(
            "column '{}' is {} in '{from}'{example} but {} {place}",
            draft.name,
            type_name(&suggested),
            type_name(&data_type)
        ))
        .hint(match data_type.is_integer() && suggested.is_numeric() {
            true => format!(
                "a column's type stays: ingest into a new table with a mapping that says [columns] {} = {{ from = \"{}\", type = \"double\" }}, or give it another name there",
                draft.name, draft.from()
            ),
            false => format!(
                "in a mapping, give it another name ([columns] new_name = \"{0}\"), or say its type ([columns] {1} = {{ from = \"{0}\", type = .. }}): then rows with other values are rejected",
                draft.from(), draft.name
            ),
        }));
    }
    if draft.declared.is_empty() && !readable(&data_type) && !data_type.is_nested() {
        let shown = type_name(&data_type);
        return Err(Error::data(format!("column '{}' is {shown}, which cannot be read from text", draft.name)));
    }
    Ok(Some(Column {
        name: draft.name.clone(),
        data_type,
        reads,
        role,
        origin: draft.origin.clone(),
        reading: match () {
            () if asked.is_some() => Reading::AsSaid,
            // What a table has was told by somebody or something once; nobody in it may become another.
            () if in_table.is_some() && role != Some("user") => Reading::AsSaid,
            () if in_table.is_some() || role != Some("user") => Reading::AsSampled,
            () => Reading::AsIdentifier,
        },
        told_times: is_time
            && (draft.declared.is_empty() || draft.declared.iter().any(|(t, _)| is_text(t) || t.is_numeric())),
        time,
        example: draft.seen.example.clone(),
        new: table.is_some() && in_table.is_none(),
        in_table: in_table.is_some(),
    }))
}

/// A type that the mapping asks for must suit most of what the sources show: a slip of the pen would reject all rows.
fn check_asked(draft: &Draft, asked: &DataType, time: Option<&TimeReader>) -> Result<()> {
    let (fitting, all) = match time {
        Some(reader) if matches!(asked, DataType::Timestamp(_, _)) => draft.seen.readable_times(reader),
        _ if is_text(asked) || asked.is_nested() => return Ok(()),
        _ => (draft.seen.fitting(asked), draft.seen.values()),
    };
    if fitting * 2 >= all {
        return Ok(());
    }
    let example = draft.seen.example.as_deref().map(|e| format!(", such as '{e}'")).unwrap_or_default();
    let (name, asked) = (&draft.name, type_name(asked));
    Err(Error::data(format!(
        "column '{name}': the mapping says {asked}, which {} of {all} values of the sample are not{example}",
        all - fitting
    ))
    .hint("give it another type, or the format or unit in which it is written"))
}

/// That a column is text because of a few values is worth a word.
pub fn few_words(draft: &Draft, column: &Column) -> Option<String> {
    let (few, all) = draft.seen.few_words().filter(|_| {
        is_text(&column.data_type)
            && column.role.is_none()
            && draft.entry.data_type.is_none()
            && draft.declared.is_empty()
    })?;
    Some(format!(
        "column '{}' is text, since {few} of {all} values of the sample are not numbers; [columns] {0} = {{ from = \"{}\", type = \"double\" }} in a mapping rejects those rows, null = [..] makes them NULL",
        draft.name,
        draft.from()
    ))
}

fn time_reader(
    draft: &Draft,
    role: Option<&'static str>,
    suggested: &DataType,
    mapping: &Mapping,
    wishes: &Wishes,
) -> Result<TimeReader> {
    let at = |message: String| Error::data(format!("column '{}': {message}", draft.name));
    let of_role = |value: &Option<String>| value.clone().filter(|_| role == Some("time"));
    let unit = match of_role(&wishes.time_unit).or_else(|| of_role(&mapping.time_unit)) {
        Some(unit) => Some(
            EpochUnit::parse(&unit)
                .ok_or_else(|| Error::usage(format!("unknown time unit '{unit}'; {}", suggest(&unit, TIME_UNITS))))?,
        ),
        None => draft.entry.unit,
    };
    let pattern =
        of_role(&wishes.time_format).or_else(|| of_role(&mapping.time_format)).or_else(|| draft.entry.format.clone());
    let typed = matches!(suggested, DataType::Timestamp(_, _) | DataType::Date32);
    let told = unit.map(|_| "unit").or(pattern.as_ref().map(|_| "format"));
    if let (true, Some(told)) = (draft.typed_times(), told) {
        let (declared, source) = &draft.declared[0];
        let declared = type_name(declared);
        return Err(at(format!("it is {declared} in '{source}', and a time {told} is for numbers and texts")));
    }
    let format = match (unit, pattern) {
        (Some(_), Some(_)) => return Err(at("give a time unit or a time format, not both".into())),
        (Some(unit), None) => TimeFormat::Epoch(unit),
        (None, Some(pattern)) => TimeFormat::Pattern(pattern),
        (None, None) if typed => TimeFormat::Iso,
        (None, None) if draft.numbers() => TimeFormat::Epoch(draft.seen.unit().map_err(at)?),
        (None, None) => draft.seen.time_format().map_err(at)?,
    };
    let by_size = told.is_none() && matches!(format, TimeFormat::Epoch(_));
    let reader = TimeReader::new(format, zone(draft, mapping)?, wishes.floor_time);
    Ok(if by_size { reader.guessed() } else { reader })
}

/// The zone of times that name none; `None` is UTC.
fn zone(draft: &Draft, mapping: &Mapping) -> Result<Option<TimeZone>> {
    match draft.entry.tz.as_ref().or(mapping.tz.as_ref()).map(String::as_str) {
        None | Some("UTC") => Ok(None),
        Some(name) => TimeZone::get(name)
            .map(Some)
            .map_err(|_| Error::data(format!("column '{}': unknown time zone '{name}'", draft.name))),
    }
}
