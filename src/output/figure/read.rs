//! From rows to a [`Figure`]: labels, exact numbers, panels by breakdown value.
//!
//! Deals with: reading columns by the parts that `shape` gave them. Does not deal with: drawing, or how much there is room for.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};

use super::number::{Number, Unit};
use super::shape::{Shape, is_share};
use super::{Bar, Bars, Body, Figure, Grid, GridCell, GridRow, Kind, Lines, Panel, Point, Series, Stack};
use crate::error::Result;
use crate::output::cell::{Doubles, cells, escape, is_number};
use crate::output::{thousands, write_failed};

/// The columns of a result, read as they are asked for.
struct Rows<'a> {
    shape: &'a Shape,
    batch: RecordBatch,
}

/// Reads the figure that the shape describes.
pub(super) fn figure(shape: &Shape, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Figure> {
    let batch = concat_batches(schema, batches).map_err(write_failed)?;
    let rows = Rows { shape, batch };
    let mut notes = Vec::new();
    let panels = match shape.kind {
        Kind::Line | Kind::Curve => vec![Panel { label: String::new(), body: Body::Lines(rows.lines(&mut notes)?) }],
        _ => {
            let mut panels = Vec::new();
            for (label, members) in rows.groups()? {
                panels.push(Panel { label, body: rows.body(&members)? });
            }
            panels
        }
    };
    let open = |at: usize| rows.batch.column(at).as_boolean().iter().any(|c| c == Some(false));
    if [Kind::Line, Kind::Curve, Kind::Lifecycle].contains(&shape.kind) && shape.complete.is_some_and(open) {
        notes.push("* not over yet".into());
    }
    if !shape.undrawn.is_empty() {
        let names: Vec<String> = shape.undrawn.iter().map(|&at| rows.name(at)).collect();
        notes.push(format!("not drawn: {}", names.join(", ")));
    }
    Ok(Figure { kind: shape.kind, panels, notes })
}

impl Rows<'_> {
    fn name(&self, at: usize) -> String {
        escape(self.batch.schema().field(at).name()).into_owned()
    }

    fn measure(&self, at: usize) -> (String, Unit) {
        let unit = if is_share(at, &self.batch.schema()) { Unit::Share } else { Unit::Plain };
        (self.name(at), unit)
    }

    fn numbers(&self, at: usize) -> Result<Vec<Number>> {
        Number::all(self.batch.column(at))
    }

    fn texts(&self, at: usize) -> Result<Vec<String>> {
        Ok(cells(self.batch.column(at), Doubles::Rounded)?.into_iter().map(|cell| midnight(cell.text)).collect())
    }

    /// The values of several columns as one text for each row.
    fn joined(&self, columns: &[usize], between: &str) -> Result<Vec<String>> {
        let texts = columns.iter().map(|&at| self.texts(at)).collect::<Result<Vec<_>>>()?;
        let rows = 0..self.batch.num_rows();
        Ok(rows.map(|row| texts.iter().map(|t| t[row].as_str()).collect::<Vec<_>>().join(between)).collect())
    }

    /// Rows by breakdown value, in the order in which the values come.
    fn groups(&self) -> Result<Vec<(String, Vec<usize>)>> {
        let labels = self.joined(&self.shape.by, " · ")?;
        let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        for (row, label) in labels.into_iter().enumerate() {
            let at = *known.entry(label.clone()).or_insert_with(|| {
                groups.push((label, Vec::new()));
                groups.len() - 1
            });
            groups[at].1.push(row);
        }
        Ok(groups)
    }

    fn body(&self, members: &[usize]) -> Result<Body> {
        match self.shape.kind {
            Kind::Heatmap => self.grid(members).map(Body::Grid),
            Kind::Lifecycle => self.stack(members).map(Body::Stack),
            _ => self.bars(members).map(Body::Bars),
        }
    }

    fn bars(&self, members: &[usize]) -> Result<Bars> {
        let labels = match self.shape.kind {
            Kind::Histogram => self.buckets()?,
            Kind::Flow => self.joined(&self.shape.label, " → ")?,
            _ => self.joined(&self.shape.label, " · ")?,
        };
        let values = self.shape.values.iter().map(|&at| self.numbers(at)).collect::<Result<Vec<_>>>()?;
        let depths = match self.shape.depth {
            Some(at) => self.numbers(at)?.iter().map(|n| n.at.unwrap_or(1.0).clamp(1.0, 12.0) as usize - 1).collect(),
            None => vec![0; self.batch.num_rows()],
        };
        let bars = members.iter().map(|&row| Bar {
            label: labels[row].clone(),
            depth: depths[row],
            value: values[0][row].clone(),
            beside: values[1..].iter().map(|column| column[row].clone()).collect(),
        });
        let mut measures = self.shape.values.iter().map(|&at| self.measure(at));
        let measure = measures.next().unwrap_or((String::new(), Unit::Plain));
        Ok(Bars { measure, beside: measures.collect(), bars: bars.collect() })
    }

    /// `0 – 50`, `below 0`, `100 and more`.
    fn buckets(&self) -> Result<Vec<String>> {
        let (from, below) = (self.numbers(self.shape.label[0])?, self.numbers(self.shape.label[1])?);
        let label = |n: &Number| n.label(Unit::Plain);
        let known = |n: &Number| n.exact != crate::output::cell::NULL;
        let pairs = from.iter().zip(&below);
        Ok(pairs
            .map(|(from, below)| match (known(from), known(below)) {
                (true, true) => format!("{} – {}", label(from), label(below)),
                (true, false) => format!("{} and more", label(from)),
                (false, true) => format!("below {}", label(below)),
                (false, false) => "any".into(),
            })
            .collect())
    }

    fn grid(&self, members: &[usize]) -> Result<Grid> {
        let cohorts = self.texts(self.shape.label[0])?;
        let sizes = self.shape.size.map(|at| self.numbers(at)).transpose()?;
        let complete: Vec<bool> = match self.shape.complete {
            Some(at) => self.batch.column(at).as_boolean().iter().map(|c| c.unwrap_or(true)).collect(),
            None => vec![true; self.batch.num_rows()],
        };
        let size = |row: usize| sizes.as_ref().map(|s| s[row].clone());
        let values = self.shape.values.iter().map(|&at| self.numbers(at)).collect::<Result<Vec<_>>>()?;
        let Some(&period) = self.shape.label.get(1) else {
            // A column for each period: shares where they are doubles.
            let doubles = self.shape.values.iter().all(|&at| self.batch.column(at).data_type() == &DataType::Float64);
            let within = values.iter().flatten().filter_map(|n| n.at).all(|v| (0.0..=1.0).contains(&v));
            let unit = if doubles && within { Unit::Share } else { Unit::Plain };
            let columns = self.shape.values.iter().map(|&at| self.name(at).replace("period_", "")).collect();
            let cell = |n: &Number| GridCell { value: n.clone(), also: None, complete: true };
            let shown = |n: &&Number| n.exact != crate::output::cell::NULL;
            let rows = members.iter().map(|&row| GridRow {
                label: cohorts[row].clone(),
                size: size(row),
                cells: values.iter().map(|column| Some(&column[row]).filter(shown).map(cell)).collect(),
            });
            return Ok(Grid { measure: ("value".into(), unit), columns, rows: rows.collect() });
        };
        let periods = self.texts(period)?;
        let mut grid = Grid { measure: self.measure(self.shape.values[0]), columns: Vec::new(), rows: Vec::new() };
        let (mut across, mut down) = (HashMap::new(), HashMap::new());
        let also_name = self.shape.values.get(1).map(|&at| self.name(at));
        for &row in members {
            let column = *across.entry(periods[row].as_str()).or_insert_with(|| {
                grid.columns.push(periods[row].clone());
                grid.columns.len() - 1
            });
            let at = *down.entry(cohorts[row].as_str()).or_insert_with(|| {
                grid.rows.push(GridRow { label: cohorts[row].clone(), size: size(row), cells: Vec::new() });
                grid.rows.len() - 1
            });
            let cells = &mut grid.rows[at].cells;
            if cells.len() <= column {
                cells.resize(column + 1, None);
            }
            let also = also_name.clone().map(|name| (name, values[1][row].clone()));
            cells[column] = Some(GridCell { value: values[0][row].clone(), also, complete: complete[row] });
        }
        let width = grid.columns.len();
        grid.rows.iter_mut().for_each(|row| row.cells.resize(width, None));
        Ok(grid)
    }

    /// The labels of periods; one that is not over yet has a star.
    fn periods(&self) -> Result<Vec<String>> {
        let mut labels = self.texts(self.shape.label[0])?;
        if let Some(at) = self.shape.complete {
            let complete = self.batch.column(at).as_boolean().iter();
            labels.iter_mut().zip(complete).filter(|(_, c)| *c == Some(false)).for_each(|(label, _)| label.push('*'));
        }
        Ok(labels)
    }

    fn stack(&self, members: &[usize]) -> Result<Stack> {
        let labels = self.periods()?;
        let values = self.shape.values.iter().map(|&at| self.numbers(at)).collect::<Result<Vec<_>>>()?;
        let names = self.shape.values.iter().map(|&at| self.name(at)).collect();
        let numbers = |row: usize| values.iter().map(|column| column[row].clone()).collect();
        Ok(Stack { names, periods: members.iter().map(|&row| (labels[row].clone(), numbers(row))).collect() })
    }

    fn lines(&self, notes: &mut Vec<String>) -> Result<Lines> {
        let x = self.shape.label[0];
        let labels = self.periods()?;
        let places = places(self.batch.column(x), &self.texts(x)?)?;
        let nowhere = places.iter().filter(|p| p.is_none()).count();
        if nowhere > 0 {
            notes.push(format!(
                "not drawn: {} rows whose {} is not a place on the axis",
                thousands(nowhere as u64),
                self.name(x)
            ));
        }
        let interval = match self.shape.interval {
            Some((low, high)) => Some((self.numbers(low)?, self.numbers(high)?)),
            None => None,
        };
        let mut lines: Vec<(Series, Unit, bool)> = Vec::new();
        for &at in &self.shape.values {
            let numbers = self.numbers(at)?;
            let (name, unit) = self.measure(at);
            for (label, members) in self.groups()? {
                let mut points: Vec<Point> = members
                    .iter()
                    .filter_map(|&row| {
                        let interval = interval.as_ref().map(|(low, high)| (low[row].clone(), high[row].clone()));
                        Some(Point { x: places[row]?, label: labels[row].clone(), y: numbers[row].clone(), interval })
                    })
                    .collect();
                points.sort_by(|a, b| a.x.total_cmp(&b.x));
                let name = if self.shape.by.is_empty() { name.clone() } else { label };
                let whole = !self.batch.column(at).data_type().is_floating();
                lines.push((Series { name, points }, unit, whole));
            }
        }
        let (unit, whole) = lines.first().map_or((Unit::Plain, true), |(_, unit, whole)| (*unit, *whole));
        // Counts share a scale; each other number has its own.
        let shares = |line: &(Series, Unit, bool), at: usize| at == 0 || !self.shape.by.is_empty() || (whole && line.2);
        let (mut series, mut sparks) = (Vec::new(), Vec::new());
        for (at, line) in lines.into_iter().enumerate() {
            if shares(&line, at) { series.push(line.0) } else { sparks.push((line.0, line.1)) }
        }
        Ok(Lines { unit, x_name: self.name(x), series, sparks })
    }
}

/// A time without its midnight is a date.
fn midnight(text: String) -> String {
    text.strip_suffix(" 00:00:00").map_or(text.clone(), str::to_string)
}

/// Where the values lie on a horizontal axis; texts lie in the order in which they come.
fn places(column: &ArrayRef, labels: &[String]) -> Result<Vec<Option<f64>>> {
    let data_type = column.data_type();
    if is_number(data_type) {
        return Ok(Number::all(column)?.into_iter().map(|n| n.at).collect());
    }
    if data_type.is_temporal() {
        let wide = match data_type {
            DataType::Date32 => cast(&cast(column, &DataType::Int32).map_err(write_failed)?, &DataType::Int64),
            _ => cast(column, &DataType::Int64),
        };
        let wide = wide.map_err(write_failed)?;
        return Ok(wide.as_primitive::<Int64Type>().iter().map(|v| v.map(|v| v as f64)).collect());
    }
    let mut known: HashMap<&str, usize> = HashMap::new();
    let place = |label| {
        let next = known.len();
        *known.entry(label).or_insert(next) as f64
    };
    let mut place = place;
    Ok(labels.iter().enumerate().map(|(row, label)| (!column.is_null(row)).then(|| place(label.as_str()))).collect())
}
