//! What a table of events may hold that makes answers wrong or small: each check is a query, and words about its rows.
//!
//! Deals with: rows without a user or time, clocks, days without events, rows that come twice, event names that are one, ids that are
//! none. Does not deal with: mending; each finding says what does.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

use jiff::civil::DateTime;

use super::data::Asked;
use crate::engine::{ColumnInfo, TableInfo};
use crate::error::{Error, Result};
use crate::output::thousands;
use crate::store::table::CONVENTIONS;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Answers are other ones than they should be.
    Problem,
    /// Worth knowing.
    Note,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Level::Problem => "problem",
            Level::Note => "note",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub level: Level,
    pub what: String,
    /// What to do.
    pub advice: String,
}

fn problem(what: String, advice: &str) -> Finding {
    Finding { level: Level::Problem, what, advice: advice.into() }
}

fn note(what: String, advice: &str) -> Finding {
    Finding { level: Level::Note, what, advice: advice.into() }
}

/// Texts that programs write where they know no id.
const NO_IDS: &str = "'', '0', '-1', 'null', 'none', 'nil', 'nan', 'n/a', 'na', 'undefined', 'unknown', 'anonymous', 'guest', \
                      '(not set)', '00000000-0000-0000-0000-000000000000'";

/// Event names that are compared; those that come more often go first.
const MOST_NAMES: usize = 20_000;

/// Rows from which the order of files makes itself felt.
const MANY_ROWS: i64 = 5_000_000;

/// A table, its roles, and the time that counts as now.
pub(super) struct Patient {
    table: TableInfo,
    as_of: Option<DateTime>,
}

impl Patient {
    /// Columns without a word about them have the roles that relations take them for.
    pub fn of(mut table: TableInfo, as_of: Option<DateTime>) -> Self {
        for (role, names) in CONVENTIONS {
            if table.columns.iter().all(|c| c.role.as_deref() != Some(role)) {
                let usual = names
                    .iter()
                    .find_map(|name| table.columns.iter().position(|c| c.name == *name && c.role.is_none()));
                usual.into_iter().for_each(|at| table.columns[at].role = Some(role.to_string()));
            }
        }
        Self { table, as_of }
    }

    fn role(&self, role: &str) -> Option<&ColumnInfo> {
        self.table.columns.iter().find(|c| c.role.as_deref() == Some(role))
    }

    /// The time column, where it tells times.
    fn time(&self) -> Option<String> {
        let column = self.role("time")?;
        (column.data_type.starts_with("TIMESTAMP") || column.data_type == "DATE").then(|| quoted(&column.name))
    }

    fn name(&self) -> String {
        self.table.name.split('.').map(quoted).collect::<Vec<_>>().join(".")
    }

    fn now(&self) -> String {
        match &self.as_of {
            Some(time) => format!("TIMESTAMP '{time}'"),
            None => "CAST(now() AS TIMESTAMP)".into(),
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A heading that says what the table holds, and the findings, problems first.
pub(super) async fn examine(patient: &Patient, asked: &Arc<Asked>) -> Result<(String, Vec<Finding>)> {
    let mut found = roles(patient);
    let (heading, rows) = overview(patient, asked, &mut found).await?;
    if rows > 0 {
        days(patient, asked, &mut found).await?;
        repeated(patient, asked, &mut found).await?;
        names(patient, asked, &mut found).await?;
        users(patient, asked, rows, &mut found).await?;
        layout(patient, asked, rows, &mut found).await?;
    }
    found.sort_by_key(|f| f.level);
    Ok((heading, found))
}

fn roles(patient: &Patient) -> Vec<Finding> {
    let known = |role| patient.role(role).is_some();
    let columns: Vec<&str> = patient.table.columns.iter().map(|c| c.name.as_str()).collect();
    match (known("user"), known("time"), known("event")) {
        (false, false, false) => vec![note(
            format!("no column has a role: user, time and event are unknown among {}", listed(&columns, 8)),
            "[tables.NAME] user = \"..\", time = \"..\", event = \"..\" in tenure.toml, or user => .. in each call",
        )],
        (false, true, _) => vec![note(
            "the table has a time but no user column".into(),
            "user = \"..\" in tenure.toml says which column tells users apart",
        )],
        (true, true, false) => vec![note(
            "no column is known to name the event".into(),
            "event = \"..\" in tenure.toml; without it every row counts as the same event",
        )],
        _ => match patient.role("time").filter(|_| patient.time().is_none()) {
            Some(time) => vec![note(
                format!(
                    "the time column '{}' is {}, not a time: clocks and days were not looked at",
                    time.name, time.data_type
                ),
                "tenure ingest makes times of it (--time-unit), or time_unit => 'ms' in each call",
            )],
            None => Vec::new(),
        },
    }
}

/// One pass over everything: how many rows, NULLs by column, clocks.
async fn overview(patient: &Patient, asked: &Arc<Asked>, found: &mut Vec<Finding>) -> Result<(String, i64)> {
    let mut wanted = vec!["count(*) AS \"rows\"".to_string()];
    for (at, column) in patient.table.columns.iter().enumerate() {
        wanted.push(format!("count({}) AS c{at}", quoted(&column.name)));
    }
    if let Some(time) = patient.time() {
        let now = patient.now();
        wanted.push(format!("CAST(min({time}) AS VARCHAR) AS first, CAST(max({time}) AS VARCHAR) AS last"));
        wanted.push(format!("count(*) FILTER (WHERE {time} > {now} + INTERVAL '1 day') AS ahead"));
        wanted.push(format!("count(*) FILTER (WHERE {time} < TIMESTAMP '1990-01-01') AS early"));
        wanted.push(format!("CAST({now} AS VARCHAR) AS now"));
        wanted.push(format!("max({time}) < {now} - INTERVAL '2 days' AS stale"));
    }
    let all = Rows::of(asked, format!("SELECT {} FROM {}", wanted.join(", "), patient.name())).await?;
    let rows = all.count(0, "rows")?;
    let mut heading =
        format!("{}: {} {}", patient.table.name, thousands(rows as u64), if rows == 1 { "row" } else { "rows" });
    if rows == 0 {
        found.push(note("the table is empty".into(), "see whether the location is right, and the load has run"));
        return Ok((heading, 0));
    }
    let percent = |n: i64| format!("{:.1} %", 100.0 * n as f64 / rows as f64);
    let mut empty = Vec::new();
    let mut sparse = Vec::new();
    for (at, column) in patient.table.columns.iter().enumerate() {
        let without = rows - all.count(0, &format!("c{at}"))?;
        match column.role.as_deref() {
            Some(role) if without > 0 => found.push(problem(
                format!(
                    "rows without a {role} ('{}' is NULL): {} ({})",
                    column.name,
                    thousands(without as u64),
                    percent(without)
                ),
                match role {
                    "user" => {
                        "they take no part in any answer: give visitors an id (of the device, a cookie) before the load"
                    }
                    _ => "they take no part in any answer: see where the source has it",
                },
            )),
            None if without == rows => empty.push(column.name.as_str()),
            None if without * 2 > rows => sparse.push(format!("{} ({})", column.name, percent(without))),
            _ => {}
        }
    }
    if !empty.is_empty() {
        let what = format!("nothing but NULL in {}", listed(&empty, 8));
        found.push(note(what, "see whether the source calls the field otherwise, else leave it out"));
    }
    if !sparse.is_empty() {
        let names: Vec<&str> = sparse.iter().map(String::as_str).collect();
        let what = format!("mostly NULL: {}", listed(&names, 8));
        found.push(note(what, "as it should be where only some events have it"));
    }
    if patient.time().is_some() {
        let (first, last) = (all.text(0, "first")?, all.text(0, "last")?);
        if let (Some(first), Some(last)) = (&first, &last) {
            heading.push_str(&format!(", {} to {}", instant(first), instant(last)));
        }
        let now = instant(&all.text(0, "now")?.unwrap_or_default());
        let (ahead, early) = (all.count(0, "ahead")?, all.count(0, "early")?);
        if ahead > 0 {
            let last = last.as_deref().map(instant).unwrap_or_default();
            found.push(problem(
                format!("events in the future: {}, the last at {last} (it is {now})", thousands(ahead as u64)),
                "clocks of devices, or a wrong unit: leave them out (WHERE), or load the time at which the server got them",
            ));
        }
        if early > 0 {
            let first = first.as_deref().map(instant).unwrap_or_default();
            found.push(problem(
                format!("events before 1990: {}, the first at {first}", thousands(early as u64)),
                "a time of 0, or seconds read as milliseconds: --time-unit at the load",
            ));
        }
        if ahead == 0 && all.text(0, "stale")?.as_deref() == Some("true") {
            let last = last.as_deref().map(instant).unwrap_or_default();
            found.push(note(format!("the newest event is of {last} (it is {now})"), "see whether the load still runs"));
        }
        let typed = patient.role("time").is_some_and(|c| c.data_type == "TIMESTAMP");
        if typed && asked.time_zone().is_none() {
            found.push(note(
                "times have no zone, and days begin at midnight UTC".into(),
                "[options] \"tenure.time_zone\" = \"Europe/Berlin\" in tenure.toml, or tz => '..' in a call, where days are local ones",
            ));
        }
    }
    Ok((heading, rows))
}

/// Days without events, and with far fewer than usual.
async fn days(patient: &Patient, asked: &Arc<Asked>, found: &mut Vec<Finding>) -> Result<()> {
    let Some(time) = patient.time() else { return Ok(()) };
    let day = format!("CAST(date_trunc('day', {time}) AS DATE)");
    let sql = format!(
        "SELECT date_diff('day', DATE '1970-01-01', {day}) AS day, CAST({day} AS VARCHAR) AS label, count(*) AS n \
         FROM {} WHERE {time} >= TIMESTAMP '1990-01-01' AND {time} <= {} GROUP BY ALL ORDER BY 1",
        patient.name(),
        patient.now()
    );
    let days = Rows::of(asked, sql).await?;
    let all = (0..days.len())
        .map(|row| Ok((days.count(row, "day")?, days.text(row, "label")?.unwrap_or_default(), days.count(row, "n")?)))
        .collect::<Result<Vec<_>>>()?;
    found.extend(gaps(&all));
    Ok(())
}

/// Findings about days: number, date, events.
fn gaps(days: &[(i64, String, i64)]) -> Vec<Finding> {
    let mut counts: Vec<i64> = days.iter().map(|(_, _, n)| *n).collect();
    counts.sort_unstable();
    let Some(&usual) = counts.get(counts.len() / 2) else { return Vec::new() };
    // Where a day has a handful of events, one without any says nothing.
    if usual < 20 {
        return Vec::new();
    }
    let mut found = Vec::new();
    let missing: Vec<(String, i64)> = days
        .windows(2)
        .filter(|w| w[1].0 - w[0].0 > 1)
        .map(|w| (format!("after {}", w[0].1), w[1].0 - w[0].0 - 1))
        .collect();
    if !missing.is_empty() {
        let all: i64 = missing.iter().map(|(_, n)| n).sum();
        let spans: Vec<String> = missing.iter().map(|(from, n)| format!("{n} {from}")).collect();
        let spans: Vec<&str> = spans.iter().map(String::as_str).collect();
        found.push(problem(
            format!("days without an event: {} ({})", thousands(all as u64), listed(&spans, 5)),
            "load those days again; users seem to leave and come back there",
        ));
    }
    // The first and the last day may be cut.
    let inner = days.get(1..days.len().saturating_sub(1)).unwrap_or_default();
    let thin: Vec<String> = inner
        .iter()
        .filter(|(_, _, n)| n * 10 < usual)
        .map(|(_, day, n)| format!("{day} ({})", thousands(*n as u64)))
        .collect();
    if !thin.is_empty() {
        let names: Vec<&str> = thin.iter().map(String::as_str).collect();
        found.push(note(
            format!(
                "days with less than a tenth of the usual {} events: {}",
                thousands(usual as u64),
                listed(&names, 5)
            ),
            "see whether the load of those days was whole",
        ));
    }
    found
}

/// Rows that are there more than once.
async fn repeated(patient: &Patient, asked: &Arc<Asked>, found: &mut Vec<Finding>) -> Result<()> {
    let (Some(user), name) = (patient.role("user"), patient.name()) else { return Ok(()) };
    if patient.role("time").is_none() {
        let user = quoted(&user.name);
        let rows = Rows::of(asked, format!("SELECT count({user}) - count(DISTINCT {user}) AS n FROM {name}")).await?;
        let more = rows.count(0, "n")?;
        if more > 0 {
            found.push(note(
                format!("users with several rows: {} rows more than users", thousands(more as u64)),
                "a join with it gives an event several times; join with SELECT DISTINCT ON (user) .., or one row each",
            ));
        }
        return Ok(());
    }
    // Structs and lists stand for no key.
    let plain =
        |c: &&ColumnInfo| !["STRUCT", "MAP"].iter().any(|n| c.data_type.starts_with(n)) && !c.data_type.ends_with("[]");
    let columns: Vec<String> = patient.table.columns.iter().filter(plain).map(|c| quoted(&c.name)).collect();
    let keys = columns.join(", ");
    let sql = format!(
        "SELECT coalesce(sum(n - 1), 0) AS more FROM (SELECT count(*) AS n FROM {name} GROUP BY {keys} HAVING count(*) > 1)"
    );
    let more = Rows::of(asked, sql).await?.count(0, "more")?;
    if more > 0 {
        found.push(problem(
            format!("rows that repeat another one in every column: {}", thousands(more as u64)),
            "a load that ran twice, or a client that sends again: tenure ingest --dedup-key ID keeps one of each",
        ));
    }
    Ok(())
}

/// Event names that differ by case or separators alone, and too many of them.
async fn names(patient: &Patient, asked: &Arc<Asked>, found: &mut Vec<Finding>) -> Result<()> {
    let Some(event) = patient.role("event") else { return Ok(()) };
    let event = quoted(&event.name);
    let sql = format!(
        "SELECT CAST({event} AS VARCHAR) AS name, count(*) AS n FROM {} WHERE {event} IS NOT NULL GROUP BY {event} \
         ORDER BY n DESC, name LIMIT {MOST_NAMES}",
        patient.name()
    );
    let rows = Rows::of(asked, sql).await?;
    let all = (0..rows.len())
        .map(|row| Ok((rows.text(row, "name")?.unwrap_or_default(), rows.count(row, "n")?)))
        .collect::<Result<Vec<_>>>()?;
    found.extend(alike(&all));
    if rows.len() > 1_000 {
        let many = if rows.len() == MOST_NAMES {
            format!("{} and more", thousands(MOST_NAMES as u64))
        } else {
            thousands(rows.len() as u64)
        };
        found.push(note(
            format!("{many} event names, as '{}'", all.last().map_or("", |(name, _)| name)),
            "names that hold ids or addresses make one event many: keep what varies in a column of its own",
        ));
    }
    Ok(())
}

fn alike(names: &[(String, i64)]) -> Vec<Finding> {
    let mut same: BTreeMap<String, Vec<&(String, i64)>> = BTreeMap::new();
    for name in names {
        let words: Vec<&str> = name.0.split([' ', '_', '-', '.', '\t']).filter(|w| !w.is_empty()).collect();
        same.entry(words.join(" ").to_lowercase()).or_default().push(name);
    }
    let mut found: Vec<Finding> = same
        .values()
        .filter(|names| names.len() > 1)
        .map(|names| {
            let told: Vec<String> =
                names.iter().map(|(name, n)| format!("'{name}' ({})", thousands(*n as u64))).collect();
            let told: Vec<&str> = told.iter().map(String::as_str).collect();
            problem(
                format!("event names that differ by case or separators alone: {}", listed(&told, 5)),
                "one of them for all, at the load or in a view: CASE event WHEN '..' THEN '..' ELSE event END",
            )
        })
        .collect();
    let more = found.len().saturating_sub(10);
    found.truncate(10);
    if more > 0 {
        found.push(problem(format!("{more} more groups of such event names"), "as above"));
    }
    if let Some((_, n)) = names.iter().find(|(name, _)| name.trim().is_empty()) {
        found.push(problem(
            format!("events whose name is empty: {}", thousands(*n as u64)),
            "see what the source calls them",
        ));
    }
    found
}

/// Ids that stand for nobody, and one that stands for many.
async fn users(patient: &Patient, asked: &Arc<Asked>, rows: i64, found: &mut Vec<Finding>) -> Result<()> {
    let (Some(user), true) = (patient.role("user"), patient.role("time").is_some()) else { return Ok(()) };
    let (user, name) = (quoted(&user.name), patient.name());
    let sql = format!(
        "SELECT CAST({user} AS VARCHAR) AS id, count(*) AS n FROM {name} \
         WHERE lower(trim(CAST({user} AS VARCHAR))) IN ({NO_IDS}) GROUP BY {user} ORDER BY n DESC, id"
    );
    let none = Rows::of(asked, sql).await?;
    let mut told = Vec::new();
    for row in 0..none.len() {
        told.push(format!(
            "'{}' ({})",
            none.text(row, "id")?.unwrap_or_default(),
            thousands(none.count(row, "n")? as u64)
        ));
    }
    if !told.is_empty() {
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        found.push(problem(
            format!("ids that stand for nobody count as a user: {}", listed(&told, 5)),
            "make them NULL at the load (null = [\"..\"] in the mapping file), so that they take no part",
        ));
    }
    let sql = format!(
        "SELECT CAST({user} AS VARCHAR) AS id, count(*) AS n FROM {name} WHERE {user} IS NOT NULL GROUP BY {user} ORDER BY n DESC LIMIT 1"
    );
    let most = Rows::of(asked, sql).await?;
    if most.len() == 1 && rows >= 1_000 {
        let (id, n) = (most.text(0, "id")?.unwrap_or_default(), most.count(0, "n")?);
        if n * 20 > rows && !told.iter().any(|told| told.starts_with(&format!("'{id}'"))) {
            found.push(note(
                format!(
                    "user '{id}' has {:.1} % of all events ({})",
                    100.0 * n as f64 / rows as f64,
                    thousands(n as u64)
                ),
                "a robot, a test, or many people under one id: leave it out where averages matter",
            ));
        }
    }
    Ok(())
}

/// Whether files are ordered by user, where that makes itself felt.
async fn layout(patient: &Patient, asked: &Arc<Asked>, rows: i64, found: &mut Vec<Finding>) -> Result<()> {
    let (Some(user), true) = (patient.role("user"), rows >= MANY_ROWS) else { return Ok(()) };
    if !asked.is_ordered(&format!("SELECT {} FROM {}", quoted(&user.name), patient.name())).await? {
        found.push(note(
            "the files are not ordered by user".into(),
            "tenure ingest FILE --into DIR orders them: questions about users then take one pass in little memory",
        ));
    }
    Ok(())
}

/// Names with commas between, some of them where there are many.
fn listed(names: &[&str], most: usize) -> String {
    let shown = names.iter().take(most).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A time without its fraction and `T`; a midnight as a date.
fn instant(text: &str) -> String {
    let text = text.split('.').next().unwrap_or_default().replace('T', " ");
    text.strip_suffix(" 00:00:00").map_or(text.clone(), str::to_string)
}

/// Rows of an answer, by name of column.
struct Rows(Vec<RecordBatch>);

impl Rows {
    async fn of(asked: &Arc<Asked>, sql: String) -> Result<Rows> {
        Ok(Rows(asked.rows(sql).await?))
    }

    fn len(&self) -> usize {
        self.0.iter().map(RecordBatch::num_rows).sum()
    }

    /// The value as an array of one, or `None` where it is NULL or there is no such row.
    fn cell(&self, mut row: usize, name: &str, wanted: &DataType) -> Result<Option<ArrayRef>> {
        for batch in &self.0 {
            if row >= batch.num_rows() {
                row -= batch.num_rows();
                continue;
            }
            let column = batch.column_by_name(name);
            let column = column.ok_or_else(|| Error::internal(format!("doctor: no column {name}")))?;
            return Ok(Some(cast(&column.slice(row, 1), wanted)?).filter(|cell| cell.is_valid(0)));
        }
        Ok(None)
    }

    fn count(&self, row: usize, name: &str) -> Result<i64> {
        Ok(self.cell(row, name, &DataType::Int64)?.map_or(0, |cell| cell.as_primitive::<Int64Type>().value(0)))
    }

    fn text(&self, row: usize, name: &str) -> Result<Option<String>> {
        Ok(self.cell(row, name, &DataType::Utf8)?.map(|cell| cell.as_string::<i32>().value(0).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_the_roles_that_relations_take_them_for() {
        let column = |name: &str, role: Option<&str>| ColumnInfo {
            name: name.into(),
            data_type: "TIMESTAMP".into(),
            role: role.map(str::to_string),
        };
        let columns =
            vec![column("user_id", None), column("at", Some("time")), column("ts", None), column("event", None)];
        let patient = Patient::of(TableInfo { name: "t".into(), description: None, columns }, None);
        let named = |role| patient.role(role).map(|c| c.name.as_str());
        assert_eq!((named("user"), named("time"), named("event")), (Some("user_id"), Some("at"), Some("event")));
    }

    fn whats(found: Vec<Finding>) -> Vec<String> {
        found.into_iter().map(|f| f.what).collect()
    }

    #[test]
    fn days_that_lack_are_found() {
        let day = |number: i64, n: i64| (number, format!("day {number}"), n);
        let even: Vec<_> = (0..10).map(|d| day(d, 100)).collect();
        assert_eq!(whats(gaps(&even)), Vec::<String>::new());
        let mut holes = even.clone();
        holes.remove(7);
        holes.remove(3);
        holes.remove(3);
        assert_eq!(whats(gaps(&holes)), ["days without an event: 3 (2 after day 2, 1 after day 6)"]);
        let mut thin = even.clone();
        thin[4].2 = 9;
        thin[5].2 = 10;
        // A first and a last day are often cut.
        (thin[0].2, thin[9].2) = (1, 1);
        assert_eq!(whats(gaps(&thin)), ["days with less than a tenth of the usual 100 events: day 4 (9)"]);
        // Few events a day leave days without any.
        assert_eq!(whats(gaps(&[day(0, 3), day(9, 2)])), Vec::<String>::new());
        assert_eq!(whats(gaps(&[])), Vec::<String>::new());
    }

    #[test]
    fn names_of_one_event_are_found() {
        let names = |names: &[(&str, i64)]| names.iter().map(|(n, c)| (n.to_string(), *c)).collect::<Vec<_>>();
        assert_eq!(whats(alike(&names(&[("view", 5), ("views", 4), ("cart", 3)]))), Vec::<String>::new());
        assert_eq!(
            whats(alike(&names(&[("Add To Cart", 1_200), ("add_to_cart", 7), ("view", 5), ("VIEW ", 1), (" ", 2)]))),
            [
                "event names that differ by case or separators alone: 'Add To Cart' (1,200), 'add_to_cart' (7)",
                "event names that differ by case or separators alone: 'view' (5), 'VIEW ' (1)",
                "events whose name is empty: 2",
            ]
        );
    }
}
