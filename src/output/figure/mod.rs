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
mod text;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result, suggest};

use number::{Number, Unit};
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
            .ok_or_else(|| Error::user(format!("unknown chart '{name}': {}", suggest(name, Chart::NAMES))))
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
    const NAMES: [&'static str; 9] =
        ["auto", "funnel", "heatmap", "curve", "lifecycle", "histogram", "flow", "line", "bars"];

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
