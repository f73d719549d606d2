//! The line editor: prompt, keys, colours, when a statement is complete, history.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use reedline::{
    ColumnarMenu, DefaultHinter, EditCommand, EditMode, Emacs, FileBackedHistory, Highlighter, KeyCode, KeyModifiers,
    Keybindings, MenuBuilder, PromptEditMode, PromptHistorySearch, PromptViMode, Reedline, ReedlineEvent, ReedlineMenu,
    StyledText, ValidationResult, Validator, Vi, default_emacs_keybindings, default_vi_insert_keybindings,
    default_vi_normal_keybindings, default_vi_visual_keybindings,
};

use super::SharedWords;
use super::commands::is_command;
use super::completion::SqlCompleter;
use super::edit;
use crate::cli::highlight::stretches;
use crate::config::Keys;
use crate::engine::split;

const MENU: &str = "completion";
const HISTORY_ENTRIES: usize = 10_000;

/// Characters that are typed before a line of the history is shown behind them.
const HINTED: usize = 3;

/// What the editor is made of.
pub(super) struct Parts<'a> {
    pub words: &'a SharedWords,
    pub completer: SqlCompleter,
    pub history: Result<PathBuf, String>,
    pub keys: Keys,
    pub color: bool,
    /// Where Ctrl-O puts the line for the user's text editor; none where there is no such thing.
    pub edited: Option<PathBuf>,
}

/// An editor, and a warning where the history cannot be kept.
pub(super) fn editor(parts: Parts<'_>) -> (Reedline, Option<String>) {
    let Parts { words, completer, history, keys, color, edited } = parts;
    let mut editor = Reedline::create()
        .with_edit_mode(mode(keys))
        .with_validator(Box::new(Complete))
        .with_highlighter(Box::new(Colors(Arc::clone(words))))
        .with_completer(Box::new(completer))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(ColumnarMenu::default().with_name(MENU))))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_ansi_colors(color)
        .use_bracketed_paste(true);
    if let Some(file) = edited {
        editor = editor.with_buffer_editor(edit::command(), file);
    }
    // Without colours a hint could not be told from what is typed.
    if color {
        let style = nu_ansi_term::Style::new().dimmed();
        editor = editor.with_hinter(Box::new(DefaultHinter::default().with_style(style).with_min_chars(HINTED)));
    }
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

/// What the keys do.
pub(super) fn mode(keys: Keys) -> Box<dyn EditMode> {
    match keys {
        Keys::Emacs => Box::new(Emacs::new(with_own(default_emacs_keybindings()))),
        Keys::Vi => Box::new(Vi::new(
            with_own(default_vi_insert_keybindings()),
            with_own(default_vi_normal_keybindings()),
            default_vi_visual_keybindings(),
        )),
    }
}

/// Keys that are the same in every mode in which a line is typed.
fn with_own(mut keys: Keybindings) -> Keybindings {
    keys.add_binding(
        KeyModifiers::NONE,
        KeyCode::Tab,
        ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu(MENU.into()), ReedlineEvent::MenuNext]),
    );
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
    keys.add_binding(KeyModifiers::ALT, KeyCode::Enter, ReedlineEvent::Edit(vec![EditCommand::InsertNewline]));
    keys.add_binding(KeyModifiers::CONTROL, KeyCode::Char('o'), ReedlineEvent::OpenEditor);
    keys
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

    fn render_prompt_indicator(&self, mode: PromptEditMode) -> Cow<'_, str> {
        match mode {
            PromptEditMode::Vi(PromptViMode::Normal | PromptViMode::Visual) => ": ".into(),
            _ => "> ".into(),
        }
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
