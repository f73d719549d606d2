//! What `tenure report` is told.

use std::path::PathBuf;

use clap::Args;

use super::SessionArgs;

const REPORT_HELP: &str = "\
Examples:
  tenure report sql/reports/weekly.sql -p start=2025-03-03 -o out --format html,xlsx,parquet
  tenure report weekly.sql -p start=2025-01-06..2025-03-31/week -o out
  tenure report weekly.sql --if \"SELECT count(*) < 100 FROM events WHERE event = 'purchase'\"
  tenure report --list sql/reports

A report is SQL with front matter in its comments:
  -- title: Weekly conversion
  -- param: start date = today - 7 days -- the first day (also timestamp, int, double, text, bool)
  -- name: Funnel              before each statement; also note, rows,
  -- chart: funnel             auto, none or a kind of chart
  -- alert: conversion < 0.02  a condition over the columns of the result
  SELECT * FROM funnel(events, ..) ..

Exit codes: 0 done, 1 something failed (a range goes on with its next value), 2 wrong usage,
3 done, and an alert was raised.";

/// `tenure report`.
#[derive(Debug, Args)]
#[command(after_help = REPORT_HELP)]
pub struct ReportArgs {
    /// The report's file; with --list a file or a folder of reports
    #[arg(value_name = "REPORT", required_unless_present = "list")]
    pub report: Option<PathBuf>,
    /// Folder of the outputs; the files of a run appear together or not at all
    #[arg(short = 'o', long = "output", value_name = "DIR", default_value = ".")]
    pub output: PathBuf,
    /// html, xlsx, parquet and csv, with commas between them
    #[arg(long, value_name = "FORMATS", value_delimiter = ',', default_value = "html")]
    pub format: Vec<String>,
    /// Raise an alert (exit code 3) where this query of one BOOLEAN column answers true
    #[arg(long = "if", value_name = "SQL")]
    pub condition: Option<String>,
    /// The page's template (Jinja) instead of the built-in one [default: that of tenure.toml]
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,
    /// List reports with their parameters and statements, and run none
    #[arg(long, conflicts_with_all = ["condition", "template"])]
    pub list: bool,
    /// No progress line and no closing lines; alerts are told all the same
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Tables and limits.
    #[command(flatten)]
    pub session: SessionArgs,
}
