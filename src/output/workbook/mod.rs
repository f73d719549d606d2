//! Results to an Excel workbook: one sheet each, and one in front that says what they are.
//!
//! Deals with: header, filters, formats, Excel's limits. Does not deal with: what a cell holds (`value`), names of sheets (`names`).
//! Rows go to a file as they come, so a sheet of a million rows takes no memory. What Excel cannot hold is cut and told: in the last
//! row of a sheet with more than 1,048,574 rows, and on the front sheet. The same results give the same bytes.

mod names;
mod value;

use std::io::Write;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, FormatAlign, Workbook as Book, Worksheet, XlsxError};

use super::{thousands, write_failed};
use crate::error::{Error, Result};
use names::Names;
use value::Column;

/// Rows of data in a sheet: Excel's 1,048,576 without the header and the row that tells what is cut.
const MOST_ROWS: u32 = 1_048_574;
const MOST_COLUMNS: usize = 16_384;

/// Rows that decide how wide a column is.
const ROWS_FOR_WIDTH: u32 = 500;
const WIDEST: usize = 60;

/// A workbook being written.
pub struct Workbook {
    book: Book,
    names: Names,
    sheets: Vec<Sheet>,
    columns: Vec<Column>,
    widths: Vec<usize>,
}

/// What the front sheet says of a sheet.
struct Sheet {
    name: String,
    title: String,
    rows: u64,
    /// Rows that did not fit.
    cut: u64,
    cut_texts: u64,
}

fn failed(error: XlsxError) -> Error {
    write_failed(error)
}

impl Workbook {
    /// Rows are kept in temporary files of the folder `spill` until the end.
    pub fn new(spill: &Path) -> Result<Self> {
        let mut book = Book::new();
        book.set_tempdir(spill).map_err(failed)?;
        // No clock: the same results give the same bytes.
        let epoch = ExcelDateTime::from_ymd(2000, 1, 1).map_err(failed)?;
        book.set_properties(&DocProperties::new().set_creation_datetime(&epoch).set_author("tenure"));
        let mut names = Names::default();
        book.add_worksheet().set_name(names.free("Contents")).map_err(failed)?;
        Ok(Self { book, names, sheets: Vec::new(), columns: Vec::new(), widths: Vec::new() })
    }

    /// Begins the sheet of a result with these columns, called `title` as far as Excel allows.
    pub fn begin(&mut self, title: &str, schema: &SchemaRef) -> Result<()> {
        if schema.fields().len() > MOST_COLUMNS {
            let columns = thousands(schema.fields().len() as u64);
            return Err(Error::data(format!("'{title}' has {columns} columns, and a sheet of Excel holds 16,384")));
        }
        let name = self.names.free(title);
        let sheet = self.book.add_worksheet_with_constant_memory().map_err(failed)?;
        sheet.set_name(&name).map_err(failed)?;
        sheet.set_freeze_panes(1, 0).map_err(failed)?;
        let head = Format::new().set_bold();
        for (at, field) in schema.fields().iter().enumerate() {
            let header = value::fitting(field.name());
            sheet.write_string_with_format(0, at as u16, header.text, &head).map_err(failed)?;
        }
        self.columns = (0..schema.fields().len()).map(|at| Column::of(schema, at)).collect();
        self.widths = schema.fields().iter().map(|field| width(field.name()) + 3).collect();
        self.sheets.push(Sheet { name, title: title.to_string(), rows: 0, cut: 0, cut_texts: 0 });
        Ok(())
    }

    /// The next rows of the sheet.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let at = self.sheets.len();
        let Some(told) = self.sheets.last_mut() else { return Ok(()) };
        let before = told.rows;
        told.rows += batch.num_rows() as u64;
        let room = u64::from(MOST_ROWS).saturating_sub(before);
        let fits = room.min(batch.num_rows() as u64) as usize;
        told.cut += (batch.num_rows() - fits) as u64;
        if fits == 0 {
            return Ok(());
        }
        let batch = batch.slice(0, fits);
        let sheet = self.book.worksheet_from_index(at).map_err(failed)?;
        let values = self.columns.iter().zip(batch.columns()).map(|(column, array)| column.values(array));
        let values: Vec<Vec<value::Value>> = values.collect::<Result<_>>()?;
        for row in 0..fits {
            let line = before as u32 + row as u32 + 1;
            for (at, values) in values.iter().enumerate() {
                let value = &values[row];
                if line <= ROWS_FOR_WIDTH {
                    self.widths[at] = self.widths[at].max(value.width());
                }
                told.cut_texts += u64::from(value.is_cut());
                value.write(sheet, line, at as u16, &self.columns[at]).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Ends the sheet.
    pub fn end(&mut self) -> Result<()> {
        let at = self.sheets.len();
        let Some(told) = self.sheets.last() else { return Ok(()) };
        let sheet = self.book.worksheet_from_index(at).map_err(failed)?;
        let rows = (told.rows - told.cut) as u32;
        if told.cut > 0 {
            let text = format!("{} more rows do not fit into a sheet of Excel", thousands(told.cut));
            sheet.write_string(rows + 1, 0, text).map_err(failed)?;
        }
        if !self.columns.is_empty() {
            sheet.autofilter(0, 0, rows, self.columns.len() as u16 - 1).map_err(failed)?;
        }
        for (at, width) in self.widths.iter().enumerate() {
            sheet.set_column_width(at as u16, (*width).min(WIDEST) as f64 + 1.0).map_err(failed)?;
        }
        Ok(())
    }

    /// Writes the front sheet (`head` are its first lines, name and value) and the file.
    pub fn finish<W: Write + Send>(mut self, head: &[(String, String)], writer: W) -> Result<()> {
        let sheets = std::mem::take(&mut self.sheets);
        let front = self.book.worksheet_from_index(0).map_err(failed)?;
        write_front(front, head, &sheets).map_err(failed)?;
        self.book.save_to_writer(writer).map_err(failed)
    }
}

fn write_front(front: &mut Worksheet, head: &[(String, String)], sheets: &[Sheet]) -> Result<(), XlsxError> {
    let bold = Format::new().set_bold();
    let wrapped = Format::new().set_text_wrap().set_align(FormatAlign::Top);
    let mut line = 0;
    for (name, text) in head {
        front.write_string_with_format(line, 0, value::fitting(name).text, &bold)?;
        front.write_string_with_format(line, 1, value::fitting(text).text, &wrapped)?;
        line += 1;
    }
    line += 1;
    for (at, title) in ["Sheet", "Statement", "Rows", "Left out"].into_iter().enumerate() {
        front.write_string_with_format(line, at as u16, title, &bold)?;
    }
    for sheet in sheets {
        line += 1;
        front.write_string(line, 0, sheet.name.as_str())?;
        front.write_string(line, 1, value::fitting(&sheet.title).text)?;
        front.write_number(line, 2, sheet.rows as f64)?;
        let mut left_out = Vec::new();
        if sheet.cut > 0 {
            left_out.push(format!("{} rows that do not fit into a sheet", thousands(sheet.cut)));
        }
        if sheet.cut_texts > 0 {
            left_out.push(format!("the ends of {} texts longer than 32,767 characters", thousands(sheet.cut_texts)));
        }
        front.write_string(line, 3, left_out.join("; "))?;
    }
    for (at, width) in [24.0, 60.0, 12.0, 50.0].into_iter().enumerate() {
        front.set_column_width(at as u16, width)?;
    }
    Ok(())
}

/// About how wide a text is.
fn width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

#[cfg(test)]
mod tests;
