//! A session at the command line: runs one statement, shows or files its result, and can be interrupted meanwhile.
//!
//! Deals with: where a result goes, progress, timing, interruption; scripts and the prompt share it.
//! Does not deal with: reading statements (`script`, `repl`).

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef, UInt64Type};
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::interrupt::{GRACE, Signals, end_after};
use super::pager::Pager;
use super::progress::Progress;
use super::shown::{Left, Shown};
use super::terminal::Terminal;
use crate::engine::{Engine, Params, ProgressMeter, Stop as StopPlanning};
use crate::error::{Error, Result};
use crate::functions::plain_sql::sql_type;
use crate::output::{Chart, Faults, Format, NewFile, Sink, Style, Took, Visible, Watched, sink, thousands};

/// Rows of a table on a terminal, unless `\rows` says otherwise.
const ROWS_ON_TERMINAL: usize = 40;

/// Batches that may wait between the query and the writer.
const IN_FLIGHT: usize = 4;

/// Why a statement, and with it a script, did not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// It failed.
    Failed(Error),
    /// A signal with this number came.
    Interrupted(u8),
    /// A report is done, and a number crossed its line.
    Alert,
    /// The reader of standard output has left: it has seen enough.
    BrokenPipe,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

/// The engine, and how its results are shown.
pub(super) struct Session {
    pub engine: Engine,
    pub terminal: Terminal,
    pub params: Params,
    pub format: Format,
    pub expanded: bool,
    /// Draws results in place of tables.
    pub chart: Option<Chart>,
    pub timing: bool,
    pub quiet: bool,
    /// Rows of a table on the terminal.
    pub rows: Rows,
    /// Whether the types of columns stand below their names.
    pub types: bool,
    /// What shows results that the screen has no room for.
    pub pager: Option<Pager>,
    /// Whether the last result is kept, and statements are remembered: at the prompt.
    pub keeps: bool,
    /// The last statement that was run, where statements are remembered.
    pub last: Option<String>,
    /// Where results go instead of standard output.
    pub out: Option<OutFile>,
    /// How long a statement may take.
    pub timeout: Option<Duration>,
    /// Where queries run.
    queries: Handle,
    /// Whether somebody types the statements: Ctrl-C ends the query, not the process.
    interactive: bool,
    results_on_stdout: usize,
}

/// How many rows of a table are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// All where there is a pager, else so many that a screen has room for them.
    ByScreen,
    /// So many.
    First(usize),
    /// All.
    All,
}

/// A file for results. It appears when it is committed.
pub(super) struct OutFile {
    path: PathBuf,
    format: Format,
    file: Option<NewFile>,
    results: usize,
}

/// What the query's task sends.
enum Event {
    Started(SchemaRef, ProgressMeter),
    Batch(RecordBatch),
}

/// How a statement's batches are used.
enum Use {
    /// Shown or filed.
    Result(Shown),
    /// `INSERT` and `COPY` answer with a number of rows, which is news for a person and no result.
    Count(u64),
    /// Nothing comes.
    Nothing,
}

impl Session {
    pub fn new(engine: Engine, terminal: Terminal, queries: Handle, interactive: bool) -> Self {
        Self {
            engine,
            terminal,
            params: Params::new(),
            format: Format::Table,
            expanded: false,
            chart: None,
            timing: false,
            quiet: false,
            rows: Rows::ByScreen,
            types: false,
            pager: None,
            keeps: false,
            last: None,
            out: None,
            timeout: None,
            queries,
            interactive,
            results_on_stdout: 0,
        }
    }

    /// Runs one statement to its end. At the prompt it is the last statement then, and its result the last result.
    pub async fn execute(&mut self, statement: &str) -> Result<(), Stop> {
        if self.keeps {
            self.last = Some(statement.to_string());
        }
        self.run(statement, self.keeps).await
    }

    /// Runs a statement beside the last one, which it does not replace.
    pub async fn execute_aside(&mut self, statement: &str) -> Result<(), Stop> {
        self.run(statement, false).await
    }

    async fn run(&mut self, statement: &str, keeps: bool) -> Result<(), Stop> {
        let started = Instant::now();
        let memory = self.engine.measure_memory();
        let mut told = false;
        let took = |started: Instant| Took { time: started.elapsed(), memory: memory() };
        let done = self.execute_until_done(statement, started, keeps, &took, &mut told).await;
        self.engine.notes().iter().for_each(|note| self.terminal.print_warning(note));
        if self.interactive && done.is_err() {
            // What a failed statement wrote is worth nothing, and may fill the disk: the next one starts the file anew.
            if let Some(out) = &mut self.out {
                out.file = None;
            }
        }
        // At the prompt the time of what failed interests nobody.
        let untimed = match &done {
            Ok(()) => told,
            Err(Stop::BrokenPipe) => true,
            Err(_) => self.keeps,
        };
        if self.timing && !untimed {
            let memory = if self.keeps { memory() } else { None };
            self.terminal.print_note(&format!("-- {}", Took { time: started.elapsed(), memory }));
        }
        done
    }

    async fn execute_until_done(
        &mut self,
        statement: &str,
        started: Instant,
        keeps: bool,
        took: &(dyn Fn(Instant) -> Took + Sync),
        told: &mut bool,
    ) -> Result<(), Stop> {
        let mut signals = Signals::listen()?;
        let (task, mut events) = self.start(statement);
        let mut progress = Progress::new(started, self.terminal.stderr && !self.quiet);
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let faults = Faults::default();
        let mut used = Use::Nothing;
        let timeout = self.timeout;
        let too_long = || {
            let limit = timeout.unwrap_or_default().as_secs();
            Error::resources(format!("stopped after {limit} s")).hint("--timeout sets the limit")
        };
        // At a prompt who holds back the output is who typed the statement.
        let watched = timeout.filter(|_| !self.interactive);
        let _watch = watched.map(|limit| end_after(&self.queries, limit, too_long(), self.terminal));
        let over = async {
            match timeout {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        loop {
            let event = tokio::select! {
                biased;
                signal = signals.next() => {
                    task.stop().await;
                    return Err(Stop::Interrupted(signal));
                }
                () = &mut over => {
                    task.stop().await;
                    return Err(too_long().into());
                }
                event = events.recv() => event,
                _ = ticks.tick() => {
                    progress.tick();
                    continue;
                }
            };
            match event {
                Some(Event::Started(schema, meter)) => {
                    progress.measure(meter);
                    used = self.begin(statement, &schema, keeps, &faults).map_err(|e| self.explain(e, &faults))?;
                }
                Some(Event::Batch(batch)) => match &mut used {
                    Use::Result(shown) => {
                        if !shown.holds_back() && !self.holds_back() {
                            progress.end();
                        }
                        let writes = shown.take(self, &batch, &mut progress, &faults);
                        if writes.map_err(|e| self.explain(e, &faults))? == Left::Yes {
                            task.stop().await;
                            break;
                        }
                    }
                    Use::Count(count) => *count += counted(&batch),
                    Use::Nothing => {}
                },
                None => {
                    task.finish().await?;
                    break;
                }
            }
        }
        progress.end();
        let took = Some(took(started)).filter(|_| self.keeps && self.timing);
        match used {
            Use::Result(shown) => {
                *told = shown.finish(self, took, &faults).map_err(|e| self.explain(e, &faults))?;
                if let Some(error) = faults.take() {
                    return Err(self.fault(&error));
                }
                self.count_result();
            }
            Use::Count(count) => *told = self.tell(&format!("{} rows written", thousands(count)), took),
            Use::Nothing => *told = self.tell("ok", took),
        }
        Ok(())
    }

    fn count_result(&mut self) {
        match &mut self.out {
            Some(out) => out.results += 1,
            None => self.results_on_stdout += 1,
        }
    }

    /// Shows the last result once more, or writes it to the file that waits for one.
    pub fn show_last(&mut self) -> Result<(), Stop> {
        let Some(last) = self.engine.last_result() else {
            return Err(Error::user("there is no last result").hint("a statement that returns rows makes one").into());
        };
        let faults = Faults::default();
        let shown = Shown::of_last(self, &last, &faults).map_err(|e| self.explain(e, &faults))?;
        shown.finish(self, None, &faults).map_err(|e| self.explain(e, &faults))?;
        if let Some(error) = faults.take() {
            return Err(self.fault(&error));
        }
        self.count_result();
        Ok(())
    }

    /// The query runs on its own task: neither its planning nor its panics hold up the session.
    fn start(&self, statement: &str) -> (Task, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(IN_FLIGHT);
        let (engine, params, statement) = (self.engine.clone(), self.params.clone(), statement.to_string());
        let stop = StopPlanning::default();
        let heard = stop.clone();
        let task = Task::spawn(&self.queries, stop, async move {
            let mut answer = engine.run_until(&heard, &statement, &params).await?;
            // A send fails only when the session no longer listens.
            let started = Event::Started(answer.schema.clone(), answer.meter());
            if sender.send(started).await.is_err() {
                return Ok(());
            }
            while let Some(batch) = answer.stream.next().await {
                if sender.send(Event::Batch(batch?)).await.is_err() {
                    return Ok(());
                }
            }
            Ok(())
        });
        (task, receiver)
    }

    /// Decides what becomes of a result with these columns.
    fn begin(&mut self, statement: &str, schema: &SchemaRef, keeps: bool, faults: &Faults) -> Result<Use> {
        if schema.fields().is_empty() {
            return Ok(Use::Nothing);
        }
        if answers_with_a_count(statement, schema) {
            return Ok(Use::Count(0));
        }
        Shown::begin(self, schema, keeps, faults).map(Use::Result)
    }

    /// Opens the sink for a result that goes where results go, but for tables on a terminal at the prompt (`Shown`).
    pub(super) fn open_sink(
        &mut self,
        schema: &SchemaRef,
        took: Option<Took>,
        faults: &Faults,
    ) -> Result<Box<dyn Sink>> {
        let style = self.style(schema);
        if let Some(out) = &mut self.out {
            let style = Style { expanded: self.expanded, chart: style.chart, ..Style::default() };
            let writer = BufWriter::with_capacity(1 << 16, Watched::new(out.next_result()?, faults));
            return sink(out.format, schema, style, writer);
        }
        self.check_stdout()?;
        let watched = Watched::new(std::io::stdout(), faults);
        // A terminal obeys control characters; files and pipes get the bytes.
        if self.terminal.stdout && self.format != Format::Table {
            let writer = BufWriter::with_capacity(1 << 16, Visible::new(watched));
            return sink(self.format, schema, style, writer);
        }
        let mut writer = BufWriter::with_capacity(1 << 16, watched);
        if self.format.concatenates() && self.results_on_stdout > 0 && !self.interactive {
            let _ = writer.write_all(b"\n");
        }
        sink(self.format, schema, Style { took, ..style }, writer)
    }

    /// Whether results are tables on the terminal of a prompt.
    pub(super) fn shows_tables(&self) -> bool {
        self.keeps && self.out.is_none() && self.terminal.stdout && self.format == Format::Table
    }

    fn check_stdout(&self) -> Result<()> {
        if !self.format.is_binary() {
            return Ok(());
        }
        let name = self.format.name();
        if self.terminal.stdout {
            let hint = if self.interactive { "\\o FILE sends the next result to a file" } else { "give -o FILE" };
            return Err(Error::usage(format!("{name} is not for a terminal")).hint(hint));
        }
        match self.results_on_stdout {
            0 => Ok(()),
            _ => Err(Error::usage(format!("{name} holds one result, and this statement returns a second one"))),
        }
    }

    /// How a table with these columns looks on standard output.
    pub(super) fn style(&self, schema: &SchemaRef) -> Style {
        // In a script, or at the prompt, some results are no picture; a kind that was asked for by name has to fit.
        let chart = self.chart.filter(|chart| *chart != Chart::Fitting || chart.fits(schema));
        if chart != self.chart && self.format == Format::Table {
            self.terminal.print_note("no chart fits these columns; they are shown as a table");
        }
        let rows = match self.rows {
            Rows::ByScreen => Some(ROWS_ON_TERMINAL),
            Rows::First(rows) => Some(rows),
            Rows::All => None,
        };
        Style {
            width: self.terminal.width(),
            max_rows: rows.filter(|_| self.terminal.stdout),
            color: self.terminal.color(),
            footer: self.terminal.stdout,
            expanded: self.expanded,
            chart,
            types: self.types.then_some(sql_type as fn(&DataType) -> String),
            took: None,
        }
    }

    /// Whether the sink writes nothing before its end, so that a progress line on the same terminal may stay.
    fn holds_back(&self) -> bool {
        self.out.is_some()
            || !self.terminal.stdout
            || (self.format == Format::Table && !self.expanded && self.rows != Rows::All)
    }

    /// Gives a sink's error the cause that the format writer has folded away.
    fn explain(&self, error: Error, faults: &Faults) -> Stop {
        faults.take().map_or(Stop::Failed(error), |cause| self.fault(&cause))
    }

    fn fault(&self, cause: &std::io::Error) -> Stop {
        match &self.out {
            Some(out) => Stop::Failed(Error::io("write", &out.path, cause)),
            None if cause.kind() == std::io::ErrorKind::BrokenPipe => Stop::BrokenPipe,
            None => Stop::Failed(Error::io("write", Path::new("standard output"), cause)),
        }
    }

    /// Shows rows that are no statement's result, as a table.
    pub fn show(&self, batch: &RecordBatch) -> Result<(), Stop> {
        let faults = Faults::default();
        let writer = BufWriter::new(Watched::new(std::io::stdout(), &faults));
        let style = self.style(&batch.schema());
        let style = Style { max_rows: None, footer: false, expanded: false, chart: None, types: None, ..style };
        let mut table = sink(Format::Table, &batch.schema(), style, writer)?;
        table.write(batch).and_then(|()| table.finish()).map_err(|e| self.explain(e, &faults))
    }

    /// Prints text to standard output.
    pub fn print(&self, text: &str) -> Result<(), Stop> {
        print(text)
    }

    /// What became of a statement without a result, for a person. Gives whether that told what it took.
    fn tell(&self, text: &str, took: Option<Took>) -> bool {
        let wanted = self.interactive && !self.quiet;
        if wanted {
            let took = took.map(|took| format!(" in {took}")).unwrap_or_default();
            self.terminal.print_note(&format!("{text}{took}"));
        }
        wanted && took.is_some()
    }

    /// Where queries run.
    pub(super) fn queries(&self) -> &Handle {
        &self.queries
    }
}

/// Prints text to standard output.
pub(super) fn print(text: &str) -> Result<(), Stop> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Err(Stop::BrokenPipe),
        Err(e) => Err(Stop::Failed(Error::io("write", Path::new("standard output"), &e))),
    }
}

impl OutFile {
    /// For the results of a whole script.
    pub fn for_script(path: &Path, format: Option<Format>) -> Result<Self> {
        let format = match format {
            Some(format) => format,
            None => Format::from_path(path)?,
        };
        Ok(Self { path: path.to_path_buf(), format, file: None, results: 0 })
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Results written so far.
    pub fn results(&self) -> usize {
        self.results
    }

    /// A writer for the next result.
    fn next_result(&mut self) -> Result<File> {
        if self.results > 0 && !self.format.concatenates() {
            let (name, path) = (self.format.name(), self.path.display());
            return Err(Error::user(format!(
                "'{path}' is {name} and holds one result, and this statement returns another"
            ))
            .hint("write each with COPY (SELECT ...) TO 'file.parquet', or run them one by one"));
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => NewFile::create(&self.path)?,
        };
        let mut writer = file.writer()?;
        if self.results > 0 {
            writer.write_all(b"\n").map_err(|e| Error::io("write", &self.path, &e))?;
        }
        self.file = Some(file);
        Ok(writer)
    }

    /// Makes the file appear. Without a result there is none, which is an error.
    pub fn commit(self) -> Result<()> {
        match self.file {
            Some(file) => file.commit(),
            None => Err(Error::user(format!("'{}' was not written: no statement returns rows", self.path.display()))),
        }
    }
}

/// A query's task, which ends with its owner.
pub(super) struct Task {
    handle: JoinHandle<Result<()>>,
    /// Ends its planning, which does not wait for anything and would not see that it was aborted.
    stop: StopPlanning,
    queries: Handle,
    /// Tasks that there were before it.
    before: usize,
}

fn alive(queries: &Handle) -> usize {
    queries.metrics().num_alive_tasks()
}

impl Task {
    /// Starts work whose planning hears `stop`.
    pub fn spawn(
        queries: &Handle,
        stop: StopPlanning,
        work: impl Future<Output = Result<()>> + Send + 'static,
    ) -> Self {
        let before = alive(queries);
        Self { handle: queries.spawn(work), stop, queries: queries.clone(), before }
    }

    pub async fn finish(mut self) -> Result<()> {
        match (&mut self.handle).await {
            Ok(done) => done,
            Err(e) if e.is_panic() => Err(super::panic::as_error()),
            Err(_) => Err(Error::internal("the query was stopped from inside")),
        }
    }

    /// Stops the query and waits until its files are gone and its memory is free, unless it is deep in a long step.
    pub async fn stop(mut self) {
        self.stop.ask();
        self.handle.abort();
        let tidy = async {
            let _ = (&mut self.handle).await;
            // The query's own tasks end by and by.
            while alive(&self.queries) > self.before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // An upload that is dropped hands the removal of its file to the pool of blocking threads: wait behind it.
            let _ = self.queries.spawn_blocking(|| ()).await;
        };
        let _ = tokio::time::timeout(GRACE, tidy).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.stop.ask();
        self.handle.abort();
    }
}

/// `INSERT`, `COPY` and `CREATE TABLE .. AS` answer with one row that holds a number.
fn answers_with_a_count(statement: &str, schema: &SchemaRef) -> bool {
    let verb = statement.split(|c: char| !c.is_ascii_alphabetic()).find(|w| !w.is_empty()).unwrap_or_default();
    ["insert", "copy", "update", "delete", "create"].iter().any(|v| verb.eq_ignore_ascii_case(v))
        && schema.fields().len() == 1
        && schema.field(0).name() == "count"
}

fn counted(batch: &RecordBatch) -> u64 {
    batch.columns().first().and_then(|c| c.as_primitive_opt::<UInt64Type>()).map_or(0, |c| c.values().iter().sum())
}
