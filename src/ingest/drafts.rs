//! The columns of the table before their types are known: names, and what the sources show of each.
//!
//! Deals with: the mapping, `#N` and paths with dots, names that are not clear. Does not deal with: roles and types (`columns`).

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::datatypes::DataType;

use super::mapping::{Entry, Mapping};
use crate::error::{Error, Result, nearest, suggest};
use crate::files::columns::{Origin, Shape, position};
use crate::files::infer::Seen;
use crate::files::stored_types::{agreed, common, is_scalar, member, stored, without};
use crate::files::types::{dictionary, type_name};

/// A column before its type is known.
#[derive(Debug)]
pub struct Draft {
    /// Its name in the table.
    pub name: String,
    /// Where its values come from.
    pub origin: Origin,
    /// What the mapping says.
    pub entry: Entry,
    /// What all sources show: examples, distinct texts, units.
    pub seen: Seen,
    /// What text sources show, where Parquet sources show something, too.
    texts: Seen,
    /// What Parquet sources say, and which.
    pub declared: Vec<(DataType, String)>,
    /// Paths of fields that are not read: left out, or columns of their own.
    pub taken: Vec<String>,
}

impl Draft {
    fn new(name: &str, entry: Entry, shapes: &[Shape]) -> Self {
        let origin = match (&entry.from, &entry.constant) {
            (Some(from), _) => Origin::Source(from.clone()),
            (None, Some(constant)) => Origin::Constant(constant.clone()),
            (None, None) => Origin::Source(name.to_string()),
        };
        let (seen, texts, declared, taken) = Default::default();
        let mut draft = Self { name: name.to_string(), origin, entry, seen, texts, declared, taken };
        match &draft.origin {
            Origin::Source(from) => {
                let any_declares = shapes.iter().any(|shape| matches!(lookup(shape, from), Some((_, Some(_)))));
                for shape in shapes {
                    match lookup(shape, from) {
                        Some((seen, Some(declared))) => {
                            draft.declared.push((declared, shape.source.clone()));
                            draft.seen.merge(seen);
                        }
                        Some((seen, None)) => {
                            draft.seen.merge(seen);
                            if any_declares {
                                draft.texts.merge(seen);
                            }
                        }
                        None => {}
                    }
                }
            }
            Origin::Constant(constant) => {
                draft.seen.plain(constant);
            }
            Origin::Missing => {}
        }
        draft
    }

    /// Takes a field out; false where nothing is left.
    fn take_out(&mut self, path: &str) -> bool {
        self.seen.take_out(path);
        self.texts.take_out(path);
        let all = std::mem::take(&mut self.declared);
        let typed = !all.is_empty();
        self.declared = all.into_iter().filter_map(|(t, source)| Some((without(&t, path)?, source))).collect();
        self.taken.push(path.to_string());
        !typed || !self.declared.is_empty() || self.seen.values() > 0
    }

    /// Whether all sources say themselves that these are times.
    pub fn typed_times(&self) -> bool {
        let time = |t: &DataType| matches!(t, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64);
        !self.declared.is_empty() && self.texts.values() == 0 && self.declared.iter().all(|(t, _)| time(t))
    }

    /// The type that the sources suggest.
    pub fn suggested(&self) -> Result<DataType> {
        if self.declared.is_empty() {
            return Ok(self.seen.data_type());
        }
        // What Parquet files show was counted too, for dictionaries and units; their types are what they say.
        let mut suggested: Option<(DataType, String)> = None;
        for (declared, source) in &self.declared {
            let Some(here) = stored(declared) else {
                let name = self.from();
                return Err(Error::data(format!(
                    "'{source}': column '{name}' is {declared}, which a table cannot hold"
                ))
                .hint(format!("leave it out with drop = [\"{name}\"] in the mapping")));
            };
            let here = match here {
                DataType::Utf8 if self.seen.repeats() => dictionary(),
                DataType::Int64 if *declared == DataType::UInt64 && self.seen.beyond_bigint() => {
                    DataType::Decimal128(20, 0)
                }
                here => here,
            };
            // Who says the type in the mapping knows that files differ.
            let both = if self.entry.data_type.is_some() { common } else { agreed };
            suggested = Some(match suggested {
                None => (here, source.clone()),
                Some((before, first)) => match both(&before, &here) {
                    Some(both) => (both, first),
                    None => return Err(self.contradiction(&before, &first, &here, source)),
                },
            });
        }
        if let Some((before, first)) = suggested.as_mut().filter(|_| self.texts.values() > 0) {
            let texts = self.texts.data_type();
            match common(before, &texts) {
                Some(both) => *before = both,
                None => return Err(self.contradiction(before, first, &texts, "text files")),
            }
        }
        Ok(suggested.map_or(DataType::Utf8, |(suggested, _)| suggested))
    }

    fn contradiction(&self, before: &DataType, first: &str, here: &DataType, source: &str) -> Error {
        let name = self.from();
        let (one, other) = (type_name(before), type_name(here));
        let message =
            format!("column '{name}' is {one} in '{first}' but {other} in '{source}'; files of one table must agree");
        let as_text = match is_scalar(before) && is_scalar(here) {
            true => {
                format!("say its type in a mapping ([columns] {name} = {{ from = \"{name}\", type = \"text\" }}), or ")
            }
            false => String::new(),
        };
        Error::data(message)
            .hint(format!("{as_text}rename or drop one of them in a mapping, and ingest the files one after the other"))
    }

    /// What the sources call it.
    pub fn from(&self) -> &str {
        match &self.origin {
            Origin::Source(from) => from,
            Origin::Constant(_) | Origin::Missing => &self.name,
        }
    }

    /// Whether times come as numbers.
    pub fn numbers(&self) -> bool {
        self.declared.iter().any(|(declared, _)| declared.is_numeric())
    }
}

/// What a shape has under a name, and the type that it says itself.
pub fn lookup<'a>(shape: &'a Shape, from: &str) -> Option<(&'a Seen, Option<DataType>)> {
    let declared = |seen: &Seen| seen.declared.as_ref().map(|(declared, _)| declared.clone());
    if let Some((_, seen)) = shape.columns.iter().find(|(name, _)| name == from) {
        return Some((seen, declared(seen)));
    }
    if let Some(place) = position(from).filter(|_| shape.by_position) {
        return shape.columns.get(place).map(|(_, seen)| (seen, declared(seen)));
    }
    let path: Vec<&str> = from.split('.').collect();
    let (first, rest) = path.split_first().filter(|(_, rest)| !rest.is_empty())?;
    let (_, seen) = shape.columns.iter().find(|(name, _)| name == first)?;
    if let Some(whole) = declared(seen) {
        return member(&whole, rest).map(|part| (seen, Some(part)));
    }
    let mut seen = seen;
    for step in rest {
        seen = &seen.fields.iter().find(|(name, _)| name == step)?.1;
    }
    Some((seen, None))
}

/// The columns in the order of the sources, mapped.
pub fn drafts(shapes: &[Shape], mapping: &Mapping) -> Result<Vec<Draft>> {
    let from_of = |name: &str, entry: &Entry| match entry.constant {
        Some(_) => None,
        None => Some(entry.from.clone().unwrap_or_else(|| name.to_string())),
    };
    let mut wanted: HashMap<String, Vec<&str>> = HashMap::new();
    for (name, entry) in &mapping.columns {
        if let Some(from) = from_of(name, entry) {
            wanted.entry(from).or_default().push(name);
        }
    }
    check_left_out(shapes, mapping)?;
    // Without fields that are columns of their own or left out; none where nothing remains.
    let draft = |name: &str, entry: Entry| {
        let mut draft = Draft::new(name, entry, shapes);
        let Origin::Source(from) = draft.origin.clone() else { return Some(draft) };
        let inside = |path: &String| Some(path.strip_prefix(from.as_str())?.strip_prefix('.')?.to_string());
        let taken: Vec<String> = wanted.keys().chain(&mapping.drop).filter_map(inside).collect();
        taken.iter().all(|path| draft.take_out(path)).then_some(draft)
    };
    let mut placed: HashSet<&str> = HashSet::new();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut drafts: Vec<Draft> = Vec::new();
    for shape in shapes {
        let mut in_this: HashMap<&str, usize> = HashMap::new();
        for (at, (name, _)) in shape.columns.iter().enumerate() {
            let place = format!("#{}", at + 1);
            // A column may be called like a place.
            let has_places = shape.by_position && !shape.columns.iter().any(|(name, _)| *name == place);
            let by_place = has_places && (wanted.contains_key(&place) || mapping.drop.contains(&place));
            if has_places {
                for target in wanted.get(&place).into_iter().flatten() {
                    if placed.insert(target) {
                        drafts.extend(draft(target, mapping.columns[*target].clone()));
                    }
                }
            }
            if by_place {
                continue;
            }
            let twice = in_this.insert(name, at);
            let unclear = match twice {
                Some(first) => Some(format!("columns {} and {} are both called '{name}'", first + 1, at + 1)),
                None if name.trim().is_empty() => Some(format!("column {} has no name", at + 1)),
                None => None,
            };
            if let Some(unclear) = unclear.filter(|_| !mapping.drop.contains(name)) {
                let hint = match shape.by_position {
                    true => format!(
                        "name it by its place in a mapping ([columns] some_name = \"#{0}\") or leave it out (drop = [\"#{0}\"])",
                        at + 1
                    ),
                    false => "rename it in the source".to_string(),
                };
                return Err(Error::data(format!("'{}': {unclear}", shape.source)).hint(hint));
            }
            if !seen.insert(name) {
                continue;
            }
            for target in wanted.get(name.as_str()).into_iter().flatten() {
                if placed.insert(target) {
                    drafts.extend(draft(target, mapping.columns[*target].clone()));
                }
            }
            let named = wanted.contains_key(name.as_str());
            if named || mapping.drop_others || mapping.drop.contains(name) {
                continue;
            }
            if let Some((_, entry)) = mapping.columns.get_key_value(name) {
                let other = entry.from.clone().unwrap_or_else(|| "a constant".into());
                return Err(Error::data(format!(
                    "'{}' has a column '{name}', and the mapping makes '{name}' of {other}",
                    shape.source
                ))
                .hint(format!("leave the other out (drop = [\"{name}\"]) or give it another name")));
            }
            drafts.extend(draft(name, Entry { from: Some(name.clone()), ..Entry::default() }));
        }
    }
    for (name, entry) in &mapping.columns {
        if placed.contains(name.as_str()) {
            continue;
        }
        if let Some(from) = from_of(name, entry)
            && !shapes.iter().any(|shape| lookup(shape, &from).is_some())
        {
            let known: Vec<&str> = shapes.iter().flat_map(|s| s.columns.iter().map(|(n, _)| n.as_str())).collect();
            let help = suggest(&from, known);
            return Err(Error::data(format!("mapping: no source has a column '{from}' (for '{name}'); {help}")));
        }
        drafts.extend(draft(name, entry.clone()));
    }
    Ok(drafts)
}

/// What is left out must be there: a name with a mistake in it would let in what must not be kept.
fn check_left_out(shapes: &[Shape], mapping: &Mapping) -> Result<()> {
    let mut known: Vec<String> = Vec::new();
    for (name, seen) in shapes.iter().flat_map(|shape| &shape.columns) {
        known.push(name.clone());
        seen.paths(name, &mut known);
    }
    // Sources without any column have an error of their own.
    for name in mapping.drop.iter().filter(|_| !known.is_empty()) {
        if known.contains(name) || shapes.iter().any(|shape| lookup(shape, name).is_some()) {
            continue;
        }
        let names = || known.iter().map(String::as_str);
        let message = format!("mapping: no source has a column '{name}' (in drop); {}", suggest(name, names()));
        match shapes.iter().all(|shape| shape.whole) {
            true => return Err(Error::data(message)),
            // What the sample does not show may come later, under a name that nothing else has.
            false if nearest(name, names()).is_empty() => {}
            false => return Err(Error::data(message).hint("--sample all looks at all rows")),
        }
    }
    Ok(())
}

/// The same of the fields of structs.
pub fn check_fields(name: &str, from: &str, data_type: &DataType) -> Result<()> {
    match data_type {
        DataType::Struct(fields) => {
            let mut known: BTreeMap<String, &str> = BTreeMap::new();
            for field in fields {
                let (inner, inner_from) = (format!("{name}.{}", field.name()), format!("{from}.{}", field.name()));
                if let Some(other) = known.insert(field.name().to_lowercase(), field.name()) {
                    let message = format!("fields '{other}' and '{}' of '{name}' differ only by case", field.name());
                    return Err(Error::data(message).hint(format!(
                        "leave one of them out in a mapping: drop = [\"{inner_from}\"], or say that all of it is text"
                    )));
                }
                check_fields(&inner, &inner_from, field.data_type())?;
            }
            Ok(())
        }
        DataType::List(item) => check_fields(name, from, item.data_type()),
        _ => Ok(()),
    }
}

/// Names must differ by more than case: tools that read the table take them for one.
pub fn check_names(drafts: &[Draft]) -> Result<()> {
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    for draft in drafts {
        if draft.name.trim().is_empty() {
            return Err(Error::data("a column of the table has no name; give it one in the mapping"));
        }
        if let Ok(data_type) = draft.suggested()
            && draft.entry.data_type.is_none()
        {
            check_fields(&draft.name, draft.from(), &data_type)?;
        }
        if let Some(other) = known.insert(draft.name.to_lowercase(), &draft.name) {
            return Err(Error::data(format!("columns '{other}' and '{}' differ only by case", draft.name))
                .hint(format!("rename one in a mapping: [columns] {}_2 = \"{0}\"", draft.name)));
        }
    }
    if drafts.is_empty() {
        return Err(Error::data("the sources have no columns"));
    }
    Ok(())
}
