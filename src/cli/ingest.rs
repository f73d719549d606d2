//! `tenure ingest`: events into a managed table, with a look at the columns before and a summary behind.
//!
//! Deals with: arguments to options, the progress bar, Ctrl-C, what is told. Does not deal with: ingesting (`ingest`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::args::IngestArgs;
use super::interrupt::Signals;
use super::session::Stop;
use super::terminal::Terminal;
use crate::error::{Error, Result, suggest};
use crate::files::columns::{Column, Origin};
use crate::files::heads::Sample;
use crate::files::source::SourceFormat;
use crate::files::types::type_name;
use crate::files::unseen::{NAMED, Unseen};
use crate::ingest::{Layout, MaxRejects, Options, Outcome, Phase, Plan, Progress, Watch, Wishes, ingest};
use crate::output::{Format, Style, escape, sink, thousands};

const READING: &str = "{prefix:8} {bar:24.cyan/dim} {percent:>3}%  {bytes} of {total_bytes}  {bytes_per_sec:.dim}  {msg}  {elapsed}, {eta} left";
const READING_UNKNOWN: &str = "{prefix:8} {spinner} {bytes}  {bytes_per_sec:.dim}  {msg}  {elapsed}";
const SORTING: &str = "{prefix:8} {spinner}  {msg}  {elapsed}";
const WRITING: &str =
    "{prefix:8} {bar:24.cyan/dim} {percent:>3}%  {human_pos} of {human_len} rows  {rate:.dim}  {elapsed}, {eta} left";

pub(super) async fn run(args: IngestArgs, terminal: Terminal) -> Result<(), Stop> {
    let started = Instant::now();
    let quiet = args.quiet;
    let dry_run = args.dry_run;
    let name = args.table.clone();
    let options = options(args)?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut signals = Signals::listen()?;
    let watch = Shown::new(terminal, quiet, stop.clone());
    let table = options.table.display().to_string();
    let mut work = tokio::task::spawn_blocking(move || {
        let outcome = ingest(&options, &watch);
        watch.bar.finish_and_clear();
        outcome
    });
    let mut signalled = None;
    let outcome = loop {
        tokio::select! {
            done = &mut work => break done,
            signal = signals.next() => {
                if signalled.is_some() {
                    // Whoever asks twice does not want to wait: the last saved state is good.
                    std::process::exit(i32::from(super::interrupt::exit_code(signal)));
                }
                signalled = Some(signal);
                stop.store(true, Ordering::Relaxed);
                if !quiet {
                    terminal.print_note("stopping: what is read is being saved (again to leave at once)");
                }
            }
        }
    };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(e) if e.is_panic() => return Err(super::panic::as_error().into()),
        Err(e) => return Err(Error::internal(format!("ingest: {e}")).into()),
    };
    match (outcome, signalled) {
        (Ok(outcome), _) => {
            if !quiet && !dry_run {
                tell(&outcome, &name, &table, started.elapsed(), terminal);
            }
            // What is not in the table is told in any case.
            tell_rejects(&outcome, terminal);
            tell_unseen(&outcome.unseen, terminal);
            Ok(())
        }
        (Err(error), Some(signal)) => {
            terminal.print_note(error.message());
            Err(Stop::Interrupted(signal))
        }
        (Err(error), None) => Err(error.into()),
    }
}

fn options(args: IngestArgs) -> Result<Options> {
    let format = match args.format.as_deref().map(str::to_lowercase).as_deref() {
        None => None,
        Some("csv" | "tsv") => Some(SourceFormat::Csv),
        Some("ndjson" | "jsonl" | "json") => Some(SourceFormat::Ndjson),
        Some("parquet") => Some(SourceFormat::Parquet),
        Some(other) => {
            let help = suggest(other, ["csv", "tsv", "ndjson", "parquet"]);
            return Err(Error::usage(format!("unknown format '{other}'; {help}")));
        }
    };
    let tabs = args.format.as_deref().is_some_and(|f| f.eq_ignore_ascii_case("tsv"));
    let sample = match args.sample.as_str() {
        "all" => Sample::All,
        number => match number.replace('_', "").parse() {
            Ok(rows) if rows > 0 => Sample::Rows(rows),
            _ => return Err(Error::usage(format!("--sample {number}: expected a number of rows, or 'all'"))),
        },
    };
    Ok(Options {
        sources: args.sources,
        table: args.into.join(&args.table),
        format,
        delimiter: args.delimiter.or(tabs.then_some(b'\t')),
        header: !args.no_header,
        mapping: args.mapping,
        preset: args.preset,
        tz: args.tz,
        wishes: Wishes {
            user: args.user,
            time: args.time,
            event: args.event,
            time_unit: args.time_unit,
            time_format: args.time_format,
            dedup_key: args.dedup_key,
            floor_time: args.floor_time,
        },
        period: args.period,
        memory: args.memory,
        threads: args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        sample,
        max_rejects: max_rejects(args.max_rejects.as_deref())?,
        again: args.again,
        only_new: args.only_new,
        restart: args.restart,
        dry_run: args.dry_run,
    })
}

fn max_rejects(text: Option<&str>) -> Result<MaxRejects> {
    let Some(text) = text else { return Ok(MaxRejects::Any) };
    let wrong = || Error::usage(format!("--max-rejects {text}: expected a number of rows, or a share such as 0.5%"));
    match text.strip_suffix('%') {
        Some(share) => match share.trim().parse::<f64>() {
            Ok(share) if (0.0..=100.0).contains(&share) => Ok(MaxRejects::Percent(share)),
            _ => Err(wrong()),
        },
        None => text.replace('_', "").parse().map(MaxRejects::Rows).map_err(|_| wrong()),
    }
}

/// Progress and notes on standard error.
struct Shown {
    terminal: Terminal,
    quiet: bool,
    bar: ProgressBar,
    writing: AtomicBool,
    stop: Arc<AtomicBool>,
}

impl Shown {
    fn new(terminal: Terminal, quiet: bool, stop: Arc<AtomicBool>) -> Self {
        // indicatif hides a bar whose standard error is no terminal.
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(0), target).with_prefix("reading");
        Self { terminal, quiet, bar, writing: AtomicBool::new(false), stop }
    }

    fn style(&self, template: &str) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            // The bar's own rate has four decimals.
            let rate = |state: &ProgressState, text: &mut dyn std::fmt::Write| {
                let _ = write!(text, "{} rows/s", thousands(state.per_sec() as u64));
            };
            self.bar.set_style(style.with_key("rate", rate).progress_chars("━━─"));
        }
    }
}

impl Watch for Shown {
    fn planned(&self, plan: &Plan<'_>) -> Result<()> {
        if !self.quiet {
            let table = columns_table(plan.layout, self.terminal.stderr)?;
            self.terminal.print_note(table.trim_end());
            if plan.resumed > 0 {
                self.terminal.print_note(&format!("going on after {} rows", thousands(plan.resumed)));
            }
        }
        self.style(if plan.bytes > 0 { READING } else { READING_UNKNOWN });
        self.bar.set_length(plan.bytes);
        Ok(())
    }

    fn progress(&self, progress: Progress) {
        if progress.phase == Phase::Sorting {
            self.style(SORTING);
            self.bar.set_prefix("sorting");
            self.bar.enable_steady_tick(Duration::from_millis(200));
            return;
        }
        if progress.phase == Phase::Writing && !self.writing.swap(true, Ordering::Relaxed) {
            self.bar.disable_steady_tick();
            self.style(WRITING);
            self.bar.reset();
            self.bar.set_prefix("writing");
        }
        match progress.phase {
            Phase::Writing => self.bar.set_length(progress.all),
            _ => self.bar.set_message(format!("{} rows", thousands(progress.rows))),
        }
        self.bar.set_position(progress.done);
    }

    fn note(&self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| self.terminal.print_note(text));
        }
    }

    fn warn(&self, text: &str) {
        self.bar.suspend(|| self.terminal.print_note(text));
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The columns as they will be: for people, before anything is written.
fn columns_table(layout: &Layout, terminal: bool) -> Result<String> {
    let column = |of: &dyn Fn(&Column) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(layout.read.columns.iter().map(of)))
    };
    let role = |c: &Column| {
        let mut said: Vec<String> = c.role.map(str::to_string).into_iter().collect();
        if layout.dedup_key.as_ref() == Some(&c.name) {
            said.push("dedup key".into());
        }
        if c.new {
            said.push("new".into());
        }
        said.join(", ")
    };
    let data_type = |c: &Column| match &c.time {
        Some(time) if c.told_times => {
            let zone = time.zone_name().map(|zone| format!(", {zone}")).unwrap_or_default();
            format!("timestamp ({}{zone})", time.format().describe())
        }
        _ if matches!(c.data_type, DataType::Dictionary(_, _)) => "text (dictionary)".into(),
        _ => type_name(&c.data_type),
    };
    let from = |c: &Column| match &c.origin {
        Origin::Source(from) => from.clone(),
        Origin::Constant(_) => "(constant)".into(),
        Origin::Missing => "(NULL)".into(),
    };
    let rows = RecordBatch::try_from_iter([
        ("column", column(&|c| c.name.clone())),
        ("type", column(&data_type)),
        ("role", column(&role)),
        ("from", column(&from)),
        ("example", column(&|c| c.example.clone().unwrap_or_default())),
    ])?;
    let text = Shared::default();
    let size = terminal_size::terminal_size_of(std::io::stderr()).filter(|_| terminal);
    let style = Style { width: size.map(|(width, _)| usize::from(width.0).max(20)), ..Style::default() };
    let mut table = sink(Format::Table, &rows.schema(), style, text.clone())?;
    table.write(&rows)?;
    table.finish()?;
    let bytes = text.0.lock().clone();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A text that a sink writes to.
#[derive(Clone, Default)]
struct Shared(Arc<parking_lot::Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What was done.
fn tell(outcome: &Outcome, name: &str, table: &str, took: Duration, terminal: Terminal) {
    if let Some(version) = outcome.version {
        let mut line = format!(
            "{name}: {} rows in, {} written to {} file{} ({}) in {table}, version {version}, {:.1} s",
            thousands(outcome.rows),
            thousands(outcome.written),
            outcome.files,
            if outcome.files == 1 { "" } else { "s" },
            HumanBytes(outcome.bytes),
            took.as_secs_f64()
        );
        if outcome.duplicates > 0 {
            line.push_str(&format!("; {} repeated events left out", thousands(outcome.duplicates)));
        }
        terminal.print_note(&line);
    }
}

/// What was put aside, by reason.
fn tell_rejects(outcome: &Outcome, terminal: Terminal) {
    let rejected: u64 = outcome.rejects.values().map(|counted| counted.rows).sum();
    if rejected == 0 {
        return;
    }
    let place = outcome.rejected_to.as_ref().map(|path| format!(", kept in {}", path.display())).unwrap_or_default();
    terminal.print_warning(&format!("{} rows rejected{place}", thousands(rejected)));
    let mut reasons: Vec<_> = outcome.rejects.iter().collect();
    reasons.sort_by_key(|(_, counted)| std::cmp::Reverse(counted.rows));
    for (reason, counted) in reasons {
        let text = format!("  {} x {reason}, first at {}", thousands(counted.rows), counted.first);
        terminal.print_note(&escape(&text));
    }
}

/// Values that the sample did not show, by field: the most frequent ones.
fn tell_unseen(unseen: &Unseen, terminal: Terminal) {
    let mut fields: Vec<_> = unseen.fields.iter().collect();
    if fields.is_empty() {
        return;
    }
    fields.sort_by_key(|(_, counted)| std::cmp::Reverse(counted.rows));
    let names: Vec<&str> = fields.iter().take(5).map(|(name, _)| name.as_str()).collect();
    let number = match fields.len() {
        1 => "1 field".to_string(),
        NAMED => format!("{NAMED} fields or more"),
        n => format!("{n} fields"),
    };
    let values = if unseen.values == 1 { "1 value" } else { &format!("{} values", thousands(unseen.values)) };
    terminal.print_warning(&escape(&format!(
        "left out of their rows: {values} of {number} that the sample does not show ({}{}), first at {}; --sample all looks at every row",
        names.join(", "),
        if names.len() < fields.len() { ", .." } else { "" },
        fields[0].1.first
    )));
}
