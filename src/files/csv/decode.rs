//! A block of records into columns.
//!
//! Deals with: where each column is in a record, rows that are no rows of the table. Does not deal with: types (`cells`).

use std::collections::HashMap;

use arrow::array::ArrayRef;
use memchr::memchr;

use super::shape::{CsvShape, Numbers};
use super::{Dialect, Field, Record, lines, record, unquoted};
use crate::error::{Error, Result};
use crate::files::cells::Cells;
use crate::files::columns::{Columns, Origin, position};
use crate::files::decoded::{Decoded, IS_NULL, batch, same_everywhere};
use crate::files::reject::{Fault, NOT_UTF8, Reject, kept, shortened};
use crate::files::stored_types::is_text;
use crate::files::unseen::OfBlock;

/// What no column of numbers takes.
const NO_SUCH_NUMBER: &[u8] = b"?";

/// Where each column of the table is in the records of one source.
#[derive(Debug, Clone)]
pub struct Places {
    dialect: Dialect,
    numbers: Option<Numbers>,
    comment: Option<u8>,
    fields: usize,
    /// Field of each column; `None` for constants and what the source lacks.
    places: Vec<Option<usize>>,
}

impl Places {
    /// Finds the columns of the layout in a source.
    pub fn of(layout: &Columns, shape: &CsvShape) -> Self {
        let mut by_name: HashMap<&str, usize> = HashMap::new();
        for (at, name) in shape.names.iter().enumerate() {
            by_name.entry(name).or_insert(at);
        }
        let place = |origin: &Origin| match origin {
            // A column may be called like a place.
            Origin::Source(from) => match by_name.get(from.as_str()) {
                Some(place) => Some(*place),
                None => position(from).filter(|place| *place < shape.names.len()),
            },
            Origin::Constant(_) | Origin::Missing => None,
        };
        Self {
            dialect: shape.dialect,
            numbers: shape.numbers,
            comment: shape.comment,
            fields: shape.names.len(),
            places: layout.columns.iter().map(|c| place(&c.origin)).collect(),
        }
    }
}

/// Reads a block of whole records, the first of which is in line `first_line`.
pub fn decode(text: &[u8], first_line: u64, places: &Places, layout: &Columns) -> Result<Decoded> {
    let mut cells: Vec<Option<(usize, Cells)>> = Vec::with_capacity(layout.columns.len());
    for (column, place) in layout.columns.iter().zip(&places.places) {
        cells.push(match place {
            Some(place) => Some((
                *place,
                Cells::new(&column.data_type, column.time.as_ref())
                    .ok_or_else(|| Error::data(format!("column '{}' cannot be read from CSV", column.name)))?
                    .with_reading(column.reading),
            )),
            None => None,
        });
    }
    // One check for all is much cheaper than one for each field.
    let clean = std::str::from_utf8(text).is_ok();
    let mut reader = Reader { text, places, layout, cells, clean, scratch: Vec::new(), digits: Vec::new(), rows: 0 };
    let line_end = places.dialect.line_end;
    let mut rejects = Vec::new();
    let mut fields = Vec::with_capacity(places.fields);
    let (mut at, mut line, mut read) = (0, first_line, 0);
    while at < text.len() {
        if places.comment.is_some() && text.get(at).copied() == places.comment {
            let next = memchr(line_end, &text[at..]).map_or(text.len(), |found| at + found + 1);
            (at, line) = (next, line + 1);
            continue;
        }
        let (next, outcome) = match record(text, at, places.dialect, &mut fields) {
            Record::Whole(next) => {
                let blank = fields.len() == 1 && !fields[0].quoted && fields[0].from == fields[0].until;
                if blank { (next.max(at + 1), None) } else { (next, Some(reader.row(&fields, at..next))) }
            }
            Record::Broken(why, next) => (next, Some(Err(Problem::of_row(why)))),
            Record::Open => {
                let next = memchr(line_end, &text[at..]).map_or(text.len(), |found| at + found + 1);
                (next, Some(Err(Problem::of_row("a quote is never closed"))))
            }
        };
        let raw = &text[at..next];
        if let Some(outcome) = outcome {
            read += 1;
            if let Err(problem) = outcome {
                rejects.push(Reject {
                    line,
                    column: problem.column.map(|at| layout.columns[at].name.clone()),
                    what: problem.what,
                    value: problem.value,
                    user: problem.user,
                    row: kept(raw),
                });
            }
        }
        // A record that is one line is the usual case.
        line += if raw.last() == Some(&line_end) && fields.iter().all(|f| !f.quoted && !f.marked) {
            1
        } else {
            lines(raw, line_end)
        };
        at = next;
    }
    let rows = reader.rows;
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(layout.columns.len());
    for (column, cells) in layout.columns.iter().zip(reader.cells) {
        columns.push(match cells {
            Some((_, cells)) => cells.finish()?,
            None => same_everywhere(column, rows)?,
        });
    }
    Ok(Decoded { batch: batch(layout, columns, rows)?, rejects, unseen: OfBlock::new(), rows: read })
}

struct Problem {
    what: &'static str,
    column: Option<usize>,
    value: Option<String>,
    user: Option<String>,
}

impl Problem {
    fn of_row(what: &'static str) -> Self {
        Self { what, column: None, value: None, user: None }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    places: &'a Places,
    layout: &'a Columns,
    cells: Vec<Option<(usize, Cells)>>,
    /// Whether the whole block is UTF-8.
    clean: bool,
    scratch: Vec<u8>,
    digits: Vec<u8>,
    rows: usize,
}

impl Reader<'_> {
    /// Takes a row in, or none of it.
    fn row(&mut self, fields: &[Field], raw: std::ops::Range<usize>) -> Result<(), Problem> {
        if fields.len() != self.places.fields {
            let what = if fields.len() < self.places.fields { "too few fields" } else { "too many fields" };
            let value = format!("{} in place of {}", fields.len(), self.places.fields);
            return Err(Problem { value: Some(value), ..Problem::of_row(what) });
        }
        if !self.clean && std::str::from_utf8(&self.text[raw]).is_err() {
            return Err(Problem { user: self.user(fields), ..Problem::of_row(NOT_UTF8) });
        }
        for at in 0..self.cells.len() {
            let Some((place, cells)) = &mut self.cells[at] else { continue };
            let field = fields[*place];
            let value = unquoted(self.text, field, self.places.dialect, &mut self.scratch);
            let null = match value.is_empty() {
                // A text may be empty where the source says so with quotes; nobody is called like that, though.
                true => !field.quoted || Some(at) == self.layout.user || !is_text(&self.layout.columns[at].data_type),
                false => !self.layout.nulls.is_empty() && self.layout.nulls.iter().any(|n| n.as_bytes() == value),
            };
            let is_number = self.places.numbers.is_some() && !null && cells.is_numeric();
            let number = self.places.numbers.filter(|_| is_number).map(|n| n.plain(value, &mut self.digits));
            let number = number.map(|plain| if plain { self.digits.as_slice() } else { NO_SUCH_NUMBER });
            let fault: Fault = match null {
                true if Some(at) == self.layout.user || Some(at) == self.layout.time => IS_NULL,
                true => {
                    cells.push_null();
                    continue;
                }
                false => match cells.push(number.unwrap_or(value)) {
                    Ok(()) => continue,
                    Err(fault) => fault,
                },
            };
            let value = (!null).then(|| shortened(&String::from_utf8_lossy(value), 1000));
            for cells in self.cells[..at].iter_mut().flatten() {
                cells.1.truncate(self.rows);
            }
            return Err(Problem { what: fault.0, column: Some(at), value, user: self.user(fields) });
        }
        self.rows += 1;
        Ok(())
    }

    /// The row's user as it stands there.
    fn user(&mut self, fields: &[Field]) -> Option<String> {
        let field = fields.get(self.places.places[self.layout.user?]?)?;
        let value = unquoted(self.text, *field, self.places.dialect, &mut self.scratch);
        (!value.is_empty()).then(|| String::from_utf8_lossy(value).trim().to_string())
    }
}

#[cfg(test)]
mod tests {
    use arrow::util::display::{ArrayFormatter, FormatOptions};

    use super::super::{CsvOptions, sample, shape};
    use super::*;
    use crate::files::columns::Shape;
    use crate::files::infer::Seen;
    use crate::ingest::mapping::Mapping;
    use crate::ingest::{Layout, Wishes};

    fn layout(text: &str, mapping: &str) -> (Layout, CsvShape) {
        let found = shape(text.as_bytes(), &CsvOptions::default()).unwrap().unwrap();
        let mut columns: Vec<(String, Seen)> = found.names.iter().map(|n| (n.clone(), Seen::default())).collect();
        sample(text.as_bytes(), &found, 100, |values| {
            for ((_, seen), value) in columns.iter_mut().zip(values) {
                match value {
                    Some(value) => seen.plain(value),
                    None => seen.null(),
                }
            }
        });
        let shapes = [Shape { source: "a.csv".into(), columns, by_position: true, whole: true }];
        (Layout::of(&shapes, &Mapping::parse(mapping).unwrap(), &Wishes::default(), None).unwrap(), found)
    }

    fn decoded(sample: &str, mapping: &str, text: &[u8]) -> Decoded {
        let (layout, shape) = layout(sample, mapping);
        decode(text, 10, &Places::of(&layout.read, &shape), &layout.read).unwrap()
    }

    fn shown(decoded: &Decoded) -> Vec<String> {
        let options = FormatOptions::default().with_null("NULL");
        let formatters: Vec<_> =
            decoded.batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
        let row = |row| formatters.iter().map(|f| f.value(row).to_string()).collect::<Vec<_>>().join("|");
        (0..decoded.batch.num_rows()).map(row).collect()
    }

    const SAMPLE: &str = "user_id,ts,event,price\n1,2024-01-31 12:00:00,view,2.5\n2,2024-01-31 12:00:00,buy,3\n";

    #[test]
    fn rows_and_what_is_wrong_with_them() {
        let text = b"1,2024-01-31,view,1\r\n\
            2,2024-01-31,\"a \"\"b\"\"\n,c\",\r\n\
            \n\
            x,2024-01-31,view,1\n\
            3,soon,view,1\n\
            4,2024-01-31,view,much\n\
            ,2024-01-31,view,1\n\
            5,2024-01-31,view\n\
            6,2024-01-31,view,1,2\n\
            7,2024-01-31,\"vi\"ew,1\n\
            8,2024-01-31,vi\xffew,1\n\
            9,2024-01-31,\"view,1\n\
            10,2024-01-31,view,1";
        let decoded = decoded(SAMPLE, "", text);
        assert_eq!(
            shown(&decoded),
            [
                "1|2024-01-31T00:00:00Z|view|1.0",
                "2|2024-01-31T00:00:00Z|a \"b\"\n,c|NULL",
                "10|2024-01-31T00:00:00Z|view|1.0"
            ]
        );
        let faults: Vec<(u64, String)> = decoded.rejects.iter().map(|r| (r.line, r.reason())).collect();
        let expected = [
            (14, "user_id: 'x' is not a whole number"),
            (15, "ts: 'soon' is not a time of the column's format"),
            (16, "price: 'much' is not a number"),
            (17, "user_id is NULL"),
            (18, "too few fields: 3 in place of 4"),
            (19, "too many fields: 5 in place of 4"),
            (20, "text after a closing quote"),
            (21, "not UTF-8 text"),
            (22, "a quote is never closed"),
        ];
        assert_eq!(faults, expected.map(|(line, reason)| (line, reason.to_string())));
        assert_eq!(decoded.rejects[2].user.as_deref(), Some("4"));
        assert_eq!(decoded.rejects[2].row, "4,2024-01-31,view,much");
        assert_eq!(decoded.rows, 12);
    }

    #[test]
    fn columns_are_mapped_and_nulls_are_told() {
        let mapping = "null = ['-']\ndrop = ['#4']\n[columns]\nplace = '#3'\nos = { constant = 'ios' }\nevent = { constant = 'visit' }";
        let sample = "user_id,ts,x,x\n1,2024-01-31,home,1\n";
        let decoded = decoded(sample, mapping, b"1,2024-01-31,home,9\n2,2024-01-31,-,9\n3,2024-01-31,\"\",9\n");
        assert_eq!(
            shown(&decoded),
            [
                "1|2024-01-31T00:00:00Z|home|visit|ios",
                "2|2024-01-31T00:00:00Z|NULL|visit|ios",
                "3|2024-01-31T00:00:00Z||visit|ios"
            ]
        );
    }
}
