//! What the process is connected to, and messages to people.
//!
//! Deals with: terminal or pipe, width, colours, errors and notes on standard error.

use std::io::{IsTerminal, Write};

use nu_ansi_term::{Color, Style};

use crate::error::Error;

/// Standard streams and what they can show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terminal {
    stdin: bool,
    /// Whether standard output is a terminal.
    pub stdout: bool,
    /// Whether standard error is a terminal.
    pub stderr: bool,
    colors: bool,
}

impl Terminal {
    pub fn detect() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        Self {
            stdin: std::io::stdin().is_terminal(),
            stdout: std::io::stdout().is_terminal(),
            stderr: std::io::stderr().is_terminal(),
            colors: !set("NO_COLOR") && !dumb,
        }
    }

    /// Whether somebody can type and see the answers.
    pub fn interactive(self) -> bool {
        self.stdin && self.stdout
    }

    /// Whether to colour standard output.
    pub fn color(self) -> bool {
        self.stdout && self.colors
    }

    /// Columns of standard output, where it is a terminal.
    pub fn width(self) -> Option<usize> {
        self.stdout.then(|| {
            terminal_size::terminal_size_of(std::io::stdout()).map_or(80, |(width, _)| usize::from(width.0).max(20))
        })
    }

    /// `error: ...`, then the hints.
    pub fn print_error(self, error: &Error) {
        let mut text =
            format!("{} {}\n", self.label("error:", Color::Red.bold()), crate::output::escape(error.message()));
        for hint in error.hints() {
            text.push_str(&format!("{} {}\n", self.label("hint:", Color::Cyan.bold()), crate::output::escape(hint)));
        }
        write_stderr(&text);
    }

    pub fn print_warning(self, text: &str) {
        write_stderr(&format!("{} {text}\n", self.label("warning:", Color::Yellow.bold())));
    }

    /// A line that is no result: a greeting, what became of a command.
    pub fn print_note(self, text: &str) {
        write_stderr(&format!("{text}\n"));
    }

    fn label(self, text: &str, style: Style) -> String {
        match self.stderr && self.colors {
            true => style.paint(text).to_string(),
            false => text.to_string(),
        }
    }
}

/// Nobody is left to tell when standard error is gone.
fn write_stderr(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
