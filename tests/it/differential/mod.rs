//! Random plain SQL, answered by tenure and by DuckDB: no silent difference.
//!
//! Fixed seed; `TENURE_DIFFERENTIAL` statements (200 without it), `TENURE_DIFFERENTIAL_SEED` another seed, `TENURE_DIFFERENTIAL_OF=file` those of a file
//! in place of random ones, one a line, after `zone:` in the other time zone. DuckDB comes from the Python that
//! `TENURE_DUCKDB_PYTHON` names, else from `target/peers-venv`, which `benches/peers/run.py` makes; without it the test says so and is left out.
//!
//! A statement that one side refuses is no silent difference: those of tenure are counted, and most must be answered.

mod more;
mod statements;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tenure::error::Result;

use crate::ask::Asked;
use crate::joined_files::as_small_row_groups;
use crate::program::Place;

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
        DataType::Timestamp(_, Some(_)) => {
            // As the clock in the zone shows it.
            let options = FormatOptions::new().with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.6f"));
            let micros = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, zone_of(column))).unwrap();
            let formatter = ArrayFormatter::try_new(&micros, &options).unwrap();
            shown(&|row| formatter.value(row).to_string())
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

fn zone_of(column: &ArrayRef) -> Option<Arc<str>> {
    match column.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
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

/// One statement: of the first kinds, of the further ones, of days in another zone.
fn drawn(rng: &mut ChaCha8Rng, at: u64) -> String {
    match at % 5 {
        0 | 1 => statements::statement(rng),
        2 | 3 => more::statement(rng),
        _ => format!("zone: {}", more::zoned(rng)),
    }
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
    let tables = [statements::tables(&mut rng), more::tables(&mut rng)].concat();
    let (asked, elsewhere) = (Asked::new(2), Asked::new(2));
    for made in &tables {
        asked.batches(&more::sides(made).0).unwrap();
        elsewhere.batches(&more::sides(made).0).unwrap();
    }
    // As files of many small row groups in order, of which filters leave out those that they think they need not.
    let place = Place::new();
    for made in &tables {
        let name = made.split_whitespace().nth(2).unwrap();
        as_small_row_groups(&asked, &place, name);
    }
    elsewhere.batches(&format!("SET tenure.time_zone = '{}'", more::ZONE)).unwrap();
    let all: Vec<String> = match std::env::var("TENURE_DIFFERENTIAL_OF") {
        Ok(file) => {
            std::fs::read_to_string(file).unwrap().lines().filter(|l| !l.is_empty()).map(String::from).collect()
        }
        Err(_) => (0..wanted).map(|at| drawn(&mut rng, at)).collect(),
    };
    let (zoned, plain): (Vec<String>, Vec<String>) =
        all.into_iter().partition(|statement| statement.starts_with("zone:"));
    let zoned: Vec<String> = zoned.iter().map(|statement| statement["zone:".len()..].trim().to_string()).collect();
    let set_zone = vec![format!("SET TimeZone = '{}'", more::ZONE)];
    let sent = [&tables, &plain, &set_zone, &zoned].into_iter().flatten().map(|text| more::sides(text).1);
    let theirs = duck(&python, &sent.collect::<Vec<_>>());
    assert!(theirs[..tables.len()].iter().all(|made| made.is_ok()), "{:?}", &theirs[..tables.len()]);
    let plain_theirs = &theirs[tables.len()..tables.len() + plain.len()];
    let zoned_theirs = &theirs[tables.len() + plain.len() + 1..];
    let pairs = plain.iter().zip(plain_theirs).map(|pair| (&asked, pair));
    let pairs = pairs.chain(zoned.iter().zip(zoned_theirs).map(|pair| (&elsewhere, pair)));
    let (mut answered, mut refused, mut different) = (0, Vec::new(), Vec::new());
    for (asked, (statement, theirs)) in pairs {
        match (ours(asked, &more::sides(statement).0), theirs) {
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
                if ["Internal error", "bug in DataFusion", "cannot be carried out"].iter().any(|bad| said.contains(bad))
                {
                    different.push(format!("{statement};\n  tenure: {said}"));
                }
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
