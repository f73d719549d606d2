//! Which picture fits a result's columns, and which column plays which part in it.
//!
//! Deals with: names and types of columns alone. Does not deal with: rows.

use arrow::datatypes::{DataType, Schema};

use super::{Chart, Kind};
use crate::error::{Error, Result};
use crate::output::cell::is_number;

/// The parts that columns play, as their positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub kind: Kind,
    /// A panel, or a line, for each of their values.
    pub by: Vec<usize>,
    /// What stands beside a mark, or where it lies on the horizontal axis.
    pub label: Vec<usize>,
    /// The number drawn first, then those beside it.
    pub values: Vec<usize>,
    /// How far a row is set in.
    pub depth: Option<usize>,
    pub size: Option<usize>,
    pub complete: Option<usize>,
    pub interval: Option<(usize, usize)>,
    /// Columns of numbers that are not drawn.
    pub undrawn: Vec<usize>,
}

/// Names of columns that relations give for shares. No pattern: an `exchange_rate` of 7.1 is not 710 %.
const SHARES: [&str; 23] = [
    "rate",
    "conversion",
    "step_conversion",
    "share",
    "stickiness",
    "p_alive",
    "nrr",
    "grr",
    "base_rate",
    "bounce_rate",
    "cumulative_rate",
    "events_rate",
    "exit_rate",
    "items_rate",
    "value_rate",
    "null_share",
    "top_share",
    "events_growth",
    "events_year_growth",
    "total_growth",
    "total_year_growth",
    "users_growth",
    "users_year_growth",
];

/// Whether a column of numbers holds shares, by the vocabulary of result columns.
///
/// The bounds of an interval are shares where what they are about is one.
pub(crate) fn is_share(at: usize, schema: &Schema) -> bool {
    let share = |at: usize| {
        let field = schema.field(at);
        let known = SHARES.iter().any(|name| field.name().eq_ignore_ascii_case(name));
        known && matches!(field.data_type(), DataType::Float64 | DataType::Float32)
    };
    let bound = ["low", "high"].iter().any(|name| schema.field(at).name().eq_ignore_ascii_case(name));
    share(at) || (bound && schema.index_of("rate").is_ok_and(share))
}

/// The columns by name.
struct Columns<'a>(&'a Schema);

/// The name of the column, or what kind of column, that is missing.
type Missing = String;

impl Columns<'_> {
    fn find(&self, name: &str) -> Option<usize> {
        self.0.fields().iter().position(|f| f.name().eq_ignore_ascii_case(name))
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.find(name).filter(|&at| self.is_number(at))
    }

    fn need(&self, name: &str) -> Result<usize, Missing> {
        self.find(name).ok_or_else(|| format!("the column '{name}'"))
    }

    fn need_number(&self, name: &str) -> Result<usize, Missing> {
        match self.find(name) {
            Some(at) if self.is_number(at) => Ok(at),
            Some(_) => Err(format!("numbers in the column '{name}'")),
            None => Err(format!("the column '{name}'")),
        }
    }

    /// The first of these that is there.
    fn need_one(&self, names: &[&str]) -> Result<usize, Missing> {
        let known = names.iter().find_map(|name| self.number(name));
        known.ok_or_else(|| format!("a column '{}' of numbers", names.join("' or '")))
    }

    fn some(&self, names: &[&str]) -> Vec<usize> {
        names.iter().filter_map(|name| self.number(name)).collect()
    }

    fn is_number(&self, at: usize) -> bool {
        is_number(self.0.field(at).data_type())
    }

    fn is_time(&self, at: usize) -> bool {
        matches!(self.0.field(at).data_type(), DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
    }

    /// Whether the column can name something.
    fn is_label(&self, at: usize) -> bool {
        !self.is_number(at) && !self.0.field(at).data_type().is_nested() && self.0.field(at).name() != "complete"
    }

    fn all(&self) -> impl Iterator<Item = usize> {
        0..self.0.fields().len()
    }

    fn shape(&self, kind: Kind, label: Vec<usize>, values: Vec<usize>) -> Shape {
        // Breakdown columns stand in front of what they break down.
        let first = label.iter().chain(&values).copied().min().unwrap_or(0);
        Shape {
            kind,
            by: (0..first).collect(),
            label,
            values,
            depth: None,
            size: None,
            complete: self.find("complete").filter(|&at| self.0.field(at).data_type() == &DataType::Boolean),
            interval: None,
            undrawn: Vec::new(),
        }
    }

    fn fit(&self, kind: Kind) -> Result<Shape, Missing> {
        match kind {
            Kind::Funnel => {
                let users = self.need_number("users")?;
                let conversion = self.need_number("conversion")?;
                let label = self.find("name").or(self.find("step")).ok_or("the column 'name' or 'step'")?;
                let mut values = vec![users, conversion];
                values.extend(self.some(&["step_conversion", "dropped"]));
                let shape = self.shape(kind, vec![label], values);
                let step = self.find("step").unwrap_or(label);
                Ok(Shape { by: shape.by.iter().copied().filter(|&at| at < step).collect(), ..shape })
            }
            Kind::Heatmap => self.heatmap(),
            Kind::Curve => {
                let rate = self.need_number("rate")?;
                // A period may have been given its unit's name.
                let axis = |at: usize| self.is_time(at) || self.0.field(at).data_type().is_integer();
                let period = self.find("period").or(self.all().take_while(|&at| at < rate).find(|&at| axis(at)));
                let period = period.ok_or("the column 'period'")?;
                let interval = (self.need_number("low")?, self.need_number("high")?);
                let shape = self.shape(kind, vec![self.find("bracket").unwrap_or(period)], vec![rate]);
                Ok(Shape { by: (0..period).collect(), interval: Some(interval), ..shape })
            }
            Kind::Lifecycle => {
                let period = self.need("period")?;
                let flows = ["new", "returning", "resurrected", "dormant"];
                let values = flows.iter().map(|name| self.need_number(name)).collect::<Result<Vec<_>, _>>()?;
                Ok(self.shape(kind, vec![period], values))
            }
            Kind::Histogram => {
                let bounds = vec![self.need_number("at_least")?, self.need_number("below")?];
                let first = self.need_one(&["users", "events", "rate"])?;
                let mut values = vec![first];
                values.extend(self.some(&["rate"]).into_iter().filter(|at| *at != first));
                Ok(self.shape(kind, bounds, values))
            }
            Kind::Flow => {
                let ends = vec![self.need("source")?, self.need("target")?];
                let main = self.need_one(&["users", "events", "share"])?;
                let mut values = vec![main];
                values.extend(self.some(&["events", "share"]).into_iter().filter(|at| *at != main));
                let depth = self.number("step");
                let shape = self.shape(kind, ends, values);
                let first = depth.unwrap_or(usize::MAX);
                Ok(Shape { by: shape.by.iter().copied().filter(|&at| at < first).collect(), depth, ..shape })
            }
            Kind::Line => self.line(),
            Kind::Bars => self.bars(),
        }
    }

    fn heatmap(&self) -> Result<Shape, Missing> {
        let cohort = self.need("cohort")?;
        let wide: Vec<usize> = self
            .all()
            .filter(|&at| {
                let number = self.0.field(at).name().strip_prefix("period_").is_some_and(|n| n.parse::<u32>().is_ok());
                number && self.is_number(at)
            })
            .collect();
        let (label, values) = match self.find("period") {
            Some(period) => {
                let rate = self.need_one(&["rate", "retained"])?;
                let mut values = vec![rate];
                values.extend(self.number("retained").filter(|at| *at != rate));
                (vec![cohort, self.find("bracket").unwrap_or(period)], values)
            }
            None if wide.is_empty() => return Err("the column 'period' or 'period_0'".into()),
            None => (vec![cohort], wide),
        };
        let shape = self.shape(Kind::Heatmap, label, values);
        Ok(Shape { by: (0..cohort).collect(), size: self.number("size"), ..shape })
    }

    fn line(&self) -> Result<Shape, Missing> {
        let x = self.all().find(|&at| self.is_time(at)).or_else(|| self.number("period"));
        let x = x.ok_or("a column of dates or times")?;
        let numbers: Vec<usize> = self.all().filter(|&at| at != x && self.is_number(at)).collect();
        let Some(&first) = numbers.first() else { return Err("a column of numbers".into()) };
        let by: Vec<usize> = self.all().filter(|&at| at != x && self.is_label(at)).collect();
        let (values, undrawn) =
            if by.is_empty() { (numbers, Vec::new()) } else { (vec![first], numbers[1..].to_vec()) };
        Ok(Shape { by, undrawn, ..self.shape(Kind::Line, vec![x], values) })
    }

    fn bars(&self) -> Result<Shape, Missing> {
        let numbers: Vec<usize> = self.all().filter(|&at| self.is_number(at)).collect();
        let mut label: Vec<usize> = self.all().filter(|&at| self.is_label(at)).collect();
        // Numbers that only say which row it is.
        let serial = |at: &usize| ["rank", "step", "period"].contains(&self.0.field(*at).name().as_str());
        let mut values: Vec<usize> = numbers.iter().copied().filter(|at| !serial(at)).collect();
        if label.is_empty() {
            let named = numbers.iter().copied().find(serial).or(values.first().copied());
            label.extend(named);
            values.retain(|at| !label.contains(at));
            if values.is_empty() {
                return Err("a label beside the numbers".into());
            }
        }
        let Some(&first) = values.first() else { return Err("a column of numbers".into()) };
        let mut shape = self.shape(Kind::Bars, label, vec![first]);
        shape.by = Vec::new();
        shape.undrawn = values[1..].to_vec();
        Ok(shape)
    }
}

impl Shape {
    /// The parts of the columns in the picture that is asked for.
    pub fn of(schema: &Schema, chart: Chart) -> Result<Shape> {
        let columns = Columns(schema);
        let fitting: Vec<Shape> = Kind::ALL.into_iter().filter_map(|kind| columns.fit(kind).ok()).collect();
        match chart {
            Chart::Of(kind) => columns.fit(kind).map_err(|missing| {
                let names: Vec<&str> = fitting.iter().map(|shape| shape.kind.name()).collect();
                let others = if names.is_empty() {
                    "no chart fits".into()
                } else {
                    format!("what fits is {}", names.join(", "))
                };
                Error::user(format!("a {} chart lacks {missing}; {others}", kind.name()))
            }),
            Chart::Fitting => fitting.into_iter().next().ok_or_else(|| {
                let missing = columns.bars().err().unwrap_or_default();
                Error::user(format!("no chart fits these columns: even bars lack {missing}"))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    fn share(name: &str, data_type: DataType) -> bool {
        is_share(0, &Schema::new(vec![Field::new(name, data_type, true)]))
    }

    /// The manual's columns of shares are known, so that a new one is not forgotten; other names are those of users.
    #[test]
    fn shares_are_those_of_the_manual() {
        let mut seen = 0;
        for line in include_str!("../../../sql/FUNCTIONS.md").lines() {
            let Some(columns) = line.strip_prefix("| `").and_then(|l| l.split_once(" DOUBLE`")).map(|(names, _)| names)
            else {
                continue;
            };
            for name in
                columns.split(", ").filter(|n| ["_rate", "_growth", "_share"].iter().any(|end| n.ends_with(end)))
            {
                assert!(share(name, DataType::Float64), "{name}");
                seen += 1;
            }
        }
        assert!(seen >= 12, "{seen}");
        for name in ["exchange_rate", "heart_rate", "market_share", "low", "high", "score"] {
            assert!(!share(name, DataType::Float64), "{name}");
        }
        assert!(!share("rate", DataType::Int64));
    }
}
