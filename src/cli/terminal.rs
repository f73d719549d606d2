//! What the process is connected to, and messages to people.
//!
//! Deals with: terminal or pipe, width, colours, errors and notes on standard error; names from data on a terminal, whose control
//! characters are shown as escapes there, while files and pipes get the bytes.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use nu_ansi_term::{Color, Style};

use super::pager::Screen;
use crate::error::Error;
use crate::output::{escape, visible};

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

    /// Nothing but pipes.
    #[cfg(test)]
    pub fn pipes() -> Self {
        Self { stdin: false, stdout: false, stderr: false, colors: false }
    }

    /// A name from data (of a file, a column) for standard output.
    pub fn name(self, name: &str) -> Cow<'_, str> {
        if self.stdout { escape(name) } else { Cow::Borrowed(name) }
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

    /// Lines and columns of standard output, where it is a terminal that tells.
    pub fn screen(self) -> Option<Screen> {
        let (columns, lines) = terminal_size::terminal_size_of(std::io::stdout()).filter(|_| self.stdout)?;
        let (lines, columns) = (usize::from(lines.0), usize::from(columns.0));
        (lines > 0 && columns > 0).then_some(Screen { lines, columns })
    }

    /// `error: ...`, then the hints.
    pub fn print_error(self, error: &Error) {
        let mut text = format!("{} {}\n", self.label("error:", Color::Red.bold()), escape(error.message()));
        for line in error.excerpt().into_iter().flat_map(str::lines) {
            text.push_str(&format!("  {}\n", escape(line)));
        }
        for hint in error.hints() {
            text.push_str(&format!("{} {}\n", self.label("hint:", Color::Cyan.bold()), escape(hint)));
        }
        write_stderr(&text);
    }

    pub fn print_warning(self, text: &str) {
        write_stderr(&format!("{} {}\n", self.label("warning:", Color::Yellow.bold()), self.told(text)));
    }

    /// A line that is no result: a greeting, what became of a command.
    pub fn print_note(self, text: &str) {
        write_stderr(&format!("{}\n", self.told(text)));
    }

    /// A text of one or several lines, which may name what is in data.
    fn told(self, text: &str) -> Cow<'_, str> {
        if self.stderr { visible(text) } else { Cow::Borrowed(text) }
    }

    fn label(self, text: &str, style: Style) -> String {
        match self.stderr && self.colors {
            true => style.paint(text).to_string(),
            false => text.to_string(),
        }
    }
}

/// How the terminal was before an editor took it over, which does so in a way of its own while a line is typed.
#[cfg(unix)]
pub(super) struct Modes(Option<libc::termios>);

#[cfg(unix)]
impl Modes {
    /// As they are now.
    pub fn of_terminal() -> Self {
        // SAFETY: a termios is plain numbers, for which zeros are values, and the call fills it in or fails.
        let (modes, done) = unsafe {
            let mut modes: libc::termios = std::mem::zeroed();
            let done = libc::tcgetattr(libc::STDIN_FILENO, &mut modes);
            (modes, done)
        };
        Self((done == 0).then_some(modes))
    }

    /// Gives the terminal back as it was.
    pub fn restore(&self) {
        let Some(modes) = &self.0 else { return };
        // Pasted text is no longer marked.
        write_stderr("\x1b[?2004l\r\n");
        // SAFETY: the modes are those that the system gave.
        let _ = unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, modes) };
    }
}

/// Nothing is known of other systems' terminals.
#[cfg(not(unix))]
pub(super) struct Modes;

#[cfg(not(unix))]
impl Modes {
    pub fn of_terminal() -> Self {
        Self
    }

    pub fn restore(&self) {}
}

/// Nobody is left to tell when standard error is gone.
fn write_stderr(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
