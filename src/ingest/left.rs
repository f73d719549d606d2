//! What is said of rows and ingests that are left: rejected rows that are too many, ingests that nobody has resumed.
//!
//! Deals with: words. Does not deal with: when they are too many (`run`).

use std::path::Path;

use super::order::Watch;
use super::rejects::Rejects;
use crate::error::Error;
use crate::files::reject::{Counted, NOT_UTF8};
use crate::store::managed::vacuum::UNCOMMITTED;
use crate::store::unfinished::{self, Left};

/// Ingests that were stopped long ago and not resumed: they take up the disk until they are.
pub fn tell_left(table: &Path, own: &str, watch: &dyn Watch) {
    let left: Vec<Left> =
        unfinished::left(table, UNCOMMITTED, false).into_iter().filter(|left| !left.name.ends_with(own)).collect();
    if !left.is_empty() {
        let megabytes = left.iter().map(|left| left.bytes).sum::<u64>().div_ceil(1_000_000);
        watch.note(&format!(
            "unfinished ingests of other sources hold {megabytes} MB in '{}' ({}): the same commands go on with them, tenure vacuum removes them",
            table.join(unfinished::FOLDER).display(),
            left.len()
        ));
    }
}

/// Rejected rows are named before anything else is: the first of each reason, the most frequent reasons first.
pub fn too_many(rejects: &Rejects, rows: u64, limit: &str) -> Error {
    let mut reasons: Vec<(&String, &Counted)> = rejects.reasons.iter().collect();
    reasons.sort_by_key(|(_, counted)| std::cmp::Reverse(counted.rows));
    let mut error = Error::data(format!("{} of {rows} rows cannot be taken in: {limit}", rejects.rows()));
    for (kind, counted) in reasons.into_iter().take(5) {
        error = error.hint(format!("{} x {kind}, first at {}", counted.rows, counted.first));
    }
    if rejects.reasons.contains_key(NOT_UTF8) {
        error = error
            .hint("say in a mapping how it is written: [read], then encoding = \"latin1\" (or gbk, windows-1252, ..)");
    }
    error
}
