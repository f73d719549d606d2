//! Objects a line: columns found in them, nested ones too.
//!
//! Deals with: which field fills which column, missing and unknown fields, rows put aside. Does not deal with: JSON's grammar
//! (`json_text`), or types of single values (`cells`).
//!
//! A field that the sample did not show has no place in the table. Its row is taken in without it: an event counts more than
//! one of its properties. What was left out so is counted, unless it is nothing or was left out on purpose.

use memchr::memchr;

use super::columns::{Columns, Origin};
use super::decoded::{Decoded, IS_NULL, batch, same_everywhere};
use super::infer::Seen;
use super::json_text::{Broken, JsonText, Value, unescape};
use super::nodes::{Finished, Node, lead, plant};
use super::reject::{NOT_UTF8, Reject, kept, shortened};
use super::unseen::OfBlock;
use crate::error::{Error, Result};

/// Levels of objects and lists that are looked into.
const DEEPEST: usize = 100;

/// The steps from the object of a row to a column: the field of that name, dots and all, or a path.
fn path<'a>(from: &'a str, nested: &dyn Fn(&str) -> bool) -> Vec<&'a str> {
    if nested(from) { from.split('.').collect() } else { vec![from] }
}

/// Which sources fields of objects are, decided once: a name with dots may be a field of that name.
#[derive(Debug, Clone, Default)]
pub struct Paths {
    /// Names of the fields of rows that the sample showed.
    names: Vec<String>,
}

impl Paths {
    /// For rows whose objects have these fields.
    pub fn new(names: Vec<String>) -> Self {
        Self { names }
    }

    fn steps<'a>(&self, from: &'a str) -> Vec<&'a str> {
        path(from, &|from| from.contains('.') && !self.names.iter().any(|name| name == from))
    }
}

/// Shows the fields of a line to `seen`, texts among `nulls` as NULL; false where the line is no JSON object.
pub fn look(line: &[u8], nulls: &[String], seen: &mut Seen) -> bool {
    let Ok(text) = std::str::from_utf8(line) else { return false };
    let mut json = JsonText::new(text.as_bytes());
    let whole = json.value().and_then(|value| json.skip_rest(value, 0).map(|()| value));
    if whole != Ok(Value::Object) || json.peek().is_some() {
        return false;
    }
    let mut json = JsonText::new(text.as_bytes());
    // The line was found whole, so nothing is left to go wrong.
    json.value().is_ok() && look_into(&mut json, nulls, seen, false).is_ok()
}

/// The inside of an object.
fn look_into(json: &mut JsonText<'_>, nulls: &[String], seen: &mut Seen, inside: bool) -> Result<(), Broken> {
    let mut scratch = Vec::new();
    let mut first = true;
    while let Some((key, escaped)) = json.key(first)? {
        first = false;
        let key = if escaped { unescape(key, &mut scratch)? } else { key };
        let name = String::from_utf8_lossy(key);
        let field = if inside { seen.inner_field(&name) } else { seen.row_field(&name) };
        match field {
            Some(field) => look_at(json, nulls, field)?,
            None => {
                let value = json.value()?;
                json.skip_rest(value, 0)?;
            }
        }
    }
    Ok(())
}

fn look_at(json: &mut JsonText<'_>, nulls: &[String], seen: &mut Seen) -> Result<(), Broken> {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    json.peek();
    let from = json.place();
    match json.value()? {
        Value::Null => seen.null(),
        Value::String(text, escaped) => {
            let mut scratch = Vec::new();
            let text = shown(if escaped { unescape(text, &mut scratch)? } else { text });
            if nulls.contains(&text) { seen.null() } else { seen.text(&text) }
        }
        Value::Plain(text @ (b"true" | b"false")) => seen.boolean(&shown(text)),
        Value::Plain(text) => seen.json_number(&shown(text)),
        Value::Object => {
            look_into(json, nulls, seen, true)?;
            seen.an_object(&shown(json.since(from)));
        }
        Value::List => {
            let mut first = true;
            while json.item(first)? {
                first = false;
                look_at(json, nulls, seen.element())?;
            }
            seen.a_list(&shown(json.since(from)));
        }
    }
    Ok(())
}

struct Reader<'a> {
    layout: &'a Columns,
    root: Vec<(String, Node)>,
    scratch: Vec<u8>,
    /// Fields of the row that the sample did not show.
    unseen: Vec<String>,
}

struct Problem {
    what: &'static str,
    column: Option<String>,
    value: Option<String>,
}

impl From<Broken> for Problem {
    fn from(what: Broken) -> Self {
        Self { what, column: None, value: None }
    }
}

/// Reads a block of whole lines, the first of which is line `first_line`.
pub fn decode(text: &[u8], first_line: u64, paths: &Paths, layout: &Columns) -> Result<Decoded> {
    let mut root = Vec::new();
    for column in &layout.columns {
        if let Origin::Source(from) = &column.origin {
            plant(&mut root, &paths.steps(from), Node::of(column, &column.reads)?, column)?;
        }
    }
    for path in &layout.left_out {
        lead(&mut root, &paths.steps(path));
    }
    let mut reader = Reader { layout, root, scratch: Vec::new(), unseen: Vec::new() };
    let mut unseen = OfBlock::new();
    let clean = std::str::from_utf8(text).is_ok();
    let mut rejects = Vec::new();
    let (mut at, mut line, mut rows, mut read) = (0, first_line, 0, 0);
    while at < text.len() {
        let next = memchr(b'\n', &text[at..]).map_or(text.len(), |found| at + found + 1);
        let raw = &text[at..next];
        if !raw.trim_ascii().is_empty() {
            read += 1;
            let outcome = match clean || std::str::from_utf8(raw).is_ok() {
                true => reader.row(raw, rows),
                false => Err(Problem::from(NOT_UTF8)),
            };
            match outcome {
                Ok(()) => {
                    rows += 1;
                    for path in reader.unseen.drain(..) {
                        unseen.entry(path).or_insert((0, line)).0 += 1;
                    }
                }
                Err(problem) => {
                    reader.unseen.clear();
                    reader.root.iter_mut().for_each(|(_, node)| node.truncate(rows));
                    rejects.push(Reject {
                        line,
                        column: problem.column,
                        what: problem.what,
                        value: problem.value,
                        user: reader.user(raw, paths),
                        row: kept(raw),
                    });
                }
            }
        }
        line += 1;
        at = next;
    }
    let finished: Vec<Finished> =
        reader.root.into_iter().map(|(name, node)| node.finish(&name)).collect::<Result<_>>()?;
    let mut columns = Vec::with_capacity(layout.columns.len());
    for column in &layout.columns {
        let array = match &column.origin {
            Origin::Source(from) => {
                let steps = paths.steps(from);
                let found = finished.iter().find(|f| f.name == steps[0]).and_then(|f| f.at(&steps[1..]));
                found
                    .ok_or_else(|| Error::internal(format!("ingest: no values for '{from}'")))?
                    .narrowed(&column.data_type)?
            }
            Origin::Constant(_) | Origin::Missing => same_everywhere(column, rows)?,
        };
        columns.push(array);
    }
    Ok(Decoded { batch: batch(layout, columns, rows)?, rejects, unseen, rows: read })
}

impl Reader<'_> {
    fn row(&mut self, raw: &[u8], rows: usize) -> Result<(), Problem> {
        let mut json = JsonText::new(raw);
        if json.value()? != Value::Object {
            return Err("the line is no JSON object".into());
        }
        let mut filling = Filling { json, layout: self.layout, scratch: &mut self.scratch, unseen: &mut self.unseen };
        filling.object(&mut self.root, rows, 0, None)?;
        if filling.json.peek().is_some() {
            return Err("more than one value in the line".into());
        }
        for at in [self.layout.user, self.layout.time].into_iter().flatten() {
            let Origin::Source(from) = &self.layout.columns[at].origin else { continue };
            if nobody(&self.root, from, rows) {
                let column = Some(self.layout.columns[at].name.clone());
                return Err(Problem { what: IS_NULL.0, column, value: None });
            }
        }
        Ok(())
    }

    /// The user of a line that was put aside, where it can be told.
    fn user(&self, raw: &[u8], paths: &Paths) -> Option<String> {
        let Origin::Source(from) = &self.layout.columns[self.layout.user?].origin else { return None };
        let row: serde_json::Value = serde_json::from_slice(raw).ok()?;
        let mut value = &row;
        for step in paths.steps(from) {
            value = value.get(step)?;
        }
        match value {
            serde_json::Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

/// Whether a column has no value in a row, or an empty text: nobody is called like that.
fn nobody(children: &[(String, Node)], from: &str, row: usize) -> bool {
    match children.iter().find(|(name, _)| name == from) {
        Some((_, Node::Leaf { cells, .. })) => return cells.is_blank(row),
        Some(_) => return true,
        None => {}
    }
    let Some((first, rest)) = from.split_once('.') else { return true };
    match children.iter().find(|(name, _)| name == first) {
        Some((_, Node::Object { children, .. })) => nobody(children, rest, row),
        _ => true,
    }
}

/// The objects around a field.
#[derive(Clone, Copy)]
struct Within<'a> {
    name: &'a str,
    outer: Option<&'a Within<'a>>,
}

/// `outer.inner.name`.
fn path_of(within: Option<&Within<'_>>, name: &str) -> String {
    match within {
        None => name.to_string(),
        Some(within) if name.is_empty() => path_of(within.outer, within.name),
        Some(within) => format!("{}.{name}", path_of(within.outer, within.name)),
    }
}

/// Whether a value holds nothing but NULL, whatever is around it.
fn is_nothing(json: &mut JsonText<'_>, depth: usize) -> bool {
    let mut first = true;
    match json.value() {
        Ok(Value::Null) => true,
        Ok(Value::Object) if depth < DEEPEST => {
            while let Ok(Some(_)) = json.key(std::mem::take(&mut first)) {
                if !is_nothing(json, depth + 1) {
                    return false;
                }
            }
            true
        }
        Ok(Value::List) if depth < DEEPEST => {
            while let Ok(true) = json.item(std::mem::take(&mut first)) {
                if !is_nothing(json, depth + 1) {
                    return false;
                }
            }
            true
        }
        _ => false,
    }
}

/// A line that is being read.
struct Filling<'a, 'b> {
    json: JsonText<'a>,
    layout: &'b Columns,
    scratch: &'b mut Vec<u8>,
    unseen: &'b mut Vec<String>,
}

impl Filling<'_, '_> {
    /// Reads the inside of an object into its fields, which have `rows` rows so far.
    fn object(
        &mut self,
        children: &mut [(String, Node)],
        rows: usize,
        depth: usize,
        within: Option<&Within<'_>>,
    ) -> Result<(), Problem> {
        let mut next = 0;
        let mut first = true;
        while let Some((key, escaped)) = self.json.key(first)? {
            first = false;
            let unescaped;
            let key = match escaped {
                true => {
                    unescaped = unescape(key, self.scratch)?.to_vec();
                    unescaped.as_slice()
                }
                false => key,
            };
            // Fields mostly come in the same order.
            let found = match children.get(next) {
                Some((name, _)) if name.as_bytes() == key => Some(next),
                _ => children.iter().position(|(name, _)| name.as_bytes() == key),
            };
            let Some(at) = found else {
                self.unknown(&String::from_utf8_lossy(key), depth, within)?;
                continue;
            };
            next = at + 1;
            let (name, node) = &mut children[at];
            if node.len() > rows {
                return Err(Problem { what: "is there twice", column: Some(path_of(within, name)), value: None });
            }
            self.fill(node, depth, Some(&Within { name, outer: within }))?;
        }
        for (_, node) in children {
            if node.len() == rows {
                node.push_null();
            }
        }
        Ok(())
    }

    /// Passes over a field that has no place, and notes it where that loses something that may be wanted.
    fn unknown(&mut self, name: &str, depth: usize, within: Option<&Within<'_>>) -> Result<(), Problem> {
        self.json.peek();
        let from = self.json.place();
        let value = self.json.value()?;
        self.json.skip_rest(value, depth + 1)?;
        if within.is_none() && self.layout.part {
            return Ok(());
        }
        let nothing = match value {
            Value::Null => true,
            Value::Object | Value::List => is_nothing(&mut JsonText::new(self.json.since(from)), 0),
            Value::String(_, _) | Value::Plain(_) => false,
        };
        if nothing || self.layout.drop_others {
            return Ok(());
        }
        let path = path_of(within, name);
        let left_out = |path: &str| self.layout.left_out.contains(path);
        let outer_left_out = path.match_indices('.').any(|(at, _)| left_out(&path[..at]));
        if !left_out(&path) && !outer_left_out {
            self.unseen.push(path);
        }
        Ok(())
    }

    /// Reads a value into a node.
    fn fill(&mut self, node: &mut Node, depth: usize, within: Option<&Within<'_>>) -> Result<(), Problem> {
        if depth > DEEPEST {
            return Err("JSON that is nested more than 100 levels deep".into());
        }
        self.json.peek();
        let from = self.json.place();
        let value = self.json.value()?;
        let wrong = |what: &'static str, value: &[u8]| Problem {
            what,
            column: Some(path_of(within, "")),
            value: Some(shortened(&String::from_utf8_lossy(value), 1000)),
        };
        match (node, value) {
            (node, Value::Null) => node.push_null(),
            (Node::Leaf { cells, .. }, Value::String(text, escaped)) => {
                let text = if escaped { unescape(text, self.scratch)? } else { text };
                match self.layout.nulls.iter().any(|n| n.as_bytes() == text) {
                    true => cells.push_null(),
                    false => cells.push(text).map_err(|fault| wrong(fault.0, text))?,
                }
            }
            (Node::Leaf { cells, .. }, Value::Plain(text)) => cells.push(text).map_err(|fault| wrong(fault.0, text))?,
            (Node::Leaf { cells, text }, value @ (Value::Object | Value::List)) => {
                self.json.skip_rest(value, depth + 1)?;
                let whole = self.json.since(from);
                match text {
                    // A text column holds it as it is written.
                    true => cells.push(whole).map_err(|fault| wrong(fault.0, whole))?,
                    false => return Err(wrong("is an object or a list", whole)),
                }
            }
            (Node::Object { children, valid, .. }, Value::Object) => {
                let rows = valid.len();
                valid.push(true);
                self.object(children, rows, depth + 1, within)?;
            }
            (Node::List { item, ends, valid }, Value::List) => {
                valid.push(true);
                let mut first = true;
                while self.json.item(first)? {
                    first = false;
                    self.fill(item, depth + 1, within)?;
                }
                ends.push(i32::try_from(item.len()).unwrap_or(i32::MAX));
            }
            (node @ Node::Object { open: true, .. }, value) => {
                self.json.skip_rest(value, depth + 1)?;
                node.push_null();
            }
            (node, value) => {
                self.json.skip_rest(value, depth + 1)?;
                let what = if matches!(node, Node::List { .. }) { "is no list" } else { "is no object" };
                return Err(wrong(what, self.json.since(from)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int64Type;
    use arrow::util::display::{ArrayFormatter, FormatOptions};

    use super::super::columns::Shape;
    use super::*;
    use crate::ingest::columns::{Existing, Layout, Wishes};
    use crate::ingest::mapping::Mapping;

    fn layout(sample: &str, mapping: &str) -> (Columns, Paths) {
        let mapping = Mapping::parse(mapping).unwrap();
        let mut seen = Seen::default();
        for line in sample.lines() {
            assert!(look(line.as_bytes(), &mapping.null, &mut seen));
        }
        let names = seen.fields.iter().map(|(name, _)| name.clone()).collect();
        let shape = Shape { source: "a.ndjson".into(), columns: seen.fields, by_position: false, whole: false };
        (Layout::of(&[shape], &mapping, &Wishes::default(), None).unwrap().read, Paths::new(names))
    }

    fn shown(decoded: &Decoded, column: &str) -> Vec<String> {
        let array = decoded.batch.column_by_name(column).unwrap();
        let options = FormatOptions::default().with_null("NULL");
        let formatter = ArrayFormatter::try_new(array, &options).unwrap();
        (0..array.len()).map(|row| formatter.value(row).to_string()).collect()
    }

    const SAMPLE: &str = r#"{"user_id": 1, "ts": "2024-01-31T12:00:00Z", "event": "a", "p": {"price": 1.5, "tags": ["x"], "q": {"z": 1}}}
{"user_id": 2, "ts": "2024-01-31T12:00:00Z", "event": "b", "note": "n"}"#;

    #[test]
    fn fields_are_found_in_any_order() {
        let (layout, paths) = layout(SAMPLE, "");
        let text = format!(
            "{SAMPLE}\n\n{}\n",
            r#"{"p": {"q": null, "tags": []}, "note": "\u00e4\"", "event": null, "ts": "2024-02-01", "user_id": 3, "new": null}"#
        );
        let decoded = decode(text.as_bytes(), 1, &paths, &layout).unwrap();
        assert_eq!((decoded.rows, decoded.rejects.len()), (3, 0), "{:?}", decoded.rejects);
        assert_eq!(
            decoded.batch.column_by_name("user_id").unwrap().as_primitive::<Int64Type>().values().to_vec(),
            [1, 2, 3]
        );
        assert_eq!(shown(&decoded, "note"), ["NULL", "n", "ä\""]);
        assert_eq!(
            shown(&decoded, "p"),
            ["{price: 1.5, tags: [x], q: {z: 1}}", "NULL", "{price: NULL, tags: [], q: NULL}"]
        );
        assert_eq!(shown(&decoded, "event"), ["a", "b", "NULL"]);
    }

    #[test]
    fn faults_cost_their_row_alone() {
        let (layout, paths) = layout(SAMPLE, "");
        let wrong = [
            (r#"{"user_id": 1.5, "ts": "2024-01-31T12:00:00Z"}"#, "user_id: '1.5' is not a whole number"),
            (r#"{"user_id": 1, "ts": "soon"}"#, "ts: 'soon' is not a time of the column's format"),
            (r#"{"user_id": 1}"#, "ts is NULL"),
            (r#"{"user_id": null, "ts": "2024-01-31"}"#, "user_id is NULL"),
            (
                r#"{"user_id": 1, "ts": "2024-01-31", "p": {"tags": ["a", {"b": 1}], "price": []}}"#,
                "p.price: '[]' is an object or a list",
            ),
            (r#"{"user_id": 1, "ts": "2024-01-31", "p": [1]}"#, "p: '[1]' is no object"),
            (r#"{"user_id": 1, "user_id": 2, "ts": "2024-01-31"}"#, "user_id is there twice"),
            (r#"{"user_id": 1, "ts": "2024-01-31""#, "broken JSON: the line ends too early"),
            (r#"[1]"#, "the line is no JSON object"),
            (r#"{"user_id": 1, "ts": "2024-01-31"} {}"#, "more than one value in the line"),
        ];
        let good = r#"{"user_id": 7, "ts": "2024-01-31", "p": {"tags": ["a", "b"], "price": 2}}"#;
        let mut text = String::new();
        for (line, _) in wrong {
            text.push_str(&format!("{good}\n{line}\n"));
        }
        text.push_str(good);
        let decoded = decode(text.as_bytes(), 11, &paths, &layout).unwrap();
        let reasons: Vec<String> = decoded.rejects.iter().map(Reject::reason).collect();
        assert_eq!(reasons, wrong.map(|(_, reason)| reason.to_string()));
        assert_eq!(decoded.rejects[0].line, 12);
        assert_eq!(decoded.rejects[0].user.as_deref(), Some("1.5"));
        assert_eq!(decoded.rejects[0].row, wrong[0].0);
        assert_eq!(decoded.batch.num_rows(), wrong.len() + 1);
        let same = "{price: 2.0, tags: [a, b], q: NULL}".to_string();
        assert_eq!(shown(&decoded, "p"), vec![same; wrong.len() + 1]);
    }

    #[test]
    fn a_field_that_the_sample_does_not_show_does_not_cost_its_row() {
        let (layout, paths) = layout(SAMPLE, "drop = ['gone']");
        let text = r#"{"user_id": 1, "ts": "2024-01-31", "p": {"x": 1, "price": 2}, "new": {"a": "b"}, "gone": 1}
{"user_id": 2, "ts": "2024-01-31", "new": 5, "empty": {}, "none": null, "note": "kept"}
{"user_id": 3, "new": 6}"#;
        let decoded = decode(text.as_bytes(), 11, &paths, &layout).unwrap();
        // What is wrong with the last row is another thing, and it is kept whole.
        assert_eq!(decoded.rejects.iter().map(Reject::reason).collect::<Vec<_>>(), ["ts is NULL"]);
        assert_eq!(decoded.unseen, OfBlock::from([("p.x".into(), (1, 11)), ("new".into(), (2, 11))]));
        assert_eq!(shown(&decoded, "p"), ["{price: 2.0, tags: NULL, q: NULL}", "NULL"]);
        assert_eq!(shown(&decoded, "note"), ["NULL", "kept"]);
    }

    #[test]
    fn nested_fields_become_columns() {
        let mapping = "drop = ['note']\n[columns]\nprice = 'p.price'\nz = { from = 'p.q.z', type = 'text' }\nos = { constant = 'ios' }";
        let (layout, paths) = layout(SAMPLE, mapping);
        let text = format!("{SAMPLE}\n{}\n", r#"{"user_id": 3, "ts": "2024-02-01", "p": {"price": 7}}"#);
        let decoded = decode(text.as_bytes(), 1, &paths, &layout).unwrap();
        assert_eq!(decoded.rejects, []);
        assert_eq!(shown(&decoded, "price"), ["1.5", "NULL", "7.0"]);
        assert_eq!(shown(&decoded, "z"), ["1", "NULL", "NULL"]);
        assert_eq!(shown(&decoded, "os"), ["ios", "ios", "ios"]);
        // What became a column is no longer in the object.
        assert_eq!(shown(&decoded, "p")[0], "{tags: [x]}");
        assert!(decoded.batch.column_by_name("note").is_none());
    }

    #[test]
    fn nulls_are_no_examples_and_nobody_has_no_name() {
        let sample = r#"{"user_id": "a", "ts": "2024-01-31", "n": "-", "p": {"m": ["-"]}}
{"user_id": "b", "ts": "2024-01-31", "n": 7, "p": {"m": [1, 2]}}"#;
        let (layout, paths) = layout(sample, "null = ['-']");
        let of = |name: &str| layout.columns.iter().find(|c| c.name == name).unwrap().data_type.to_string();
        assert_eq!((of("n"), of("p").contains("Int64")), ("Int64".to_string(), true));
        let text = format!("{sample}\n{}\n", r#"{"user_id": "", "ts": "2024-01-31"}"#);
        let decoded = decode(text.as_bytes(), 1, &paths, &layout).unwrap();
        assert_eq!(shown(&decoded, "p"), ["{m: [NULL]}", "{m: [1, 2]}"]);
        let rejects: Vec<_> = decoded.rejects.iter().map(|r| (r.reason(), r.user.clone())).collect();
        assert_eq!(rejects, [("user_id is NULL".to_string(), None)]);
    }

    #[test]
    fn what_is_left_out_is_not_read_into_a_table_that_has_it() {
        let sample = r#"{"user_id": 1, "ts": "2024-01-31", "p": {"email": "a@b", "q": {"email": "c@d", "n": 1}}, "o": {"z": {"a": 1}}}"#;
        let (whole, paths) = layout(sample, "");
        let mapping = Mapping::parse("drop = ['p.email', 'p.q.email', 'o.z.a']").unwrap();
        let mut seen = Seen::default();
        assert!(look(sample.as_bytes(), &[], &mut seen));
        let shape = Shape { source: "a.ndjson".into(), columns: seen.fields, by_position: false, whole: true };
        let roles = crate::store::managed::Roles { user: "user_id".into(), time: "ts".into(), event: None };
        let table = Existing { schema: whole.schema, roles, dedup_key: None };
        for (table, expected) in [(Some(&table), "{email: NULL, q: {email: NULL, n: 1}}"), (None, "{q: {n: 1}}")] {
            let layout = Layout::of(std::slice::from_ref(&shape), &mapping, &Wishes::default(), table).unwrap().read;
            let decoded = decode(sample.as_bytes(), 1, &paths, &layout).unwrap();
            assert_eq!(decoded.rejects, []);
            assert_eq!(shown(&decoded, "p"), [expected]);
            assert!(decoded.batch.column_by_name("o").is_none_or(|o| o.null_count() == 1));
        }
    }
}
