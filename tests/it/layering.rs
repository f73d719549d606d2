//! The arrows of the architecture, read off the sources.
//!
//! main -> cli -> report, server, cluster -> engine -> relations, plan -> exec, functions, store -> algo, model;
//! cli, report -> output -> arrow, the writer of files::checksums, which sample uses, too; error and config for all. Tests inside a file may use what they like.

use std::path::{Path, PathBuf};

use regex::Regex;

/// What each module may name beside itself, `error` and `config`.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("lib", &[]),
    ("cli", &["report", "server", "cluster", "engine", "output", "ingest", "sample", "store", "files", "functions"]),
    ("report", &["engine", "output"]),
    ("server", &["engine"]),
    ("cluster", &["engine"]),
    ("engine", &["relations", "plan", "functions", "exec", "store", "files"]),
    // A relation composes functions, asks the store what a table says of itself, and checks calendars while it plans.
    ("relations", &["functions", "algo", "store"]),
    ("plan", &["exec", "functions", "store", "files", "algo"]),
    ("exec", &["algo", "model"]),
    ("functions", &["algo", "model"]),
    ("ingest", &["store", "files"]),
    ("sample", &["files::checksums"]),
    ("store", &["files", "algo"]),
    ("files", &["algo"]),
    // Parquet is written by the one writer that puts checksums into it.
    ("output", &["files::checksums"]),
    ("algo", &[]),
    ("model", &[]),
    ("config", &[]),
    ("error", &[]),
];

struct Source {
    /// The first folder or the file's own name.
    module: String,
    name: String,
    /// Lines without comments and without the tests at the end.
    lines: Vec<(usize, String)>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files
        .into_iter()
        .filter(|path| path.file_stem().is_some_and(|stem| stem != "tests"))
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            let module = name.split('/').next().unwrap().trim_end_matches(".rs").to_string();
            let text = std::fs::read_to_string(&path).unwrap();
            let tested = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
            let lines = text[..tested].lines().enumerate().map(|(at, line)| (at + 1, line.to_string()));
            let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
            Source { module, name, lines: code.collect() }
        })
        .collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => walk(&path, files),
            false if path.extension().is_some_and(|e| e == "rs") => files.push(path),
            false => {}
        }
    }
}

fn complain(faults: Vec<String>) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn arrows_point_down() {
    let path = Regex::new(r"\b(?:crate|tenure)::(\{[^}]*\}|\w+(?:::\w+)?)").unwrap();
    let mut faults = Vec::new();
    let mut seen = 0;
    for source in sources() {
        let Some((_, allowed)) = ARROWS.iter().find(|(module, _)| *module == source.module) else {
            faults.push(format!("src/{}: module '{}' has no place in the picture", source.name, source.module));
            continue;
        };
        // A list of names may go over several lines.
        let code: Vec<&str> = source.lines.iter().map(|(_, text)| text.as_str()).collect();
        for found in path.captures_iter(&code.join("\n")) {
            for name in found[1].trim_matches(['{', '}']).split(',').map(str::trim).filter(|n| !n.is_empty()) {
                seen += 1;
                let module = name.split("::").next().unwrap();
                let fine = ["error", "config", source.module.as_str()].contains(&module)
                    || allowed.iter().any(|a| *a == module || *a == name);
                // Capitals and constants are the crate's own, such as its name.
                if !fine && module.chars().next().is_some_and(char::is_lowercase) {
                    faults.push(format!("src/{}: {} must not use {name}", source.name, source.module));
                }
            }
        }
    }
    assert!(seen > 100, "the pattern finds hardly anything: {seen}");
    complain(faults);
}

/// Pure algorithms and statistics: no query engine, no runtime, no input or output; output knows no engine either.
#[test]
fn the_lower_layers_stay_pure() {
    let banned: &[(&[&str], &[&str])] = &[
        (
            &["algo", "model"],
            &["datafusion", "arrow", "tokio", "futures", "object_store", "parquet", "std::fs", "std::io", "std::net"],
        ),
        (&["output"], &["datafusion", "tokio", "futures"]),
    ];
    let mut faults = Vec::new();
    let sources = sources();
    for (modules, words) in banned {
        let word = Regex::new(&format!(r"(^|[^\w:])({})\b(::|;|\{{)", words.join("|"))).unwrap();
        assert!(word.is_match("use datafusion::error::Result;"));
        for source in sources.iter().filter(|source| modules.contains(&source.module.as_str())) {
            let named = source.lines.iter().filter(|(_, text)| word.is_match(text));
            faults.extend(named.map(|(line, text)| format!("src/{}:{line}: {}", source.name, text.trim())));
        }
    }
    complain(faults);
}

/// Only the command line speaks, reads the environment and ends the process.
#[test]
fn only_the_command_line_speaks() {
    let speaks = Regex::new(
        r"\be?print(ln)?!|\bdbg!|std::env::|\benv::(var|args|current_dir|temp_dir)|process::(exit|abort)|\bstd(out|err)\(\)",
    )
    .unwrap();
    let mut faults = Vec::new();
    let mut spoken = 0;
    for source in sources() {
        for (line, text) in source.lines.iter().filter(|(_, text)| speaks.is_match(text)) {
            match ["cli", "main"].contains(&source.module.as_str()) {
                true => spoken += 1,
                false => faults.push(format!("src/{}:{line}: {}", source.name, text.trim())),
            }
        }
    }
    assert!(spoken > 3, "the pattern finds hardly anything: {spoken}");
    complain(faults);
}

/// Every file says at its door what it deals with; none is too long; nothing unwraps outside tests.
#[test]
fn files_have_a_door_and_an_end() {
    let unwraps = Regex::new(r"\.unwrap\(\)|\.expect\(").unwrap();
    let mut faults = Vec::new();
    for source in sources() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(&source.name);
        let text = std::fs::read_to_string(path).unwrap();
        if !text.starts_with("//!") {
            faults.push(format!("src/{}: no `//!` at the door", source.name));
        }
        if source.lines.len() > 600 {
            faults.push(format!("src/{}: {} lines without comments and tests", source.name, source.lines.len()));
        }
        let calls = source.lines.iter().filter(|(_, text)| unwraps.is_match(text));
        faults.extend(calls.map(|(line, text)| format!("src/{}:{line}: {}", source.name, text.trim())));
    }
    complain(faults);
}

/// Files become tables in `files` alone: the library's listing types by a thousand rows, reads by position and lets hidden files in.
#[test]
fn no_location_becomes_a_table_by_the_library() {
    let own = Regex::new(
        r"(\bListingTable\w*|\bListingOptions\b|\.(register|read)_(csv|json|parquet|listing_table)\(|file_format::(csv|json)\b|\bCsvSource\b|\bJsonSource\b)",
    )
    .unwrap();
    let mut faults = Vec::new();
    for source in sources() {
        for (line, text) in &source.lines {
            if let Some(found) = own.find(text) {
                faults.push(format!("src/{}:{line}: {}", source.name, found.as_str()));
            }
        }
    }
    complain(faults);
}
