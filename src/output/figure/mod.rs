//! One figure, two pens: the picture that a result's columns ask for, drawn as text or as SVG.
//!
//! Deals with: telling the kind of picture from the columns (`shape`), reading exact numbers and labels (`read`), and drawing them
//! (`text`, `svg`). Does not deal with: where a picture goes, how wide a terminal is, or whether it may be coloured (`cli`).
//! A number is drawn at the place of its nearest double and written as it is.

mod number;
mod read;
mod scale;
mod shape;
mod sink;
mod svg;
#[cfg(test)]
mod tests;
mod text;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result, suggest};

use number::{Number, Unit};
pub(super) use shape::is_share;
pub(super) use sink::{Drawing, Pen};

/// The kinds of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A bar for each step with its conversions.
    Funnel,
    /// Cohorts down, periods across.
    Heatmap,
    /// A share for each period with its interval.
    Curve,
    /// Users who come above the zero line, those who leave below it.
    Lifecycle,
    /// Users in buckets.
    Histogram,
    /// Ways from one event to the next.
    Flow,
    /// Numbers over time, a line for each breakdown value.
    Line,
    /// A label and a number.
    Bars,
}

impl Kind {
    /// Every kind; where several fit, the first one is drawn.
    pub const ALL: [Kind; 8] = [
        Kind::Funnel,
        Kind::Heatmap,
        Kind::Curve,
        Kind::Lifecycle,
        Kind::Histogram,
        Kind::Flow,
        Kind::Line,
        Kind::Bars,
    ];

    /// The name, as in `--chart=funnel`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Funnel => "funnel",
            Kind::Heatmap => "heatmap",
            Kind::Curve => "curve",
            Kind::Lifecycle => "lifecycle",
            Kind::Histogram => "histogram",
            Kind::Flow => "flow",
            Kind::Line => "line",
            Kind::Bars => "bars",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Result<Kind> {
        Self::ALL
            .into_iter()
            .find(|k| k.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| Error::user(format!("unknown chart '{name}': {}", suggest(name, Chart::names()))))
    }
}

/// Which picture is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Chart {
    /// The one that fits the columns.
    #[default]
    Fitting,
    /// This one, or an error.
    Of(Kind),
}

impl Chart {
    /// What may be asked for.
    fn names() -> impl Iterator<Item = &'static str> + Clone {
        std::iter::once("auto").chain(Kind::ALL.map(Kind::name))
    }

    /// Whether a result with these columns can be drawn so.
    pub fn fits(self, schema: &SchemaRef) -> bool {
        shape::Shape::of(schema, self).is_ok()
    }

    /// `auto` or the name of a kind.
    pub fn from_name(name: &str) -> Result<Chart> {
        if name.eq_ignore_ascii_case("auto") { Ok(Chart::Fitting) } else { Kind::from_name(name).map(Chart::Of) }
    }
}

/// A picture before it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    kind: Kind,
    panels: Vec<Panel>,
    /// What the picture does not show.
    notes: Vec<String>,
}

/// The picture of one breakdown value.
#[derive(Debug, Clone, PartialEq)]
struct Panel {
    /// The breakdown values; empty without a breakdown.
    label: String,
    body: Body,
}

#[derive(Debug, Clone, PartialEq)]
enum Body {
    Bars(Bars),
    Grid(Grid),
    Lines(Lines),
    Stack(Stack),
}

/// Bars from left to right, one below the other.
#[derive(Debug, Clone, PartialEq)]
struct Bars {
    /// Name and unit of the bars' length.
    measure: (String, Unit),
    /// Names and units of the figures beside each bar.
    beside: Vec<(String, Unit)>,
    bars: Vec<Bar>,
}

#[derive(Debug, Clone, PartialEq)]
struct Bar {
    label: String,
    /// How far the label is set in.
    depth: usize,
    value: Number,
    beside: Vec<Number>,
}

/// Cells by cohort and period.
#[derive(Debug, Clone, PartialEq)]
struct Grid {
    measure: (String, Unit),
    columns: Vec<String>,
    rows: Vec<GridRow>,
}

#[derive(Debug, Clone, PartialEq)]
struct GridRow {
    label: String,
    size: Option<Number>,
    cells: Vec<Option<GridCell>>,
}

#[derive(Debug, Clone, PartialEq)]
struct GridCell {
    value: Number,
    /// The other number of the cell, by name.
    also: Option<(String, Number)>,
    complete: bool,
}

/// Lines over a common horizontal axis.
#[derive(Debug, Clone, PartialEq)]
struct Lines {
    unit: Unit,
    x_name: String,
    series: Vec<Series>,
    /// Lines on a scale of their own.
    sparks: Vec<(Series, Unit)>,
}

#[derive(Debug, Clone, PartialEq)]
struct Series {
    name: String,
    /// In the order of the horizontal axis.
    points: Vec<Point>,
}

#[derive(Debug, Clone, PartialEq)]
struct Point {
    x: f64,
    label: String,
    y: Number,
    interval: Option<(Number, Number)>,
}

/// Flows in and out, period by period.
#[derive(Debug, Clone, PartialEq)]
struct Stack {
    names: Vec<String>,
    /// The label, and a number for each name; the last one is the loss.
    periods: Vec<(String, Vec<Number>)>,
}

/// What stands on one side of the zero line, from there outwards: which number, and how much.
type Side = Vec<(usize, f64)>;

impl Stack {
    /// How far each number of a period goes up or down from the zero line; the loss goes down, whatever its sign.
    /// Cut at 1e300, so that sums stay finite.
    fn sides(numbers: &[Number]) -> (Side, Side) {
        let loss = numbers.len() - 1;
        let sized = |(n, number): (usize, &Number)| {
            number.at.map(|v| (n, (if n == loss { -v.abs() } else { v }).clamp(-1e300, 1e300)))
        };
        let (up, down): (Vec<_>, Vec<_>) = numbers.iter().enumerate().filter_map(sized).partition(|(_, v)| *v >= 0.0);
        (up, down.into_iter().map(|(n, v)| (n, -v)).collect())
    }

    /// The heights of the highest period above the line and of the deepest below it.
    fn reach(&self) -> (f64, f64) {
        let sum = |side: &Side| side.iter().map(|(_, v)| v).sum::<f64>();
        self.periods
            .iter()
            .map(|(_, numbers)| Stack::sides(numbers))
            .fold((0.0, 0.0), |(above, below), (up, down)| (f64::max(above, sum(&up)), f64::max(below, sum(&down))))
    }
}

impl Lines {
    /// Positions of the `most` lines that reach farthest from zero, in their own order.
    fn largest(&self, most: usize) -> Vec<usize> {
        let reach = |at: &usize| {
            self.series[*at].points.iter().filter_map(|p| p.y.at).map(f64::abs).fold(f64::NEG_INFINITY, f64::max)
        };
        largest(self.series.len(), most, reach)
    }
}

impl Bars {
    /// Positions of the `most` longest bars, in their own order.
    fn largest(&self, most: usize) -> Vec<usize> {
        largest(self.bars.len(), most, |at| self.bars[*at].value.at.map_or(f64::NEG_INFINITY, f64::abs))
    }
}

/// Of equal ones the first.
fn largest(count: usize, most: usize, size: impl Fn(&usize) -> f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| size(b).total_cmp(&size(a)));
    order.truncate(most);
    order.sort_unstable();
    order
}

impl Figure {
    /// The picture of a result.
    ///
    /// # Errors
    /// The columns do not fit the kind asked for, or no kind at all.
    pub fn of(schema: &SchemaRef, batches: &[RecordBatch], chart: Chart) -> Result<Figure> {
        read::figure(&shape::Shape::of(schema, chart)?, schema, batches)
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Lines of text, none wider than `width` columns (20 at least); with ANSI colours where asked for.
    pub fn text(&self, width: usize, color: bool) -> String {
        text::draw(self, width.max(20), color)
    }

    /// A `<svg>` element that needs nothing else. `id` is its id and the beginning of those inside it.
    pub fn svg(&self, id: &str) -> String {
        svg::draw(self, id)
    }
}
