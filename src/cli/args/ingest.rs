//! What `tenure ingest` and `tenure presets` are told.

use std::path::PathBuf;

use clap::Args;

use super::{bytes, delimiter, table_name, threads};

const INGEST_HELP: &str = "\
Examples:
  tenure ingest events.csv --into data                        makes the table data/events
  tenure ingest 'logs/*.ndjson.gz' --into data --user uid --time at --event action
  tenure ingest dump.parquet --into data --mapping map.toml --dedup-key insert_id
  zcat day.csv.gz | tenure ingest - --format csv --into data

Stopped or killed, the same command goes on where it was. Rows that cannot be taken in are kept,
with the reason, in DIR/TABLE/_rejects. NDJSON fields that neither the sample shows nor the table has
are left out of their rows, and told at the end: --sample all finds every field.

The mapping file (all keys are optional):
  user = \"user_id\"                  # as --user; also time, event, dedup_key, time_unit, time_format
  tz = \"Europe/Berlin\"              # of times that name no zone [default: UTC]
  null = [\"NULL\"]                   # texts that mean NULL, beside the empty one
  drop = [\"debug\", \"p.email\"]       # source columns and fields that are left out; each must be there
  others = \"drop\"                   # leave out what is not named below
  [columns]
  user_id = \"uid\"                   # column of the table = column of the source
  price = \"properties.price\"        # a field of a nested object
  first = \"#1\"                      # by place (CSV)
  amount = { from = \"amt\", type = \"decimal(12,2)\" }
  seen_at = { from = \"seen\", type = \"timestamp\", unit = \"s\" }   # or format = \"%d/%m/%Y\", tz = ..
  platform = { constant = \"ios\" }
Types: text, bigint, int, smallint, double, float, boolean, date, timestamp, decimal(p,s).

Presets (--preset) are mappings for the exports of other systems: nested values, several events of one record.
tenure presets lists them, tenure presets ga4 shows one: a copy of it, changed, is a preset of your own (--preset ./mine.toml).";

/// `tenure ingest`.
#[derive(Debug, Args)]
#[command(after_help = INGEST_HELP)]
pub struct IngestArgs {
    /// Files, folders or globs (.csv .tsv .ndjson .jsonl .json .parquet, text also .gz and .zst); '-' is standard input
    #[arg(required = true, value_name = "SRC")]
    pub sources: Vec<String>,
    /// Folder of the tables; the table lies in a folder of its name in it
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,
    /// The table
    #[arg(long, value_name = "NAME", default_value = "events", value_parser = table_name)]
    pub table: String,
    /// What becomes of the sources' columns (below)
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// The sources are exports of this system (tenure presets lists them), or of one that a file describes: ./mine.toml
    #[arg(long, value_name = "NAME", conflicts_with_all = ["mapping", "no_header"])]
    pub preset: Option<String>,
    /// The column that tells users apart [default: user_id]
    #[arg(long, value_name = "COLUMN")]
    pub user: Option<String>,
    /// The time column [default: ts, time or timestamp]
    #[arg(long, value_name = "COLUMN")]
    pub time: Option<String>,
    /// The event column [default: event]
    #[arg(long, value_name = "COLUMN")]
    pub event: Option<String>,
    /// Unit of times that are numbers: s, ms, us or ns [default: told by their size]
    #[arg(long, value_name = "UNIT", conflicts_with = "time_format")]
    pub time_unit: Option<String>,
    /// strptime pattern of the times, as in '%d.%m.%Y %H:%M:%S' [default: told by the values]
    #[arg(long, value_name = "PATTERN")]
    pub time_format: Option<String>,
    /// Zone of times that name none, as in Europe/Berlin [default: what the mapping or preset says, else UTC]
    #[arg(long, value_name = "ZONE")]
    pub tz: Option<String>,
    /// Cut what is finer than a microsecond instead of rejecting the row
    #[arg(long)]
    pub floor_time: bool,
    /// Rows of a user with the same value in this column are one event: the earliest stays. Remembered by the table
    #[arg(long, value_name = "COLUMN")]
    pub dedup_key: Option<String>,
    /// No file holds rows of two periods (UTC): day, week or month. Remembered by the table
    #[arg(long, value_name = "PERIOD")]
    pub period: Option<String>,
    /// Format of all sources, whatever their names say: csv, ndjson or parquet
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Between CSV fields, one character or 'tab' [default: told by the first lines]
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    pub delimiter: Option<u8>,
    /// CSV sources begin with data; their columns are column_1, column_2, ..
    #[arg(long)]
    pub no_header: bool,
    /// Rows of each source that decide columns and types (64 MiB of text and 2 million rows of Parquet in all), or 'all'
    #[arg(long, value_name = "ROWS", default_value = "50000")]
    pub sample: String,
    /// Fail, and write nothing, when more rows than this are rejected: 100, or 0.5%
    #[arg(long, value_name = "N|P%")]
    pub max_rejects: Option<String>,
    /// Memory to sort in, as in 512MB or 4GiB
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "1GB")]
    pub memory: usize,
    /// Threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// Show the columns and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Load files that were loaded into this table before once more
    #[arg(long)]
    pub again: bool,
    /// Leave out files that were loaded into this table before
    #[arg(long, conflicts_with = "again")]
    pub only_new: bool,
    /// Forget what an interrupted ingest of the same sources has done
    #[arg(long)]
    pub restart: bool,
    /// No columns, no progress bar and no closing lines; rejected rows are told all the same
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

/// `tenure presets`.
#[derive(Debug, Args)]
pub struct PresetsArgs {
    /// The preset to show
    pub name: Option<String>,
}
