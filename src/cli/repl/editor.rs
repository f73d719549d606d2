//! The line editor: prompt, keys, colours, when a statement is complete, history.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use reedline::{
    ColumnarMenu, EditCommand, Emacs, FileBackedHistory, Highlighter, KeyCode, KeyModifiers, MenuBuilder,
    PromptEditMode, PromptHistorySearch, Reedline, ReedlineEvent, ReedlineMenu, StyledText, ValidationResult,
    Validator, default_emacs_keybindings,
};

use super::SharedWords;
use super::commands::is_command;
use super::completion::SqlCompleter;
use crate::cli::highlight::stretches;
use crate::engine::split;

const MENU: &str = "completion";
const HISTORY_ENTRIES: usize = 10_000;

/// An editor, and a warning where the history cannot be kept.
pub(super) fn editor(words: &SharedWords, history: Result<PathBuf, String>, color: bool) -> (Reedline, Option<String>) {
    let mut keys = default_emacs_keybindings();
    keys.add_binding(
        KeyModifiers::NONE,
        KeyCode::Tab,
        ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu(MENU.into()), ReedlineEvent::MenuNext]),
    );
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
    keys.add_binding(KeyModifiers::ALT, KeyCode::Enter, ReedlineEvent::Edit(vec![EditCommand::InsertNewline]));
    let editor = Reedline::create()
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_validator(Box::new(Complete))
        .with_highlighter(Box::new(Colors(Arc::clone(words))))
        .with_completer(Box::new(SqlCompleter(Arc::clone(words))))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(ColumnarMenu::default().with_name(MENU))))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_ansi_colors(color)
        .use_bracketed_paste(true);
    let kept = history.and_then(|path| {
        FileBackedHistory::with_file(HISTORY_ENTRIES, path.clone())
            .map_err(|e| format!("{}: {e}", path.display()))
            .map(|history| (history, path))
    });
    match kept {
        Ok((history, path)) => {
            private(&path);
            (editor.with_history(Box::new(history)), None)
        }
        Err(cause) => (editor, Some(format!("the history is not kept: {cause}"))),
    }
}

/// Statements may hold names and addresses: nobody else reads them.
fn private(history: &std::path::Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let _ = std::fs::set_permissions(history, std::fs::Permissions::from_mode(0o600));
    }
    #[cfg(not(unix))]
    let _ = history;
}

/// `tenure> `, and `     -> ` where a statement goes on.
pub(super) struct Prompt;

impl reedline::Prompt for Prompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        "tenure".into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        "> ".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "     -> ".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        format!(" (search: {}) ", search.term).into()
    }
}

/// A line is complete when it is a command or ends with `;`.
struct Complete;

impl Validator for Complete {
    fn validate(&self, line: &str) -> ValidationResult {
        if is_command(line) || split(line).is_ok_and(|script| script.closed) {
            ValidationResult::Complete
        } else {
            // An open quote or comment is an error of `split`: more lines may close it.
            ValidationResult::Incomplete
        }
    }
}

struct Colors(SharedWords);

impl Highlighter for Colors {
    fn highlight(&self, line: &str, _cursor: usize) -> StyledText {
        let mut text = StyledText::new();
        if is_command(line) {
            text.push((nu_ansi_term::Style::new(), line.to_string()));
            return text;
        }
        let words = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for (range, kind) in stretches(line, &words) {
            text.push((kind.style(), line[range].to_string()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(line: &str) -> bool {
        matches!(Complete.validate(line), ValidationResult::Complete)
    }

    #[test]
    fn a_statement_ends_with_a_semicolon_outside_quotes() {
        assert!(complete("SELECT 1;") && complete("SELECT ';' ; ") && complete("\\d") && complete("exit"));
        assert!(complete(""), "an empty line asks for nothing more");
        assert!(!complete("SELECT 1") && !complete("SELECT ';") && !complete("SELECT 1; SELECT"));
    }
}
