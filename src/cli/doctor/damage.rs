//! What is damaged in a managed table, a line for each place.
//!
//! Deals with: the words about it. Does not deal with: finding it (`store::managed::damage`, `store::loads`).

use std::path::Path;

use crate::cli::args::DoctorArgs;
use crate::cli::compact::{bar, files};
use crate::cli::interrupt::Stopping;
use crate::cli::session::{Stop, print};
use crate::cli::terminal::Terminal;
use crate::cli::vacuum::table_folder;
use crate::error::Error;
use crate::output::thousands;
use crate::store::loads;
use crate::store::managed::damage::{Examined, Found, examine};

const TEMPLATE: &str = "{bar:24.cyan/dim} {percent:>3}%  {human_pos} of {human_len} files  {elapsed}, {eta} left";

pub(super) async fn run(folder: &Path, args: &DoctorArgs, terminal: Terminal) -> Result<(), Stop> {
    let folder = table_folder(folder)?;
    let bar = bar(!args.quiet && args.verify, TEMPLATE);
    let stopping = Stopping::listen()?;
    let check = stopping.check();
    let progress = |done: usize, all: usize| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
        check()
    };
    let examined = examine(folder, args.verify, &progress).await;
    bar.finish_and_clear();
    let mut examined = stopping.ended(examined)?;
    let records = loads::damaged(folder).into_iter();
    examined.damage.extend(records.map(|(file, why)| Found {
        file,
        column: None,
        what: format!("it is no record of a load: {why}"),
    }));
    print(&examined.damage.iter().map(|found| line(found, terminal)).collect::<String>())?;
    if !args.quiet {
        told(&examined, args.verify).iter().for_each(|line| terminal.print_note(line));
    }
    match examined.damage.len() {
        0 => Ok(()),
        1 => Err(Error::data(format!("'{}' is damaged in 1 place", folder.display())).into()),
        n => Err(Error::data(format!("'{}' is damaged in {n} places", folder.display())).into()),
    }
}

/// File, column and what is wrong, with a tab between.
fn line(found: &Found, terminal: Terminal) -> String {
    let [file, column, what] =
        [&found.file, found.column.as_deref().unwrap_or_default(), &found.what].map(|text| terminal.name(text));
    format!("{file}\t{column}\t{what}\n")
}

fn told(examined: &Examined, verified: bool) -> Vec<String> {
    let Some(version) = examined.version else { return vec!["the log cannot be read".to_string()] };
    let (count, rows) = (files(examined.files as u64), thousands(examined.rows));
    let mut told = vec![format!("version {version}: {count}, {rows} rows, {:.1} MB", examined.bytes as f64 / 1e6)];
    if examined.unchecked > 0 {
        let of = files(examined.unchecked as u64);
        told.push(format!(
            "{of} without checksums: damage to values in them cannot be seen; tenure compact writes some anew"
        ));
    }
    told.push(match verified {
        true => "every byte was read".to_string(),
        false => "the log was read, and of each file its size; --verify reads everything".to_string(),
    });
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_told() {
        let found = Found { file: "a.parquet".into(), column: Some("price".into()), what: "wrong".into() };
        assert_eq!(line(&found, Terminal::pipes()), "a.parquet\tprice\twrong\n");
        let none = told(&Examined::default(), true);
        assert_eq!(none, ["the log cannot be read"]);
        let examined =
            Examined { version: Some(3), files: 2, rows: 1_200, bytes: 2_500_000, unchecked: 1, ..Examined::default() };
        let lines = told(&examined, false);
        assert_eq!(lines[0], "version 3: 2 files, 1,200 rows, 2.5 MB");
        assert!(lines[1].starts_with("1 file without checksums") && lines[2].contains("--verify"), "{lines:?}");
    }
}
