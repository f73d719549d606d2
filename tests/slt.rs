//! SQL in, rows out: runs every `tests/slt/**/*.slt` over a session with two partitions.
//!
//! Expected answers are worked out by hand from the definitions, then compared. `TENURE_SLT_FILL=1 cargo test --test slt`
//! writes what comes out into the files instead (look at the difference before you keep it). An argument that is no flag
//! picks the files whose name contains it. `$__TEST_DIR__` is a folder of the file's own (`control substitution on`).
//!
//! Columns are checked by type: B boolean, I integer, R number with a fraction, T text, D date, P timestamp, ? other.
//! An error is its kind and its message, and each hint on a line of its own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use sqllogictest::{AsyncDB, ColumnType, DBOutput, Runner, default_validator, strict_column_validator};
use tenure::engine::{Engine, Params, Settings};
use tenure::error::Error;

/// What a column is called in the files.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Letter(char);

impl ColumnType for Letter {
    fn from_char(value: char) -> Option<Self> {
        "BIRTDP?".contains(value).then_some(Self(value))
    }

    fn to_char(&self) -> char {
        self.0
    }
}

impl Letter {
    fn of(data_type: &DataType) -> Self {
        Self(match data_type {
            DataType::Boolean => 'B',
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => 'T',
            DataType::Dictionary(_, value) => return Self::of(value),
            DataType::Date32 | DataType::Date64 => 'D',
            DataType::Timestamp(_, _) => 'P',
            t if t.is_integer() => 'I',
            t if t.is_numeric() => 'R',
            _ => '?',
        })
    }
}

/// An error as the files write it.
#[derive(Debug)]
struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let hints = error.hints().iter().map(|hint| format!("\nhint: {hint}")).collect::<String>();
        let text = format!("{:?}: {}{hints}", error.kind(), error.message());
        Self(without_folder(&text))
    }
}

/// The folder of a file's own has another name in every run.
fn without_folder(text: &str) -> String {
    let folder = regex::Regex::new(r"[^' \[]*/\.tmp\w+").expect("a constant pattern");
    folder.replace_all(text, "DIR").into_owned()
}

/// One session.
struct Session {
    engine: Engine,
}

const FORMAT: FormatOptions<'static> =
    FormatOptions::new().with_null("NULL").with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.f"));

/// The cells of a column; an empty text shows.
fn cells(column: &ArrayRef) -> Result<Vec<String>, Failure> {
    let formatter =
        ArrayFormatter::try_new(column.as_ref(), &FORMAT).map_err(|e| Failure(format!("cannot show a column: {e}")))?;
    Ok((0..column.len())
        .map(|row| match formatter.value(row).to_string() {
            text if text.is_empty() => "(empty)".to_string(),
            text => text,
        })
        .collect())
}

#[async_trait::async_trait]
impl AsyncDB for Session {
    type Error = Failure;
    type ColumnType = Letter;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<Letter>, Failure> {
        let answer = self.engine.run(sql, &Params::new()).await?;
        let schema: &Schema = answer.schema.as_ref();
        let types: Vec<Letter> = schema.fields().iter().map(|f| Letter::of(f.data_type())).collect();
        let batches: Vec<_> = answer.stream.try_collect().await.map_err(Error::from)?;
        if types.is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        let mut rows = Vec::new();
        for batch in &batches {
            let columns = batch.columns().iter().map(cells).collect::<Result<Vec<_>, _>>()?;
            rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|c| one_line(&c[row])).collect::<Vec<_>>()));
        }
        // A plan has several lines in one cell: each is a row here, so that the files stay readable.
        if schema.field(0).name() == "plan_type" {
            let lines = batches.iter().flat_map(|batch| {
                cells(batch.column(1)).unwrap_or_default().into_iter().flat_map(|plan| plan_lines(&plan))
            });
            return Ok(DBOutput::Rows { types: vec![Letter('T')], rows: lines.map(|line| vec![line]).collect() });
        }
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "tenure"
    }
}

fn one_line(cell: &str) -> String {
    cell.replace('\n', "\\n")
}

/// The lines of a plan; depth is told by dots, because blanks are not compared.
fn plan_lines(plan: &str) -> Vec<String> {
    plan.lines()
        .map(|line| {
            let depth = line.len() - line.trim_start().len();
            format!("{}{}", "..".repeat(depth / 2), without_folder(line.trim()))
        })
        .collect()
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        match path.is_dir() {
            true => files_below(&path, found),
            false if path.extension().is_some_and(|e| e == "slt") => found.push(path),
            false => {}
        }
    }
}

async fn open() -> Result<Session, Failure> {
    // A workspace of its own: no tenure.toml of the current folder plays a part.
    let nowhere = tempfile::tempdir().map_err(|e| Failure(e.to_string()))?;
    std::fs::write(nowhere.path().join("tenure.toml"), "").map_err(|e| Failure(e.to_string()))?;
    let settings = Settings {
        workspace: Some(nowhere.path().to_path_buf()),
        threads: Some(2),
        local_files: true,
        ..Settings::default()
    };
    Ok(Session { engine: Engine::open(&settings).await? })
}

async fn run_file(path: &Path, fill: bool) -> Result<(), String> {
    let mut runner = Runner::new(open);
    runner.with_column_validator(strict_column_validator);
    match fill {
        true => {
            let normalizer = sqllogictest::default_normalizer;
            let done = runner.update_test_file(path, " ", default_validator, normalizer, strict_column_validator);
            done.await.map_err(|e| e.to_string())
        }
        false => runner.run_file_async(path).await.map_err(|e| e.display(false).to_string()),
    }
}

fn main() -> ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let fill = std::env::var("TENURE_SLT_FILL").is_ok_and(|v| v == "1");
    let mut files = Vec::new();
    files_below(&folder, &mut files);
    let all = files.len();
    let name = |path: &Path| path.strip_prefix(&folder).unwrap().with_extension("").display().to_string();
    files.retain(|path| filters.is_empty() || filters.iter().any(|f| name(path).contains(*f)));
    if arguments.iter().any(|a| a == "--list") {
        files.iter().for_each(|path| println!("{}: test", name(path)));
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!("\nrunning {} tests", files.len());
    let started = std::time::Instant::now();
    let mut failures = Vec::new();
    for path in &files {
        let done = runtime.block_on(run_file(path, fill));
        println!("test {} ... {}", name(path), if done.is_ok() { "ok" } else { "FAILED" });
        failures.extend(done.err().map(|why| format!("---- {} ----\n{why}\n", name(path))));
    }
    failures.iter().for_each(|failure| println!("\n{failure}"));
    println!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failures.is_empty() { "ok" } else { "FAILED" },
        files.len() - failures.len(),
        failures.len(),
        all - files.len(),
        started.elapsed().as_secs_f64()
    );
    // No file at all, without a filter, would be a test that cannot fail.
    if failures.is_empty() && all > 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}
