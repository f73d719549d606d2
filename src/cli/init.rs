//! `tenure init`: a folder to begin in, with data, a workspace file that explains itself, and reports that run.
//!
//! Deals with: which files, all of them or none. Does not deal with: making the data (`sample`), running reports.

use std::path::{Path, PathBuf};

use super::args::InitArgs;
use super::generate;
use super::session::Stop;
use super::terminal::Terminal;
use crate::error::{Error, Result};
use crate::output::thousands;
use crate::sample::{GenerateOptions, Order};

const EVENTS: u64 = 50_000;
const USERS: u64 = 2_000;

/// The reports that come with the program, by file name.
const REPORTS: [(&str, &str); 8] = [
    ("acquisition.sql", include_str!("../../sql/reports/acquisition.sql")),
    ("attribution.sql", include_str!("../../sql/reports/attribution.sql")),
    ("churn.sql", include_str!("../../sql/reports/churn.sql")),
    ("conversion.sql", include_str!("../../sql/reports/conversion.sql")),
    ("lifecycle.sql", include_str!("../../sql/reports/lifecycle.sql")),
    ("retention.sql", include_str!("../../sql/reports/retention.sql")),
    ("sessions.sql", include_str!("../../sql/reports/sessions.sql")),
    ("value.sql", include_str!("../../sql/reports/value.sql")),
];

/// What stands above the tables in the workspace file.
const HEAD: &str = "\
# The workspace of this folder: tenure reads it when it is started here, or with -w. Every setting can be left out.
#
# A table is a file, a folder, a pattern or a managed table's folder. Which column tells users, times and events apart is
# said once here; columns called user_id, ts and event need no word.
#
#   [tables.visits]
#   location = \"data/visits/*.parquet\"      # or .csv, .ndjson, .json, each also .gz and .zst
#   user = \"visitor\"
#   time = \"seen_at\"
#   event = \"action\"
#
# Session options, as for SET:
#
#   [options]
#   \"tenure.time_zone\" = \"Europe/Berlin\"    # where days begin [default: UTC]

";

pub(super) async fn run(args: InitArgs, terminal: Terminal) -> Result<(), Stop> {
    let folder = args.folder.unwrap_or_else(|| PathBuf::from("."));
    let names = ["events.parquet", "users.parquet", "reports", "tenure.toml"];
    if let Some(there) = names.iter().map(|name| folder.join(name)).find(|path| path.symlink_metadata().is_ok()) {
        let error = Error::data(format!("init: '{}' is there already, and nothing was written", there.display()));
        return Err(error.hint("tenure init shop makes a folder of its own").into());
    }
    let new = !folder.exists();
    std::fs::create_dir_all(&folder).map_err(|e| Error::io("make the folder", &folder, &e))?;
    let made = fill(&folder, &names, args.quiet).await;
    if let Err(error) = made {
        if new {
            let _ = std::fs::remove_dir(&folder);
        }
        return Err(error.into());
    }
    if !args.quiet {
        let here = folder == Path::new(".");
        let (place, inside) = match here {
            true => (String::new(), String::new()),
            false => (format!(" -w {}", folder.display()), format!("{}/", folder.display())),
        };
        let users = thousands(USERS);
        terminal.print_note(&format!(
            "a made shop of {users} users: {inside}events.parquet, users.parquet, tenure.toml, {} reports",
            REPORTS.len()
        ));
        let next = [
            (format!("tenure{place}"), "the prompt: SELECT * FROM lifecycle(events); then \\chart"),
            (format!("tenure report {inside}reports/retention.sql{place} -o out"), "a page about who stays"),
            (format!("tenure doctor{place}"), "what is wrong with the data"),
        ];
        let width = next.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
        next.iter().for_each(|(command, what)| terminal.print_note(&format!("  {command:<width$}  {what}")));
    }
    Ok(())
}

/// Makes everything in a folder beside its place, then moves it there, the workspace file last.
async fn fill(folder: &Path, names: &[&str], quiet: bool) -> Result<()> {
    let failed = |e: &std::io::Error| Error::io("write to", folder, e);
    let work = tempfile::Builder::new().prefix(".init-").tempdir_in(folder).map_err(|e| failed(&e))?;
    let mut options = GenerateOptions::new(EVENTS, USERS, work.path());
    options.seed = 7;
    options.order = Order::User;
    generate::on_a_thread(options, !quiet).await?;
    let write = |name: &Path, text: &str| std::fs::write(work.path().join(name), text).map_err(|e| failed(&e));
    std::fs::create_dir(work.path().join("reports")).map_err(|e| failed(&e))?;
    for (name, text) in REPORTS {
        write(&Path::new("reports").join(name), text)?;
    }
    let tables = std::fs::read_to_string(work.path().join("tenure.toml")).map_err(|e| failed(&e))?;
    write(Path::new("tenure.toml"), &format!("{HEAD}{tables}"))?;
    for (moved, name) in names.iter().enumerate() {
        if let Err(error) = std::fs::rename(work.path().join(name), folder.join(name)) {
            for name in &names[..moved] {
                let path = folder.join(name);
                let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
            }
            return Err(failed(&error));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_report_is_among_them() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/reports");
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, REPORTS.map(|(name, _)| name));
    }
}
