//! `tenure erase`: all rows of some users taken out of a managed table.
//!
//! Deals with: the list of users, the words about what was done. Does not deal with: finding rows (`store::erase`).

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::args::EraseArgs;
use super::compact::{bar, files};
use super::interrupt::Stopping;
use super::session::{Stop, print};
use super::terminal::Terminal;
use super::vacuum::table_folder;
use crate::error::{Error, Result};
use crate::output::thousands;
use crate::store::erase::{Erased, erase};

const TEMPLATE: &str = "{bar:24.cyan/dim} {percent:>3}%  {human_pos} of {human_len} files  {elapsed}, {eta} left";

pub(super) async fn run(args: EraseArgs, terminal: Terminal) -> Result<(), Stop> {
    let mut users = args.users;
    if let Some(path) = &args.users_from {
        users.extend(lines(&read(path)?));
    }
    if users.is_empty() {
        return Err(Error::usage("erase: no users given; name them with --user or --users-from").into());
    }
    let bar = bar(!args.quiet, TEMPLATE);
    let stopping = Stopping::listen()?;
    let progress = {
        let (bar, check) = (bar.clone(), stopping.check());
        Arc::new(move |done: usize, all: usize| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
            check()
        })
    };
    let folder = table_folder(&args.folder)?;
    let done = erase(folder, &users, args.dry_run, progress).await;
    bar.finish_and_clear();
    let done = stopping.ended(done)?;
    print(&listed(&done, terminal))?;
    if !args.quiet {
        told(&done, args.dry_run).iter().for_each(|line| terminal.print_note(line));
    }
    // An erasure that is not complete is said in any case.
    if let Some(running) = still_coming(done.unfinished.running) {
        terminal.print_warning(&running);
    }
    Ok(())
}

/// Sources may be called after them.
fn called(named: u64, dry_run: bool) -> Option<String> {
    let gone = if dry_run { "would be forgotten" } else { "are forgotten" };
    (named > 0).then(|| format!("{} names of sources that mention them {gone}", thousands(named)))
}

/// Ingests that had been stopped may have put rows of theirs aside.
fn staged(stopped: usize, dry_run: bool) -> Option<String> {
    let ingests = match stopped {
        0 => return None,
        1 => "1 unfinished ingest".to_string(),
        n => format!("{} unfinished ingests", thousands(n as u64)),
    };
    Some(match dry_run {
        true => format!("what {ingests} had put aside would go, too"),
        false => {
            format!("what {ingests} had put aside is gone, too: the same command reads its sources from the start")
        }
    })
}

fn still_coming(running: usize) -> Option<String> {
    let (ingests, they) = if running == 1 { ("ingest", "it has") } else { ("ingests", "they have") };
    (running > 0).then(|| {
        format!(
            "rows of theirs may still come in with {running} {ingests} into this table; erase again when {they} ended"
        )
    })
}

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().read_to_string(&mut text),
        false => std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map_err(|e| Error::io("read", path, &e))?;
    Ok(text)
}

/// A user for each line; blank lines are none.
fn lines(text: &str) -> impl Iterator<Item = String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_string)
}

/// Users without rows are named up to so many.
const NAMED: usize = 5;

/// Files and the users' rows in them, a line for each, with a tab between.
fn listed(done: &Erased, terminal: Terminal) -> String {
    done.files.iter().map(|file| format!("{}\t{}\n", terminal.name(&file.path), file.rows)).collect()
}

fn told(done: &Erased, dry_run: bool) -> Vec<String> {
    let mut told = Vec::new();
    if done.aside > 0 {
        let gone = if dry_run { "would go" } else { "are gone" };
        told.push(format!("{} rows of theirs that ingest had put aside {gone}", thousands(done.aside)));
    }
    told.extend(called(done.named, dry_run));
    told.extend(staged(done.unfinished.removed, dry_run));
    let absent: Vec<String> = done.users.iter().filter(|(_, rows)| **rows == 0).map(|(u, _)| u.to_string()).collect();
    let found = done.users.len() - absent.len();
    if !absent.is_empty() {
        let more = if absent.len() > NAMED { ", .." } else { "" };
        let named = absent[..absent.len().min(NAMED)].join(", ");
        told.push(format!("no rows of {} of {} users: {named}{more}", absent.len(), done.users.len()));
    }
    if done.files.is_empty() {
        told.push("nothing to erase".to_string());
        return told;
    }
    let (rows, of) = (thousands(done.rows()), if found == 1 { "1 user" } else { &format!("{found} users") });
    let from = files(done.files.len() as u64);
    match done.version {
        Some(version) => {
            told.push(format!("version {version}: {rows} rows of {of} erased from {from}"));
            told.push(
                "older versions still hold them: tenure vacuum DIR --older-than 0 removes their files at once".into(),
            );
        }
        None if dry_run => told.push(format!("{rows} rows of {of} would be erased from {from}; nothing was changed")),
        None => {}
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::erase::Found;
    use crate::store::user_id::UserId;

    #[test]
    fn a_file_of_users() {
        let users: Vec<String> = lines("\u{feff}17\r\n\n  u 5 \n").collect();
        assert_eq!(users, ["17", "u 5"]);
    }

    #[test]
    fn ingests_are_told() {
        assert_eq!((staged(0, false), still_coming(0)), (None, None));
        assert!(staged(1, false).unwrap().starts_with("what 1 unfinished ingest had put aside is gone"));
        assert!(staged(2, true).unwrap().contains("2 unfinished ingests had put aside would go"));
        assert!(still_coming(1).unwrap().ends_with("1 ingest into this table; erase again when it has ended"));
    }

    #[test]
    fn what_was_erased_is_told() {
        let mut done = Erased::default();
        done.users.extend([(UserId::Number(4), 1_200), (UserId::Number(9), 0)]);
        done.files.push(Found { path: "a.parquet".into(), rows: 1_200, others: 5 });
        assert_eq!(listed(&done, Terminal::pipes()), "a.parquet\t1200\n");
        let dry = told(&done, true);
        assert_eq!(
            dry,
            ["no rows of 1 of 2 users: 9", "1,200 rows of 1 user would be erased from 1 file; nothing was changed"]
        );
        done.version = Some(3);
        let erased = told(&done, false);
        assert_eq!(erased[1], "version 3: 1,200 rows of 1 user erased from 1 file");
        assert!(erased[2].contains("tenure vacuum"), "{erased:?}");
        done.files.clear();
        assert_eq!(told(&done, false)[1], "nothing to erase");
        done.aside = 2;
        assert_eq!(told(&done, false)[0], "2 rows of theirs that ingest had put aside are gone");
    }
}
