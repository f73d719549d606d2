//! The arguments as typed.
//!
//! Deals with: names, help texts, value syntax. Does not deal with: what the values are used for.

mod ingest;
mod report;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Duration;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::output::{Chart, Format};

pub use ingest::{IngestArgs, PresetsArgs};
pub use report::ReportArgs;

const EXAMPLES: &str = "\
Examples:
  tenure                                          the prompt; \\? lists its commands
  tenure demo                                     funnels, retention and churn on sample data
  tenure -c \"SELECT count(*) FROM 'events.parquet'\"
  tenure -t events=data/events/ -f weekly.sql -p country=DE -o weekly.parquet
  echo 'SELECT 1' | tenure --format json
  tenure functions funnel                         arguments, columns and an example
  tenure ingest logs/ --into data                 CSV, NDJSON or Parquet into a managed table

Exit codes: 0 done, 1 a statement or its data failed, 2 wrong usage, 3 a report raised an alert.";

/// User-behaviour analytics in SQL on Parquet: funnels, retention, cohorts, churn.
#[derive(Debug, Parser)]
#[command(name = "tenure", version, max_term_width = 100, args_conflicts_with_subcommands = true)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do instead of running SQL.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Statements, in the order of the command line.
    #[command(flatten)]
    typed: InputArgs,
    /// Tables and limits.
    #[command(flatten)]
    pub session: SessionArgs,
    /// Where results go.
    #[command(flatten)]
    pub output: OutputArgs,
    /// `-c` and `-f` as they follow each other; filled in by [`parse`].
    #[arg(skip)]
    pub inputs: Vec<Input>,
}

/// A `-c` or `-f`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// SQL text.
    Sql(String),
    /// A file of SQL; `-` is standard input.
    File(PathBuf),
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Statements (default: the prompt, or a script on standard input)")]
struct InputArgs {
    /// Run these statements; may be repeated
    // Hyphens begin a comment, too.
    #[arg(short = 'c', long = "command", value_name = "SQL", id = "sql", allow_hyphen_values = true)]
    sql: Vec<String>,
    /// Run the statements of this file ('-': standard input); may be repeated and mixed with -c
    #[arg(short = 'f', long = "file", value_name = "FILE", id = "script")]
    script: Vec<PathBuf>,
}

/// Tables and limits.
#[derive(Debug, Args)]
#[command(next_help_heading = "Session")]
pub struct SessionArgs {
    /// Name a Parquet file, folder, glob or managed table as a table; may be repeated
    #[arg(short = 't', long = "table", value_name = "NAME=PATH", value_parser = pair)]
    pub tables: Vec<(String, String)>,
    /// Bind the query parameter $NAME; may be repeated
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    pub params: Vec<(String, String)>,
    /// Folder of the workspace file tenure.toml [default: the current folder]
    #[arg(short = 'w', long, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
    /// Memory that queries may use, as in 512MB or 4GiB [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub memory: Option<usize>,
    /// Threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// Only read the registered tables: no COPY, CREATE, DROP or INSERT, no files named in FROM
    #[arg(long)]
    pub read_only: bool,
    /// Stop a statement that takes longer, as in 30s, 5m or 1h [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = limit)]
    pub timeout: Option<Duration>,
    /// Set a session option, as SET does; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    pub options: Vec<(String, String)>,
}

/// Where results go.
#[derive(Debug, Args)]
#[command(next_help_heading = "Results")]
pub struct OutputArgs {
    /// table, csv, tsv, json, ndjson, markdown, parquet, arrow or svg [default: by the name of -o, else table]
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    pub format: Option<Format>,
    /// Write the result to this file, whole or not at all; holds one result unless it is a table or markdown
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// One line for each value instead of one for each row (table only)
    #[arg(short = 'x', long)]
    pub expanded: bool,
    /// Draw the result in place of the table: what fits its columns, or funnel, heatmap, curve, lifecycle, histogram, flow, line, bars
    #[arg(long, value_name = "KIND", num_args = 0..=1, require_equals = true, default_missing_value = "auto", value_parser = chart)]
    pub chart: Option<Chart>,
    /// Tell the time of each statement on standard error
    #[arg(long)]
    pub timing: bool,
    /// No progress line and no greeting
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show funnels, retention, cohorts and churn scores on sample data
    Demo(DemoArgs),
    /// Make a folder to begin in: a made shop, tenure.toml, reports that run
    Init(InitArgs),
    /// Make a shop's events and users of any size, as Parquet
    Generate(GenerateArgs),
    /// Take events from CSV, NDJSON or Parquet into a managed table
    Ingest(Box<IngestArgs>),
    /// Merge the files of a managed table that overlap or are too small
    Compact(CompactArgs),
    /// Take all rows of some users out of a managed table
    Erase(EraseArgs),
    /// Remove the data files of old versions of a managed table
    Vacuum(VacuumArgs),
    /// Look for damage in a managed table, or for what makes answers wrong in the data of any
    Doctor(DoctorArgs),
    /// List the systems whose exports ingest knows, or show what is read of one
    Presets(PresetsArgs),
    /// Run a .sql report: a page, a workbook, files
    Report(Box<ReportArgs>),
    /// List tenure's functions and relations, or show one in full
    Functions(FunctionsArgs),
    /// Print the script by which a shell completes commands and options
    Completions(CompletionsArgs),
    /// Print the manual pages, as for `tenure man | man -l -`
    Man,
}

/// `tenure completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// `tenure init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The folder, made where it is not there; files in it stay [default: the current folder]
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// No progress bar and no closing lines
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

/// `tenure demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Leave out the walk and open the prompt with the sample tables
    #[arg(long)]
    pub repl: bool,
}

/// `tenure generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Events to write
    #[arg(long, value_name = "N", value_parser = count)]
    pub events: u64,
    /// Users who make them
    #[arg(long, value_name = "N", value_parser = count)]
    pub users: u64,
    /// Another seed, another shop; the same seed, the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Folder for events.parquet, users.parquet and tenure.toml
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    pub output: PathBuf,
    /// Order of the events: as a log comes in, or user by user
    #[arg(long, value_enum, default_value_t = EventOrder::Time)]
    pub order: EventOrder,
    /// User ids as strings instead of integers
    #[arg(long)]
    pub string_ids: bool,
    /// Replace the files of an earlier run
    #[arg(long)]
    pub overwrite: bool,
    /// No progress bar and no closing line
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

/// `tenure vacuum`.
#[derive(Debug, Args)]
pub struct VacuumArgs {
    /// The table's folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Keep what versions of this time need, as in 7d, 12h or 30m; 0 keeps the newest version alone. What an ingest left
    /// unfinished goes as well once nobody has gone on with it for so long, and for a day at the least
    #[arg(long, value_name = "AGE", value_parser = age, default_value = "7d")]
    pub older_than: Duration,
    /// Remove nothing, only list what would go
    #[arg(long)]
    pub dry_run: bool,
    /// No closing line
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

/// `tenure doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// A managed table's folder, to look for damage; without it, what the tables hold is looked at
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Read every file of the managed table to its last byte, not only the log
    #[arg(long)]
    pub verify: bool,
    /// Name a Parquet file, folder, glob or managed table as a table to look at; may be repeated
    #[arg(short = 't', long = "table", value_name = "NAME=PATH", value_parser = pair)]
    pub tables: Vec<(String, String)>,
    /// Folder of the workspace file tenure.toml whose tables are looked at [default: the current folder]
    #[arg(short = 'w', long, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
    /// The time that counts as now, as in 2025-07-01
    #[arg(long, value_name = "TIME")]
    pub as_of: Option<String>,
    /// Memory that the checks may use, as in 512MB or 4GiB [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub memory: Option<usize>,
    /// No progress bar and no closing line
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

/// Order of generated events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EventOrder {
    /// By time, then user.
    Time,
    /// By user, then time.
    User,
}

/// `tenure compact`.
#[derive(Debug, Args)]
pub struct CompactArgs {
    /// The table's folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Memory for rows, such as 512MB or 4GiB
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "1GiB")]
    pub memory: usize,
    /// No progress bar and no closing line
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

/// `tenure erase`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("who").required(true).multiple(true).args(["users", "users_from"])))]
pub struct EraseArgs {
    /// The table's folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Users, as the user column writes them; may be repeated
    #[arg(long = "user", value_name = "ID", num_args = 1.., allow_hyphen_values = false)]
    pub users: Vec<String>,
    /// A file of users, one on each line; - is standard input
    #[arg(long, value_name = "FILE")]
    pub users_from: Option<PathBuf>,
    /// Change nothing, only list from which files how many rows would go
    #[arg(long)]
    pub dry_run: bool,
    /// No progress bar and no closing lines
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

/// `tenure functions`.
#[derive(Debug, Args)]
pub struct FunctionsArgs {
    /// The function to show
    pub name: Option<String>,
    /// Write the whole manual as Markdown
    #[arg(long, conflicts_with = "name")]
    pub markdown: bool,
}

/// The version, and that of the engine below: what a report of a fault needs.
static LONG_VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{} (DataFusion {})", env!("CARGO_PKG_VERSION"), datafusion::DATAFUSION_VERSION));

/// Reads the command line. Help, version and mistakes are printed here; the error is the exit code.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, ExitCode> {
    let parsed = Cli::command().long_version(LONG_VERSION.as_str()).try_get_matches_from(args).and_then(|matches| {
        let mut cli = Cli::from_arg_matches(&matches)?;
        cli.inputs = inputs(&matches, &cli.typed);
        Ok(cli)
    });
    parsed.map_err(|error| {
        // Help goes to standard output, mistakes to standard error; a reader that has left is no error.
        let _ = error.print();
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    })
}

/// `-c` and `-f` as they follow each other on the command line.
fn inputs(matches: &ArgMatches, typed: &InputArgs) -> Vec<Input> {
    let places = |id: &str| matches.indices_of(id).into_iter().flatten();
    let sql = places("sql").zip(typed.sql.iter().cloned().map(Input::Sql));
    let scripts = places("script").zip(typed.script.iter().cloned().map(Input::File));
    let mut all: Vec<(usize, Input)> = sql.chain(scripts).collect();
    all.sort_by_key(|(place, _)| *place);
    all.into_iter().map(|(_, input)| input).collect()
}

/// `name=value`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().into(), value.into())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

fn chart(text: &str) -> Result<Chart, String> {
    Chart::from_name(text).map_err(|e| e.message().to_string())
}

fn format(text: &str) -> Result<Format, String> {
    Format::from_name(text).map_err(|e| e.message().to_string())
}

/// `20000000`, `20_000_000`.
fn count(text: &str) -> Result<u64, String> {
    text.replace('_', "").parse().map_err(|_| "expected a whole number".into())
}

/// A name that is a folder's name, too.
fn table_name(text: &str) -> Result<String, String> {
    let plain = !text.is_empty() && !text.starts_with(['_', '.']) && !text.contains(['/', '\\', '\0']);
    if plain {
        Ok(text.to_string())
    } else {
        Err("expected a name that can be a folder's, and does not begin with _ or .".into())
    }
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [b'"' | b'\n' | b'\r'] => Err("quotes and line ends separate no fields".into()),
        [byte] if byte.is_ascii() => Ok(*byte),
        b"tab" | b"\\t" => Ok(b'\t'),
        _ => Err("expected one character, or 'tab'".into()),
    }
}

/// Each has a stack and a share of the memory.
const MOST_THREADS: usize = 1024;

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=MOST_THREADS).contains(&n) => Ok(n),
        _ => Err(format!("expected a whole number from 1 to {MOST_THREADS}")),
    }
}

/// `7d`, `12h`, `30m`, `90s`, `2w`; `0` needs no unit.
fn age(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 604_800)];
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match (number.parse::<u64>(), UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))) {
        (Ok(0), None) if unit.is_empty() => Some(0),
        (Ok(number), Some((_, seconds))) => number.checked_mul(*seconds),
        _ => None,
    };
    seconds.map(Duration::from_secs).ok_or_else(|| "expected an age such as 7d, 12h or 30m (s, m, h, d, w)".into())
}

/// An age that is not nothing.
fn limit(text: &str) -> Result<Duration, String> {
    match age(text) {
        Ok(limit) if !limit.is_zero() => Ok(limit),
        _ => Err("expected a time such as 30s, 5m or 1h".into()),
    }
}

/// `512MB`, `4GiB`, `1.5GB`, `1000` (bytes).
fn bytes(text: &str) -> Result<usize, String> {
    const UNITS: [(&str, f64); 8] = [
        ("", 1.0),
        ("B", 1.0),
        ("KB", 1e3),
        ("MB", 1e6),
        ("GB", 1e9),
        ("KIB", 1024.0),
        ("MIB", 1_048_576.0),
        ("GIB", 1_073_741_824.0),
    ];
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let unit = unit.to_ascii_uppercase();
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let size = number.trim().parse::<f64>().ok().zip(factor).map(|(number, factor)| number * factor);
    match size {
        Some(size) if size >= 1.0 && size < usize::MAX as f64 => Ok(size as usize),
        _ => Err("expected a size such as 512MB or 4GiB (B, KB, MB, GB, KiB, MiB, GiB)".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Cli {
        parse(std::iter::once("tenure").chain(args.iter().copied()).map(OsString::from)).unwrap()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn statements_keep_the_order_of_the_command_line() {
        let cli = parsed(&["-f", "a.sql", "-c", "SELECT 1", "-t", "x=y", "-f", "b.sql", "-cSELECT 2"]);
        let (sql, file) = (|t: &str| Input::Sql(t.into()), |t: &str| Input::File(t.into()));
        assert_eq!(cli.inputs, [file("a.sql"), sql("SELECT 1"), file("b.sql"), sql("SELECT 2")]);
    }

    #[test]
    fn sizes() {
        let read = ["512MB", "4GiB", "1.5kb", "1000", " 2 mib "].map(|t| bytes(t).unwrap());
        assert_eq!(read, [512_000_000, 4 << 30, 1500, 1000, 2 << 20]);
        for wrong in ["", "MB", "-1GB", "0", "5TBX", "1e99GB", "nanGB", "12 34"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ages() {
        let read = ["7d", "12h", "30 m", "90s", "2W", "0"].map(|t| age(t).unwrap().as_secs());
        assert_eq!(read, [604_800, 43_200, 1800, 90, 1_209_600, 0]);
        for wrong in ["", "d", "7", "-1d", "1.5h", "7 years", "99999999999999999999d", "9999999999999999999w"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pairs_may_hold_further_equal_signs() {
        assert_eq!(pair("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert_eq!(pair("a=").unwrap(), ("a".into(), String::new()));
        assert!(pair("=b").is_err() && pair("a").is_err());
    }
}
