//! Values of nested objects, a row at a time: a tree of columns.
//!
//! Deals with: structs, lists, fields that are columns of their own; taking the last row back. Does not deal with: JSON
//! (`ndjson`), or single values (`cells`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field};

use super::cells::Cells;
use super::columns::Column;
use super::nested::reshaped;
use super::stored_types::is_text;
use crate::error::{Error, Result};

/// Values of a field, of all rows so far.
pub enum Node {
    /// One value each.
    Leaf { cells: Cells, text: bool },
    /// Objects; `open` are those that only lead to columns, and may be anything else in a row.
    Object { children: Vec<(String, Node)>, valid: Vec<bool>, open: bool },
    /// Lists.
    List { item: Box<Node>, ends: Vec<i32>, valid: Vec<bool> },
}

impl Node {
    /// The node of a column, or of a part of it.
    pub fn of(column: &Column, data_type: &DataType) -> Result<Self> {
        Ok(match data_type {
            DataType::Struct(fields) => {
                let children: Result<Vec<_>> =
                    fields.iter().map(|f| Ok((f.name().clone(), Self::of(column, f.data_type())?))).collect();
                Self::Object { children: children?, valid: Vec::new(), open: false }
            }
            DataType::List(item) => {
                let item = Box::new(Self::of(column, item.data_type())?);
                Self::List { item, ends: vec![0], valid: Vec::new() }
            }
            scalar => {
                let cells = Cells::new(scalar, column.time.as_ref()).ok_or_else(|| {
                    Error::data(format!("column '{}': {scalar} cannot be read from JSON", column.name))
                })?;
                Self::Leaf { cells: cells.with_reading(column.reading), text: is_text(scalar) }
            }
        })
    }

    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Leaf { cells, .. } => cells.len(),
            Self::Object { valid, .. } | Self::List { valid, .. } => valid.len(),
        }
    }

    /// Adds a NULL.
    pub fn push_null(&mut self) {
        match self {
            Self::Leaf { cells, .. } => cells.push_null(),
            Self::Object { children, valid, .. } => {
                valid.push(false);
                children.iter_mut().for_each(|(_, child)| child.push_null());
            }
            Self::List { ends, valid, .. } => {
                valid.push(false);
                ends.push(ends[ends.len() - 1]);
            }
        }
    }

    /// Takes all rows from `length` on back.
    pub fn truncate(&mut self, length: usize) {
        match self {
            Self::Leaf { cells, .. } => {
                if cells.len() > length {
                    cells.truncate(length);
                }
            }
            Self::Object { children, valid, .. } => {
                valid.truncate(length);
                children.iter_mut().for_each(|(_, child)| child.truncate(length));
            }
            Self::List { item, ends, valid } => {
                valid.truncate(length);
                ends.truncate(length + 1);
                item.truncate(ends[ends.len() - 1] as usize);
            }
        }
    }

    /// The rows as arrays.
    pub fn finish(self, name: &str) -> Result<Finished> {
        Ok(match self {
            Self::Leaf { cells, .. } => Finished { name: name.into(), array: cells.finish()?, children: Vec::new() },
            Self::Object { children, valid, .. } => {
                let children: Vec<Finished> =
                    children.into_iter().map(|(name, child)| child.finish(&name)).collect::<Result<_>>()?;
                let fields: Vec<Field> =
                    children.iter().map(|c| Field::new(&c.name, c.array.data_type().clone(), true)).collect();
                let arrays: Vec<ArrayRef> = children.iter().map(|c| c.array.clone()).collect();
                let nulls = valid.iter().any(|v| !v).then(|| NullBuffer::from(valid.clone()));
                let array = StructArray::try_new_with_length(fields.into(), arrays, nulls, valid.len())?;
                Finished { name: name.into(), array: Arc::new(array), children }
            }
            Self::List { item, ends, valid } => {
                let item = item.finish("item")?.array;
                let field = Arc::new(Field::new_list_field(item.data_type().clone(), true));
                let nulls = valid.iter().any(|v| !v).then(|| NullBuffer::from(valid));
                let array = ListArray::try_new(field, OffsetBuffer::new(ScalarBuffer::from(ends)), item, nulls)?;
                Finished { name: name.into(), array: Arc::new(array), children: Vec::new() }
            }
        })
    }
}

/// A node's array, and those of its fields.
pub struct Finished {
    /// The field's name.
    pub name: String,
    array: ArrayRef,
    children: Vec<Finished>,
}

impl Finished {
    /// The array as a column: without fields that are columns of their own, and with the column's own types of items.
    pub fn narrowed(&self, data_type: &DataType) -> Result<ArrayRef> {
        reshaped(&self.array, data_type)
    }

    /// The part at the end of a path.
    pub fn at(&self, path: &[&str]) -> Option<&Finished> {
        match path.split_first() {
            None => Some(self),
            Some((first, rest)) => self.children.iter().find(|c| c.name == *first)?.at(rest),
        }
    }
}

/// Puts a column's node at the end of its path.
pub fn plant(children: &mut Vec<(String, Node)>, steps: &[&str], node: Node, column: &Column) -> Result<()> {
    let taken = || {
        Error::data(format!("column '{}' is made of a field that another column is made of, too", column.name))
            .hint("leave one of them out of the mapping")
    };
    let Some((first, rest)) = steps.split_first() else { return Err(taken()) };
    let at = children.iter().position(|(name, _)| name == first);
    match (at, rest.is_empty()) {
        (None, true) => children.push(((*first).to_string(), node)),
        (Some(at), true) => {
            // The object itself, after fields of it that are columns of their own.
            let (existing, new) = (&mut children[at].1, node);
            match (existing, new) {
                (Node::Object { children: known, open, .. }, Node::Object { children: fields, .. }) if *open => {
                    for (name, field) in fields {
                        if known.iter().any(|(k, _)| *k == name) {
                            return Err(taken());
                        }
                        known.push((name, field));
                    }
                    *open = false;
                }
                _ => return Err(taken()),
            }
        }
        (at, false) => {
            let at = at.unwrap_or_else(|| {
                let open = Node::Object { children: Vec::new(), valid: Vec::new(), open: true };
                children.push(((*first).to_string(), open));
                children.len() - 1
            });
            match &mut children[at].1 {
                Node::Object { children, .. } => plant(children, rest, node, column)?,
                Node::Leaf { .. } | Node::List { .. } => return Err(taken()),
            }
        }
    }
    Ok(())
}

/// Makes the objects on the way to a field that is left out known, where they are no columns: all else in them has no place.
pub fn lead(children: &mut Vec<(String, Node)>, steps: &[&str]) {
    let [first, rest @ ..] = steps else { return };
    if rest.is_empty() {
        return;
    }
    let at = children.iter().position(|(name, _)| name == first).unwrap_or_else(|| {
        children.push(((*first).to_string(), Node::Object { children: Vec::new(), valid: Vec::new(), open: true }));
        children.len() - 1
    });
    if let Node::Object { children, .. } = &mut children[at].1 {
        lead(children, rest);
    }
}
