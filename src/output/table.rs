//! A framed table: numbers flush right, fitted to the terminal, streaming where it goes to a pipe or file.
//!
//! Deals with: column widths, which columns have room, the frame and the line below it. Does not deal with: what a value
//! looks like (`cell`). Widths come from the first [`SAMPLE`] rows; a later value that is wider pushes its line out rather
//! than being cut, so a piped table of any length takes constant memory and loses nothing.

use std::collections::HashMap;
use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use unicode_width::UnicodeWidthStr;

use super::cell::{Cell, Doubles, cells, escape, fitted, is_number};
use super::{Sink, Style, thousands, write_failed};
use crate::error::Result;

/// Rows that decide the widths.
pub(super) const SAMPLE: usize = 1000;
pub(super) const BOLD: &str = "\x1b[1m";
pub(super) const DIM: &str = "\x1b[2m";
pub(super) const PLAIN: &str = "\x1b[0m";

/// A text column is not made narrower than this while another way is left.
const LEAST_TEXT: usize = 12;

pub(super) struct Table<W: Write> {
    writer: W,
    style: Style,
    columns: Vec<Column>,
    /// Rows that wait for the widths.
    waiting: Vec<Vec<Cell>>,
    /// Set once the header is out.
    layout: Option<Layout>,
    rows: u64,
}

struct Column {
    name: String,
    number: bool,
    /// The name of its type, where types are shown.
    kind: Option<String>,
}

/// What stands in a line between the frames.
#[derive(Clone, Copy)]
enum Line {
    Names,
    Types,
    Values,
}

/// Which columns are shown, and how wide.
#[derive(Debug, PartialEq, Eq)]
struct Layout {
    /// Index and width, from left to right.
    shown: Vec<(usize, usize)>,
    /// Position in `shown` before which columns are left out.
    gap: Option<usize>,
}

impl<W: Write> Table<W> {
    pub fn new(schema: &SchemaRef, style: Style, writer: W) -> Self {
        let columns = schema
            .fields()
            .iter()
            .map(|f| Column {
                name: escape(f.name()).into_owned(),
                number: is_number(f.data_type()),
                kind: style.types.map(|name| name(f.data_type())),
            })
            .collect();
        Self { writer, style, columns, waiting: Vec::new(), layout: None, rows: 0 }
    }

    /// Decides the widths and writes everything that waited.
    fn start(&mut self) -> std::io::Result<()> {
        let natural: Vec<(usize, usize, bool)> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let values = self.waiting.iter().map(|row| row[at].width).max().unwrap_or(0);
                (column.name.width(), values, column.number)
            })
            .collect();
        let layout = self.with_types(&natural).unwrap_or_else(|| layout(&natural, self.style.width));
        self.rule(&layout, ["┌", "┬", "┐"])?;
        let header: Vec<Cell> =
            self.columns.iter().map(|c| Cell { text: c.name.clone(), width: c.name.width(), null: false }).collect();
        self.row(&layout, &header, Line::Names)?;
        if self.style.types.is_some() {
            let widths: HashMap<usize, usize> = layout.shown.iter().copied().collect();
            let kinds = self.columns.iter().enumerate().map(|(at, column)| {
                let kind = column.kind.as_deref().unwrap_or_default();
                let text = fitted(kind, widths.get(&at).copied().unwrap_or(1)).into_owned();
                Cell { width: text.width(), text, null: false }
            });
            let kinds: Vec<Cell> = kinds.collect();
            self.row(&layout, &kinds, Line::Types)?;
        }
        self.rule(&layout, ["├", "┼", "┤"])?;
        for row in std::mem::take(&mut self.waiting) {
            self.row(&layout, &row, Line::Values)?;
        }
        self.layout = Some(layout);
        Ok(())
    }

    /// The layout in which every type has room, where there is one without anything cut.
    fn with_types(&self, natural: &[(usize, usize, bool)]) -> Option<Layout> {
        self.style.types?;
        let wider: Vec<(usize, usize, bool)> = natural
            .iter()
            .zip(&self.columns)
            .map(|(&(name, value, number), column)| {
                (name.max(column.kind.as_deref().unwrap_or_default().width()), value, number)
            })
            .collect();
        let whole = layout(&wider, None);
        let width = whole.widths().map(|width| width + 3).sum::<usize>() + 1;
        self.style.width.is_none_or(|terminal| width <= terminal).then_some(whole)
    }

    fn rule(&mut self, layout: &Layout, [left, middle, right]: [&str; 3]) -> std::io::Result<()> {
        let parts: Vec<String> = layout.widths().map(|width| "─".repeat(width + 2)).collect();
        let (dim, plain) = self.dim();
        writeln!(self.writer, "{dim}{left}{}{right}{plain}", parts.join(middle))
    }

    fn row(&mut self, layout: &Layout, cells: &[Cell], kind: Line) -> std::io::Result<()> {
        let (dim, plain) = self.dim();
        let mut line = format!("{dim}│{plain}");
        let mut put = |text: &str, width: usize, number: bool, style: &str| {
            let text = match self.style.width {
                Some(_) => fitted(text, width),
                None => text.into(),
            };
            let pad = " ".repeat(width.saturating_sub(text.width()));
            let (before, after) = if number { (pad.as_str(), "") } else { ("", pad.as_str()) };
            let end = if style.is_empty() { "" } else { PLAIN };
            line.push_str(&format!(" {before}{style}{text}{end}{after} {dim}│{plain}"));
        };
        for (position, &(at, width)) in layout.shown.iter().enumerate() {
            if layout.gap == Some(position) {
                put("…", 1, false, dim);
            }
            let style = match kind {
                _ if !self.style.color => "",
                Line::Names => BOLD,
                Line::Types => DIM,
                Line::Values if cells[at].null => DIM,
                Line::Values => "",
            };
            put(&cells[at].text, width, self.columns[at].number, style);
        }
        writeln!(self.writer, "{line}")
    }

    fn dim(&self) -> (&'static str, &'static str) {
        if self.style.color { (DIM, PLAIN) } else { ("", "") }
    }
}

impl<W: Write + Send> Sink for Table<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let room = self.style.max_rows.map_or(u64::MAX, |max| (max as u64).saturating_sub(self.rows));
        let shown = room.min(batch.num_rows() as u64) as usize;
        self.rows += batch.num_rows() as u64;
        if shown == 0 {
            return Ok(());
        }
        let part = batch.slice(0, shown);
        let columns = part.columns().iter().map(|c| cells(c, Doubles::Rounded)).collect::<Result<Vec<_>>>()?;
        let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
        for _ in 0..shown {
            let row: Vec<Cell> = columns.iter_mut().filter_map(Iterator::next).collect();
            match self.layout.take() {
                Some(layout) => {
                    self.row(&layout, &row, Line::Values).map_err(write_failed)?;
                    self.layout = Some(layout);
                }
                None => {
                    self.waiting.push(row);
                    if self.waiting.len() == SAMPLE {
                        self.start().map_err(write_failed)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if self.layout.is_none() {
            self.start().map_err(write_failed)?;
        }
        if let Some(layout) = self.layout.take() {
            self.rule(&layout, ["└", "┴", "┘"]).map_err(write_failed)?;
            if self.style.footer {
                let mut text = row_count(self.rows, &self.style);
                if layout.shown.len() < self.columns.len() {
                    let (shown, all) = (layout.shown.len(), self.columns.len());
                    text.push_str(&format!(", {shown} of {all} columns (\\x or --expanded shows all)"));
                }
                let (dim, plain) = self.dim();
                writeln!(self.writer, "{dim}{text}{plain}").map_err(write_failed)?;
            }
        }
        self.writer.flush().map_err(write_failed)
    }
}

impl Layout {
    /// Widths from left to right, with the column that stands for those left out.
    fn widths(&self) -> impl Iterator<Item = usize> {
        let mut widths: Vec<usize> = self.shown.iter().map(|(_, width)| *width).collect();
        if let Some(gap) = self.gap {
            widths.insert(gap, 1);
        }
        widths.into_iter()
    }
}

/// `12,345 rows in 0.120 s, 41 MB (first 40 shown; ...)`.
pub(super) fn row_count(rows: u64, style: &Style) -> String {
    let noun = if rows == 1 { "row" } else { "rows" };
    let took = style.took.map(|took| format!(" in {took}")).unwrap_or_default();
    match style.max_rows {
        Some(max) if rows > max as u64 => {
            format!("{} {noun}{took} (first {max} shown; \\o FILE or --format csv for all)", thousands(rows))
        }
        _ => format!("{} {noun}{took}", thousands(rows)),
    }
}

/// Fits columns (width of name, widest value, whether numbers) into a terminal. Numbers are never cut while the terminal has
/// room for them; texts give way first, the widest first; then columns are left out from the middle.
fn layout(natural: &[(usize, usize, bool)], terminal: Option<usize>) -> Layout {
    let full: Vec<usize> = natural.iter().map(|&(name, value, _)| name.max(value).max(1)).collect();
    let cost = |widths: &[usize]| widths.iter().map(|w| w + 3).sum::<usize>() + 1;
    let all = |widths: &[usize]| Layout { shown: widths.iter().copied().enumerate().collect(), gap: None };
    let Some(terminal) = terminal.filter(|&t| cost(&full) > t) else { return all(&full) };
    let least: Vec<usize> = natural
        .iter()
        .zip(&full)
        .map(
            |(&(name, value, number), &full)| {
                if number { value.max(name.min(LEAST_TEXT)).max(1) } else { full.min(LEAST_TEXT) }
            },
        )
        .collect();
    // The widest cap that fits; at `least` a column stops giving way.
    let capped = |cap: usize| -> Vec<usize> { full.iter().zip(&least).map(|(&f, &l)| f.min(cap.max(l))).collect() };
    if cost(&least) <= terminal {
        let widest = full.iter().copied().max().unwrap_or(1);
        let cap = (1..=widest).rev().find(|&cap| cost(&capped(cap)) <= terminal).unwrap_or(1);
        return all(&capped(cap));
    }
    // From both ends inwards, leaving room for the `…` column.
    let mut room = terminal.saturating_sub(1 + 4);
    let (mut left, mut right) = (0, least.len());
    while left < right {
        let next = if left <= least.len() - right { left } else { right - 1 };
        let Some(rest) = room.checked_sub(least[next] + 3) else { break };
        room = rest;
        if next == left { left += 1 } else { right -= 1 }
    }
    if left == 0 {
        // Not even one column has room: show the first, cut.
        return Layout { shown: vec![(0, terminal.saturating_sub(8).max(1))], gap: (least.len() > 1).then_some(1) };
    }
    let shown = (0..left).chain(right..least.len()).map(|at| (at, least[at])).collect();
    Layout { shown, gap: (left < right).then_some(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn width(layout: &Layout) -> usize {
        layout.widths().map(|w| w + 3).sum::<usize>() + 1
    }

    #[test]
    fn what_fits_is_left_alone() {
        let fitting = layout(&[(2, 5, true), (4, 30, false)], Some(80));
        assert_eq!(fitting.shown, [(0, 5), (1, 30)]);
        assert_eq!(layout(&[(2, 500, false)], None).shown, [(0, 500)]);
    }

    #[test]
    fn texts_give_way_before_numbers() {
        let tight = layout(&[(2, 19, true), (4, 200, false), (4, 20, false)], Some(80));
        assert_eq!(tight.shown[0], (0, 19));
        assert_eq!(tight.shown[2], (2, 20));
        assert_eq!(width(&tight), 80);
    }

    #[test]
    fn columns_are_left_out_from_the_middle() {
        let wide = layout(&[(5, 10, true); 20], Some(80));
        assert!(width(&wide) <= 80, "{wide:?}");
        assert_eq!(wide.shown.first(), Some(&(0, 10)));
        assert_eq!(wide.shown.last(), Some(&(19, 10)));
        assert!(wide.gap.is_some());
        let narrow = layout(&[(5, 30, true); 3], Some(20));
        assert!(width(&narrow) <= 20, "{narrow:?}");
    }
}
