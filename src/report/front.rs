//! From the text of a report to what it says of itself.
//!
//! Deals with: front matter between the statements, its keys and values, what must be unique. Does not deal with: values of parameters
//! (`parameter`), or whether a chart fits its columns, which only the query tells (`run`).

use std::path::Path;

use super::{Format, Language, Parameter, ROWS_SHOWN, Report, Section, Statement};
use crate::engine::{self, placeholders, split};
use crate::error::{Error, Result, suggest};
use crate::output::Chart;

const HEAD: [&str; 4] = ["title", "description", "lang", "param"];
const SECTION: [&str; 5] = ["name", "chart", "note", "alert", "rows"];

/// Rows that a page may be asked to show.
const MOST_ROWS: usize = 5_000;

/// Letters of a name in the name of a file.
const LONGEST_SLUG: usize = 60;

/// `key: value`, and the line of its key.
#[derive(Debug)]
struct Entry {
    key: String,
    value: String,
    line: u64,
}

impl Report {
    /// Reads a report's file.
    ///
    /// # Errors
    /// It cannot be read, or says something that is not known, twice or wrong: the message names file and line.
    pub fn read(path: &Path) -> Result<Report> {
        let bytes = std::fs::read(path).map_err(|e| Error::io("read the report", path, &e))?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let valid = e.utf8_error().valid_up_to();
            let line = e.as_bytes()[..valid].iter().filter(|b| **b == b'\n').count() + 1;
            Error::user(format!("{}:{line}: not UTF-8 text", path.display()))
        })?;
        Self::parse(path, text.trim_start_matches('\u{feff}'))
    }

    /// Reads the text of a report that lies at `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Report> {
        let script = split(text).map_err(|e| e.at(path.display()))?;
        let mut report = Report {
            path: path.to_path_buf(),
            title: String::new(),
            description: None,
            language: Language::English,
            parameters: Vec::new(),
            statements: Vec::new(),
        };
        report.title = report.stem();
        if script.statements.is_empty() {
            return Err(Error::user(format!("{}: the report has no statement", path.display())));
        }
        let lines: Vec<&str> = text.lines().collect();
        let mut begin = 0;
        for (number, statement) in script.statements.into_iter().enumerate() {
            let end = statement.line as usize - 1;
            let entries = entries(&lines, begin..end.max(begin));
            begin = end + statement.text.matches('\n').count() + 1;
            report.add(number, statement, entries)?;
        }
        if let Some(stray) = entries(&lines, begin..lines.len()).first() {
            let place = report.place(stray.line);
            return Err(Error::user(format!("{place}: '{}' is followed by no statement", stray.key)));
        }
        if !report.statements.iter().any(|statement| statement.section.is_some()) {
            return Err(Error::user(format!("{}: no statement of the report returns rows", path.display())));
        }
        Ok(report)
    }

    fn add(&mut self, number: usize, statement: engine::Statement, entries: Vec<Entry>) -> Result<()> {
        let mut own = Vec::new();
        let mut title = None;
        let mut language = None;
        for entry in entries {
            let place = self.place(entry.line);
            let fault = |message: String| Error::user(message).at(&place);
            let key = entry.key.as_str();
            if SECTION.contains(&key) {
                own.push(entry);
                continue;
            }
            if !HEAD.contains(&key) {
                let known = HEAD.iter().chain(&SECTION).copied().collect::<Vec<_>>();
                return Err(fault(format!("unknown key '{key}' in the front matter: {}", suggest(key, known)))
                    .hint("a comment whose first word ends with a colon is front matter"));
            }
            if number > 0 {
                return Err(fault(format!("'{key}' belongs at the head of the report, before its first statement")));
            }
            if entry.value.is_empty() {
                return Err(fault(format!("'{key}' is empty")));
            }
            let twice = || fault(format!("'{key}' stands there twice"));
            match key {
                "title" if title.is_some() => return Err(twice()),
                "title" => title = Some(entry.value),
                "description" if self.description.is_some() => return Err(twice()),
                "description" => self.description = Some(entry.value),
                "lang" if language.is_some() => return Err(twice()),
                "lang" => {
                    language = Some(match entry.value.as_str() {
                        "en" => Language::English,
                        "zh" => Language::Chinese,
                        other => return Err(fault(format!("lang is '{other}': allowed: en, zh"))),
                    });
                }
                _ => {
                    let parameter = Parameter::declared(&entry.value, entry.line).map_err(|e| e.at(&place))?;
                    if let Some(other) = self.parameters.iter().find(|p| p.name == parameter.name) {
                        let (name, line) = (&parameter.name, other.line);
                        return Err(fault(format!("parameter '{name}' is declared in line {line} already")));
                    }
                    self.parameters.push(parameter);
                }
            }
        }
        if let Some(title) = title {
            self.title = title;
        }
        self.language = language.unwrap_or(self.language);
        self.check_placeholders(&statement.text, statement.line)?;
        let section = match action(&statement.text) {
            Action::Query => Some(self.section(number, own)?),
            Action::Setting => match own.first() {
                Some(entry) => {
                    let place = self.place(entry.line);
                    return Err(Error::user(format!(
                        "{place}: '{}' is of a query, and this statement returns no rows",
                        entry.key
                    )));
                }
                None => None,
            },
            Action::Change(verb) => {
                let place = self.place(statement.line);
                return Err(Error::user(format!("{place}: a report only reads: {verb} is not for it"))
                    .hint("queries, SET and CREATE VIEW are; run what changes data with -f before"));
            }
        };
        self.statements.push(Statement { text: statement.text, line: statement.line, section });
        Ok(())
    }

    fn section(&self, number: usize, entries: Vec<Entry>) -> Result<Section> {
        let mut section = Section {
            name: format!("Statement {}", number + 1),
            slug: String::new(),
            chart: Some((Chart::Fitting, 0)),
            note: None,
            alert: None,
            rows: ROWS_SHOWN,
        };
        let mut seen: Vec<String> = Vec::new();
        let mut line = 0;
        for Entry { key, value, line: at } in entries {
            let fault = |message: String| Error::user(message).at(self.place(at));
            if seen.contains(&key) {
                return Err(fault(format!("'{key}' stands there twice")));
            }
            if value.is_empty() {
                return Err(fault(format!("'{key}' is empty")));
            }
            match key.as_str() {
                "name" => {
                    section.name = value;
                    line = at;
                }
                "chart" if value.eq_ignore_ascii_case("none") => section.chart = None,
                "chart" => section.chart = Some((Chart::from_name(&value).map_err(|e| e.at(self.place(at)))?, at)),
                "note" => section.note = Some(value),
                "alert" => {
                    self.check_placeholders(&value, at)?;
                    section.alert = Some((value, at));
                }
                _ => match value.parse() {
                    Ok(rows) if rows <= MOST_ROWS => section.rows = rows,
                    _ => return Err(fault(format!("rows is '{value}': allowed: 0 to {MOST_ROWS}"))),
                },
            }
            seen.push(key);
        }
        section.slug = slug(&section.name).unwrap_or_else(|| format!("statement-{}", number + 1));
        let others = self.statements.iter().filter_map(|s| Some((s.section.as_ref()?, s.line)));
        for (other, other_line) in others {
            let line = if line == 0 { other_line } else { line };
            if other.name.to_lowercase() == section.name.to_lowercase() {
                return Err(Error::user(format!(
                    "{}: two statements have the name '{}'",
                    self.place(line),
                    section.name
                )));
            }
            if other.slug == section.slug {
                let (one, two, file) = (&other.name, &section.name, &section.slug);
                return Err(Error::user(format!(
                    "{}: '{one}' and '{two}' would both be written to files named '{file}'",
                    self.place(line)
                )));
            }
        }
        Ok(section)
    }

    fn check_placeholders(&self, text: &str, line: u64) -> Result<()> {
        for (name, below) in placeholders(text) {
            if !self.parameters.iter().any(|parameter| parameter.name == name) {
                let place = self.place(line + below - 1);
                let known: Vec<&str> = self.parameters.iter().map(|p| p.name.as_str()).collect();
                let error = Error::user(format!("{place}: parameter ${name} is not declared"));
                return Err(if known.is_empty() {
                    error.hint(format!("declare it at the head: -- param: {name} date = today"))
                } else {
                    error.hint(suggest(&name, known))
                });
            }
        }
        Ok(())
    }

    /// The name of a file of outputs, such as `weekly_2025-03-03.funnel.parquet`.
    pub(super) fn file_name(stem: &str, section: Option<&Section>, format: Format) -> String {
        match section {
            Some(section) => format!("{stem}.{}.{}", section.slug, format.name()),
            None => format!("{stem}.{}", format.name()),
        }
    }
}

/// What a statement does, by its first words.
enum Action {
    Query,
    Setting,
    Change(String),
}

fn action(statement: &str) -> Action {
    let words = statement.split(|c: char| !c.is_ascii_alphabetic()).filter(|w| !w.is_empty());
    let words: Vec<String> = words.take(4).map(str::to_ascii_uppercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["SET" | "RESET", ..]
        | ["CREATE", "VIEW", ..]
        | ["CREATE", "OR", "REPLACE", "VIEW"]
        | ["CREATE", "TEMP" | "TEMPORARY", "VIEW", ..] => Action::Setting,
        [
            verb @ ("COPY" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "CREATE" | "DROP" | "ALTER" | "TRUNCATE"
            | "PREPARE" | "EXECUTE" | "DEALLOCATE"),
            ..,
        ] => Action::Change((*verb).to_string()),
        _ => Action::Query,
    }
}

/// Front matter in these lines, which lie between statements.
fn entries(lines: &[&str], range: std::ops::Range<usize>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut continues = false;
    let mut in_block = false;
    for at in range {
        let line = lines.get(at).copied().unwrap_or_default().trim();
        if in_block || line.starts_with("/*") {
            in_block = !line.contains("*/");
            continues = false;
            continue;
        }
        let Some(comment) = line.strip_prefix("--") else {
            continues = false;
            continue;
        };
        if continues && comment.starts_with("   ") {
            if let Some(last) = entries.last_mut() {
                last.value = format!("{} {}", last.value, comment.trim()).trim().to_string();
            }
            continue;
        }
        let found = comment.trim().split_once(':').filter(|(key, value)| {
            let word = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
            word && (value.is_empty() || value.starts_with(char::is_whitespace))
        });
        continues = found.is_some();
        if let Some((key, value)) = found {
            entries.push(Entry { key: key.to_string(), value: value.trim().to_string(), line: at as u64 + 1 });
        }
    }
    entries
}

/// The name as a part of a file's name; `None` where it has neither letters nor digits.
fn slug(name: &str) -> Option<String> {
    let mut slug = String::new();
    for c in name.to_lowercase().chars() {
        if c.is_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= LONGEST_SLUG {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    (!slug.is_empty()).then(|| slug.to_string())
}

#[cfg(test)]
mod tests;
