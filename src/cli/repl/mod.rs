//! The prompt: reads a statement or a command, runs it, goes on whatever happened.
//!
//! Deals with: the loop, the line editor's parts, the history file. Does not deal with: running statements (`session`).

mod commands;
mod completion;
mod editor;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use reedline::{Reedline, Signal};
use tokio::sync::{mpsc, oneshot};

use super::interrupt::{INTERRUPT, Signals};
use super::session::{Session, Stop};
use super::terminal::Modes;
use super::words::Words;
use crate::engine::split;
use crate::error::{Error, Result};

use commands::{After, Line};

/// What the editor's parts know of the session, renewed after each statement.
type SharedWords = Arc<RwLock<Words>>;

/// Runs the prompt until its user leaves.
pub(super) async fn run(session: &mut Session) -> Result<(), Stop> {
    let words = SharedWords::default();
    renew(&words, session).await;
    let history = history_file();
    let (editor, warning) = editor::editor(&words, history, session.terminal.color());
    if !session.quiet {
        let version = env!("CARGO_PKG_VERSION");
        session.terminal.print_note(&format!("tenure {version}: SQL ends with ;  \\? lists commands, \\q leaves"));
    }
    if let Some(warning) = warning {
        session.terminal.print_warning(&warning);
    }
    let mut signals = Signals::listen()?;
    let modes = Modes::of_terminal();
    let lines = Lines::of(editor);
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
        match answer(session, &typed).await {
            Ok(After::GoOn) => {}
            Ok(After::Leave) => break,
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
struct Lines(mpsc::UnboundedSender<oneshot::Sender<std::io::Result<Signal>>>);

impl Lines {
    fn of(mut editor: Reedline) -> Self {
        let (wanted, mut asked) = mpsc::unbounded_channel::<oneshot::Sender<std::io::Result<Signal>>>();
        std::thread::spawn(move || {
            while let Some(answer) = asked.blocking_recv() {
                let typed = editor.read_line(&editor::Prompt);
                // Written at once: a session that is killed keeps its history.
                let _ = editor.sync_history();
                let _ = answer.send(typed);
            }
        });
        Self(wanted)
    }

    /// The next line; `None` where the editor is no more.
    async fn next(&self) -> Option<std::io::Result<Signal>> {
        let (answer, typed) = oneshot::channel();
        self.0.send(answer).ok()?;
        typed.await.ok()
    }
}

/// Runs what was typed: a command, or statements.
async fn answer(session: &mut Session, typed: &str) -> Result<After, Stop> {
    match commands::parse(typed)? {
        Line::Command(command) => commands::run(session, command).await,
        Line::Sql => {
            for statement in split(typed)?.statements {
                session.execute(&statement.text).await?;
                finish_file(session)?;
            }
            Ok(After::GoOn)
        }
    }
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
    if let Ok(fresh) = Words::of(&session.engine).await {
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
