//! Sketches and DataSketches itself: its C++ library, by way of its Python package, reads ours, and ours reads its.
//!
//! Left out, with a word, where there is no Python that has the package; `TENURE_SKETCHES_PYTHON` names one.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use arrow::array::AsArray;

use crate::ask::Asked;

/// What is counted: the same in both languages.
const VALUES: [(&str, &str); 3] =
    [("integers", "value - 7"), ("texts", "concat('größe ', CAST(value AS TEXT))"), ("doubles", "value / 4.0 - 1")];

/// By DataSketches' Python package: bytes of its own over the same values, and its estimates of ours.
fn theirs(python: &Path, asked: &serde_json::Value) -> serde_json::Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/sketches.py");
    let mut child =
        Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
    child.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the package datasketches is missing in {}", python.display());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn numbers(asked: &Asked, sketch: &str, state: &str) -> [f64; 3] {
    let sql = format!(
        "SELECT distinct_{sketch}_estimate(s), distinct_{sketch}_low(s), distinct_{sketch}_high(s) FROM (SELECT decode('{state}', 'hex') AS s)"
    );
    let batches = asked.batches(&sql).unwrap_or_else(|e| panic!("{sketch}: {e}"));
    [0, 1, 2].map(|at| batches[0].column(at).as_primitive::<arrow::datatypes::Float64Type>().value(0))
}

#[test]
fn sketches_are_those_of_datasketches() {
    let Some(python) = std::env::var_os("TENURE_SKETCHES_PYTHON").map(std::path::PathBuf::from) else {
        eprintln!("left out: set TENURE_SKETCHES_PYTHON to a Python that has the package datasketches");
        return;
    };
    let asked = Asked::new(2);
    let mut cases = Vec::new();
    for sketch in ["hll", "theta"] {
        for (kind, expression) in VALUES {
            for (lg_k, count) in [(12, 0), (12, 1), (12, 7), (12, 300), (12, 50_000), (8, 20_000), (5, 1_000)] {
                let sql = format!(
                    "SELECT distinct_{sketch}_state({expression}, {lg_k}), distinct_{sketch}_state({expression}, {lg_k}) FILTER (WHERE value < {count} / 2)
                     FROM generate_series(0, {count} - 1)"
                );
                let batches = asked.batches(&sql).unwrap();
                let state = |at: usize| hex(batches[0].column(at).as_binary::<i32>().value(0));
                cases.push(serde_json::json!({
                    "sketch": sketch, "kind": kind, "lg_k": lg_k, "count": count, "ours": state(0), "half": state(1),
                }));
            }
        }
    }
    let answers = theirs(&python, &serde_json::Value::from(cases.clone()));
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), cases.len());
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    for (case, answer) in cases.iter().zip(answers) {
        let text = |of: &serde_json::Value, name: &str| of[name].as_str().unwrap().to_string();
        let (sketch, ours) = (text(case, "sketch"), text(case, "ours"));
        let told = format!("{sketch} {} {} {}", case["kind"], case["lg_k"], case["count"]);
        let mine = numbers(&asked, &sketch, &ours);
        let read: Vec<f64> = answer["read"].as_array().unwrap().iter().map(number).collect();
        // The two libraries interpolate in floating point in ways of their own.
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(1.0);
        assert!(mine.iter().zip(&read).all(|(a, b)| near(*a, *b)), "{told}: {mine:?}, they read {read:?}");
        // The same hashes: their sketch of the same values, put into a union with ours, is ours.
        let united: Vec<f64> = answer["united"].as_array().unwrap().iter().map(number).collect();
        assert!(mine.iter().zip(&united).all(|(a, b)| near(*a, *b)), "{told}: {mine:?}, united {united:?}");
        for (form, bytes) in answer["theirs"].as_object().unwrap() {
            let theirs = bytes["bytes"].as_str().unwrap();
            let mine = numbers(&asked, &sketch, theirs);
            let their: Vec<f64> = bytes["read"].as_array().unwrap().iter().map(number).collect();
            assert!(mine.iter().zip(&their).all(|(a, b)| near(*a, *b)), "{told} {form}: {mine:?}, they say {their:?}");
            let sql =
                format!("SELECT encode(distinct_{sketch}_merge(decode('{theirs}', 'hex'), {}), 'hex')", case["lg_k"]);
            assert_eq!(asked.one(&sql), ours, "{told} {form}: merged");
        }
        if sketch == "theta" {
            let half = text(case, "half");
            for (name, function) in [("and", "distinct_theta_and"), ("and_not", "distinct_theta_and_not")] {
                let sql = format!(
                    "SELECT distinct_theta_estimate({function}(decode('{ours}', 'hex'), decode('{half}', 'hex')))"
                );
                let (mine, their) = (asked.one(&sql).parse::<f64>().unwrap(), number(&answer[name]));
                assert!(near(mine, their), "{told} {name}: {mine} {their}");
            }
        }
    }
}
