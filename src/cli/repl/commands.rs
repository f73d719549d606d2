//! The prompt's own commands: `\d`, `\timing`, `\o` and so on.
//!
//! Deals with: reading and running them. Does not deal with: SQL.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

use super::saved::Saved;
use crate::cli::args::pair;
use crate::cli::functions;
use crate::cli::interrupt::Signals;
use crate::cli::pager::Pager;
use crate::cli::script;
use crate::cli::session::{OutFile, Rows, Session, Stop};
use crate::config::Keys;
use crate::engine::{TableInfo, catalogue};
use crate::error::{Error, Result, nearest, suggest};

use crate::output::{Chart, Format};

/// How often a statement is repeated, unless it is said.
const WATCHED: Duration = Duration::from_secs(2);

/// Bounds of what may be said.
const LEAST_SECONDS: f64 = 0.1;
const MOST_SECONDS: f64 = 86_400.0;

/// What the help shows of a command.
pub(super) struct Spec {
    pub name: &'static str,
    pub arguments: &'static str,
    pub text: &'static str,
}

const fn spec(name: &'static str, arguments: &'static str, text: &'static str) -> Spec {
    Spec { name, arguments, text }
}

/// Every command, in the order of `\?`.
pub(super) const COMMANDS: &[Spec] = &[
    spec("\\d", "[TABLE]", "list tables, or the columns of one"),
    spec("\\dt", "", "list tables"),
    spec("\\df", "[NAME]", "list tenure's functions, or show one in full"),
    spec("\\timing", "[on|off]", "tell the time of each statement"),
    spec("\\types", "[on|off]", "show the types of columns below their names"),
    spec("\\x", "[on|off]", "one line for each value instead of one for each row"),
    spec("\\chart", "[KIND|on|off]", "draw the last result; on: every result that is a picture"),
    spec("\\rows", "[N|all]", "rows shown of a table"),
    spec("\\pager", "[on|off]", "show what the screen has no room for in $TENURE_PAGER, $PAGER or less"),
    spec("\\format", "[NAME]", "format of results: table, csv, tsv, json, ndjson, markdown"),
    spec("\\o", "[FILE]", "write the next result to a file (format by its name); without FILE: to the screen again"),
    spec("\\i", "FILE", "run the statements of a file"),
    spec("\\last", "", "show the last result again; in SQL it is the table _"),
    spec("\\explain", "[STATEMENT]", "the plan of a statement, or of the last one"),
    spec("\\watch", "[SECONDS]", "run the last statement every 2 seconds, or as often as told, until Ctrl-C"),
    spec("\\e", "[STATEMENT]", "edit a statement, or the last one, in $VISUAL or $EDITOR, and run it"),
    spec("\\save", "NAME", "save the last statement by a name"),
    spec("\\run", "[NAME]", "run a saved statement; alone: list them"),
    spec("\\keys", "[emacs|vi]", "keys of the line editor (Ctrl-O edits the line in $VISUAL or $EDITOR)"),
    spec("\\p", "[NAME=VALUE]", "bind the query parameter $NAME; without VALUE: drop it; alone: list them"),
    spec("\\?", "", "this list"),
    spec("\\q", "", "leave (also Ctrl-D, exit, quit)"),
];

/// What a typed line is.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    Sql,
    Command(Command),
}

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drawn {
    /// The last result, so.
    Last(Chart),
    /// Every result from now on, or none.
    From(Option<Chart>),
}

#[derive(Debug, PartialEq)]
pub(super) enum Command {
    Describe(Option<String>),
    Tables,
    Functions(Option<String>),
    Timing(Option<bool>),
    Expanded(Option<bool>),
    Chart(Drawn),
    Rows(Option<Rows>),
    Types(Option<bool>),
    Pager(Option<bool>),
    Last,
    Explain(Option<String>),
    Watch(Duration),
    Edit(Option<String>),
    Save(String),
    Run(Option<String>),
    Keys(Option<Keys>),
    Format(Option<Format>),
    Output(Option<PathBuf>),
    Include(PathBuf),
    Parameter(Option<(String, String)>),
    Help,
    Quit,
}

/// What the prompt does after a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum After {
    GoOn,
    /// Runs these statements, as if they had been typed.
    Run(String),
    /// Tells or changes the keys of the line editor.
    Keys(Option<Keys>),
    Leave,
}

/// Whether a line is a command, complete or mistyped: it needs no `;`.
pub(super) fn is_command(line: &str) -> bool {
    line.trim_start().starts_with('\\') || bare_word(line).is_some()
}

/// Words that people type at any prompt.
fn bare_word(line: &str) -> Option<Command> {
    match line.trim().trim_end_matches(';').trim_end().to_ascii_lowercase().as_str() {
        "exit" | "quit" => Some(Command::Quit),
        "help" => Some(Command::Help),
        _ => None,
    }
}

/// Reads a line.
pub(super) fn parse(line: &str) -> Result<Line> {
    if let Some(command) = bare_word(line) {
        return Ok(Line::Command(command));
    }
    let line = line.trim();
    if !line.starts_with('\\') {
        return Ok(Line::Sql);
    }
    let (name, rest) = line.split_at(line.find(char::is_whitespace).unwrap_or(line.len()));
    // `\dt;` is what fingers type.
    let name = name.trim_end_matches(';');
    let argument = Some(unquoted(rest.trim().trim_end_matches(';').trim_end())).filter(|a| !a.is_empty());
    let command = match name {
        "\\d" => Command::Describe(argument),
        "\\dt" => Command::Tables,
        "\\df" => Command::Functions(argument),
        "\\timing" => Command::Timing(switch(name, argument)?),
        "\\x" => Command::Expanded(switch(name, argument)?),
        "\\chart" => Command::Chart(match argument.as_deref() {
            Some("on") => Drawn::From(Some(Chart::Fitting)),
            Some("off") => Drawn::From(None),
            name => Drawn::Last(Chart::from_name(name.unwrap_or("auto"))?),
        }),
        "\\types" => Command::Types(switch(name, argument)?),
        "\\pager" => Command::Pager(switch(name, argument)?),
        "\\last" => match argument {
            None => Command::Last,
            Some(_) => {
                return Err(
                    Error::user("\\last takes nothing").hint("\\o FILE before it writes the last result to a file")
                );
            }
        },
        "\\explain" => Command::Explain(whole(rest)),
        "\\watch" => Command::Watch(seconds(argument)?),
        "\\e" | "\\edit" => Command::Edit(whole(rest)),
        "\\save" => match argument {
            Some(name) => Command::Save(name),
            None => return Err(Error::user("\\save needs a name for the last statement")),
        },
        "\\run" | "\\saved" => Command::Run(argument),
        "\\keys" => Command::Keys(match argument.as_deref() {
            None => None,
            Some("emacs") => Some(Keys::Emacs),
            Some("vi") => Some(Keys::Vi),
            Some(other) => return Err(Error::user(format!("\\keys takes emacs or vi, not '{other}'"))),
        }),
        "\\rows" => Command::Rows(rows(argument)?),
        "\\format" => Command::Format(argument.map(|a| Format::from_name(&a)).transpose()?),
        "\\o" => Command::Output(argument.map(PathBuf::from)),
        "\\i" => match argument {
            Some(path) => Command::Include(path.into()),
            None => return Err(Error::user("\\i needs the name of a file of statements")),
        },
        "\\p" => {
            Command::Parameter(argument.map(|a| pair(&a)).transpose().map_err(|e| Error::user(format!("\\p: {e}")))?)
        }
        "\\?" | "\\h" | "\\help" => Command::Help,
        "\\q" | "\\quit" | "\\exit" => Command::Quit,
        unknown => {
            // Without the backslash, which every name shares and would count as likeness.
            let names = COMMANDS.iter().map(|c| c.name.trim_start_matches('\\'));
            let near: Vec<String> =
                nearest(unknown.trim_start_matches('\\'), names).iter().map(|n| format!("\\{n}")).collect();
            let question =
                if near.is_empty() { String::new() } else { format!(": did you mean {}?", near.join(" or ")) };
            return Err(Error::user(format!("unknown command {unknown}{question}")).hint("\\? lists the commands"));
        }
    };
    Ok(Line::Command(command))
}

/// A file name may stand in quotes.
fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\''));
    inner.map_or_else(|| text.to_string(), |t| t.replace("''", "'"))
}

fn switch(name: &str, argument: Option<String>) -> Result<Option<bool>> {
    match argument.as_deref() {
        None => Ok(None),
        Some("on") => Ok(Some(true)),
        Some("off") => Ok(Some(false)),
        Some(other) => Err(Error::user(format!("{name} takes on or off, not '{other}'"))),
    }
}

fn rows(argument: Option<String>) -> Result<Option<Rows>> {
    match argument.as_deref() {
        None => Ok(None),
        Some("all") => Ok(Some(Rows::All)),
        Some(text) => match text.parse() {
            Ok(n) if n > 0 => Ok(Some(Rows::First(n))),
            _ => Err(Error::user(format!("\\rows takes a number from 1 or all, not '{text}'"))),
        },
    }
}

/// A statement after a command, with its quotes.
fn whole(rest: &str) -> Option<String> {
    Some(rest.trim().trim_end_matches(';').trim_end().to_string()).filter(|text| !text.is_empty())
}

fn seconds(argument: Option<String>) -> Result<Duration> {
    let Some(text) = argument else { return Ok(WATCHED) };
    let seconds = text.parse().ok().filter(|seconds| (LEAST_SECONDS..=MOST_SECONDS).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| {
        Error::user(format!("\\watch takes seconds from {LEAST_SECONDS} to {MOST_SECONDS}, not '{text}'"))
    })
}

/// Runs a command.
pub(super) async fn run(session: &mut Session, command: Command) -> Result<After, Stop> {
    let on_off = |on: bool| if on { "on" } else { "off" };
    let of_files = match command {
        Command::Output(Some(_)) => Some("\\o"),
        Command::Include(_) => Some("\\i"),
        Command::Save(_) => Some("\\save"),
        Command::Run(_) => Some("\\run"),
        Command::Edit(_) => Some("\\e"),
        _ => None,
    };
    if let Some(name) = of_files.filter(|_| session.engine.is_read_only()) {
        let refused = Error::user(format!("{name} is not allowed: the session is read-only"));
        return Err(refused.hint("run it without --read-only").into());
    }
    match command {
        Command::Describe(None) | Command::Tables => tables(session).await?,
        Command::Describe(Some(name)) => describe(session, &name).await?,
        Command::Functions(None) => session.show(&functions::list(&catalogue())?)?,
        Command::Functions(Some(name)) => {
            session.print(&functions::entries(&name, &catalogue(), session.terminal.color())?)?;
        }
        Command::Timing(wanted) => {
            session.timing = wanted.unwrap_or(!session.timing);
            session.terminal.print_note(&format!("timing is {}", on_off(session.timing)));
        }
        Command::Expanded(wanted) => {
            session.expanded = wanted.unwrap_or(!session.expanded);
            session.terminal.print_note(&format!("expanded display is {}", on_off(session.expanded)));
        }
        Command::Chart(wanted) => {
            let always = match wanted {
                Drawn::From(always) => always,
                Drawn::Last(chart) => session.chart.replace(chart),
            };
            let shown = match wanted {
                Drawn::From(_) => {
                    session.terminal.print_note(&format!("charts in place of tables are {}", on_off(always.is_some())));
                    Ok(())
                }
                Drawn::Last(_) => session.show_last(),
            };
            session.chart = always;
            shown?;
            super::finish_file(session)?;
        }
        Command::Rows(wanted) => {
            session.rows = wanted.unwrap_or(session.rows);
            let shown = match session.rows {
                Rows::ByScreen => "by the screen".into(),
                Rows::First(rows) => rows.to_string(),
                Rows::All => "all".into(),
            };
            session.terminal.print_note(&format!("rows shown of a table: {shown}"));
        }
        Command::Format(wanted) => {
            session.format = wanted.unwrap_or(session.format);
            session.terminal.print_note(&format!("format is {}", session.format.name()));
        }
        Command::Types(wanted) => {
            session.types = wanted.unwrap_or(!session.types);
            session.terminal.print_note(&format!("types of columns are {}", on_off(session.types)));
        }
        Command::Pager(wanted) => pager(session, wanted),
        Command::Last => {
            session.show_last()?;
            super::finish_file(session)?;
        }
        Command::Explain(statement) => explain(session, statement).await?,
        Command::Watch(pause) => watch(session, pause).await?,
        Command::Edit(statement) => {
            let edited = super::edit::edit(&statement.or_else(|| session.last.clone()).unwrap_or_default())?;
            if edited.is_empty() {
                session.terminal.print_note("nothing to run");
            } else {
                return Ok(After::Run(edited));
            }
        }
        Command::Save(name) => {
            let replaced = Saved::of_user()?.save(&name, last(session)?)?;
            let note = if replaced { "replaced" } else { "saved" };
            session.terminal.print_note(&format!("{note}; \\run {name} runs it"));
        }
        Command::Run(None) => {
            let names = Saved::of_user()?.names();
            if names.is_empty() {
                session.terminal.print_note("no saved queries; \\save NAME saves the last statement");
            } else {
                session.show(&one_column("query", &names)?)?;
            }
        }
        Command::Run(Some(name)) => {
            let done = script::include(session, &Saved::of_user()?.read(&name)?).await;
            super::finish_file(session)?;
            done?;
        }
        Command::Keys(wanted) => return Ok(After::Keys(wanted)),
        Command::Output(None) => {
            session.out = None;
            session.terminal.print_note("results go to the screen");
        }
        Command::Output(Some(path)) => {
            // A name that tells nothing gets the session's format, as a format set by hand would.
            let format = Format::from_path(&path).unwrap_or(session.format);
            session.out = Some(OutFile::for_script(&path, Some(format))?);
            let (name, path) = (format.name(), path.display());
            session.terminal.print_note(&format!("the next result goes to {path} as {name}"));
        }
        Command::Include(path) => include(session, &path).await?,
        Command::Parameter(change) => parameter(session, change)?,
        Command::Help => session.print(&help())?,
        Command::Quit => return Ok(After::Leave),
    }
    Ok(After::GoOn)
}

/// The last statement.
fn last(session: &Session) -> Result<&str> {
    session.last.as_deref().ok_or_else(|| Error::user("there is no last statement"))
}

fn pager(session: &mut Session, wanted: Option<bool>) {
    let on = wanted.unwrap_or(session.pager.is_none());
    session.pager = if on { Pager::of_environment(session.engine.is_read_only()) } else { None };
    let note = match (&session.pager, wanted) {
        (Some(pager), _) => format!("the pager is on: {}", pager.name()),
        (None, Some(false)) => "the pager is off".into(),
        (None, _) => "the pager is off: there is no less; TENURE_PAGER or PAGER names another".into(),
    };
    session.terminal.print_note(&note);
}

async fn explain(session: &mut Session, statement: Option<String>) -> Result<(), Stop> {
    let statement = match statement {
        Some(statement) => statement,
        None => last(session)?.to_string(),
    };
    let first = statement.split_whitespace().next().unwrap_or_default();
    let explained = if first.eq_ignore_ascii_case("explain") { statement } else { format!("EXPLAIN {statement}") };
    let done = session.execute_aside(&explained).await;
    super::finish_file(session)?;
    done
}

/// Runs the last statement again and again, on the screen without a pager.
async fn watch(session: &mut Session, pause: Duration) -> Result<(), Stop> {
    let statement = last(session)?.to_string();
    let pager = session.pager.take();
    let watched = async {
        let mut signals = Signals::listen()?;
        loop {
            session.terminal.print_note(&format!("every {} s, Ctrl-C ends it", pause.as_secs_f64()));
            session.execute(&statement).await?;
            super::finish_file(session)?;
            tokio::select! {
                signal = signals.next() => return Err(Stop::Interrupted(signal)),
                () = tokio::time::sleep(pause) => {}
            }
        }
    };
    let ended = watched.await;
    session.pager = pager;
    ended
}

async fn include(session: &mut Session, path: &Path) -> Result<(), Stop> {
    let done = script::include(session, &script::file(path)?).await;
    super::finish_file(session)?;
    done
}

fn parameter(session: &mut Session, change: Option<(String, String)>) -> Result<(), Stop> {
    match change {
        Some((name, value)) if value.is_empty() => {
            session.params.remove(name.trim_start_matches('$'));
        }
        Some((name, value)) => {
            session.params.insert(name.trim_start_matches('$').to_string(), value.into());
        }
        None => {
            let column = |texts: Vec<&str>| Arc::new(StringArray::from(texts)) as ArrayRef;
            let names = column(session.params.keys().map(String::as_str).collect());
            let values: Vec<String> = session.params.values().map(ToString::to_string).collect();
            let values = column(values.iter().map(String::as_str).collect());
            let batch = RecordBatch::try_from_iter([("parameter", names), ("value", values)]).map_err(Error::from)?;
            session.show(&batch)?;
        }
    }
    Ok(())
}

async fn tables(session: &Session) -> Result<(), Stop> {
    let tables = session.engine.tables().await?;
    if tables.is_empty() {
        session.terminal.print_note("no tables; SELECT ... FROM 'file.parquet' reads a file as it is");
        return Ok(());
    }
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(tables.iter().map(|t| &t.name)));
    let columns: ArrayRef = Arc::new(Int64Array::from_iter_values(tables.iter().map(|t| t.columns.len() as i64)));
    let texts: ArrayRef =
        Arc::new(StringArray::from_iter_values(tables.iter().map(|t| t.description.as_deref().unwrap_or_default())));
    let batch = RecordBatch::try_from_iter([("table", names), ("columns", columns), ("description", texts)]);
    session.show(&batch.map_err(Error::from)?)
}

async fn describe(session: &Session, name: &str) -> Result<(), Stop> {
    let mut tables = session.engine.tables().await?;
    tables.extend(session.engine.last_result_table());
    let bare = name.trim_matches('"');
    let Some(table) = tables.iter().find(|t| t.name.eq_ignore_ascii_case(bare)) else {
        let names: Vec<&str> = tables.iter().map(|t| t.name.as_str()).collect();
        return Err(Error::user(format!("no table '{bare}': {}", suggest(bare, names))).into());
    };
    if let Some(description) = &table.description {
        session.print(&format!("{}\n", crate::output::escape(description)))?;
    }
    session.show(&columns(table)?)
}

fn one_column(name: &str, texts: &[String]) -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter([(name, Arc::new(StringArray::from_iter_values(texts)) as ArrayRef)])?)
}

fn columns(table: &TableInfo) -> Result<RecordBatch> {
    let text = |texts: Vec<&str>| Arc::new(StringArray::from(texts)) as ArrayRef;
    Ok(RecordBatch::try_from_iter([
        ("column", text(table.columns.iter().map(|c| c.name.as_str()).collect())),
        ("type", text(table.columns.iter().map(|c| c.data_type.as_str()).collect())),
        ("role", text(table.columns.iter().map(|c| c.role.as_deref().unwrap_or_default()).collect())),
    ])?)
}

fn help() -> String {
    let left = |c: &Spec| format!("{} {}", c.name, c.arguments);
    let width = COMMANDS.iter().map(|c| left(c).len()).max().unwrap_or(0);
    let mut text =
        String::from("SQL statements end with ; and may span lines. Ctrl-C stops a query, Tab completes.\n\n");
    for command in COMMANDS {
        text.push_str(&format!("  {:<width$}  {}\n", left(command), command.text));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Command {
        match parse(line).unwrap() {
            Line::Command(command) => command,
            Line::Sql => panic!("{line} is SQL"),
        }
    }

    #[test]
    fn arguments_lose_quotes_and_semicolons() {
        assert_eq!(command("\\d events;"), Command::Describe(Some("events".into())));
        assert_eq!(command(" \\dt; "), Command::Tables);
        assert_eq!(command("\\o 'my file.csv'"), Command::Output(Some("my file.csv".into())));
        assert_eq!(command("\\rows all"), Command::Rows(Some(Rows::All)));
        assert_eq!(command("\\rows 7"), Command::Rows(Some(Rows::First(7))));
        assert_eq!(command("\\explain SELECT 'a';"), Command::Explain(Some("SELECT 'a'".into())));
        assert_eq!(command("\\explain"), Command::Explain(None));
        assert_eq!(command("\\watch 0.5"), Command::Watch(Duration::from_millis(500)));
        assert_eq!(command("\\run weekly;"), Command::Run(Some("weekly".into())));
        assert_eq!(command("\\keys vi"), Command::Keys(Some(Keys::Vi)));
        assert_eq!(command("\\timing off"), Command::Timing(Some(false)));
        assert_eq!(command("QUIT;"), Command::Quit);
        assert_eq!(parse("select quit;").unwrap(), Line::Sql);
    }

    #[test]
    fn every_listed_command_is_known() {
        for spec in COMMANDS {
            let argument = match spec.name {
                "\\i" | "\\save" => " x",
                _ => "",
            };
            assert!(parse(&format!("{}{argument}", spec.name)).is_ok(), "{}", spec.name);
        }
    }

    #[test]
    fn mistakes_name_what_is_allowed() {
        let message = |line: &str| parse(line).unwrap_err().message().to_string();
        assert!(message("\\timng").contains("did you mean \\timing?"), "{}", message("\\timng"));
        assert!(message("\\rows few").contains("a number from 1 or all"));
        for wrong in ["0", "-1", "nan", "inf", "x", "1e9"] {
            assert!(message(&format!("\\watch {wrong}")).contains("from 0.1 to 86400"), "{wrong}");
        }
        assert!(message("\\keys ed").contains("emacs or vi, not 'ed'"));
        assert!(message("\\save").contains("needs a name"));
        assert!(message("\\last csv").contains("takes nothing"));
        assert!(message("\\x maybe").contains("on or off"));
        assert!(message("\\format jsn").contains("'json'"));
        assert!(message("\\i").contains("needs the name"));
    }
}
