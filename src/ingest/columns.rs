//! The columns of the table: where each comes from, its type, its role.
//!
//! Deals with: mapping and names, roles, types against an existing table, what is shown before anything is written.
//! Does not deal with: reading samples (`heads`), or rows.
//!
//! Types: what the mapping says, else what the table has, else what the sample suggests. Texts that are not of the type are
//! rejected with their rows, as long as most of the sample is of it: another type altogether is refused as a whole. The user is a BIGINT or text, the time
//! a timestamp, the event text with a dictionary.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use jiff::tz::TimeZone;

use super::drafts::{Draft, check_names, drafts, lookup};
use super::mapping::{Entry, Mapping};
use super::roles::roles;
use crate::error::{Error, Result, suggest};
use crate::files::columns::{Column, Columns, Origin, Shape};
use crate::files::reject::{Reject, shortened};
use crate::files::source::Source;
use crate::files::stored_types::{common, fits, is_text, readable, without};
use crate::files::times::{EpochUnit, TimeFormat, TimeReader};
use crate::files::types::{dictionary, timestamp, type_name};
use crate::store::managed::Roles;
use crate::store::table::TIME_UNITS;

/// What flags say of columns.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// The user column.
    pub user: Option<String>,
    /// The time column.
    pub time: Option<String>,
    /// The event column.
    pub event: Option<String>,
    /// Unit of the time column.
    pub time_unit: Option<String>,
    /// Pattern of the time column.
    pub time_format: Option<String>,
    /// The deduplication key.
    pub dedup_key: Option<String>,
    /// Whether parts of times below the microsecond are cut.
    pub floor_time: bool,
}

/// The table that rows are appended to.
#[derive(Debug, Clone)]
pub struct Existing {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its roles.
    pub roles: Roles,
    /// Its deduplication key.
    pub dedup_key: Option<String>,
}

/// The table's columns as this ingest fills them.
#[derive(Debug, Clone)]
pub struct Layout {
    /// How they are read, in the table's order.
    pub read: Columns,
    /// Who, when, what.
    pub roles: Roles,
    /// Where the user is among the columns.
    pub user: usize,
    /// Where the time is.
    pub time: usize,
    /// The deduplication key.
    pub dedup_key: Option<String>,
    /// Columns of the table that must get these types before the rows fit: wider numbers, structs with more fields.
    pub retyped: Vec<Field>,
    /// What people should hear of.
    pub words: Vec<String>,
}

impl Layout {
    /// Decides the columns.
    pub fn of(shapes: &[Shape], mapping: &Mapping, wishes: &Wishes, table: Option<&Existing>) -> Result<Self> {
        let (mapping, wishes) = &with_inner_roles(shapes, mapping, wishes);
        let drafts = drafts(shapes, mapping)?;
        check_names(&drafts)?;
        let roles = roles(&drafts, mapping, wishes, table)?;
        let mut columns = Vec::with_capacity(drafts.len());
        let (mut retyped, mut words) = (Vec::new(), Vec::new());
        for draft in &drafts {
            if let Some(wider) = table.and_then(|table| wider_than(draft, table)) {
                retyped.push(wider);
            }
            let role = match () {
                () if draft.name == roles.user => Some("user"),
                () if draft.name == roles.time => Some("time"),
                () if roles.event.as_ref() == Some(&draft.name) => Some("event"),
                () => None,
            };
            let table = table.map(|table| table.with(&retyped));
            if let Some(column) = typed(draft, role, shapes, mapping, wishes, table.as_ref())? {
                words.extend(few_words(draft, &column));
                columns.push(column);
            }
        }
        let table = table.map(|table| table.with(&retyped));
        let table = table.as_ref();
        if let Some(table) = table {
            // Objects need not have all fields: one that the sample happens not to show is found by its name.
            let sparse =
                shapes.iter().any(|s| !s.by_position && s.columns.iter().all(|(_, seen)| seen.declared.is_none()));
            let found =
                |field: &Field| sparse && is_free(field.name(), &columns, mapping) && in_json(field.data_type());
            let missing: HashSet<&str> =
                table.schema.fields().iter().filter(|f| !found(f)).map(|f| f.name().as_str()).collect();
            columns = in_table_order(columns, table, &missing);
        }
        let at = |name: &str| columns.iter().position(|c| c.name == name);
        let (Some(user), Some(time)) = (at(&roles.user), at(&roles.time)) else {
            return Err(Error::internal("ingest: roles without a column"));
        };
        let dedup_key = dedup_key(&columns, mapping, wishes, table)?;
        let fields: Vec<Field> = columns.iter().map(|c| Field::new(&c.name, c.data_type.clone(), true)).collect();
        let read = Columns {
            schema: Arc::new(Schema::new(fields)),
            columns,
            user: Some(user),
            time: Some(time),
            nulls: mapping.null.clone(),
            left_out: mapping.drop.iter().cloned().collect(),
            drop_others: mapping.drop_others,
            part: false,
        };
        Ok(Self { read, roles, user, time, dedup_key, retyped, words })
    }
}

impl Layout {
    /// A source without users or times has no row that could be taken in: refused before anything is read.
    pub fn check_source(&self, shape: &Shape) -> Result<()> {
        for (role, at) in [("user", self.user), ("time", self.time)] {
            let column = &self.read.columns[at];
            let Origin::Source(from) = &column.origin else { continue };
            if lookup(shape, from).is_some() || shape.columns.is_empty() {
                continue;
            }
            let names: Vec<&str> = shape.columns.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Error::data(format!(
                "'{}' has no column '{from}' for the {role}; it has {}",
                shape.source,
                names.join(", ")
            ))
            .hint("give it to an ingest of its own, with a mapping that says which of its columns that is"));
        }
        Ok(())
    }
}

/// A draft with its type; `None` where it holds nothing that a table can hold (objects that are always empty).
fn typed(
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
fn few_words(draft: &Draft, column: &Column) -> Option<String> {
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

/// A role that stands inside an object (`--user properties.distinct_id`) becomes a column of its own, called by its last name.
fn with_inner_roles(shapes: &[Shape], mapping: &Mapping, wishes: &Wishes) -> (Mapping, Wishes) {
    let (mut mapping, mut wishes) = (mapping.clone(), wishes.clone());
    let is_column = |name: &str| shapes.iter().any(|shape| shape.columns.iter().any(|(column, _)| column == name));
    for role in [
        &mut wishes.user,
        &mut wishes.time,
        &mut wishes.event,
        &mut mapping.user,
        &mut mapping.time,
        &mut mapping.event,
    ] {
        let Some(path) = role.clone().filter(|path| path.contains('.')) else { continue };
        let known = mapping.columns.contains_key(&path) || is_column(&path);
        if known || !shapes.iter().any(|shape| lookup(shape, &path).is_some()) {
            continue;
        }
        let last = path.rsplit('.').next().unwrap_or(&path).to_string();
        let taken = is_column(&last) || mapping.columns.get(&last).is_some_and(|e| e.from.as_ref() != Some(&path));
        let name = if taken { path.replace('.', "_") } else { last };
        mapping.columns.entry(name.clone()).or_insert_with(|| Entry { from: Some(path), ..Entry::default() });
        *role = Some(name);
    }
    (mapping, wishes)
}

/// The type that a column of the table must get so that it holds what the sources show, where there is one without loss.
fn wider_than(draft: &Draft, table: &Existing) -> Option<Field> {
    let field = table.schema.field_with_name(&draft.name).ok()?;
    let roles = &table.roles;
    if [Some(&roles.user), Some(&roles.time), roles.event.as_ref()].contains(&Some(&draft.name)) {
        return None;
    }
    let suggested = draft.suggested().ok().filter(|_| draft.entry.data_type.is_none())?;
    let wider = widened(field.data_type(), &suggested)?;
    (wider != *field.data_type()).then(|| Field::new(field.name(), wider, true))
}

/// The least type that holds what both hold; `None` where there is none, or texts are involved.
fn widened(has: &DataType, comes: &DataType) -> Option<DataType> {
    use DataType as T;
    match (has, comes) {
        (has, comes) if has == comes || *comes == T::Null => Some(has.clone()),
        (has, comes) if has.is_signed_integer() && comes.is_signed_integer() => {
            Some(if has.primitive_width() < comes.primitive_width() { comes.clone() } else { has.clone() })
        }
        (has, T::Float32 | T::Float64) if has.is_signed_integer() || *has == T::Float32 => Some(T::Float64),
        (T::Decimal128(_, _), T::Decimal128(_, _)) => common(has, comes),
        (T::Struct(old), T::Struct(new)) => {
            let mut fields: Vec<Arc<Field>> = Vec::with_capacity(old.len());
            for field in old {
                let wider = match new.iter().find(|other| other.name() == field.name()) {
                    Some(other) => {
                        widened(field.data_type(), other.data_type()).unwrap_or_else(|| field.data_type().clone())
                    }
                    None => field.data_type().clone(),
                };
                fields.push(Arc::new(Field::new(field.name(), wider, true)));
            }
            let known = |name: &str| old.iter().any(|field| field.name() == name);
            fields.extend(new.iter().filter(|field| !known(field.name())).cloned());
            Some(T::Struct(fields.into()))
        }
        (T::List(old), T::List(new)) => {
            let item = widened(old.data_type(), new.data_type())?;
            Some(T::List(Arc::new(old.as_ref().clone().with_data_type(item))))
        }
        _ => None,
    }
}

impl Existing {
    /// The table with other types of some columns.
    fn with(&self, retyped: &[Field]) -> Self {
        let fields = self.schema.fields().iter().map(|field| match retyped.iter().find(|f| f.name() == field.name()) {
            Some(wider) => Arc::new(field.as_ref().clone().with_data_type(wider.data_type().clone())),
            None => Arc::clone(field),
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { schema, ..self.clone() }
    }
}

impl Layout {
    /// Wider types for columns of which rejected rows have values that only a wider one holds: whole numbers then decimals, and
    /// identifiers that are no numbers. What the mapping says, and what a table has, stays.
    pub fn wider(
        &self,
        rejects: &[Reject],
        mapping: &Mapping,
        source: &Source,
    ) -> BTreeMap<String, (DataType, String)> {
        let mut wider = BTreeMap::new();
        for reject in rejects {
            let (Some(name), Some(value)) = (&reject.column, &reject.value) else { continue };
            let Some(at) = self.read.columns.iter().position(|c| c.name == *name) else { continue };
            let column = &self.read.columns[at];
            let said = mapping.columns.get(name).is_some_and(|entry| entry.data_type.is_some());
            if column.in_table || said || !column.data_type.is_integer() {
                continue;
            }
            let decimals = value.contains('.') && value.trim().parse::<f64>().is_ok_and(f64::is_finite);
            let data_type = match at == self.user {
                true => DataType::Utf8,
                false if decimals => DataType::Float64,
                false => continue,
            };
            let why =
                format!("because of '{}' in '{}' {} {}", shortened(value, 40), source.name, source.unit(), reject.line);
            wider.entry(name.clone()).or_insert((data_type, why));
        }
        wider
    }
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
    Ok(TimeReader::new(format, zone(draft, mapping)?, wishes.floor_time))
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

/// Whether a field of this name goes into no column and is not left out.
fn is_free(name: &str, columns: &[Column], mapping: &Mapping) -> bool {
    let part = |from: &str| from.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    !mapping.drop_others
        && !name.contains('.')
        && !mapping.drop.iter().any(|from| part(from))
        && !columns.iter().any(|c| matches!(&c.origin, Origin::Source(from) if part(from)))
}

/// Whether values of a type are read from JSON without having seen some: times may be written in any way.
fn in_json(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().all(|f| in_json(f.data_type())),
        DataType::List(item) => in_json(item.data_type()),
        DataType::Timestamp(_, _) => false,
        other => readable(other),
    }
}

/// The table's columns first, those that the sources lack by their name, or as NULL if they are `missing`; then new ones.
fn in_table_order(columns: Vec<Column>, table: &Existing, missing: &HashSet<&str>) -> Vec<Column> {
    let mut by_name: HashMap<String, Column> = HashMap::new();
    let mut order = Vec::new();
    for column in columns {
        if column.new {
            order.push(column.name.clone());
        }
        by_name.insert(column.name.clone(), column);
    }
    let mut ordered = Vec::with_capacity(by_name.len());
    for field in table.schema.fields() {
        ordered.push(by_name.remove(field.name()).unwrap_or_else(|| Column {
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            reads: field.data_type().clone(),
            role: (table.roles.event.as_ref() == Some(field.name())).then_some("event"),
            origin: match missing.contains(field.name().as_str()) {
                true => Origin::Missing,
                false => Origin::Source(field.name().clone()),
            },
            time: None,
            told_times: false,
            example: None,
            new: false,
            in_table: true,
        }));
    }
    ordered.extend(order.into_iter().filter_map(|name| by_name.remove(&name)));
    ordered
}

fn dedup_key(
    columns: &[Column],
    mapping: &Mapping,
    wishes: &Wishes,
    table: Option<&Existing>,
) -> Result<Option<String>> {
    let asked = wishes.dedup_key.as_ref().or(mapping.dedup_key.as_ref());
    let has = table.and_then(|t| t.dedup_key.as_ref());
    if let (Some(asked), Some(has)) = (asked, has)
        && asked != has
    {
        return Err(Error::data(format!("the table's deduplication key is '{has}', not '{asked}'")));
    }
    let Some(key) = asked.or(has) else { return Ok(None) };
    let Some(column) = columns.iter().find(|c| c.name == *key) else {
        let help = suggest(key, columns.iter().map(|c| c.name.as_str()));
        return Err(Error::data(format!("the deduplication key '{key}' is not among the columns; {help}")));
    };
    if !is_text(&column.data_type) && !column.data_type.is_integer() {
        let shown = type_name(&column.data_type);
        return Err(Error::data(format!("the deduplication key '{key}' must be text or a whole number, got {shown}")));
    }
    Ok(Some(key.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::infer::Seen;

    fn shape(columns: &[(&str, &str)]) -> Shape {
        let columns = columns
            .iter()
            .map(|(name, values)| {
                let mut seen = Seen::default();
                values.split('|').filter(|v| !v.is_empty()).for_each(|v| seen.plain(v));
                ((*name).to_string(), seen)
            })
            .collect();
        Shape { source: "a.csv".into(), columns, by_position: true, whole: true }
    }

    fn table(columns: &[(&str, DataType)]) -> Existing {
        let fields: Vec<Field> = columns.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect();
        let roles = Roles { user: "user_id".into(), time: "ts".into(), event: Some("event".into()) };
        Existing { schema: Arc::new(Schema::new(fields)), roles, dedup_key: None }
    }

    const USUAL: [(&str, &str); 3] = [("user_id", "1|2"), ("ts", "2024-01-31"), ("event", "1")];

    #[test]
    fn roles_decide_types() {
        let mapping = Mapping::default();
        let layout = Layout::of(&[shape(&USUAL)], &mapping, &Wishes::default(), None).unwrap();
        let types: Vec<&DataType> = layout.read.columns.iter().map(|c| &c.data_type).collect();
        assert_eq!(types, [&DataType::Int64, &timestamp(), &dictionary()]);
        let codes = shape(&[("user_id", "007"), ("ts", "2024-01-31"), ("event", "a")]);
        let layout = Layout::of(&[codes], &mapping, &Wishes::default(), None).unwrap();
        assert_eq!(layout.read.columns[layout.user].data_type, DataType::Utf8);
        assert_eq!((layout.roles.event.as_deref(), layout.time), (Some("event"), 1));
    }

    #[test]
    fn a_table_decides_order_and_types() {
        let table = table(&[
            ("event", dictionary()),
            ("user_id", DataType::Utf8),
            ("ts", timestamp()),
            ("gone", DataType::Float64),
            ("n", DataType::Float64),
        ]);
        let source = shape(&[USUAL[0], USUAL[1], USUAL[2], ("n", "1"), ("new", "x")]);
        let layout = Layout::of(&[source], &Mapping::default(), &Wishes::default(), Some(&table)).unwrap();
        let told: Vec<(&str, &Origin, bool)> =
            layout.read.columns.iter().map(|c| (c.name.as_str(), &c.origin, c.new)).collect();
        let from = |name: &str| Origin::Source(name.into());
        assert_eq!(
            told,
            [
                ("event", &from("event"), false),
                ("user_id", &from("user_id"), false),
                ("ts", &from("ts"), false),
                ("gone", &Origin::Missing, false),
                ("n", &from("n"), false),
                ("new", &from("new"), true)
            ]
        );
        assert_eq!(layout.read.columns[1].data_type, DataType::Utf8);
        let fails = |columns: &[(&str, &str)], mapping: &str| {
            let mapping = Mapping::parse(mapping).unwrap();
            Layout::of(&[shape(columns)], &mapping, &Wishes::default(), Some(&table)).unwrap_err().message().to_string()
        };
        let text = [USUAL[0], USUAL[1], USUAL[2], ("n", "x")];
        assert!(fails(&text, "").contains("column 'n' is text in 'a.csv' (such as 'x') but double in the table"));
        assert!(fails(&text, "user = 'n'").contains("the table's user column is 'user_id', not 'n'"));
        assert!(fails(&text, "[columns]\nn = { from = 'n', type = 'int' }").contains("is double in the table"));
        assert!(fails(&[USUAL[0], USUAL[1], USUAL[2], ("N", "1")], "").contains("differ only by case"));
        // Where most are numbers, or so it is said in the mapping, texts that are no numbers are the rows' fault.
        let mapping = Mapping::parse("[columns]\nn = { from = 'n', type = 'double' }").unwrap();
        assert!(Layout::of(&[shape(&text)], &mapping, &Wishes::default(), Some(&table)).is_ok());
        let some = |values: &str| {
            let source = shape(&[USUAL[0], USUAL[1], USUAL[2], ("n", values)]);
            Layout::of(&[source], &Mapping::default(), &Wishes::default(), Some(&table)).is_ok()
        };
        assert!(some("1|2.5|n/a") && !some("1|n/a"));
    }

    #[test]
    fn what_is_mapped_is_not_there_twice() {
        let of = |mapping: &str| {
            let source = shape(&[("uid", "1"), USUAL[1], USUAL[2], ("user_id", "7")]);
            Layout::of(&[source], &Mapping::parse(mapping).unwrap(), &Wishes::default(), None)
        };
        let message = of("[columns]\nuser_id = 'uid'").unwrap_err().message().to_string();
        assert!(message.contains("has a column 'user_id', and the mapping makes 'user_id' of uid"), "{message}");
        let layout = of("drop = ['user_id']\n[columns]\nuser_id = 'uid'").unwrap();
        let names: Vec<&str> = layout.read.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["user_id", "ts", "event"]);
        let layout = of("others = 'drop'\nuser = 'who'\n[columns]\nwho = 'uid'\nts = 'ts'").unwrap();
        assert_eq!((layout.read.columns.len(), layout.roles.event), (2, None));
        // A role may be named as the source names it.
        let layout = of("user = 'uid'\n[columns]\nwho = 'uid'").unwrap();
        assert_eq!(layout.roles.user, "who");
    }
}
