//! Scripts: `-c`, `-f` and standard input. Stops at the first error and says which statement it was.

use std::io::Read;
use std::path::Path;

use super::args::Input;
use super::session::{Session, Stop};
use crate::engine::{Statement, split};
use crate::error::{Error, Result};

/// Statements from one place.
#[derive(Debug)]
pub(super) struct Script {
    /// File name; `None` for `-c`, whose statements need no line.
    name: Option<String>,
    statements: Vec<Statement>,
}

/// Reads and splits everything before the first statement runs, so that a missing file or an open quote stops it all.
pub(super) fn read(inputs: &[Input]) -> Result<Vec<Script>> {
    if inputs.is_empty() {
        return Ok(vec![stdin()?]);
    }
    inputs
        .iter()
        .map(|input| match input {
            Input::Sql(text) => Ok(Script { name: None, statements: split(text)?.statements }),
            Input::File(path) if path == Path::new("-") => stdin(),
            Input::File(path) => file(path),
        })
        .collect()
}

/// A file of statements.
pub(super) fn file(path: &Path) -> Result<Script> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, &e))?;
    named(path.display().to_string(), bytes)
}

fn stdin() -> Result<Script> {
    let mut bytes = Vec::new();
    let name = "<stdin>";
    std::io::stdin().lock().read_to_end(&mut bytes).map_err(|e| Error::io("read", Path::new(name), &e))?;
    named(name.into(), bytes)
}

fn named(name: String, bytes: Vec<u8>) -> Result<Script> {
    let text = String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..valid].iter().filter(|b| **b == b'\n').count() + 1;
        Error::user(format!("{name}:{line}: not UTF-8 text"))
    })?;
    let script = split(text.trim_start_matches('\u{feff}')).map_err(|e| e.at(&name))?;
    Ok(Script { name: Some(name), statements: script.statements })
}

/// Runs scripts one after the other; an output file appears when all of them are done.
pub(super) async fn run(session: &mut Session, scripts: Vec<Script>) -> Result<(), Stop> {
    let on_command_line = scripts.iter().filter(|s| s.name.is_none()).map(|s| s.statements.len()).sum();
    let mut before = 0;
    for script in scripts {
        before = run_one(session, &script, before, on_command_line).await?;
    }
    match session.out.take() {
        Some(out) => Ok(out.commit()?),
        None => Ok(()),
    }
}

/// Runs one script from the prompt.
pub(super) async fn include(session: &mut Session, script: &Script) -> Result<(), Stop> {
    run_one(session, script, 0, 0).await.map(drop)
}

/// `-c` texts are counted together, as one script: gives how many statements of them have run.
async fn run_one(session: &mut Session, script: &Script, before: usize, of: usize) -> Result<usize, Stop> {
    for (at, statement) in script.statements.iter().enumerate() {
        let (number, of) = match &script.name {
            Some(_) => (at + 1, script.statements.len()),
            None => (before + at + 1, of),
        };
        session.execute(&statement.text).await.map_err(|stop| match (stop, &script.name) {
            (Stop::Failed(error), Some(name)) => {
                Stop::Failed(error.at(format!("{name}:{}: statement {number} of {of}", statement.line)))
            }
            (Stop::Failed(error), None) if of > 1 => Stop::Failed(error.at(format!("statement {number} of {of}"))),
            (stop, _) => stop,
        })?;
    }
    Ok(if script.name.is_none() { before + script.statements.len() } else { before })
}
