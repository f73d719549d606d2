//! The prompt: reads a statement or a command, runs it, goes on whatever happened.
//!
//! Deals with: the loop, the line editor's parts, the history file. Does not deal with: running statements (`session`).

mod commands;
mod completion;
mod edit;
mod editor;
mod events;
mod place;
mod saved;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use reedline::{HistoryItem, Reedline, Signal};
use tokio::sync::{mpsc, oneshot};

use super::highlight;
use super::interrupt::{INTERRUPT, Signals};
use super::pager::Pager;
use super::session::{Session, Stop};
use super::terminal::Modes;
use super::words::Words;
use crate::config::Keys;
use crate::engine::split;
use crate::error::{Error, Result};
use crate::output::visible;

use commands::{After, Line};
use completion::SqlCompleter;
use events::Events;

/// What the editor's parts know of the session, renewed after each statement.
type SharedWords = Arc<RwLock<Words>>;

/// Runs the prompt until its user leaves.
pub(super) async fn run(session: &mut Session) -> Result<(), Stop> {
    let wanted = session.engine.prompt().clone();
    let read_only = session.engine.is_read_only();
    session.keeps = true;
    session.timing |= wanted.timing.unwrap_or(true);
    session.types = wanted.types.unwrap_or(true);
    session.pager = if wanted.pager.unwrap_or(true) { Pager::of_environment(read_only) } else { None };
    let words = SharedWords::default();
    renew(&words, session).await;
    let events = Events::new(session.engine.clone(), session.queries().clone());
    let completer = SqlCompleter { words: Arc::clone(&words), events: events.clone(), waits: false };
    // What is edited may hold names and addresses: the folder is this user's alone, and goes with the prompt.
    let edited = tempfile::Builder::new().prefix("tenure-").tempdir().ok().filter(|_| !read_only);
    let (editor, warning) = editor::editor(editor::Parts {
        words: &words,
        completer,
        history: history_file(),
        keys: wanted.keys.unwrap_or_default(),
        color: session.terminal.color(),
        edited: edited.as_ref().map(|folder| folder.path().join("statement.sql")),
    });
    if !session.quiet {
        let version = env!("CARGO_PKG_VERSION");
        session.terminal.print_note(&format!("tenure {version}: SQL ends with ;  \\? lists commands, \\q leaves"));
    }
    if let Some(warning) = warning {
        session.terminal.print_warning(&warning);
    }
    let mut signals = Signals::listen()?;
    let modes = Modes::of_terminal();
    let lines = Lines::of(editor, wanted.keys.unwrap_or_default());
    loop {
        let read = lines.next();
        tokio::pin!(read);
        let typed = loop {
            tokio::select! {
                typed = &mut read => break typed,
                // Ctrl-C is a key while a line is being typed.
                signal = signals.next() => if signal != INTERRUPT {
                    modes.restore();
                    return Err(Stop::Interrupted(signal));
                },
            }
        };
        let typed = match typed {
            Some(Ok(Signal::Success(typed))) => typed,
            Some(Ok(Signal::CtrlC)) => continue,
            Some(Ok(Signal::CtrlD)) | None => break,
            Some(Ok(_)) => continue,
            Some(Err(e)) => return Err(Error::internal(format!("the terminal cannot be read: {e}")).into()),
        };
        events.stop();
        match answer(session, &lines, &typed).await {
            Ok(After::Leave) => break,
            Ok(_) => {}
            Err(Stop::Failed(error)) => session.terminal.print_error(&error),
            Err(Stop::Interrupted(INTERRUPT)) => session.terminal.print_note("stopped"),
            // The terminal has gone, or somebody wants the program to end.
            Err(Stop::Interrupted(signal)) => return Err(Stop::Interrupted(signal)),
            // The terminal is gone, and nobody is there to type.
            Err(stop @ (Stop::BrokenPipe | Stop::Alert)) => return Err(stop),
        }
        renew(&words, session).await;
    }
    Ok(())
}

/// Lines as they are typed. The editor waits for keys on a thread of its own, so that a request to end is heard meanwhile.
struct Lines {
    wanted: mpsc::UnboundedSender<Ask>,
}

/// What the editor is asked for.
enum Ask {
    /// The next line.
    Line(oneshot::Sender<std::io::Result<Signal>>),
    /// To remember a line that was not typed.
    Remember(String),
    /// To tell the keys, or to change them.
    Keys(Option<Keys>, oneshot::Sender<Keys>),
}

impl Lines {
    fn of(mut editor: Reedline, mut keys: Keys) -> Self {
        let (wanted, mut asked) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            while let Some(ask) = asked.blocking_recv() {
                match ask {
                    Ask::Line(answer) => {
                        let typed = editor.read_line(&editor::Prompt);
                        // Written at once: a session that is killed keeps its history.
                        let _ = editor.sync_history();
                        let _ = answer.send(typed);
                    }
                    Ask::Remember(line) => {
                        let _ = editor.history_mut().save(HistoryItem::from_command_line(line));
                        let _ = editor.sync_history();
                    }
                    Ask::Keys(change, answer) => {
                        if let Some(change) = change {
                            keys = change;
                            editor = editor.with_edit_mode(editor::mode(keys));
                        }
                        let _ = answer.send(keys);
                    }
                }
            }
        });
        Self { wanted }
    }

    /// The next line; `None` where the editor is no more.
    async fn next(&self) -> Option<std::io::Result<Signal>> {
        let (answer, typed) = oneshot::channel();
        self.wanted.send(Ask::Line(answer)).ok()?;
        typed.await.ok()
    }

    fn remember(&self, line: &str) {
        let _ = self.wanted.send(Ask::Remember(line.to_string()));
    }

    /// The keys as they are then.
    async fn keys(&self, change: Option<Keys>) -> Option<Keys> {
        let (answer, keys) = oneshot::channel();
        self.wanted.send(Ask::Keys(change, answer)).ok()?;
        keys.await.ok()
    }
}

/// Runs what was typed: a command, or statements.
async fn answer(session: &mut Session, lines: &Lines, typed: &str) -> Result<After, Stop> {
    let command = match commands::parse(typed)? {
        Line::Command(command) => command,
        Line::Sql => {
            statements(session, typed).await?;
            return Ok(After::GoOn);
        }
    };
    let after = commands::run(session, command).await?;
    match &after {
        After::Run(edited) => {
            let shown =
                if session.terminal.color() { highlight::ansi(&visible(edited)) } else { visible(edited).into() };
            session.print(&format!("{shown}\n"))?;
            lines.remember(edited);
            statements(session, edited).await?;
        }
        After::Keys(change) => match lines.keys(*change).await {
            Some(Keys::Emacs) => session.terminal.print_note("keys are those of emacs"),
            Some(Keys::Vi) => session.terminal.print_note("keys are those of vi"),
            None => {}
        },
        After::GoOn | After::Leave => {}
    }
    Ok(after)
}

async fn statements(session: &mut Session, text: &str) -> Result<(), Stop> {
    for statement in split(text)?.statements {
        session.execute(&statement.text).await?;
        finish_file(session)?;
    }
    Ok(())
}

/// `\o FILE` takes one result; then results are back on the screen.
fn finish_file(session: &mut Session) -> Result<(), Stop> {
    if session.out.as_ref().is_some_and(|out| out.results() > 0)
        && let Some(out) = session.out.take()
    {
        let path = out.path().display().to_string();
        out.commit()?;
        session.terminal.print_note(&format!("wrote {path}; results are back on the screen"));
    }
    Ok(())
}

/// A table that cannot be listed is no reason to bother the user before a query names it.
async fn renew(words: &SharedWords, session: &Session) {
    if let Ok(mut fresh) = Words::of(&session.engine).await {
        fresh.tables.extend(session.engine.last_result_table());
        *words.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }
}

/// `tenure/history` in the user's state folder.
fn history_file() -> Result<PathBuf, String> {
    use etcetera::BaseStrategy;
    let base = etcetera::choose_base_strategy().map_err(|e| e.to_string())?;
    let folder = base.state_dir().unwrap_or_else(|| base.data_dir());
    Ok(folder.join("tenure").join("history"))
}
