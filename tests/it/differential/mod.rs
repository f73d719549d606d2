//! Random plain SQL, answered by tenure and by DuckDB: no silent difference.
//!
//! Fixed seed; `TENURE_DIFFERENTIAL` statements (200 without it), `TENURE_DIFFERENTIAL_SEED` another seed. DuckDB comes from the Python that
//! `TENURE_DUCKDB_PYTHON` names, else from `target/peers-venv`, which `benches/peers/run.py` makes; without it the test says so and is left out.
//!
//! A statement that one side refuses is no silent difference: those of tenure are counted, and most must be answered.

mod statements;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tenure::error::Result;

use crate::ask::Asked;

/// Rows of texts in an order of their own.
type Rows = Vec<Vec<String>>;

fn python() -> Option<PathBuf> {
    let named = std::env::var_os("TENURE_DUCKDB_PYTHON").map(PathBuf::from);
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers-venv/bin/python");
    named.or_else(|| usual.exists().then_some(usual))
}

fn duck(python: &Path, asked: &[String]) -> Vec<std::result::Result<Rows, String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/differential/duck.py");
    let mut child =
        Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(serde_json::to_string(asked).unwrap().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "duckdb is missing in {}", python.display());
    let answers: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let answer = |value: serde_json::Value| match value.get("error") {
        Some(error) => Err(error.to_string()),
        None => Ok(serde_json::from_value(value).unwrap()),
    };
    answers.into_iter().map(answer).collect()
}

fn ours(asked: &Asked, statement: &str) -> Result<Rows> {
    let mut rows = Rows::new();
    for batch in asked.batches(statement)? {
        let columns: Vec<Vec<String>> = batch.columns().iter().map(texts).collect();
        rows.extend(
            (0..batch.num_rows()).map(|row| columns.iter().map(|column| column[row].clone()).collect::<Vec<_>>()),
        );
    }
    rows.sort();
    Ok(rows)
}

fn texts(column: &ArrayRef) -> Vec<String> {
    use arrow::array::AsArray;
    let shown = |of: &dyn Fn(usize) -> String| -> Vec<String> {
        (0..column.len()).map(|row| if column.is_null(row) { "NULL".into() } else { of(row) }).collect()
    };
    match column.data_type() {
        DataType::Null => vec!["NULL".into(); column.len()],
        DataType::Boolean => shown(&|row| column.as_boolean().value(row).to_string()),
        of if of.is_numeric() => {
            let numbers = cast(column, &DataType::Float64).unwrap();
            let numbers = numbers.as_primitive::<Float64Type>();
            shown(&|row| number(numbers.value(row)))
        }
        DataType::Timestamp(_, _) | DataType::Date32 => {
            let times = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None)).unwrap();
            let times = times.as_primitive::<TimestampMicrosecondType>();
            shown(&|row| times.value_as_datetime(row).unwrap().format("%Y-%m-%d %H:%M:%S%.6f").to_string())
        }
        _ => {
            let text = cast(column, &DataType::Utf8).unwrap();
            shown(&|row| text.as_string::<i32>().value(row).to_string())
        }
    }
}

/// As Python writes `%.9e`.
fn number(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    let text = format!("{:.9e}", if value == 0.0 { 0.0 } else { value });
    let (digits, exponent) = text.split_once('e').unwrap();
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
    format!("{digits}e{sign}{exponent:0>2}")
}

fn environment(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

#[test]
fn plain_sql_answers_as_duckdb_does() {
    let Some(python) = python() else {
        eprintln!(
            "left out: no DuckDB; set TENURE_DUCKDB_PYTHON to a Python that has it, or run benches/peers/run.py once"
        );
        return;
    };
    let (wanted, seed) = (environment("TENURE_DIFFERENTIAL", 200), environment("TENURE_DIFFERENTIAL_SEED", 1));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let tables = statements::tables(&mut rng);
    let asked = Asked::new(2);
    for made in &tables {
        asked.batches(made).unwrap();
    }
    let all: Vec<String> = (0..wanted).map(|_| statements::statement(&mut rng)).collect();
    let theirs = duck(&python, &[tables.clone(), all.clone()].concat());
    assert!(theirs[..tables.len()].iter().all(|made| made.is_ok()), "{:?}", &theirs[..tables.len()]);
    let (mut answered, mut refused, mut different) = (0, Vec::new(), Vec::new());
    for (statement, theirs) in all.iter().zip(&theirs[tables.len()..]) {
        match (ours(&asked, statement), theirs) {
            (Ok(ours), Ok(theirs)) if ours == *theirs => answered += 1,
            (Ok(ours), Ok(theirs)) => {
                let only = |of: &Rows, others: &Rows| -> Vec<Vec<String>> {
                    of.iter().filter(|row| !others.contains(row)).take(3).cloned().collect()
                };
                different.push(format!(
                    "{statement};\n  tenure ({} rows): {:?}\n  DuckDB ({} rows): {:?}",
                    ours.len(),
                    only(&ours, theirs),
                    theirs.len(),
                    only(theirs, &ours)
                ));
            }
            (Err(error), Ok(_)) => {
                let said = error.to_string();
                assert!(!said.contains("Internal error") && !said.contains("bug in DataFusion"), "{statement}\n{said}");
                refused.push(format!("{said}\n    {statement}"));
            }
            (_, Err(_)) => {}
        }
    }
    if std::env::var_os("TENURE_DIFFERENTIAL_REPORT").is_some() {
        eprintln!("{answered} alike, {} refused:\n{}", refused.len(), refused.join("\n"));
    }
    assert!(different.is_empty(), "{} of {wanted} differ:\n{}", different.len(), different.join("\n"));
    // A test in which everything is refused could not fail.
    assert!(answered * 10 >= wanted * 7, "{answered} of {wanted} are answered:\n{}", refused.join("\n"));
}
