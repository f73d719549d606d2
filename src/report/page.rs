//! The page: one HTML file that needs nothing else, from a template that a team can replace.
//!
//! A template is in the language of Jinja, and what it is given is a [`Page`] (`page`) and the page's own words (`words`). One that
//! begins with `{% extends "report.html" %}` replaces blocks of the built-in one (`logo`, `style`, `footer`, ..). It may include
//! files of its own folder. Every text is escaped; a picture is markup already.

use std::path::Path;

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value as Any, context};
use serde::Serialize;

use super::{Given, Language, Report};
use crate::error::{Error, Result};
use crate::output::{ShownCell, escape, thousands};

/// The built-in template, which others may extend.
const BUILT_IN: &str = "report.html";

/// What a page is about.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    title: String,
    description: Option<String>,
    /// `en` or `zh`.
    lang: &'static str,
    /// The name of the report's file.
    source: String,
    parameters: Vec<Row>,
    tables: Vec<Table>,
}

/// A parameter with its value.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    value: String,
    /// What was written, where that is not the value: `today - 7 days`.
    said: Option<String>,
    /// Whether it was given and is no default.
    given: bool,
    note: Option<String>,
}

/// What a page shows of a statement.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    pub name: String,
    /// A name for anchors.
    pub slug: String,
    pub note: Option<String>,
    /// An `<svg>` element.
    pub picture: Option<String>,
    pub columns: Vec<String>,
    pub flush_right: Vec<bool>,
    pub shown: Vec<Vec<ShownCell>>,
    /// Rows of the whole result.
    pub rows: u64,
    /// Names of files beside the page that hold all rows.
    pub files: Vec<String>,
    pub alert: Option<Alert>,
    /// What is to be known of the answer.
    pub remarks: Vec<String>,
}

/// An alert, and how many rows raise it.
#[derive(Debug, Serialize)]
pub(super) struct Alert {
    pub condition: String,
    pub rows: usize,
}

/// `1 row`, `2,000 rows`.
pub(super) fn rows(count: usize) -> String {
    if count == 1 { "1 row".into() } else { format!("{} rows", thousands(count as u64)) }
}

impl Page {
    pub fn new(report: &Report, given: &Given, tables: Vec<Table>) -> Page {
        let parameters = report.parameters.iter().zip(&given.values).zip(&given.given);
        let parameters = parameters.map(|((parameter, value), given)| Row {
            name: parameter.name.clone(),
            value: escape(&value.param.to_string()).into_owned(),
            said: value.said.clone(),
            given: *given,
            note: parameter.note.clone(),
        });
        Page {
            title: report.title.clone(),
            description: report.description.clone(),
            lang: match report.language {
                Language::English => "en",
                Language::Chinese => "zh",
            },
            source: report.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            parameters: parameters.collect(),
            tables,
        }
    }

    /// The first lines of a workbook: title, description, parameters.
    pub fn head(&self) -> Vec<(String, String)> {
        let mut head = vec![("Title".to_string(), self.title.clone())];
        head.extend(self.description.iter().map(|text| ("Description".to_string(), text.clone())));
        head.extend(self.parameters.iter().map(|row| {
            let said = row.said.as_ref().map(|said| format!(" ({said})")).unwrap_or_default();
            (row.name.clone(), format!("{}{said}", row.value))
        }));
        head.extend(
            self.tables.iter().flat_map(|table| {
                table.remarks.iter().map(|remark| (format!("Note on {}", table.name), remark.clone()))
            }),
        );
        head
    }
}

/// What the page itself says.
#[derive(Debug, Serialize)]
struct Words {
    contents: &'static str,
    parameters: &'static str,
    default: &'static str,
    alert: &'static str,
    no_alert: &'static str,
    rows: &'static str,
    no_rows: &'static str,
    shown_of: &'static str,
    all_rows: &'static str,
    top: &'static str,
    table: &'static str,
    made_by: &'static str,
}

const ENGLISH: Words = Words {
    contents: "Contents",
    parameters: "Parameters",
    default: "default",
    alert: "Alert",
    no_alert: "No alert",
    rows: "rows",
    no_rows: "No rows",
    shown_of: "The first {shown} of {rows} rows",
    all_rows: "All rows",
    top: "Back to contents",
    table: "Table",
    made_by: "Made by tenure from",
};

const CHINESE: Words = Words {
    contents: "目录",
    parameters: "参数",
    default: "默认",
    alert: "告警",
    no_alert: "无告警",
    rows: "行",
    no_rows: "没有数据",
    shown_of: "共 {rows} 行，显示前 {shown} 行",
    all_rows: "全部数据",
    top: "回到目录",
    table: "数据表",
    made_by: "由 tenure 生成，来源",
};

/// A template, checked.
pub(super) struct Template {
    environment: Environment<'static>,
    name: String,
}

impl Template {
    /// The template of this file, or the built-in one.
    pub fn read(path: Option<&Path>) -> Result<Template> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_filter("grouped", |n: u64| thousands(n));
        environment.add_filter("in_url", |name: String| in_url(&name));
        environment.add_filter("visible", |text: String| escape(&text).into_owned());
        environment.add_filter("fill", |text: String, shown: u64, rows: u64| {
            text.replace("{shown}", &thousands(shown)).replace("{rows}", &thousands(rows))
        });
        environment.add_template(BUILT_IN, include_str!("template.html")).map_err(|e| failed(&e))?;
        let Some(path) = path else { return Ok(Template { environment, name: BUILT_IN.into() }) };
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("read the template", path, &e))?;
        let name = path.display().to_string();
        let name = if name == BUILT_IN { format!("./{name}") } else { name };
        environment.add_template_owned(name.clone(), text).map_err(|e| failed(&e))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        environment.set_loader(move |wanted| included(&folder, wanted));
        Ok(Template { environment, name })
    }

    pub fn render(&self, page: &Page) -> Result<String> {
        let words = if page.lang == "zh" { CHINESE } else { ENGLISH };
        let template = self.environment.get_template(&self.name).map_err(|e| failed(&e))?;
        let given = context! { page => Any::from(Serde(page)), words => Any::from(Serde(words)) };
        template.render(given).map_err(|e| failed(&e))
    }
}

/// A file of the template's own folder, and nothing outside it.
fn included(folder: &Path, wanted: &str) -> Result<Option<String>, minijinja::Error> {
    let plain = Path::new(wanted).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !plain {
        return Ok(None);
    }
    match std::fs::read_to_string(folder.join(wanted)) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(minijinja::Error::new(ErrorKind::InvalidOperation, format!("cannot read '{wanted}': {e}"))),
    }
}

/// A template's error with file and line.
fn failed(error: &minijinja::Error) -> Error {
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    let told = Error::user(format!("{}{detail}", error.kind()));
    match (error.name(), error.line()) {
        (Some(name), Some(line)) => told.at(format!("{name}:{line}")),
        (Some(name), None) => told.at(name),
        _ => told.at("template"),
    }
}

/// A name of a file in a link.
fn in_url(name: &str) -> String {
    const PLAIN: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    percent_encoding::utf8_percent_encode(name, PLAIN).to_string()
}
