//! RecordBatches to terminals and files.
//!
//! Deals with: the formats (one file each, behind [`Sink`]), how a value looks in a table, and files that are written whole or
//! not at all. Does not deal with: where a result should go, terminals' sizes and colours being detected, or exit codes (`cli`).
//! A sink sees one batch at a time; only a table holds rows back, and never more than a thousand of them.

mod arrow_file;
mod cell;
mod csv;
mod expanded;
mod far_times;
mod figure;
mod file;
mod json;
mod markdown;
mod parquet_file;
mod plan;
mod portable;
mod shown;
mod table;
mod visible;
mod workbook;

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};

use crate::error::{Error, Result, suggest};

pub use cell::escape;
pub use figure::{Chart, Figure, Kind};
pub use file::{Faults, NewFile, Watched};
pub use shown::{ShownCell, flush_right, shown};
pub use visible::{Visible, visible};
pub use workbook::Workbook;

/// Writes one result.
pub trait Sink: Send {
    /// Takes the next rows. The batch has the columns of the schema that the sink was made with.
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;

    /// Writes what is still held back and the end of the format (a footer, a closing bracket).
    fn finish(self: Box<Self>) -> Result<()>;
}

/// The formats that tenure writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A frame for people to read; doubles are rounded to six decimals.
    Table,
    /// Comma-separated values, with a header; NULL is an empty field.
    Csv,
    /// Tab-separated values, with a header; quoted like CSV where needed.
    Tsv,
    /// One JSON array with an object for each row.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// A GitHub table.
    Markdown,
    /// Parquet, zstd.
    Parquet,
    /// Arrow IPC file.
    Arrow,
    /// A picture, as its columns ask for.
    Svg,
}

/// Gives the name of a type.
pub type TypeName = fn(&DataType) -> String;

/// How tables are drawn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// Columns of the terminal: wider tables are fitted. `None` shows every cell whole.
    pub width: Option<usize>,
    /// Rows shown at most; the footer says how many there are. `None` shows all.
    pub max_rows: Option<usize>,
    /// Whether to use ANSI colours.
    pub color: bool,
    /// Whether the number of rows stands below the table.
    pub footer: bool,
    /// One line for each value instead of one for each row.
    pub expanded: bool,
    /// A picture in place of the table; which one a [`Format::Svg`] holds.
    pub chart: Option<Chart>,
    /// What calls the types of columns by name, which then stand below the columns' names. `None` shows no types.
    pub types: Option<TypeName>,
    /// What the answer took, for the line with the number of rows.
    pub took: Option<Took>,
}

/// What an answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    /// Until its last row came.
    pub time: Duration,
    /// The most bytes that were held at once, where that is known.
    pub memory: Option<usize>,
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.time.as_secs_f64())?;
        match self.memory {
            Some(bytes @ 0..1_000_000) => write!(f, ", {} kB", bytes.div_ceil(1_000)),
            Some(bytes @ 1_000_000..1_000_000_000) => write!(f, ", {} MB", (bytes + 500_000) / 1_000_000),
            Some(bytes) => write!(f, ", {:.1} GB", bytes as f64 / 1e9),
            None => Ok(()),
        }
    }
}

impl Format {
    /// Every format, in the order of the help.
    pub const ALL: [Format; 9] = [
        Format::Table,
        Format::Csv,
        Format::Tsv,
        Format::Json,
        Format::Ndjson,
        Format::Markdown,
        Format::Parquet,
        Format::Arrow,
        Format::Svg,
    ];

    /// The name, as in `--format csv`.
    pub fn name(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Csv => "csv",
            Format::Tsv => "tsv",
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Markdown => "markdown",
            Format::Parquet => "parquet",
            Format::Arrow => "arrow",
            Format::Svg => "svg",
        }
    }

    /// The file name extensions that mean this format.
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Format::Table => &["txt"],
            Format::Csv => &["csv"],
            Format::Tsv => &["tsv"],
            Format::Json => &["json"],
            Format::Ndjson => &["ndjson", "jsonl"],
            Format::Markdown => &["md"],
            Format::Parquet => &["parquet"],
            Format::Arrow => &["arrow", "feather"],
            Format::Svg => &["svg"],
        }
    }

    /// The format with this name.
    pub fn from_name(name: &str) -> Result<Format> {
        Self::ALL.into_iter().find(|f| f.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            Error::user(format!("unknown format '{name}': {}", suggest(name, Self::ALL.map(Format::name))))
        })
    }

    /// The format that the file name's extension means.
    pub fn from_path(path: &Path) -> Result<Format> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        Self::ALL.into_iter().find(|f| f.extensions().contains(&extension.as_str())).ok_or_else(|| {
            let known = Self::ALL.iter().flat_map(|f| f.extensions()).map(|e| format!(".{e}")).collect::<Vec<_>>();
            Error::usage(format!("cannot tell the format of '{}' from its name", path.display()))
                .hint(format!("use one of {}, or name the format", known.join(", ")))
        })
    }

    /// Whether the bytes are not text, so that a terminal should not see them.
    pub fn is_binary(self) -> bool {
        matches!(self, Format::Parquet | Format::Arrow)
    }

    /// Whether several results may follow each other in one file and it still is a file of the format.
    pub fn concatenates(self) -> bool {
        matches!(self, Format::Table | Format::Markdown)
    }
}

/// A sink that writes `format` to `writer`. A result without rows still gets its header, brackets or schema.
pub fn sink<W>(format: Format, schema: &SchemaRef, style: Style, writer: W) -> Result<Box<dyn Sink>>
where
    W: Write + Send + 'static,
{
    Ok(match format {
        Format::Table if plan::is_plan(schema) => Box::new(plan::Plan::new(style, writer)),
        Format::Table if style.chart.is_some() => {
            let pen = figure::Pen::Text { width: style.width.unwrap_or(80), color: style.color };
            Box::new(figure::Drawing::new(schema, style.chart.unwrap_or_default(), pen, writer)?)
        }
        Format::Svg => {
            Box::new(figure::Drawing::new(schema, style.chart.unwrap_or_default(), figure::Pen::Svg, writer)?)
        }
        Format::Table if style.expanded => Box::new(expanded::Expanded::new(schema, style, writer)),
        Format::Table => Box::new(table::Table::new(schema, style, writer)),
        Format::Csv => Box::new(csv::Csv::new(schema, b',', writer)),
        Format::Tsv => Box::new(csv::Csv::new(schema, b'\t', writer)),
        Format::Json => Box::new(json::Json::new(schema, json::Rows, writer)),
        Format::Ndjson => Box::new(json::Json::new(schema, json::Lines, writer)),
        Format::Markdown => Box::new(markdown::Markdown::new(schema, writer)?),
        Format::Parquet => Box::new(parquet_file::ParquetFile::new(schema, writer)?),
        Format::Arrow => Box::new(arrow_file::ArrowFile::new(schema, writer)?),
    })
}

/// An error of the writer itself. Where it was an [`std::io::Error`], [`Faults`] knows it in full.
fn write_failed(cause: impl std::fmt::Display) -> Error {
    Error::data(format!("cannot write the result: {cause}"))
}

/// `1234567` as `1,234,567`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_found_by_name_and_by_extension() {
        for format in Format::ALL {
            assert_eq!(Format::from_name(format.name()).unwrap(), format);
            for extension in format.extensions() {
                assert_eq!(Format::from_path(Path::new(&format!("a.b.{extension}"))).unwrap(), format);
            }
        }
        assert_eq!(Format::from_path(Path::new("X.PARQUET")).unwrap(), Format::Parquet);
        assert!(Format::from_name("markdwn").unwrap_err().message().contains("did you mean 'markdown'?"));
        assert!(Format::from_path(Path::new("folder.csv/x")).is_err());
    }

    #[test]
    fn what_an_answer_took_is_told_in_one_breath() {
        let took = |memory| Took { time: Duration::from_millis(1_234), memory }.to_string();
        assert_eq!(took(None), "1.234 s");
        let told = [1, 999_999, 1_000_000, 41_499_999, 2_345_000_000].map(|bytes| took(Some(bytes)));
        assert_eq!(told, ["1.234 s, 1 kB", "1.234 s, 1000 kB", "1.234 s, 1 MB", "1.234 s, 41 MB", "1.234 s, 2.3 GB"]);
    }

    #[test]
    fn digits_are_grouped() {
        let texts = [0, 999, 1000, 12_345, 1_234_567].map(thousands);
        assert_eq!(texts, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }
}
