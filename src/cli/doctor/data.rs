//! The walk over a session's tables: each check in turn, what it found as text.
//!
//! Does not deal with: what is looked for (`checks`).

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::TryStreamExt;
use jiff::civil::DateTime;
use tokio::runtime::Handle;

use super::checks::{self, Finding, Level, Patient};
use crate::cli::args::DoctorArgs;
use crate::cli::interrupt::Signals;
use crate::cli::panic;
use crate::cli::session::{Stop, print};
use crate::cli::terminal::Terminal;
use crate::config::TenureOptions;
use crate::engine::{Engine, Params, Settings};
use crate::error::{Error, Result};
use crate::output::escape;

pub(super) async fn run(args: DoctorArgs, terminal: Terminal, queries: Handle) -> Result<(), Stop> {
    let as_of = args.as_of.as_deref().map(moment).transpose()?;
    let settings = Settings {
        workspace: args.workspace.clone(),
        tables: args.tables.clone(),
        memory: args.memory,
        local_files: true,
        ..Settings::default()
    };
    let asked = Arc::new(Asked { engine: Engine::open(&settings).await?, queries });
    let tables = asked.engine.tables().await?;
    if tables.is_empty() {
        let error = Error::usage("doctor: there are no tables here");
        return Err(error.hint("-t events=FILE names one, -w DIR a folder with a tenure.toml").into());
    }
    let mut signals = Signals::listen()?;
    let (mut problems, mut notes) = (0, 0);
    for table in tables {
        let patient = Patient::of(table, as_of);
        let (heading, findings) = tokio::select! {
            signal = signals.next() => return Err(Stop::Interrupted(signal)),
            seen = checks::examine(&patient, &asked) => seen?,
        };
        problems += findings.iter().filter(|f| f.level == Level::Problem).count();
        notes += findings.iter().filter(|f| f.level == Level::Note).count();
        print(&told(&heading, &findings))?;
    }
    if !args.quiet {
        let (problems, notes) = (counted(problems, "problem"), counted(notes, "note"));
        terminal.print_note(&format!("{problems}, {notes}"));
    }
    match problems {
        0 => Ok(()),
        n => Err(Error::data(format!("doctor: {}", counted(n, "problem"))).into()),
    }
}

fn moment(text: &str) -> Result<DateTime> {
    text.parse()
        .map_err(|_| Error::usage(format!("--as-of '{text}': a time is written 2025-07-01 or 2025-07-01T12:00:00")))
}

/// `1 problem`, `2 problems`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn told(heading: &str, findings: &[Finding]) -> String {
    let mut text = format!("{}\n", escape(heading));
    for finding in findings {
        let _ = writeln!(text, "  {:<8} {}", finding.level.name(), escape(&finding.what));
        let _ = writeln!(text, "  {:<8} → {}", "", escape(&finding.advice));
    }
    if findings.is_empty() {
        text.push_str("  nothing found\n");
    }
    text
}

/// The session that checks ask.
pub(super) struct Asked {
    engine: Engine,
    queries: Handle,
}

impl Asked {
    /// The zone whose days are days, where one was set.
    pub fn time_zone(&self) -> Option<String> {
        let state = self.engine.context().state();
        let zone = state.config_options().extensions.get::<TenureOptions>()?.time_zone.clone();
        Some(zone).filter(|zone| zone != "UTC")
    }

    /// Whether the rows of a query come in an order that its files have.
    pub async fn is_ordered(&self, sql: &str) -> Result<bool> {
        Ok(self.engine.run(sql, &Params::new()).await?.is_ordered())
    }

    /// The rows of a query.
    pub async fn rows(self: &Arc<Self>, sql: String) -> Result<Vec<RecordBatch>> {
        let asked = Arc::clone(self);
        let work = self.queries.spawn(async move {
            let answer = asked.engine.run(&sql, &Params::new()).await?;
            let batches: Vec<RecordBatch> = answer.stream.try_collect().await?;
            Ok(batches)
        });
        work.await.map_err(|_| panic::as_error())?
    }
}
