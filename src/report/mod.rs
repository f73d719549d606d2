//! Batch reports: a `.sql` file with front matter in its comments becomes one page, one workbook and a file for each statement.
//!
//! Deals with: the front matter (`front`), parameters (`parameter`, `ranges`), running the statements (`run`), the page (`page`), and
//! outputs that appear together or not at all (`staging`). Does not deal with: what SQL means (`engine`), what values and pictures look
//! like (`output`), arguments and messages (`cli`).
//!
//! # The file
//!
//! ```sql
//! -- title: Weekly conversion 每周转化
//! -- description: How those who looked at an item in one week went on.
//! --   A comment line that begins with three spaces continues the one above it.
//! -- param: start date = today - 7 days -- the first day of the week
//! -- param: country text -- two letters; has no default and must be given
//!
//! -- name: Funnel
//! -- chart: funnel
//! -- note: Within seven days.
//! -- alert: step = 3 AND conversion < 0.02
//! SELECT * FROM funnel(events, ..);
//! ```
//!
//! A comment line between statements whose first word ends with a colon is front matter; other comments are for people.
//! At the head: `title`, `description`, `lang` (`en` or `zh`, the language of the page's own words), and for each parameter
//! `param: NAME TYPE [= DEFAULT] [-- NOTE]`. TYPE is `date`, `timestamp`, `int`, `double`, `text` or `bool`; a date may be said as `today`
//! or `today - 7 days` (days, weeks, months, years), and the page tells the date that it was. A text default may stand in single
//! quotes. Before each statement: `name` (one of its kind), `chart` (`auto`, `none`, or the name of a kind), `note`, `rows` (how many the page
//! shows, 50 unless said otherwise), and `alert`: a condition over the columns of the result, which is raised where a row fulfils it.
//!
//! `$name` in a statement or an alert is the value of a parameter, as a literal of its type: it is never pasted into the text. A report
//! reads: statements are queries, beside `SET` and `CREATE VIEW` for what they share.

mod front;
mod page;
mod parameter;
mod ranges;
mod run;
mod staging;

use std::path::PathBuf;

use crate::error::{Error, Result, suggest};
use crate::output::Chart;

pub use parameter::{Parameter, Type, Value};
pub use ranges::{Given, given};
pub use run::{Done, Job, Step, run};

/// Rows of a table on the page where the front matter does not say it.
const ROWS_SHOWN: usize = 50;

/// A report as its file says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The file, as it was named.
    pub path: PathBuf,
    /// `title`, or the name of the file.
    pub title: String,
    /// `description`.
    pub description: Option<String>,
    /// The language of the page's own words.
    pub language: Language,
    /// Parameters in the order of the file.
    pub parameters: Vec<Parameter>,
    /// Statements in the order of the file.
    pub statements: Vec<Statement>,
}

/// A statement of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The SQL.
    pub text: String,
    /// The line on which it starts.
    pub line: u64,
    /// What it shows; `None` for a statement such as `SET`, which shows nothing.
    pub section: Option<Section>,
}

/// What the front matter says of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// `name`, unique in the report.
    pub name: String,
    /// The name in names of files: letters and digits of any language, in lower case, joined by `-`.
    pub slug: String,
    /// `chart`, and its line; `None` draws nothing.
    pub chart: Option<(Chart, u64)>,
    /// `note`.
    pub note: Option<String>,
    /// `alert`, and its line.
    pub alert: Option<(String, u64)>,
    /// `rows`: how many the page shows.
    pub rows: usize,
}

/// The language of a page's own words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Chinese.
    Chinese,
}

/// What a report is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One page that needs nothing else.
    Html,
    /// One workbook, a sheet for each statement.
    Xlsx,
    /// A Parquet file for each statement.
    Parquet,
    /// A CSV file for each statement.
    Csv,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 4] = [Format::Html, Format::Xlsx, Format::Parquet, Format::Csv];

    /// The name, which is the end of the names of its files, too.
    pub fn name(self) -> &'static str {
        match self {
            Format::Html => "html",
            Format::Xlsx => "xlsx",
            Format::Parquet => "parquet",
            Format::Csv => "csv",
        }
    }

    /// The format of this name.
    pub fn from_name(name: &str) -> Result<Format> {
        Self::ALL.into_iter().find(|f| f.name().eq_ignore_ascii_case(name.trim())).ok_or_else(|| {
            Error::usage(format!("unknown format '{name}' of a report: {}", suggest(name, Self::ALL.map(Format::name))))
        })
    }
}

impl Report {
    /// The name of the file without its ending, with which the names of outputs begin.
    pub fn stem(&self) -> String {
        self.path.file_stem().map_or_else(|| "report".into(), |stem| stem.to_string_lossy().into_owned())
    }

    /// A place in the file, as errors name it.
    fn place(&self, line: u64) -> String {
        format!("{}:{line}", self.path.display())
    }
}
