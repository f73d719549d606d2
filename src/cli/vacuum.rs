//! `tenure vacuum`: removes the data files of old versions of a managed table, and what ingests left that nobody resumed.
//!
//! Deals with: the words about it. Does not deal with: which files go (`store::managed::vacuum`, `store::unfinished`).

use std::path::Path;
use std::time::Duration;

use super::args::VacuumArgs;
use super::session::{Stop, print};
use super::terminal::Terminal;
use crate::error::{Error, Result};
use crate::output::thousands;
use crate::store::managed;
use crate::store::managed::vacuum::{UNCOMMITTED, vacuum};
use crate::store::unfinished;

pub(super) async fn run(args: VacuumArgs, terminal: Terminal) -> Result<(), Stop> {
    let folder = table_folder(&args.folder)?;
    let mut done = vacuum(folder, args.older_than, args.dry_run).await?;
    let left = unfinished::left(folder, args.older_than.max(UNCOMMITTED), !args.dry_run);
    let of_log = done.log.len();
    done.files.extend(left.iter().map(|left| (left.name.clone(), left.bytes)));
    let mut list = String::new();
    for (file, _) in done.files.iter().chain(&done.log) {
        list.push_str(&terminal.name(file));
        list.push('\n');
    }
    print(&list)?;
    if !args.quiet {
        let (removed, needed) = match args.dry_run {
            true => ("would remove", "would stay"),
            false => ("removed", "stay"),
        };
        let mut note = format!(
            "{removed} {} files ({} bytes) that no version of the last {} needs",
            thousands((done.files.len() - left.len()) as u64),
            thousands(done.bytes() - left.iter().map(|left| left.bytes).sum::<u64>()),
            shown(args.older_than)
        );
        if !left.is_empty() {
            let bytes = thousands(left.iter().map(|left| left.bytes).sum());
            note.push_str(&format!(", {} unfinished ingests ({bytes} bytes)", thousands(left.len() as u64)));
        }
        if of_log > 0 {
            note.push_str(&format!(", {} files of the log from before the last erasure", thousands(of_log as u64)));
        }
        if done.kept > 0 {
            note.push_str(&format!("; {} {needed}", thousands(done.kept as u64)));
        }
        terminal.print_note(&note);
    }
    Ok(())
}

/// A managed table's folder, or an error that names those below.
pub(super) fn table_folder(folder: &Path) -> Result<&Path> {
    if managed::is_managed(folder) {
        return Ok(folder);
    }
    let error = match folder.exists() {
        true => Error::data(format!("'{}' is not a managed table", folder.display())),
        false => Error::data(format!("'{}' does not exist", folder.display())),
    };
    let below = managed::below(folder);
    Err(match below.is_empty() {
        true => error,
        false => {
            let tables: Vec<String> = below.iter().map(|name| folder.join(name).display().to_string()).collect();
            error.hint(format!("managed tables below it: {}", tables.join(", ")))
        }
    })
}

/// An age as it is typed.
fn shown(age: Duration) -> String {
    let seconds = age.as_secs();
    let units = [(86_400, "days"), (3600, "hours"), (60, "minutes")];
    match units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", seconds / unit),
        None => format!("{seconds} seconds"),
    }
}
