//! A line of JSON as a tree that points into it.
//!
//! Deals with: values as they stand there, so that numbers keep their digits. Does not deal with: JSON's grammar (`json_text`).

use std::borrow::Cow;
use std::collections::HashSet;

use crate::files::json_text::{Broken, JsonText, Value, unescape};

/// Levels of nesting.
const DEEPEST: usize = 100;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree<'a> {
    /// `null`, or a field that is empty in CSV.
    Null,
    /// A text.
    Text(Cow<'a, str>),
    /// A number, `true` or `false`, as it is written.
    Plain(&'a str),
    /// An object: its JSON, and its fields.
    Object(&'a str, Vec<(Cow<'a, str>, Tree<'a>)>),
    /// A list: its JSON, and its items.
    List(&'a str, Vec<Tree<'a>>),
}

impl<'a> Tree<'a> {
    /// A line that holds one value.
    pub fn parse(line: &'a str) -> Result<Self, Broken> {
        let mut json = JsonText::new(line.as_bytes());
        let tree = node(&mut json, 0)?;
        if json.peek().is_some() {
            return Err("more than one value in the line");
        }
        Ok(tree)
    }

    /// A field of an object.
    pub fn field(&self, name: &str) -> Option<&Tree<'a>> {
        match self {
            Self::Object(_, fields) => fields.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The value as text: that of a text, the digits of a number, the JSON of an object or list. `None` is NULL.
    pub fn shown(&self) -> Option<&str> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text),
            Self::Plain(text) | Self::Object(text, _) | Self::List(text, _) => Some(text),
        }
    }
}

fn text(bytes: &[u8]) -> &str {
    // Lines are checked before they come here.
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn inside<'a>(bytes: &'a [u8], escaped: bool) -> Result<Cow<'a, str>, Broken> {
    if !escaped {
        return Ok(Cow::Borrowed(text(bytes)));
    }
    let mut scratch = Vec::new();
    Ok(Cow::Owned(String::from_utf8_lossy(unescape(bytes, &mut scratch)?).into_owned()))
}

fn node<'a>(json: &mut JsonText<'a>, depth: usize) -> Result<Tree<'a>, Broken> {
    if depth > DEEPEST {
        return Err("JSON that is nested more than 100 levels deep");
    }
    json.peek();
    let from = json.place();
    Ok(match json.value()? {
        Value::Null => Tree::Null,
        Value::String(bytes, escaped) => Tree::Text(inside(bytes, escaped)?),
        Value::Plain(bytes) => Tree::Plain(text(bytes)),
        Value::Object => {
            let mut fields = Vec::new();
            while let Some((key, escaped)) = json.key(fields.is_empty())? {
                let key = inside(key, escaped)?;
                fields.push((key, node(json, depth + 1)?));
            }
            let mut met = HashSet::with_capacity(fields.len());
            if !fields.iter().all(|(key, _)| met.insert(key.as_ref())) {
                return Err("a field is there twice");
            }
            Tree::Object(text(json.since(from)), fields)
        }
        Value::List => {
            let mut items = Vec::new();
            while json.item(items.is_empty())? {
                items.push(node(json, depth + 1)?);
            }
            Tree::List(text(json.since(from)), items)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_they_are_written() {
        let tree =
            Tree::parse(r#" {"n": 12345678901234567890.10, "t": "a\"b", "o": {"x": [1, {"y": null}]}} "#).unwrap();
        assert_eq!(tree.field("n").unwrap().shown(), Some("12345678901234567890.10"));
        assert_eq!(tree.field("t").unwrap().shown(), Some("a\"b"));
        assert_eq!(tree.field("o").unwrap().shown(), Some(r#"{"x": [1, {"y": null}]}"#));
        assert_eq!(tree.field("o").unwrap().field("x").unwrap().field("y"), None);
        assert_eq!(Tree::parse("{\"a\": 1, \"a\": 2}"), Err("a field is there twice"));
        assert_eq!(Tree::parse("{} {}"), Err("more than one value in the line"));
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert!(Tree::parse(&deep).unwrap_err().contains("100 levels"));
        assert!(Tree::parse("{\"a\": ").is_err());
    }
}
