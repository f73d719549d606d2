//! What the manual and the folder of analyses promise: every example runs on the sample shop and answers something.

use std::path::{Path, PathBuf};

use tenure::cli::functions_markdown;
use tenure::engine::{catalogue, split};

use crate::ask::Asked;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sql_files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "sql"));
    files.sort();
    files
}

/// Runs every statement of a text; rows of the last one.
fn run(asked: &Asked, place: &str, text: &str) -> usize {
    let script = split(text).unwrap_or_else(|e| panic!("{place}: {e}"));
    assert!(!script.statements.is_empty(), "{place} holds no statement");
    let mut rows = 0;
    for statement in script.statements {
        let batches = asked.batches(&statement.text);
        let batches = batches.unwrap_or_else(|e| panic!("{place}, line {}: {e}", statement.line));
        rows = batches.iter().map(|b| b.num_rows()).sum();
    }
    rows
}

#[test]
fn every_example_of_the_manual_answers() {
    let sample = Asked::workspace("shop");
    // The sample data are plain files, which have no history.
    let shop = crate::managed::Shop::new();
    let managed = shop.ask();
    let entries = catalogue();
    assert!(entries.len() > 10);
    for entry in entries {
        let asked = if entry.name == "history" { &managed } else { &sample };
        assert!(!entry.example.is_empty(), "{} has no example", entry.name);
        assert!(entry.example.contains(entry.name), "the example of {} does not use it", entry.name);
        assert!(run(asked, entry.name, entry.example) > 0, "the example of {} answers nothing", entry.name);
    }
}

/// Every function that the session knows beyond DataFusion's own is in the manual, or is a part of a relation's plan.
#[test]
fn every_function_is_in_the_manual() {
    let names = |asked: &Asked| -> std::collections::BTreeSet<String> {
        let state = asked.engine.context().state();
        let (aggregates, scalars) = (state.aggregate_functions().keys(), state.scalar_functions().keys());
        aggregates.chain(scalars).chain(state.window_functions().keys()).cloned().collect()
    };
    let ours = names(&Asked::new(1));
    let plain = datafusion::prelude::SessionContext::new().state();
    let (aggregates, scalars) = (plain.aggregate_functions().keys(), plain.scalar_functions().keys());
    let theirs: std::collections::BTreeSet<String> =
        aggregates.chain(scalars).chain(plain.window_functions().keys()).cloned().collect();
    let mut documented: std::collections::BTreeSet<String> = catalogue().iter().map(|e| e.name.to_string()).collect();
    // Another name of `date_diff`, whose entry tells it.
    documented.insert("datediff".to_string());
    // Pieces of plans: they show in EXPLAIN, nobody types them.
    let inner = [
        "as_number",
        "attribution_credits",
        "breakdown",
        "data_reach",
        "flow_table",
        "funnel_steps",
        "funnel_touches",
        "funnel_window_end",
        "period_end",
        "retention_cells",
        "time_length",
        "user_attribution",
        "user_intervals",
        "user_paths",
        "user_retention",
        "user_sessions",
        "user_transitions",
        "user_views",
    ];
    let missing: Vec<&String> = ours
        .difference(&theirs)
        .filter(|name| !documented.contains(*name) && !inner.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "not in the manual: {missing:?}");
    for name in inner {
        assert!(ours.contains(name), "{name} is gone: take it off this list");
    }
}

/// `TENURE_WRITE_MANUAL=1 cargo test --test it docs` writes the file.
#[test]
fn the_manual_is_what_the_code_says() {
    let path = root().join("sql/FUNCTIONS.md");
    let text = functions_markdown(&catalogue());
    if std::env::var("TENURE_WRITE_MANUAL").is_ok_and(|v| v == "1") {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "sql/FUNCTIONS.md is not what the code says; TENURE_WRITE_MANUAL=1 cargo test --test it docs writes it"
    );
}

#[test]
fn every_analysis_answers() {
    let asked = Asked::workspace("shop");
    let files = sql_files("sql/analyses");
    assert!(files.len() >= 10);
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let place = path.display().to_string();
        let comment: Vec<&str> = text.lines().take_while(|line| line.starts_with("--")).collect();
        assert!(comment.first().is_some_and(|line| line.ends_with('?')), "{place} begins without a question");
        assert!(comment.iter().any(|line| line.starts_with("-- Read off:")), "{place} does not say how to read it");
        assert!(run(&asked, &place, &text) > 1, "{place} answers nothing");
    }
}

/// The ```sql blocks of both READMEs run, and print what the ```text block below them says: a table, or else the chart. A picture below a block
/// is its result drawn as SVG.
#[test]
fn every_block_of_the_readmes_runs_and_prints_what_it_says() {
    ["README.md", "README.zh.md"].into_iter().for_each(check_readme);
}

fn check_readme(name: &str) {
    let text = std::fs::read_to_string(root().join(name)).unwrap();
    let asked = Asked::workspace("shop");
    let (mut compared, mut pictures) = (0, 0);
    for (number, block) in text.split("```sql\n").skip(1).enumerate() {
        let place = format!("{name}, block {}", number + 1);
        let (sql, rest) = block.split_once("```").unwrap_or_else(|| panic!("{place} is not closed"));
        run(&asked, &place, sql);
        let answer = |options: &[&str]| {
            let shop = root().join("testdata/shop");
            let args = ["-w", shop.to_str().unwrap(), "-c", sql].into_iter().chain(options.iter().copied());
            String::from_utf8(crate::program::Place::new().tenure().args(args).output().unwrap().stdout).unwrap()
        };
        if let Some(file) = rest.trim_start().strip_prefix("![").and_then(|p| p.split(['(', ')']).nth(1)) {
            let svg = answer(&["--format", "svg"]);
            if std::env::var("TENURE_WRITE_MANUAL").is_ok() {
                std::fs::write(root().join(file), &svg).unwrap();
            }
            let drawn = std::fs::read_to_string(root().join(file)).unwrap();
            assert!(drawn == svg, "{place}: {file} is not its result; TENURE_WRITE_MANUAL=1 draws it");
            pictures += 1;
            continue;
        }
        let Some(printed) = rest.trim_start().strip_prefix("```text\n") else { continue };
        let printed = printed.split_once("```").unwrap_or_else(|| panic!("{place}: its result is not closed")).0;
        let options: &[&str] = if printed.starts_with('┌') { &[] } else { &["--chart"] };
        assert_eq!(answer(options).trim(), printed.trim(), "{place}");
        compared += 1;
    }
    assert!(compared >= 3 && pictures >= 2, "{name}: only {compared} results and {pictures} pictures are shown");
}
