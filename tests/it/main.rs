//! One binary for everything that is tested from outside, so that it links once.

mod agreement;
mod ask;
mod browser;
mod churn;
mod cli;
mod clickhouse;
mod compact;
mod damage;
mod delta_tables;
mod differential;
mod docs;
mod doctor;
mod erased;
mod features;
mod figures;
mod files;
mod files_exact;
mod files_mixed;
mod funnel_relations;
mod grouped_orders;
mod half_made;
mod hostile;
mod ingest;
mod ingest_slips;
mod ingest_types;
mod init;
mod joined_files;
mod kills;
mod layering;
mod limited;
mod managed;
mod memory;
mod merged;
mod oracle;
mod ordered;
mod output;
mod parquet_files;
mod peaks;
mod peers_fixture;
mod presets;
mod program;
mod prompt;
mod reach;
mod repl;
mod report;
mod statements;
mod states;
mod vacuumed;
mod windows;
mod writes;

/// A file that nobody declares is a test that nobody runs.
#[test]
fn every_file_here_is_declared() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let declared = include_str!("main.rs");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_string();
        let is_module = path.extension().is_some_and(|e| e == "rs") || path.join("mod.rs").exists();
        if is_module && name != "main" {
            let line = format!("mod {name};");
            assert!(declared.lines().any(|l| l == line), "tests/it/main.rs lacks `{line}`");
        }
    }
}
