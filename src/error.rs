//! What can go wrong, said once for every surface: a kind (whose turn it is to act), one line of message, hints.
//!
//! Deals with: the error type, its conversion to and from [`DataFusionError`], the nearest-name hint.
//! Does not deal with: printing and exit codes (`main`), or deciding what is an error (the module that finds it).

mod names;
mod place;

use std::fmt;
use std::path::Path;

use datafusion::common::{DataFusionError, SchemaError};

use names::{unknown_column, wrong_arguments};
use place::Place;

/// Result of everything in tenure that is not called by DataFusion itself.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose turn it is to act on an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line is wrong: exit code 2.
    Usage,
    /// The SQL text, an option or an argument is wrong.
    User,
    /// A file or table is missing, damaged or not of the expected shape.
    Data,
    /// Memory, disk or time ran out.
    Resources,
    /// A defect of tenure.
    Internal,
}

/// An error with one line of message, which names the function or file, the offending value and what is allowed.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hints: Vec<String>,
    stale: bool,
    place: Option<Place>,
    excerpt: Option<String>,
}

impl Error {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = one_line(&message.into()).replace("Parquet error: Parquet error:", "Parquet error:");
        Self { kind, message, hints: Vec::new(), stale: false, place: None, excerpt: None }
    }

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The SQL text, an option or an argument is wrong.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(Kind::User, message)
    }

    /// A file or table is missing, damaged or not of the expected shape.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(Kind::Data, message)
    }

    /// Memory, disk or time ran out.
    pub fn resources(message: impl Into<String>) -> Self {
        Self::new(Kind::Resources, message)
    }

    /// A defect of tenure.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// An input/output error on a named file; a full disk is [`Kind::Resources`].
    pub fn io(doing: &str, path: &Path, cause: &std::io::Error) -> Self {
        let message = format!("cannot {doing} '{}': {cause}", path.display());
        match cause.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::FileTooLarge => {
                Self::resources(message)
            }
            _ => Self::data(message),
        }
    }

    /// Marks an error of files that others replaced meanwhile: the same work, begun anew, sees the new ones.
    #[must_use]
    pub fn stale(mut self) -> Self {
        self.stale = true;
        self
    }

    /// Whether the same work, begun anew, may succeed.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// Adds a line that helps to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says which word of the statement is meant, a name that is not known.
    #[must_use]
    pub fn of_word(mut self, word: &str) -> Self {
        self.place = Some(Place::Word(word.to_string()));
        self
    }

    /// The word that [`of_word`](Self::of_word) was given.
    pub fn word(&self) -> Option<&str> {
        match &self.place {
            Some(Place::Word(word)) => Some(word),
            _ => None,
        }
    }

    /// Looks its place up in the statement that it is of.
    #[must_use]
    pub fn shown_in(mut self, statement: &str) -> Self {
        if self.excerpt.is_none() {
            self.excerpt = self.place.as_ref().and_then(|place| place.shown_in(statement));
        }
        self
    }

    /// The line of the statement that it is of, and below it a caret at the place.
    pub fn excerpt(&self) -> Option<&str> {
        self.excerpt.as_deref()
    }

    /// Puts where it happened before the message, as in `report.sql:3: ...`.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// Puts `subject` (which brings its own colon) before the message.
    #[must_use]
    pub fn within(mut self, subject: &str) -> Self {
        self.message.insert_str(0, subject);
        self
    }

    /// Whose turn it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The one line that says what, where, and what would be right.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Lines that help to mend it, each a sentence.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        from_datafusion(error)
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        from_datafusion(DataFusionError::from(error))
    }
}

/// Takes DataFusion's wrappers off an error and gives what is inside a kind.
fn from_datafusion(error: DataFusionError) -> Error {
    use arrow::error::ArrowError;
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(inner) => match inner.downcast::<DataFusionError>() {
                Ok(inner) => from_datafusion(*inner),
                Err(inner) => match inner.downcast::<ArrowError>() {
                    Ok(inner) => from_datafusion(DataFusionError::ArrowError(inner, None)),
                    Err(inner) => match inner.downcast::<parquet::errors::ParquetError>() {
                        Ok(inner) => from_datafusion(DataFusionError::ParquetError(inner)),
                        Err(other) => Error::data(other.to_string()),
                    },
                },
            },
        },
        DataFusionError::ArrowError(inner, backtrace) => match *inner {
            ArrowError::ExternalError(inner) => from_datafusion(DataFusionError::External(inner)),
            ArrowError::IoError(message, cause) => match cause.kind() {
                std::io::ErrorKind::StorageFull => Error::resources(message),
                _ => Error::data(message),
            },
            inner => {
                let _ = backtrace;
                Error::data(inner.to_string())
            }
        },
        DataFusionError::ParquetError(inner) => match *inner {
            parquet::errors::ParquetError::External(inner) => from_datafusion(DataFusionError::External(inner)),
            inner => Error::data(inner.to_string()),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_datafusion(*inner),
        DataFusionError::Shared(inner) => match std::sync::Arc::try_unwrap(inner) {
            Ok(inner) => from_datafusion(inner),
            Err(shared) => from_shared(&shared),
        },
        DataFusionError::Collection(mut errors) if !errors.is_empty() => from_datafusion(errors.swap_remove(0)),
        DataFusionError::SQL(inner, _) if inner.to_string().contains("recursion limit exceeded") => {
            Error::user("brackets, functions or CASEs nested too deeply in one expression")
                .hint("compute it in steps: WITH a AS (SELECT .. AS x FROM ..) SELECT f(x) FROM a")
        }
        DataFusionError::SQL(inner, _) => {
            let said = inner.to_string();
            let mut error = Error::user(said.replacen("sql parser error: ", "syntax error: ", 1));
            error.place = Place::of_parser(&said);
            error
        }
        DataFusionError::Plan(message) => {
            translated(&message).unwrap_or_else(|| Error::user(unwrap_coercion(&message)))
        }
        DataFusionError::SchemaError(inner, _) if matches!(*inner, SchemaError::FieldNotFound { .. }) => {
            unknown_column(&inner).unwrap_or_else(|| Error::user(inner.to_string()))
        }
        DataFusionError::SchemaError(inner, _) => {
            let said = inner.to_string();
            if !said.contains("which would be ambiguous") {
                return Error::user(said);
            }
            let named = |from: &str, to: &str| said.split_once(from)?.1.split(to).next().map(str::to_string);
            let column = named("qualified field name ", " and ").unwrap_or_default();
            let name = named("unqualified field name ", " which").unwrap_or_default();
            Error::user(format!(
                "'{name}' is a column of the result, and the order needs the column {column} of the same name"
            ))
            .hint(format!("give the column of the result another name, AS {name}_2"))
        }
        DataFusionError::Configuration(message) => Error::user(message),
        DataFusionError::NotImplemented(message) => {
            translated(&message).unwrap_or_else(|| Error::user(format!("not supported: {}", without_dump(&message))))
        }
        DataFusionError::ResourcesExhausted(message) => out_of_memory(&message),
        DataFusionError::Execution(message) if message.contains(COERCION) => Error::user(unwrap_coercion(&message)),
        DataFusionError::Execution(message) => Error::data(message),
        DataFusionError::IoError(inner) if inner.kind() == std::io::ErrorKind::StorageFull => {
            Error::resources(inner.to_string())
        }
        DataFusionError::Internal(message) => internal(&message),
        other => {
            let message = other.to_string();
            if message.contains(INTERNAL) {
                return internal(&message);
            }
            if message.contains("No space left on device") { Error::resources(message) } else { Error::data(message) }
        }
    }
}

/// The same for an error that other tasks hold too, which cannot be taken apart.
fn from_shared(error: &DataFusionError) -> Error {
    let root = error.find_root();
    if let DataFusionError::External(inner) = root
        && let Some(ours) = inner.downcast_ref::<Error>()
    {
        return Error {
            kind: ours.kind,
            message: ours.message.clone(),
            hints: ours.hints.clone(),
            stale: ours.stale,
            place: ours.place.clone(),
            excerpt: ours.excerpt.clone(),
        };
    }
    match root {
        DataFusionError::ResourcesExhausted(message) => out_of_memory(message),
        DataFusionError::Plan(message) => Error::user(message.as_str()),
        DataFusionError::Internal(message) => internal(message),
        other => Error::data(other.to_string()),
    }
}

/// Whether an error that a query gives is [`Error::is_stale`], at whatever depth.
pub fn is_stale(error: &DataFusionError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = cause {
        if let Some(ours) = found.downcast_ref::<Error>() {
            return ours.is_stale();
        }
        cause = found.source();
    }
    false
}

/// How DataFusion marks what it takes for its own fault.
const INTERNAL: &str = "Internal error: ";

/// What the planner or an operator could not do and blames itself for. What a user typed leads there too, so the message says what is known, and
/// nothing about whose bug it is.
fn internal(message: &str) -> Error {
    if let Some(known) = translated(message) {
        return known;
    }
    let message = message.rsplit(INTERNAL).next().unwrap_or(message);
    let message = message.split("This issue was likely caused by").next().unwrap_or(message);
    Error::internal(format!(
        "this statement cannot be carried out: {}",
        without_dump(message.trim().trim_end_matches('.'))
    ))
    .hint("write it in another way, in two steps with a WITH query for example; and please report it")
}

/// Messages of the planner that need other words: what is in them, what to say, the way out.
const TRANSLATIONS: &[(&str, &str, &str)] = &[
    ("Physical plan does not support logical expression", CORRELATED, CORRELATED_HINT),
    ("undecorrelated", CORRELATED, CORRELATED_HINT),
    ("Physical plan does not support logical plan Subquery", CORRELATED, CORRELATED_HINT),
    (
        "Correlated scalar subquery must be aggregated",
        "a correlated subquery in the place of a value must give one row: no aggregate makes it one",
        "as in (SELECT max(x) FROM ..); for the latest, (SELECT last_value(x ORDER BY ts) FROM ..)",
    ),
    (
        "Correlated scalar subquery can only be used in",
        "a correlated subquery in ORDER BY, or another place outside SELECT, WHERE and GROUP BY, is not supported",
        "name it in the SELECT list: SELECT .., (SELECT ..) AS n .. ORDER BY n",
    ),
    (
        "The subquery should only return one column",
        "the subquery of IN, or in the place of a value, must have one column",
        "for several: EXISTS (SELECT 1 FROM .. WHERE a = outer.x AND b = outer.y)",
    ),
    ("Accessing outer reference columns is not allowed", CORRELATED, CORRELATED_HINT),
    (
        "Inconsistent data type across values list",
        "VALUES: the values of a column have types that do not go together",
        "give the first row its type, as in (DATE '2025-01-01'), and all others in the same way",
    ),
    (
        "require unique expression names",
        "two columns of a list are called the same",
        "name one of them: expression AS name",
    ),
    (
        "not supported for Base table",
        "UPDATE and DELETE are not supported: tables here are added to, and users are erased from managed ones",
        "CREATE TABLE new AS SELECT .. without those rows, or tenure erase FOLDER --user ID",
    ),
];

const CORRELATED: &str =
    "this use of a subquery is not supported: correlated in this way, or IN and EXISTS outside WHERE";
const CORRELATED_HINT: &str = "group it by its key in a WITH query and join that: LEFT JOIN (SELECT key, count(*) AS n FROM .. GROUP BY key) AS x USING (key)";

fn translated(message: &str) -> Option<Error> {
    if let Some((name, near)) = unknown_function(message) {
        let known = if nearest(name, [near]).is_empty() {
            "\\df lists the functions".to_string()
        } else {
            format!("did you mean '{near}'?")
        };
        return Some(Error::user(format!("{NO_FUNCTION}'{name}'; {known}")).of_word(name));
    }
    if let Some(said) = wrong_arguments(message) {
        return Some(said);
    }
    if let Some((_, rest)) = message.split_once("While expanding wildcard, column \"") {
        let column = rest.split("\" must appear").next().unwrap_or(rest);
        let column = column.rsplit('.').next().unwrap_or(column).trim_matches('"');
        return Some(
            Error::user(format!("column '{column}' must be in GROUP BY, or inside an aggregate"))
                .hint(format!("GROUP BY {column} for a row of each, any_value({column}) for one of them"))
                .of_word(column),
        );
    }
    TRANSLATIONS.iter().find(|(part, ..)| message.contains(part)).map(|(_, said, hint)| Error::user(*said).hint(*hint))
}

/// How the message of an unknown function begins; its name follows.
pub const NO_FUNCTION: &str = "no function is called ";

/// The name, and the one that the planner found nearest, however far.
fn unknown_function(message: &str) -> Option<(&str, &str)> {
    let (name, rest) = message.strip_prefix("Invalid function '")?.split_once('\'')?;
    let (_, near) = rest.split_once("Did you mean '")?;
    Some((name, near.split('\'').next()?))
}

/// The message up to a dump of the syntax tree.
fn without_dump(message: &str) -> &str {
    let marks = ["Ident {", "Identifier(", "ValueWithSpan {", "span: Span", "Span(", "Some(", "BinaryOp {", "Literal("];
    let Some(at) = marks.iter().filter_map(|mark| message.find(mark)).min() else { return message };
    let before = &message[..at];
    before.rsplit_once(": ").map_or(before, |(said, _)| said).trim_end_matches([':', ' ', '{', '('])
}

/// The pool's report cut to who needed how much, and what the limit is; other exhausted resources keep their message.
fn out_of_memory(message: &str) -> Error {
    let between = |from: &str, to: &str| {
        let (_, rest) = message.rsplit_once(from)?;
        Some(rest.split_once(to)?.0.trim())
    };
    let needed = between("Failed to allocate additional ", " for ");
    let operator = between("Failed to allocate additional ", " already allocated").and_then(|text| {
        let (operator, held) = text.split_once(" for ")?.1.split_once(" with ")?;
        Some((operator, held))
    });
    match (needed, operator, between("pool_size: ", ")")) {
        (Some(needed), Some((operator, held)), Some(limit)) => Error::resources(format!(
            "out of memory: {operator} holds {held} and needs {needed} more; the limit is {limit}"
        ))
        .hint("raise the limit with --memory, or use fewer --threads: each thread of each operator has a share"),
        _ => Error::resources(message),
    }
}

const COERCION: &str = "user-defined coercion failed with: ";

/// The message of a function that refused its arguments, without what the planner wraps around it.
fn unwrap_coercion(message: &str) -> &str {
    let Some((_, inner)) = message.rsplit_once(COERCION) else { return message };
    let inner = inner.strip_prefix("External error: ").unwrap_or(inner);
    let inner = inner.split(". No function matches").next().unwrap_or(inner);
    // A quote at the end may close one of the message's own.
    let is_odd = |quote: char| inner.ends_with(quote) && inner.matches(quote).count() % 2 == 1;
    if is_odd('\'') || is_odd('"') { &inner[..inner.len() - 1] } else { inner }
}

/// Folds a message to one line: the parsers' multi-line texts become readable in a log and in a terminal.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

std::thread_local! {
    static QUIET: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs what may panic over nonsense in a file: the caller catches the panic and reports it, so no report of it is wanted.
pub fn quietly<T>(work: impl FnOnce() -> T) -> T {
    let before = QUIET.replace(true);
    let done = work();
    QUIET.set(before);
    done
}

/// Whether a panic of this thread is about to be caught by [`quietly`]'s caller.
pub fn is_quiet() -> bool {
    QUIET.get()
}

/// The entries of `known` that look like `wanted`, nearest first, at most three: those that a slip of the finger or two makes of it, that
/// begin with it, or of which it is a word.
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = wanted.to_lowercase();
    let letters = wanted.chars().count();
    let likely = |name: &str| {
        // Of one or two letters every other name is a slip or two away.
        let slips = letters >= 3 && strsim::osa_distance(&wanted, name) <= letters / 3;
        let begins = letters >= 3 && (name.starts_with(&wanted) || (name.len() >= 3 && wanted.starts_with(name)));
        let alike = wanted.chars().zip(name.chars()).take_while(|(a, b)| a == b).count() >= 3
            && strsim::jaro_winkler(&wanted, name) > 0.85;
        let is_word = letters >= 2 && name.split('_').any(|word| word == wanted);
        slips || begins || alike || is_word
    };
    let mut scored: Vec<(f64, &str)> = known
        .into_iter()
        .map(|name| (name, name.to_lowercase()))
        .filter(|(_, lower)| likely(lower))
        .map(|(name, lower)| (strsim::jaro_winkler(&wanted, &lower), name))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.dedup_by(|a, b| a.1 == b.1);
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// `did you mean 'x'?` where something is near, else what is allowed.
pub fn suggest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(wanted, known.clone()).as_slice() {
        [] => format!("allowed: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
        near => format!("did you mean {}?", near.iter().map(|n| format!("'{n}'")).collect::<Vec<_>>().join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(Error::user("a\n  b\tc").message(), "a b c");
    }

    #[test]
    fn our_error_survives_the_trip_through_datafusion() {
        let inner: DataFusionError = Error::resources("full").hint("free some").into();
        let wrapped = DataFusionError::Context("while reading".into(), Box::new(inner));
        let back = Error::from(DataFusionError::External(Box::new(wrapped)));
        assert_eq!((back.kind(), back.message()), (Kind::Resources, "full"));
        assert_eq!(back.hints(), ["free some"]);
    }

    #[test]
    fn memory_errors_name_operator_need_and_limit() {
        let long = "Additional allocation failed for Sort[1] with top memory consumers (across reservations) as: \
                    A#1(can spill: true) consumed 1.0 MB, peak 1.0 MB. Error: Failed to allocate additional 125.8 KB for \
                    Sort[1] with 126.1 KB already allocated for this reservation - 139.5 KB remain available for the total \
                    memory pool: fair(pool_size: 976.6 KB)";
        assert_eq!(
            Error::from(DataFusionError::ResourcesExhausted(long.into())).message(),
            "out of memory: Sort[1] holds 126.1 KB and needs 125.8 KB more; the limit is 976.6 KB"
        );
        assert_eq!(Error::from(DataFusionError::ResourcesExhausted("disk quota".into())).message(), "disk quota");
    }

    #[test]
    fn a_function_s_own_words_come_first() {
        let wrapped = format!("Execution error: Function 'f' {COERCION}External error: f: needs a window");
        assert_eq!(Error::from(DataFusionError::Execution(wrapped)).message(), "f: needs a window");
    }

    #[test]
    fn nobody_is_told_of_bugs_or_syntax_trees() {
        let internal =
            "Assertion failed: x: y. This issue was likely caused by a bug in DataFusion's code. Please help us";
        let error = Error::from(DataFusionError::Internal(internal.into()));
        assert_eq!(error.message(), "this statement cannot be carried out: Assertion failed: x: y");
        let dump = "Unsupported ast node in sqltorel: Prior(Identifier(Ident { value: \"a\" }))";
        assert_eq!(
            Error::from(DataFusionError::NotImplemented(dump.into())).message(),
            "not supported: Unsupported ast node in sqltorel"
        );
        let function = |name: &str| format!("Invalid function '{name}'.\nDid you mean 'sum'?");
        assert_eq!(
            Error::from(DataFusionError::Plan(function("sums"))).message(),
            "no function is called 'sums'; did you mean 'sum'?"
        );
        assert!(!Error::from(DataFusionError::Plan(function("geo_distance"))).message().contains("sum"));
    }

    #[test]
    fn a_quote_of_the_message_itself_stays() {
        let wrapped = |inner: &str| unwrap_coercion(&format!("f: {COERCION}External error: {inner}")).to_string();
        assert_eq!(wrapped("as in INTERVAL '1 hour'"), "as in INTERVAL '1 hour'");
        assert_eq!(wrapped("needs a number'"), "needs a number");
        assert_eq!(wrapped("needs a number. No function matches the given name"), "needs a number");
    }

    #[test]
    fn nearest_names_come_first() {
        assert_eq!(nearest("cout", ["cot", "count", "coth"])[0], "count");
        assert!(nearest("foo", ["floor", "cos", "for_each"]).is_empty());
        assert_eq!(nearest("user", ["user_id", "ts"]), ["user_id"]);
        assert_eq!(nearest("campaign", ["cut_campaign", "cut_midnight"]), ["cut_campaign"]);
        assert_eq!(nearest("at", ["at_step", "as_of", "within"]), ["at_step"]);
        assert_eq!(nearest("purchse", ["page_view", "purchase", "login"]), ["purchase"]);
        assert_eq!(suggest("xyz", ["day", "week"]), "allowed: day, week");
        assert_eq!(suggest("weeks", ["day", "week"]), "did you mean 'week'?");
    }
}
