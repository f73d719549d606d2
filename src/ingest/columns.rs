//! The columns of the table: where each comes from, its type, its role.
//!
//! Deals with: putting together what names (`drafts`), roles (`roles`) and types (`typed`, `widen`) say, the table's order, columns
//! that sources lack. Does not deal with: reading samples (`heads`), or rows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::drafts::{check_fields, check_names, drafts, lookup};
use super::mapping::{Entry, Mapping};
use super::roles::roles;
use super::typed::{few_words, typed};
use super::widen::wider_than;
use crate::error::{Error, Result, suggest};
use crate::files::cells::Reading;
use crate::files::columns::{Column, Columns, Origin, Shape};
use crate::files::stored_types::{is_text, readable};
use crate::files::types::type_name;
use crate::store::managed::Roles;

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
                check_fields(wider.name(), draft.from(), wider.data_type())?;
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
            reading: Reading::AsSaid,
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
    use crate::files::types::{dictionary, timestamp};

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
        // A mapping cannot mean what hardly a value is.
        let message = fails(&text, "[columns]\nn = { from = 'n', type = 'double' }");
        assert!(
            message.contains("the mapping says double, which 1 of 1 values of the sample are not, such as 'x'"),
            "{message}"
        );
        // Where most are numbers, texts that are no numbers are the rows' fault.
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
