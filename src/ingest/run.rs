//! One ingest from its sources to its commit.
//!
//! Deals with: the order of steps, what is made durable when, starting anew when another commit came first.
//! Does not deal with: how each step is done.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, Field};

use super::columns::{Existing, Layout};
use super::journal::{self, Begin, Done, FILES, Journal, remove_all};
use super::left::{tell_left, too_many};
use super::loads::{self, Load};
use super::mapping::Mapping;
use super::order::{MaxRejects, Options, Outcome, Phase, Plan, Progress, Watch};
use super::rejects::Rejects;
use crate::error::{Error, Result, suggest};
use crate::files::blocks::BLOCK;
use crate::files::csv::CsvOptions;
use crate::files::heads::{self, Head, HeadOptions, Heads, SAMPLE_BYTES, SAMPLE_ROWS, Sample};
use crate::files::read::{Place, Sources};
use crate::files::source::{self, Said, Source, SourceFormat};
use crate::files::types::type_name;
use crate::files::unseen::Unseen;
use crate::store::layout::{Period, discard};
use crate::store::managed::commit::{Change, Definition, Operation, Refused};
use crate::store::managed::log::{At, TableLog};
use crate::store::managed::{StoredFile, is_managed, versions};
use crate::store::retype::retype;
use crate::store::sort::{Sorter, Target};
use crate::store::staging::{self, place};

/// Setting of a table: the period of its time slices.
pub const PERIOD: &str = "period";
/// Setting of a table: the column that tells repeated events.
pub const DEDUP_KEY: &str = "dedup_key";

/// How long work may be lost by a kill, where rows come slowly.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// How often an ingest starts anew because others committed first.
const TRIES: usize = 20;

enum Step {
    Finished(Outcome),
    /// Another commit came first.
    Anew(String),
    /// Values behind the sample do not fit columns that nothing is written of yet: these types hold them, for a reason.
    Wider(Found),
}

/// Columns that are too narrow for values behind the sample: the types that hold them, and why.
type Found = BTreeMap<String, (DataType, String)>;

/// Types of columns that an earlier try has found too narrow.
type Wider = BTreeMap<String, DataType>;

/// Ingests. Blocks its thread; see the module for what is durable when.
pub fn ingest(options: &Options, watch: &dyn Watch) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::internal(format!("cannot start a runtime: {e}")))?;
    let mut restart = options.restart;
    let mut wider = Wider::new();
    for _ in 0..TRIES {
        match once(options, restart, &wider, watch, &runtime)? {
            Step::Wider(columns) => {
                for (column, (data_type, why)) in columns {
                    watch.note(&format!("column '{column}' is {} {why}; starting anew", type_name(&data_type)));
                    wider.insert(column, data_type);
                }
            }
            Step::Finished(outcome) => return Ok(outcome),
            // A second look at standard input would find its end, and load nothing for everything.
            Step::Anew(why) if options.sources.iter().any(|source| source == "-") && !why.starts_with("column ") => {
                return Err(Error::data(format!("another commit came first ({why}); nothing was loaded"))
                    .hint("standard input cannot be read again: run the command once more with the same input"));
            }
            Step::Anew(why) => watch.note(&format!("starting anew: {why}")),
        }
        restart = false;
    }
    Err(Error::data(format!("{TRIES} commits of others came first")).hint("run the same command again"))
}

/// The newest version of the table, where there is one.
fn open_table(folder: &Path, runtime: &tokio::runtime::Runtime) -> Result<Option<TableLog>> {
    if let Some(outer) = folder.ancestors().skip(1).find(|outer| is_managed(outer)) {
        let above = outer.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return Err(Error::data(format!("'{}' is a managed table; none can lie within it", outer.display()))
            .hint(format!("to add to it: --into {}", above.display())));
    }
    if !TableLog::exists(folder) || versions::newest(folder)?.is_none() {
        let foreign = std::fs::read_dir(folder).is_ok_and(|mut entries| {
            entries.any(|e| e.is_ok_and(|e| !e.file_name().to_string_lossy().starts_with(['_', '.'])))
        });
        // Files of an ingest that was killed before its first commit are no strangers.
        if foreign && !folder.join(journal::FOLDER).is_dir() && !TableLog::exists(folder) {
            return Err(Error::data(format!("'{}' holds files and is no managed table", folder.display()))
                .hint("choose another --table, or another folder with --into"));
        }
        return Ok(None);
    }
    runtime.block_on(TableLog::open(folder, At::Latest)).map(Some)
}

fn existing(log: &TableLog) -> Result<Existing> {
    let Some(roles) = log.roles() else {
        return Err(Error::data(format!(
            "'{}' was not made by tenure: its user and time columns are not known",
            log.folder().display()
        )));
    };
    if let Some(why) = log.only_read() {
        return Err(Error::data(format!("'{}' {why}, and can be read only", log.folder().display())));
    }
    let dedup_key = log.setting(DEDUP_KEY).map(str::to_string);
    Ok(Existing { schema: log.schema().clone(), roles: roles.clone(), dedup_key })
}

fn period(options: &Options, log: Option<&TableLog>) -> Result<Option<Period>> {
    let parse = |name: &str| {
        name.parse::<Period>()
            .map_err(|_| Error::usage(format!("unknown period '{name}'; {}", suggest(name, Period::NAMES))))
    };
    let asked = options.period.as_deref().map(parse).transpose()?;
    let Some(log) = log else { return Ok(asked) };
    let has = log.setting(PERIOD).map(parse).transpose()?;
    match (asked, has) {
        (Some(asked), has) if Some(asked) != has => {
            let has = has.map_or("none".to_string(), |p| p.to_string());
            Err(Error::data(format!("the table's period is {has}, not {asked}; it is fixed when the table is made")))
        }
        _ => Ok(has),
    }
}

/// The staging folder's name: the same for the same command.
fn key(options: &Options, sources: &[Source], mapping_text: &str) -> String {
    let mut told: Vec<String> = sources
        .iter()
        .map(|source| match &source.file {
            Some((_, identity)) => identity.path.clone(),
            None => uuid::Uuid::new_v4().to_string(),
        })
        .collect();
    told.push(format!(
        "{:?} {:?} {} {:?} {:?} {:?} {}",
        options.format, options.delimiter, options.header, options.wishes, options.period, options.sample, mapping_text
    ));
    loads::fingerprint(told.iter().map(String::as_str))
}

fn once(
    options: &Options,
    restart: bool,
    wider: &Wider,
    watch: &dyn Watch,
    runtime: &tokio::runtime::Runtime,
) -> Result<Step> {
    let (mut mapping, mapping_text) = options.mapping.as_deref().map(Mapping::read).transpose()?.unwrap_or_default();
    for (column, data_type) in wider {
        let entry = mapping.columns.entry(column.clone()).or_default();
        entry.data_type.get_or_insert_with(|| data_type.clone());
    }
    let said = Said { format: options.format, encoding: mapping.read.said.encoding };
    let mut sources = source::find(&options.sources, said)?;
    for source in &sources {
        if let Some(encoding) = source.told_encoding().filter(|_| said.encoding.is_none()) {
            watch.warn(&format!("'{}' is read as {encoding}, as its byte order mark says", source.name));
        }
    }
    let log = open_table(&options.table, runtime)?;
    let period = period(options, log.as_ref())?;
    let loaded = match &log {
        Some(log) => runtime.block_on(loads::loaded(&options.table, log))?,
        None => Default::default(),
    };
    let known = |source: &Source| source.file.as_ref().is_some_and(|(_, identity)| loaded.contains(identity));
    if let Some((changed, then)) = sources.iter().filter(|source| !known(source)).find_map(|source| {
        let (_, identity) = source.file.as_ref()?;
        Some((source, loaded.called(identity)?))
    }) && !options.again
    {
        return Err(Error::data(format!(
            "'{}' was loaded into this table before with other content ({} bytes then, {} now)",
            changed.name,
            then.size,
            changed.size()
        ))
        .hint("put new rows into a file of their own; --again loads all of it once more, and a --dedup-key drops what repeats"));
    }
    if options.only_new {
        sources.retain(|source| !known(source));
        if sources.is_empty() {
            watch.note("all sources were loaded before");
            return Ok(Step::Finished(Outcome::default()));
        }
    }
    let own = key(options, &sources, &mapping_text);
    if !options.dry_run {
        // What was read of standard input cannot be gone on with, and what was committed need not be.
        let committed = |begin: &Begin| match &log {
            Some(log) => matches!(
                runtime.block_on(log.transaction_version(&begin.load)), Ok(Some(number)) if number >= begin.attempt
            ),
            None => false,
        };
        staging::sweep(&options.table);
        journal::sweep(&options.table, &own, |begin| begin.sources.is_empty() || committed(begin));
        tell_left(&options.table, &own, watch);
    }
    let staged = match options.dry_run {
        true => None,
        false => {
            std::fs::create_dir_all(&options.table).map_err(|e| Error::io("create", &options.table, &e))?;
            Some(Journal::open(&options.table, &own)?)
        }
    };
    let (mut journal, state) = match staged {
        Some((journal, state)) => (Some(journal), state),
        None => (None, None),
    };
    let finished = match (&state, &log) {
        (Some((begin, _)), Some(log)) => {
            runtime.block_on(log.transaction_version(&begin.load))?.is_some_and(|n| n >= begin.attempt)
        }
        _ => false,
    };
    let state = match state {
        // Another ingest of the same sources was faster: what this one has put aside is of no use.
        Some(_) if finished && !journal.as_ref().is_some_and(Journal::has_landed) => {
            journal.as_mut().map_or(Ok(()), Journal::clear)?;
            None
        }
        // A kill between commit and clean-up.
        Some((begin, done)) if finished => {
            if begin.sources == loads::identities(&sources) {
                if let Some(journal) = journal.take() {
                    journal.remove()?;
                }
                watch.note("this ingest was committed before it was interrupted; nothing was left to do");
                let version = log.as_ref().map(TableLog::version);
                return Ok(Step::Finished(Outcome {
                    version,
                    rows: done.rows,
                    rejects: done.rejects,
                    unseen: done.unseen,
                    ..Outcome::default()
                }));
            }
            // Other contents of the same files: another ingest.
            None
        }
        state => state,
    };
    let work = Work { options, key: &own, sources: &sources, mapping: &mapping, log, period, watch, runtime };
    let result = work.prepare(&known).and_then(|(heads, layout)| {
        if let (Some(log), false, false) = (&work.log, layout.retyped.is_empty(), options.dry_run) {
            let names: Vec<String> =
                layout.retyped.iter().map(|f| format!("'{}' becomes {}", f.name(), type_name(f.data_type()))).collect();
            let told = runtime.block_on(retype(log, &layout.retyped))?;
            let files = if told == 0 { String::new() } else { format!("; {told} files were written anew") };
            return Ok(Step::Anew(format!("column {}{files}", names.join(", "))));
        }
        work.run(&heads, &layout, &mut journal, state, restart)
    });
    // A folder without a run in it is of no use to anybody.
    if let Some(journal) = journal
        && result.is_err()
        && (!journal.worth_keeping() || sources.iter().any(|source| source.file.is_none()))
    {
        let _ = journal.remove();
        // Only where it is empty, which is where this ingest made it.
        let _ = std::fs::remove_dir(&options.table);
    }
    result
}

/// What one try works with.
struct Work<'a> {
    options: &'a Options,
    /// The staging folder's name.
    key: &'a str,
    sources: &'a [Source],
    mapping: &'a Mapping,
    log: Option<TableLog>,
    period: Option<Period>,
    watch: &'a dyn Watch,
    runtime: &'a tokio::runtime::Runtime,
}

impl Work<'_> {
    /// Looks at the sources and decides the columns.
    fn prepare(&self, known: &dyn Fn(&Source) -> bool) -> Result<(Vec<Head>, Layout)> {
        let before: Vec<&Source> = self.sources.iter().filter(|s| known(s)).collect();
        if let Some(first) = before.first().filter(|_| !self.options.again) {
            let more = match before.len() {
                1 => String::new(),
                n => format!(" (and {} more)", n - 1),
            };
            return Err(Error::data(format!("'{}'{more} was loaded into this table before", first.name))
                .hint("--only-new leaves such files out, --again loads them once more"));
        }
        let options = HeadOptions {
            csv: CsvOptions {
                delimiter: self.options.delimiter.or(self.mapping.read.csv.delimiter),
                header: self.options.header && self.mapping.read.csv.header,
                ..self.mapping.read.csv.clone()
            },
            sample: self.options.sample,
            nulls: self.mapping.null.clone(),
        };
        let Heads { heads, shapes, cut } = heads::read(self.sources, &options)?;
        if let (Sample::Rows(rows), true) = (options.sample, cut > 0) {
            self.watch.note(&format!(
                "of {cut} of {} sources fewer than {rows} rows decide the types: samples have {} MiB of text and {} million rows of Parquet in all; --sample all looks at every row",
                self.sources.len(),
                SAMPLE_BYTES >> 20,
                SAMPLE_ROWS >> 20
            ));
        }
        let existing = self.log.as_ref().map(existing).transpose()?;
        let layout = Layout::of(&shapes, self.mapping, &self.options.wishes, existing.as_ref())?;
        layout.words.iter().for_each(|words| self.watch.note(words));
        // Of NDJSON a sample shows only what some rows have.
        let mut all_columns =
            self.sources.iter().zip(&shapes).filter(|(source, _)| source.format != SourceFormat::Ndjson);
        all_columns.try_for_each(|(_, shape)| layout.check_source(shape))?;
        Ok((heads, layout))
    }

    fn run(
        &self,
        heads: &[Head],
        layout: &Layout,
        journal: &mut Option<Journal>,
        state: Option<(Begin, Done)>,
        restart: bool,
    ) -> Result<Step> {
        let bytes = self.sources.iter().map(Source::size).sum();
        let mut plan = Plan { layout, sources: self.sources.len(), bytes, new_table: self.log.is_none(), resumed: 0 };
        let Some(staging) = journal.as_mut() else {
            self.watch.planned(&plan)?;
            return Ok(Step::Finished(Outcome::default()));
        };
        let (begin, done) = self.begin(staging, layout, state, restart)?;
        plan.resumed = done.rows;
        self.watch.planned(&plan)?;
        let mut rejects =
            Rejects::resume(staging.folder().join("rejects.ndjson"), done.reject_bytes, done.rejects.clone())?;
        let mut rows = done.rows;
        let mut wider = BTreeMap::new();
        let read = self.read(heads, layout, staging, &mut rejects, done, (&mut rows, &mut wider));
        if !wider.is_empty() {
            return Ok(Step::Wider(wider));
        }
        let (sorter, unseen) = read?;
        self.check_rejects(&rejects, rows)?;
        self.check_sources(&begin)?;
        if rows == 0 {
            self.watch.note("the sources hold no rows; nothing was written");
            if let Some(journal) = journal.take() {
                journal.remove()?;
            }
            return Ok(Step::Finished(Outcome::default()));
        }
        let folder = staging.folder().to_path_buf();
        let mut committed = self.commit(layout, (sorter, &folder), &mut rejects, &begin, rows)?;
        if let Step::Finished(outcome) = &mut committed {
            outcome.unseen = unseen;
        }
        if let Step::Finished(_) = committed
            && let Some(journal) = journal.take()
        {
            journal.remove()?;
        }
        Ok(committed)
    }

    /// Where to begin: what the journal says, or anew.
    fn begin(
        &self,
        journal: &mut Journal,
        layout: &Layout,
        state: Option<(Begin, Done)>,
        restart: bool,
    ) -> Result<(Begin, Done)> {
        let sources = loads::identities(self.sources);
        let fields =
            layout.read.columns.iter().map(|c| format!("{} {} {:?} {:?}", c.name, c.data_type, c.origin, c.time));
        let columns = fields.collect::<Vec<_>>().join("\n");
        if let Some((begin, done)) = state.filter(|_| !restart) {
            if begin.sources != sources {
                let changed = sources.iter().zip(&begin.sources).find(|(now, then)| now != then);
                let name = changed.map_or("a source", |(now, _)| now.path.as_str());
                return Err(Error::data(format!("'{name}' has changed since this ingest was begun"))
                    .hint("--restart begins anew with the sources as they are now"));
            }
            if begin.columns == columns {
                return Ok((begin, done));
            }
            self.watch.note("the table's columns have changed since this ingest was interrupted; it begins anew");
        }
        let load = loads::name(self.sources);
        let before = match &self.log {
            Some(log) => self.runtime.block_on(log.transaction_version(&load))?.unwrap_or(0),
            None => 0,
        };
        let begin = Begin { sources, columns, load, attempt: before + 1 };
        journal.restart(&begin)?;
        Ok((begin, Done::default()))
    }

    /// Reads what is left of the sources into the sorter, without what the sample did not show.
    fn read(
        &self,
        heads: &[Head],
        layout: &Layout,
        journal: &mut Journal,
        rejects: &mut Rejects,
        mut done: Done,
        (rows, wider): (&mut u64, &mut Found),
    ) -> Result<(Sorter, Unseen)> {
        // The blocks that are being read have a share of the memory: some of each thread, as text and as columns.
        let block = (self.options.memory / 64).clamp(64 << 10, BLOCK);
        let memory = self.options.memory.saturating_sub(self.options.threads * block * 6).max(self.options.memory / 2);
        let runs = std::mem::take(&mut done.runs);
        let staging = journal.folder().to_path_buf();
        let schema = layout.read.schema.clone();
        let mut sorter = match runs.is_empty() {
            true => Sorter::new(&staging, schema, &layout.roles, memory)?,
            false => Sorter::resume(&staging, schema, &layout.roles, memory, runs)?,
        }
        .with_threads(self.options.threads);
        let read = Arc::new(AtomicU64::new(0));
        let (sources, threads) = (self.sources, self.options.threads);
        let reading = Sources { sources, heads, layout: &layout.read, threads, block, read: read.clone() };
        let all = self.sources.iter().map(Source::size).sum();
        let mut saved = Instant::now();
        let (mut place, mut unseen) = (done.place, std::mem::take(&mut done.unseen));
        let mut save = |sorter: &Sorter, rejects: &mut Rejects, unseen: &Unseen, place: Place, rows: u64| {
            rejects.sync()?;
            journal.done(&Done {
                place,
                rows,
                runs: sorter.runs().to_vec(),
                reject_bytes: rejects.bytes(),
                rejects: rejects.reasons.clone(),
                unseen: unseen.clone(),
            })
        };
        let can_widen = self.sources.iter().all(|source| source.file.is_some());
        reading.each(done.place, |decoded, end| {
            if can_widen {
                *wider = layout.wider(&decoded.rejects, self.mapping, &self.sources[end.source]);
                if !wider.is_empty() {
                    return Err(Error::data("columns are too narrow"));
                }
            }
            rejects.add(&self.sources[end.source].name, &decoded.rejects)?;
            unseen.add(&self.sources[end.source].name, &decoded.unseen);
            *rows += decoded.rows;
            place = end;
            let stopped = self.watch.stopped();
            let mut durable = sorter.push(&decoded.batch)?;
            if stopped || (!durable && saved.elapsed() > SAVE_EVERY && self.sources[end.source].file.is_some()) {
                sorter.flush()?;
                durable = true;
            }
            if durable {
                save(&sorter, rejects, &unseen, end, *rows)?;
                saved = Instant::now();
            }
            if stopped {
                return Err(interrupted());
            }
            if let MaxRejects::Rows(most) = self.options.max_rejects
                && rejects.rows() > most
            {
                return Err(too_many(rejects, *rows, &format!("more than --max-rejects {most}")));
            }
            let (phase, done) = (Phase::Reading, read.load(Ordering::Relaxed));
            self.watch.progress(Progress { phase, done, all, rows: *rows });
            Ok(())
        })?;
        rejects.sync()?;
        // Where there are runs the rest goes into one too, and a kill from here on costs no reading.
        if !sorter.runs().is_empty() {
            sorter.flush()?;
            save(&sorter, rejects, &unseen, place, *rows)?;
        }
        Ok((sorter, unseen))
    }

    fn check_rejects(&self, rejects: &Rejects, rows: u64) -> Result<()> {
        let rejected = rejects.rows();
        let limit = match self.options.max_rejects {
            _ if rows > 0 && rejected == rows => Some("that is every row".to_string()),
            MaxRejects::Rows(most) if rejected > most => Some(format!("more than --max-rejects {most}")),
            MaxRejects::Percent(most) if rejected as f64 > rows as f64 * most / 100.0 => {
                Some(format!("more than --max-rejects {most}%"))
            }
            _ => None,
        };
        match limit {
            None => Ok(()),
            Some(limit) => Err(too_many(rejects, rows, &limit)),
        }
    }

    /// What was read must be what is there: otherwise nobody could say what was loaded.
    fn check_sources(&self, begin: &Begin) -> Result<()> {
        for (source, then) in self.sources.iter().filter_map(|s| s.file.as_ref()).zip(&begin.sources) {
            if source::identity(&source.0)? != *then {
                return Err(Error::data(format!("'{}' changed while it was read", source.0.display()))
                    .hint("--restart begins anew with the sources as they are now"));
            }
        }
        Ok(())
    }

    /// Writes the files and commits them.
    fn commit(
        &self,
        layout: &Layout,
        (sorter, staging): (Sorter, &Path),
        rejects: &mut Rejects,
        begin: &Begin,
        rows: u64,
    ) -> Result<Step> {
        let table = self.options.table.as_path();
        let files: &[StoredFile] = self.log.as_ref().map_or(&[], |log| log.files());
        // Files are put in place at the last moment: until then nobody who looks at the table's folder finds rows of this load.
        let into = staging.join(FILES);
        remove_all(&into)?;
        std::fs::create_dir(&into).map_err(|e| Error::io("create", &into, &e))?;
        let mut target = Target::new(&into).with_table(table).with_period(self.period);
        if let Some(key) = &layout.dedup_key {
            target = target.with_dedup(key, files);
        }
        let progress = |done: u64, all: u64| {
            self.watch.progress(Progress { phase: Phase::Writing, done, all, rows });
            if self.watch.stopped() { Err(interrupted()) } else { Ok(()) }
        };
        self.watch.progress(Progress { phase: Phase::Sorting, done: 0, all: 0, rows });
        let (add, counts) = match sorter.finish(&target, &progress) {
            // A file whose rows these are compared with was replaced, and the old one removed.
            Err(error) if error.is_stale() && self.log.as_ref().is_some_and(|log| !log.is_newest()) => {
                return Ok(Step::Anew(error.message().to_string()));
            }
            written => written?,
        };
        let name = format!("{}-{}", begin.load, begin.attempt);
        let (load, attempt, sources) = (begin.load.clone(), begin.attempt, begin.sources.clone());
        let rejected = rejects.rows();
        // An ingest of the same sources with another mapping has rejects of its own, and one of the two will be refused.
        let rejected_to: Option<PathBuf> = rejects.place(table, &format!("{name}-{}", &self.key[..8]))?;
        Load { load, attempt, sources, rows, rejected }.write(table)?;
        place(staging, &into, table, &add)?;
        let (files, bytes) = (add.len(), add.iter().map(|f| f.size).sum());
        let mut change = Change::new(Operation::Ingest);
        change.add = add;
        change.transaction = Some((begin.load.clone(), begin.attempt));
        let version = match self.put(layout, &mut change) {
            Ok(version) => version,
            Err(Refused::Conflict(why)) => {
                discard(table, &change.add);
                return Ok(Step::Anew(why));
            }
            Err(Refused::Repeated(_)) => {
                discard(table, &change.add);
                // Its own rejects stand beside the other's.
                rejected_to.iter().for_each(|path| _ = std::fs::remove_file(path));
                return Err(Error::data("these sources were loaded by another ingest meanwhile"));
            }
            Err(Refused::Failed(error)) => return Err(error),
        };
        Ok(Step::Finished(Outcome {
            version: Some(version),
            rows,
            written: counts.rows,
            duplicates: counts.duplicates,
            rejects: rejects.reasons.clone(),
            rejected_to,
            unseen: Unseen::default(),
            files,
            bytes,
        }))
    }

    fn put(&self, layout: &Layout, change: &mut Change) -> Result<u64, Refused> {
        match &self.log {
            None => {
                let mut settings = Vec::new();
                settings.extend(self.period.map(|period| (PERIOD.to_string(), period.to_string())));
                settings.extend(layout.dedup_key.clone().map(|key| (DEDUP_KEY.to_string(), key)));
                let definition =
                    Definition { schema: layout.read.schema.clone(), roles: layout.roles.clone(), settings };
                let created = self.runtime.block_on(TableLog::create(&self.options.table, &definition, change))?;
                Ok(created.version())
            }
            Some(log) => {
                let new = layout.read.columns.iter().filter(|c| c.new);
                change.new_columns = new.map(|c| Field::new(&c.name, c.data_type.clone(), true)).collect();
                // What tells repeated events may be said of a table that has none yet.
                let key = layout.dedup_key.clone().filter(|_| log.setting(DEDUP_KEY).is_none());
                change.new_settings = key.map(|key| (DEDUP_KEY.to_string(), key)).into_iter().collect();
                // Rows were compared with those of this version.
                change.unless_data_since = layout.dedup_key.as_ref().map(|_| log.version());
                self.runtime.block_on(log.clone().commit(change))
            }
        }
    }
}

fn interrupted() -> Error {
    Error::resources("ingest was stopped; the same command goes on from here")
}
