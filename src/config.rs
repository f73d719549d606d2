//! `tenure.*` session options and the workspace file `tenure.toml`.
//!
//! Deals with: reading and checking what the user configured, and what travels with a session's options (`notes`).
//! Does not deal with: acting on it (`engine`, `relations`).

pub mod notes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datafusion::common::config::ConfigExtension;
use datafusion::common::extensions_options;
use serde::Deserialize;

use crate::error::{Error, Result};

extensions_options! {
    /// Options set by `SET tenure.<name> = ...`; an empty string is "not set".
    pub struct TenureOptions {
        /// The user column of tables that do not say it themselves.
        pub user_column: String, default = String::new()
        /// The time column of tables that do not say it themselves.
        pub time_column: String, default = String::new()
        /// The event column of tables that do not say it themselves.
        pub event_column: String, default = String::new()
        /// The unit of integer time columns that do not say it themselves: s, ms, us or ns.
        pub time_unit: String, default = String::new()
        /// The time zone of calendar functions that are not given one (IANA name).
        pub time_zone: String, default = "UTC".to_string()
        /// The day on which weeks start where a call does not say it.
        pub week_start: String, default = "monday".to_string()
        /// Whether aggregations by user over files ordered by user take the one-pass path; `false` hashes them, and believes
        /// no declared order.
        pub ordered_execution: bool, default = true
    }
}

impl ConfigExtension for TenureOptions {
    const PREFIX: &'static str = "tenure";
}

/// Name of the workspace file.
pub const WORKSPACE_FILE: &str = "tenure.toml";

/// `tenure.toml`: the tables of a workspace.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// Tables by name.
    #[serde(default)]
    pub tables: BTreeMap<String, TableEntry>,
    /// Session options, as for `SET`.
    #[serde(default)]
    pub options: BTreeMap<String, toml::Value>,
    /// How the prompt is wanted.
    #[serde(default)]
    pub prompt: PromptEntry,
    /// How `tenure report` writes its pages.
    #[serde(default)]
    pub report: ReportEntry,
}

/// How a workspace wants its prompt; what it does not say is as the program has it.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptEntry {
    /// The keys of the line editor.
    pub keys: Option<Keys>,
    /// Whether results that do not fit the screen go to a pager.
    pub pager: Option<bool>,
    /// Whether the types of columns stand below their names.
    pub types: Option<bool>,
    /// Whether the time of each statement is told.
    pub timing: Option<bool>,
}

/// Whose keys the line editor has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keys {
    /// Those of Emacs, as in most shells.
    #[default]
    Emacs,
    /// Those of vi.
    Vi,
}

/// `[report]` of a workspace.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportEntry {
    /// The page's template instead of the built-in one; relative to the workspace file.
    pub template: Option<String>,
}

/// One table of a workspace.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableEntry {
    /// A file, a folder, a glob or a managed table's folder; relative to the workspace file.
    pub location: String,
    /// `parquet`, `csv`, `json` or `delta` (a managed table); read off the location where absent.
    pub format: Option<String>,
    /// The user column.
    pub user: Option<String>,
    /// The time column.
    pub time: Option<String>,
    /// The unit of an integer time column: s, ms, us or ns.
    pub time_unit: Option<String>,
    /// The event column.
    pub event: Option<String>,
    /// Columns by which the files are sorted.
    #[serde(default)]
    pub order: Vec<String>,
    /// How its files are read, where they do not say it themselves: the options of `read_csv(..)` and its like.
    #[serde(default)]
    pub read: toml::Table,
    /// What the table is, for `\d`.
    pub description: Option<String>,
}

impl Workspace {
    /// Reads `tenure.toml` of a folder. With `required` false an absent file is an empty workspace.
    pub fn read(folder: &Path, required: bool) -> Result<(Self, PathBuf)> {
        let file = folder.join(WORKSPACE_FILE);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !required => return Ok((Self::default(), file)),
            Err(e) => return Err(Error::io("read the workspace file", &file, &e)),
        };
        let workspace: Self = toml::from_str(&text)
            .map_err(|e| Error::data(format!("{}: {}", file.display(), toml_message(&e, &text))))?;
        Ok((workspace, file))
    }
}

/// What is wrong with a TOML text, and in which line.
pub fn toml_message(error: &toml::de::Error, text: &str) -> String {
    match error.span() {
        Some(span) => format!("line {}: {}", text[..span.start].matches('\n').count() + 1, error.message()),
        None => error.message().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_workspace_names_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(WORKSPACE_FILE), "[tables.events]\nlocation = 'e.parquet'\nusr = 'x'\n")
            .unwrap();
        let message = Workspace::read(folder.path(), true).unwrap_err().message().to_string();
        assert!(message.contains("tenure.toml: line 3") && message.contains("usr"), "{message}");
        assert!(Workspace::read(&folder.path().join("none"), true).is_err());
        assert!(Workspace::read(&folder.path().join("none"), false).unwrap().0.tables.is_empty());
    }
}
