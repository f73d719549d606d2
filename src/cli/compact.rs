//! `tenure compact`: the files of a managed table merged, with a progress bar.

use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::CompactArgs;
use super::interrupt::Stopping;
use super::session::Stop;
use super::terminal::Terminal;
use super::vacuum::table_folder;
use crate::output::thousands;
use crate::store::compact::{CompactOptions, Compacted, compact};

const TEMPLATE: &str =
    "{bar:24.cyan/dim} {percent:>3}%  {decimal_bytes} of {decimal_total_bytes}  {elapsed}, {eta} left";

pub(super) async fn run(args: CompactArgs, terminal: Terminal) -> Result<(), Stop> {
    let options = CompactOptions { memory: args.memory, ..CompactOptions::new() };
    let bar = bar(!args.quiet, TEMPLATE);
    let stopping = Stopping::listen()?;
    let progress = {
        let (bar, check) = (bar.clone(), stopping.check());
        Arc::new(move |done, all| {
            bar.set_length(all);
            bar.set_position(done);
            check()
        })
    };
    let done = compact(table_folder(&args.folder)?, &options, progress).await;
    bar.finish_and_clear();
    let done = stopping.ended(done)?;
    if !args.quiet {
        terminal.print_note(&told(&done));
    }
    Ok(())
}

/// A bar on standard error; none where that is no terminal.
pub(super) fn bar(wanted: bool, template: &str) -> ProgressBar {
    let target = if wanted { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━━─"));
    }
    bar
}

fn told(done: &Compacted) -> String {
    let Some(version) = done.version else {
        return format!("nothing to do: {}, well cut", files(done.files as u64));
    };
    format!(
        "version {version}: {} became {} ({} rows, {:.1} MB became {:.1} MB); the table has {} now\n\
         the old files stay for older versions until tenure vacuum",
        files(done.before as u64),
        done.after,
        thousands(done.rows),
        done.bytes_before as f64 / 1e6,
        done.bytes_after as f64 / 1e6,
        files(done.files as u64),
    )
}

/// `1 file`, `2 files`.
pub(super) fn files(count: u64) -> String {
    format!("{} file{}", thousands(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_told() {
        let done = Compacted { files: 1, ..Compacted::default() };
        assert_eq!(told(&done), "nothing to do: 1 file, well cut");
        let done = Compacted {
            before: 3,
            after: 1,
            rows: 1_234,
            bytes_before: 2_600_000,
            bytes_after: 2_500_000,
            files: 2,
            version: Some(7),
        };
        let text = told(&done);
        assert!(text.starts_with("version 7: 3 files became 1 (1,234 rows, 2.6 MB became 2.5 MB)"), "{text}");
        assert!(text.contains("has 2 files now"), "{text}");
    }
}
