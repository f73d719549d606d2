//! `tenure functions`: the catalogue as a list, as one entry, as the Markdown manual.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};

use super::args::FunctionsArgs;
use super::highlight;
use super::session::{Session, Stop, print};
use super::terminal::Terminal;
use crate::engine::{Engine, Settings, catalogue};
use crate::error::{Error, Result, suggest};
use crate::functions::{FunctionDoc, FunctionKind};
use tokio::runtime::Handle;

pub(super) async fn run(args: &FunctionsArgs, terminal: Terminal, queries: Handle) -> Result<(), Stop> {
    let functions = catalogue();
    if args.markdown {
        return print(&functions_markdown(&functions));
    }
    match &args.name {
        Some(name) => print(&entries(name, &functions, terminal.color())?),
        None => {
            let session = Session::new(Engine::open(&Settings::default()).await?, terminal, queries, false);
            session.show(&list(&functions)?)
        }
    }
}

/// The functions with this name in full (a relation and an aggregate may share one), or an error with the nearest ones.
pub(super) fn entries(name: &str, functions: &[FunctionDoc], color: bool) -> Result<String> {
    let bare = name.trim().trim_end_matches("()");
    let found: Vec<String> =
        functions.iter().filter(|f| f.name.eq_ignore_ascii_case(bare)).map(|f| entry(f, color)).collect();
    if !found.is_empty() {
        return Ok(found.join("\n\n"));
    }
    let names: Vec<&str> = functions.iter().map(|f| f.name).collect();
    Err(Error::user(format!("no function '{bare}': {}", suggest(bare, names)))
        .hint("functions that SQL has anyway (sum, date_trunc, ...) are not listed here"))
}

/// Name, kind and summary of each.
pub(super) fn list(functions: &[FunctionDoc]) -> Result<RecordBatch> {
    let column = |texts: Vec<&str>| Arc::new(StringArray::from(texts)) as ArrayRef;
    Ok(RecordBatch::try_from_iter([
        ("function", column(functions.iter().map(|f| f.name).collect())),
        ("kind", column(functions.iter().map(|f| kind(f.kind)).collect())),
        ("what it answers", column(functions.iter().map(|f| f.summary).collect())),
    ])?)
}

fn kind(kind: FunctionKind) -> &'static str {
    match kind {
        FunctionKind::Relation => "relation",
        FunctionKind::Aggregate => "aggregate",
        FunctionKind::Scalar => "scalar",
        FunctionKind::Window => "window",
    }
}

/// One function in full, for a terminal.
fn entry(function: &FunctionDoc, color: bool) -> String {
    let sql = |text: &str| {
        let text = if color { highlight::ansi(text) } else { text.to_string() };
        text.lines().map(|line| format!("  {line}\n")).collect::<String>()
    };
    let mut text = format!("{} ({}): {}\n\n", function.name, kind(function.kind), function.summary);
    text.push_str(&sql(function.syntax));
    if !function.arguments.is_empty() {
        text.push_str("\nArguments\n");
        let rows = function.arguments.iter().map(|a| {
            let default = a.default.map(|d| format!(" [default: {d}]")).unwrap_or_default();
            (a.name, format!("{}{default}", a.kind), a.text)
        });
        text.push_str(&columns(rows.collect()));
    }
    if !function.returns.is_empty() {
        text.push_str("\nReturns\n");
        text.push_str(&columns(function.returns.iter().map(|(name, text)| (*name, String::new(), *text)).collect()));
    }
    if !function.text.is_empty() {
        let _ = writeln!(text, "\n{}", function.text.trim());
    }
    if !function.example.is_empty() {
        let _ = write!(text, "\nExample\n{}", sql(function.example.trim()));
    }
    text
}

fn columns(rows: Vec<(&str, String, &str)>) -> String {
    let first = rows.iter().map(|r| r.0.chars().count()).max().unwrap_or(0);
    let second = rows.iter().map(|r| r.1.chars().count()).max().unwrap_or(0);
    let gap = if second == 0 { "" } else { "  " };
    rows.iter().map(|(a, b, c)| format!("  {a:<first$}{gap}{b:<second$}  {c}\n")).collect()
}

/// The manual, `sql/FUNCTIONS.md`.
pub fn functions_markdown(functions: &[FunctionDoc]) -> String {
    let mut text = String::from(
        "# Functions\n\nEvery function and relation that tenure adds to SQL. This page is written by \
         `tenure functions --markdown`; `tenure functions NAME` and `\\df NAME` at the prompt show one entry.\n",
    );
    let sections = [
        (FunctionKind::Relation, "Relations", "Used in FROM; arguments after the table are named (`within => ...`)."),
        (FunctionKind::Aggregate, "Aggregates", "Used with GROUP BY, over the events of one user."),
        (FunctionKind::Scalar, "Scalars", "Used on each row."),
        (FunctionKind::Window, "Windows", "Used with OVER."),
    ];
    let mut headings: Vec<&str> = Vec::new();
    for (kind, title, use_) in sections {
        let members: Vec<&FunctionDoc> = functions.iter().filter(|f| f.kind == kind).collect();
        if members.is_empty() {
            continue;
        }
        let _ = write!(text, "\n## {title}\n\n{use_}\n\n| name | answers |\n| --- | --- |\n");
        for function in &members {
            let anchor = anchor(function.name, &mut headings);
            let _ = writeln!(text, "| [`{}`](#{anchor}) | {} |", function.name, safe(function.summary));
        }
        for function in members {
            section(&mut text, function);
        }
    }
    text
}

/// What a heading is linked by: a name that occurs again gets a number.
fn anchor<'a>(name: &'a str, headings: &mut Vec<&'a str>) -> String {
    let before = headings.iter().filter(|h| **h == name).count();
    headings.push(name);
    if before == 0 { name.to_string() } else { format!("{name}-{before}") }
}

fn section(text: &mut String, function: &FunctionDoc) {
    let _ =
        write!(text, "\n### {}\n\n{}\n\n```text\n{}\n```\n", function.name, function.summary, function.syntax.trim());
    if !function.arguments.is_empty() {
        text.push_str("\n| argument | type | default | meaning |\n| --- | --- | --- | --- |\n");
        for a in &function.arguments {
            let default = a.default.map_or("required".into(), |d| format!("`{}`", safe(d)));
            let _ = writeln!(text, "| `{}` | {} | {default} | {} |", a.name, safe(a.kind), safe(a.text));
        }
    }
    if !function.returns.is_empty() {
        text.push_str("\n| returns | meaning |\n| --- | --- |\n");
        for (name, meaning) in &function.returns {
            let _ = writeln!(text, "| `{}` | {} |", safe(name), safe(meaning));
        }
    }
    if !function.text.is_empty() {
        let _ = write!(text, "\n{}\n", function.text.trim());
    }
    if !function.example.is_empty() {
        let _ = write!(text, "\n```sql\n{}\n```\n", function.example.trim());
    }
}

fn safe(text: &str) -> String {
    text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::ArgumentDoc;

    fn sample() -> FunctionDoc {
        FunctionDoc {
            name: "shout",
            kind: FunctionKind::Scalar,
            summary: "A text in capitals",
            syntax: "shout(text)",
            arguments: vec![ArgumentDoc { name: "text", kind: "text|bytes", default: None, text: "What to shout." }],
            returns: vec![("VARCHAR", "the text")],
            text: "NULL gives NULL.",
            example: "SELECT shout('a')",
        }
    }

    #[test]
    fn the_manual_holds_every_part_of_an_entry() {
        let text = functions_markdown(&[sample()]);
        for part in [
            "## Scalars",
            "| [`shout`](#shout) | A text in capitals |",
            "### shout",
            "```text\nshout(text)\n```",
            "| `text` | text\\|bytes | required | What to shout. |",
            "| `VARCHAR` | the text |",
            "NULL gives NULL.",
            "```sql\nSELECT shout('a')\n```",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains("## Relations"), "a section without members");
    }

    #[test]
    fn two_kinds_may_share_a_name() {
        let both = [FunctionDoc { kind: FunctionKind::Relation, summary: "A table", ..sample() }, sample()];
        let shown = entries("shout", &both, false).unwrap();
        assert!(shown.contains("shout (relation): A table") && shown.contains("shout (scalar): A text"), "{shown}");
        let manual = functions_markdown(&both);
        assert!(manual.contains("(#shout) | A table") && manual.contains("(#shout-1) | A text"), "{manual}");
    }

    #[test]
    fn an_unknown_name_gets_the_nearest() {
        let error = entries("shuot", &[sample()], false).unwrap_err();
        assert_eq!(error.message(), "no function 'shuot': did you mean 'shout'?");
        assert!(entries("SHOUT()", &[sample()], false).unwrap().starts_with("shout (scalar): A text in capitals"));
    }
}
