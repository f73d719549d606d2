//! Ways to a value inside a record.
//!
//! Deals with: their grammar, and following them. Does not deal with: what becomes of the value (`rules`).
//!
//! | path | the value |
//! |---|---|
//! | `Close Date` | the field of that name, whatever stands in it; of CSV, the column |
//! | `context.page.url` | a field of a field; `properties.'$lib.version'` where a name has dots |
//! | `tags[0]` | an item of a list, from 0 |
//! | `event_params[key=page].value` | of a list of objects, the first whose field `key` is `page` |
//! | `@`, `@.action` | the item of a list that makes one row each, and what is in it |
//! | `@name`, `@value` | the field that makes one row each |

use super::tree::Tree;

/// The record, and what in it the row is made of.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'t> {
    /// The record.
    pub record: &'t Record<'t>,
    /// The item or the field's value.
    pub item: Option<&'t Tree<'t>>,
    /// The field's name.
    pub name: Option<&'t Tree<'t>>,
}

/// A record: its fields, and a quicker way to them where all records have the same.
#[derive(Debug)]
pub struct Record<'t> {
    /// Names and values.
    pub fields: Vec<(std::borrow::Cow<'t, str>, Tree<'t>)>,
    /// Places by name.
    pub places: Option<&'t std::collections::HashMap<String, usize>>,
}

impl<'t> Record<'t> {
    fn field(&self, name: &str) -> Option<&Tree<'t>> {
        match self.places {
            Some(places) => self.fields.get(*places.get(name)?).map(|(_, value)| value),
            None => self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value),
        }
    }
}

/// A way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// As it is written.
    pub text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Item,
    ItemName,
    Field(String),
    At(usize),
    Where(String, String),
}

impl Path {
    /// Reads a path; the error is a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("path '{text}': {what}"));
        let mut steps = Vec::new();
        let mut rest = text;
        match text {
            "@name" => return Ok(Self { text: text.into(), steps: vec![Step::ItemName] }),
            "@value" | "@" => return Ok(Self { text: text.into(), steps: vec![Step::Item] }),
            _ => {}
        }
        if let Some(inner) = text.strip_prefix("@.") {
            steps.push(Step::Item);
            rest = inner;
        } else if text.starts_with('@') {
            return wrong("after @ comes a dot, 'name' or 'value'");
        }
        loop {
            if let Some(inner) = rest.strip_prefix('\'') {
                let Some(end) = inner.find('\'') else { return wrong("a quote is never closed") };
                steps.push(Step::Field(inner[..end].into()));
                rest = &inner[end + 1..];
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                if end == 0 {
                    return wrong("a name is missing");
                }
                steps.push(Step::Field(rest[..end].into()));
                rest = &rest[end..];
            }
            while let Some(inner) = rest.strip_prefix('[') {
                let Some(end) = inner.find(']') else { return wrong("a bracket is never closed") };
                steps.push(match inner[..end].split_once('=') {
                    Some((key, value)) if !key.is_empty() => Step::Where(key.into(), value.into()),
                    Some(_) => return wrong("a name is missing before ="),
                    None => match inner[..end].parse() {
                        Ok(at) => Step::At(at),
                        Err(_) => return wrong("in brackets stands a number or key=value"),
                    },
                });
                rest = &inner[end + 1..];
            }
            match rest.strip_prefix('.') {
                Some(more) => rest = more,
                None if rest.is_empty() => return Ok(Self { text: text.into(), steps }),
                None => return wrong("a dot is missing"),
            }
        }
    }

    /// The field of the record with this name, which may be anything.
    pub fn named(text: &str) -> Self {
        Self { text: text.into(), steps: Vec::new() }
    }

    /// The value; `None` where there is no such field.
    pub fn find<'t>(&self, scope: Scope<'t>) -> Option<&'t Tree<'t>> {
        if let Some(whole) = scope.record.field(&self.text) {
            return Some(whole);
        }
        let (first, rest) = self.steps.split_first()?;
        let begin = match first {
            Step::Item => scope.item?,
            Step::ItemName => scope.name?,
            Step::Field(name) => scope.record.field(name)?,
            Step::At(_) | Step::Where(_, _) => return None,
        };
        follow(begin, rest)
    }

    /// Where the path leads from a value.
    pub fn within<'t>(&self, value: &'t Tree<'t>) -> Option<&'t Tree<'t>> {
        follow(value, &self.steps)
    }

    /// The field of the record in which it begins.
    pub fn first(&self) -> Option<&str> {
        match self.steps.first() {
            Some(Step::Field(name)) => Some(name),
            _ => None,
        }
    }
}

fn follow<'t>(mut value: &'t Tree<'t>, steps: &[Step]) -> Option<&'t Tree<'t>> {
    for step in steps {
        value = match (step, value) {
            (Step::Field(name), value) => value.field(name)?,
            (Step::At(at), Tree::List(_, items)) => items.get(*at)?,
            (Step::Where(key, wanted), Tree::List(_, items)) => {
                items.iter().find(|item| item.field(key).and_then(Tree::shown) == Some(wanted))?
            }
            _ => return None,
        };
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let line = r#"{"a.b": 1, "a": {"b": 2, "c.d": [10, 20]}, "l": [{"k": "x", "v": {"i": 7}}, {"k": "y"}]}"#;
        let tree = Tree::parse(line).unwrap();
        let Tree::Object(_, fields) = tree else { panic!() };
        let record = Record { fields, places: None };
        let item = Tree::parse(r#"{"action": "open"}"#).unwrap();
        let name = Tree::Text("question".into());
        let scope = Scope { record: &record, item: Some(&item), name: Some(&name) };
        let found = |path: &str| Path::parse(path).unwrap().find(scope).and_then(Tree::shown).unwrap_or("none");
        assert_eq!(
            ["a.b", "'a'.b", "a.'c.d'[1]", "a.'c.d'[2]", "l[k=x].v.i", "l[k=y].v.i", "l[k=z]", "l[0].k"].map(found),
            ["1", "2", "20", "none", "7", "none", "none", "x"]
        );
        assert_eq!(["@.action", "@name", "@", "q"].map(found), ["open", "question", r#"{"action": "open"}"#, "none"]);
        let fails = |path: &str| Path::parse(path).unwrap_err();
        assert!(fails("a..b").contains("a name is missing"));
        assert!(fails("a[x]").contains("number or key=value"));
        assert!(fails("a[1").contains("bracket"));
        assert!(fails("'a").contains("quote"));
        assert!(fails("@x").contains("after @"));
        assert!(fails("a[0]b").contains("a dot is missing"));
    }
}
