//! `tenure completions SHELL` and `tenure man`: what a shell and a manual reader want to know of the command line.
//!
//! Deals with: writing them to standard output. Does not deal with: where they are installed, or completion at the prompt (`repl`).

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Cli;
use super::session::{Stop, print};
use crate::error::Error;

const NAME: &str = "tenure";

/// The script by which a shell completes subcommands and options.
pub(super) fn completions(shell: Shell) -> Result<(), Stop> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    print_bytes(script)
}

/// The manual pages, one after the other: `tenure(1)` and one of each subcommand.
pub(super) fn manual() -> Result<(), Stop> {
    let mut pages = Vec::new();
    let mut command = Cli::command();
    // Gives the subcommands names of their own, as `tenure-ingest`.
    command.build();
    for page in std::iter::once(&command).chain(command.get_subcommands()) {
        clap_mangen::Man::new(page.clone())
            .render(&mut pages)
            .map_err(|e| Error::internal(format!("manual page: {e}")))?;
    }
    print_bytes(pages)
}

fn print_bytes(bytes: Vec<u8>) -> Result<(), Stop> {
    let text = String::from_utf8(bytes).map_err(|e| Error::internal(format!("a text for the shell: {e}")))?;
    print(text.trim_end())
}
