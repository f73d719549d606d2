//! The user's own text editor, for a statement: `\e`, and Ctrl-O while a line is typed.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::error::{Error, Result};

/// What edits a file whose name comes after its arguments: `$VISUAL`, `$EDITOR` or `vi`, as a shell reads them.
pub(super) fn command() -> Command {
    let chosen = ["VISUAL", "EDITOR"].iter().filter_map(std::env::var_os).find(|name| !name.is_empty());
    let mut script = chosen.unwrap_or_else(|| "vi".into());
    if cfg!(windows) {
        return Command::new(script);
    }
    script.push(" \"$@\"");
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg("sh");
    command
}

/// Edits a text, and gives it without blank space around it.
pub(super) fn edit(text: &str) -> Result<String> {
    let failed = |path: &Path, e: std::io::Error| Error::io("edit", path, &e);
    let temporary = std::env::temp_dir();
    let mut file = tempfile::Builder::new()
        .prefix("tenure-")
        .suffix(".sql")
        .tempfile()
        .map_err(|e| Error::io("make a file in", &temporary, &e))?;
    let path = file.path().to_path_buf();
    file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(|e| failed(&path, e))?;
    let ended = command().arg(&path).status().map_err(|e| Error::user(format!("the editor cannot be run: {e}")))?;
    if !ended.success() {
        return Err(Error::user(format!("the editor ended with {ended}; nothing is run"))
            .hint("VISUAL or EDITOR names the editor"));
    }
    // Some editors put another file in the place of the old one.
    let bytes = std::fs::read(&path).map_err(|e| failed(&path, e))?;
    let edited = String::from_utf8(bytes).map_err(|_| Error::user("what was edited is not UTF-8 text"))?;
    Ok(edited.trim().to_string())
}
