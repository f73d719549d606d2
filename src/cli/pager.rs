//! A pager for tables that the screen has no room for.
//!
//! Deals with: which program pages, whether a text fits the screen, giving it to the program, whose early end is no error.
//! Does not deal with: what is shown.
//!
//! The program gets text in which control characters of data are written out already.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use unicode_width::UnicodeWidthStr;

/// What pages where nobody has chosen: long lines are cut and scrolled, colours shown, the screen left as it is.
const LESS: &str = "less";
const LESS_OPTIONS: &str = "-SRFX";

/// A text that is longer than this does not fit any screen, however few its lines are.
const LONGEST: usize = 1 << 20;

/// Exit codes with which a shell says that it could not run the program.
const NOT_RUN: [i32; 2] = [126, 127];

/// A program that pages.
#[derive(Debug, Clone)]
pub(super) struct Pager {
    /// As a shell reads it.
    command: OsString,
    /// Whether it must neither start programs nor write files.
    restricted: bool,
}

/// Lines and columns of a screen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    pub lines: usize,
    pub columns: usize,
}

/// What became of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// All of it stood on the screen or went to the pager.
    Whole,
    /// The pager was left before the end.
    Left,
    /// The pager could not be run, and nothing was shown.
    NotRun,
}

impl Pager {
    /// The one that the environment names, or `less` where there is one; an empty name means none.
    pub fn of_environment(restricted: bool) -> Option<Self> {
        if std::env::var_os("TERM").is_none_or(|term| term == "dumb") {
            return None;
        }
        let chosen = ["TENURE_PAGER", "PAGER"].iter().find_map(std::env::var_os);
        let command = match chosen {
            Some(command) if command.to_string_lossy().trim().is_empty() => return None,
            Some(command) => command,
            None => {
                let path = std::env::var_os("PATH")?;
                std::env::split_paths(&path).find(|folder| folder.join(LESS).is_file())?;
                format!("{LESS} {LESS_OPTIONS}").into()
            }
        };
        Some(Self { command, restricted })
    }

    /// Its name, for messages.
    pub fn name(&self) -> String {
        self.command.to_string_lossy().into_owned()
    }

    fn start(&self) -> io::Result<Child> {
        let mut command = if cfg!(windows) { Command::new("cmd") } else { Command::new("sh") };
        command.arg(if cfg!(windows) { "/C" } else { "-c" }).arg(&self.command);
        // A pager that is named without options would break the lines of a table.
        if std::env::var_os("LESS").is_none() {
            command.env("LESS", LESS_OPTIONS);
        }
        if self.restricted {
            command.env("LESSSECURE", "1");
        }
        command.stdin(Stdio::piped()).spawn()
    }
}

/// A writer that waits to see whether a text fits the screen, and starts the pager when it does not. Clones are the same one.
#[derive(Clone)]
pub(super) struct Paged(Arc<Mutex<State>>);

struct State {
    pager: Pager,
    screen: Screen,
    /// What waits to be shown; the last line may be open.
    waiting: Vec<u8>,
    /// Lines of it, and where the last one begins.
    lines: usize,
    line_from: usize,
    child: Option<Child>,
    left: bool,
}

impl Paged {
    pub fn new(pager: Pager, screen: Screen) -> Self {
        let state = State { pager, screen, waiting: Vec::new(), lines: 0, line_from: 0, child: None, left: false };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Whether nobody reads any more.
    pub fn is_left(&self) -> bool {
        self.state().left
    }

    /// Shows what waits, or waits until the pager is left.
    pub fn end(&self) -> io::Result<Shown> {
        let mut state = self.state();
        let Some(mut child) = state.child.take() else {
            let waiting = std::mem::take(&mut state.waiting);
            let mut stdout = io::stdout().lock();
            return stdout.write_all(&waiting).and_then(|()| stdout.flush()).map(|()| Shown::Whole);
        };
        drop(child.stdin.take());
        let code = child.wait()?.code();
        Ok(match code {
            Some(code) if NOT_RUN.contains(&code) => Shown::NotRun,
            _ if state.left => Shown::Left,
            _ => Shown::Whole,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Paged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        if state.child.is_some() {
            state.give(bytes)?;
        } else if !state.left {
            state.waiting.extend_from_slice(bytes);
            if !state.fits() {
                state.child = Some(state.pager.start()?);
                let waiting = std::mem::take(&mut state.waiting);
                state.give(&waiting)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pager that is left, however its owner ends, gives the terminal back.
impl Drop for State {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

impl State {
    fn give(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(stdin) = self.child.as_mut().and_then(|child| child.stdin.as_mut()).filter(|_| !self.left) else {
            return Ok(());
        };
        match stdin.write_all(bytes) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => self.left = true,
            other => other?,
        }
        Ok(())
    }

    /// Whether what waits leaves the last line of the screen to the prompt.
    fn fits(&mut self) -> bool {
        while let Some(length) = self.waiting[self.line_from..].iter().position(|byte| *byte == b'\n') {
            let line = &self.waiting[self.line_from..self.line_from + length];
            if width(&String::from_utf8_lossy(line)) > self.screen.columns {
                return false;
            }
            self.lines += 1;
            self.line_from += length + 1;
        }
        self.lines < self.screen.lines && self.waiting.len() <= LONGEST
    }
}

/// Columns of a line without its colours.
fn width(line: &str) -> usize {
    let mut parts = line.split("\x1b[");
    let first = parts.next().map_or(0, UnicodeWidthStr::width);
    first + parts.map(|part| part.split_once('m').map_or(0, |(_, text)| text.width())).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(lines: usize, columns: usize) -> State {
        let pager = Pager { command: "cat".into(), restricted: false };
        State {
            pager,
            screen: Screen { lines, columns },
            waiting: Vec::new(),
            lines: 0,
            line_from: 0,
            child: None,
            left: false,
        }
    }

    #[test]
    fn colours_take_no_room() {
        assert_eq!(width("\x1b[2m│\x1b[0m \x1b[1m日本\x1b[0m"), 6);
        assert_eq!(width("plain"), 5);
    }

    #[test]
    fn what_is_wider_or_longer_than_the_screen_does_not_fit() {
        let fits = |text: &str| {
            let mut state = state(4, 10);
            text.split_inclusive(' ').all(|part| {
                state.waiting.extend_from_slice(part.as_bytes());
                state.fits()
            })
        };
        assert!(fits("") && fits("1\n2\n3\n") && fits("0123456789\n"));
        assert!(!fits("1\n2 \n3\n4\n"));
        assert!(!fits("01234 56789a\n"));
        assert!(!fits(&"x".repeat(LONGEST + 1)));
    }

    #[cfg(unix)]
    #[test]
    fn a_pager_that_leaves_early_is_no_error() {
        let long = "line\n".repeat(100_000);
        let paged = |command: &str| {
            let pager = Pager { command: command.into(), restricted: false };
            let mut paged = Paged::new(pager, Screen { lines: 4, columns: 10 });
            paged.write_all(long.as_bytes()).unwrap();
            paged.end().unwrap()
        };
        assert_eq!(paged("true"), Shown::Left);
        assert_eq!(paged("wc -l | grep -q 100000 || exit 127"), Shown::Whole);
        assert_eq!(paged("exec tenure-has-no-such-pager 2> /dev/null"), Shown::NotRun);
    }
}
