//! The work of one try: from a look at the sources to the commit.
//!
//! Deals with: the order of steps, what is made durable when. Does not deal with: how each step is done.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::columns::Layout;
use super::journal::{Begin, Done, Journal};
use super::left::too_many;
use super::mapping::Mapping;
use super::order::{MaxRejects, Options, Outcome, Phase, Plan, Progress, Watch};
use super::rejects::Rejects;
use super::run::{Earlier, Found, Step};
use super::target::existing;
use crate::error::{Error, Kind, Result};
use crate::files::blocks::BLOCK;
use crate::files::columns::Shape;
use crate::files::csv::CsvOptions;
use crate::files::heads::{self, Head, HeadOptions, Heads, SAMPLE_BYTES, SAMPLE_ROWS, Sample};
use crate::files::read::{Place, Sources};
use crate::files::source::{self, Source, SourceFormat};
use crate::files::unseen::Unseen;
use crate::store::layout::Period;
use crate::store::loads::{self, Load};
use crate::store::managed::commit::{Definition, Operation, Refused};
use crate::store::managed::log::TableLog;
use crate::store::write::{DEDUP_KEY, Destination, Limits, PERIOD, Writer};

/// How long work may be lost by a kill, where rows come slowly.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// What one try works with.
pub(super) struct Work<'a> {
    pub options: &'a Options,
    /// The staging folder's name.
    pub key: &'a str,
    pub sources: &'a [Source],
    pub mapping: &'a Mapping,
    pub log: Option<TableLog>,
    pub period: Option<Period>,
    pub watch: &'a dyn Watch,
    pub runtime: &'a tokio::runtime::Runtime,
}

impl Work<'_> {
    /// Looks at the sources and decides the columns.
    pub fn prepare(&self, known: &dyn Fn(&Source) -> bool) -> Result<(Vec<Head>, Layout)> {
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
            rules: self.mapping.rules.clone(),
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
        let layout = Layout::of(&shapes, self.mapping, &self.options.wishes, existing.as_ref())
            .map_err(|error| of_the_source(error, &shapes))?;
        layout.words.iter().for_each(|words| self.watch.note(words));
        // Of NDJSON a sample shows only what some rows have.
        let mut all_columns =
            self.sources.iter().zip(&shapes).filter(|(source, _)| source.format != SourceFormat::Ndjson);
        all_columns.try_for_each(|(_, shape)| layout.check_source(shape))?;
        Ok((heads, layout))
    }

    /// Only tells what would be done.
    pub fn plan_only(&self, layout: &Layout) -> Result<Step> {
        self.watch.planned(&self.plan(layout, 0))?;
        Ok(Step::Finished(Outcome::default()))
    }

    fn plan<'b>(&self, layout: &'b Layout, resumed: u64) -> Plan<'b> {
        let bytes = self.sources.iter().map(Source::size).sum();
        Plan { layout, sources: self.sources.len(), bytes, new_table: self.log.is_none(), resumed }
    }

    /// Reads what is left of the sources and commits it. The journal is taken out and removed when there is nothing to resume.
    pub fn run(
        &self,
        heads: &[Head],
        layout: &Layout,
        journal: &mut Option<Journal>,
        earlier: Earlier,
        restart: bool,
    ) -> Result<Step> {
        let Some(staging) = journal.as_mut() else { return Err(Error::internal("ingest: no journal")) };
        let (begin, done) = self.begin(staging, layout, earlier, restart)?;
        self.watch.planned(&self.plan(layout, done.rows))?;
        let mut rejects =
            Rejects::resume(staging.folder().join("rejects.ndjson"), done.reject_bytes, done.rejects.clone())?;
        let mut rows = done.rows;
        let mut wider = BTreeMap::new();
        let read = self.read(heads, layout, staging, &mut rejects, done, (&mut rows, &mut wider));
        if !wider.is_empty() {
            return Ok(Step::Wider(wider));
        }
        let (writer, unseen) = read?;
        self.check_rejects(&rejects, rows)?;
        self.check_sources(&begin)?;
        if rows == 0 {
            self.watch.note("the sources hold no rows; nothing was written");
            if let Some(journal) = journal.take() {
                journal.remove()?;
            }
            return Ok(Step::Finished(Outcome::default()));
        }
        let mut committed = self.commit(writer, &mut rejects, &begin, rows)?;
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

    /// Where to begin: what the journal says, or from the start.
    fn begin(&self, journal: &mut Journal, layout: &Layout, earlier: Earlier, restart: bool) -> Result<(Begin, Done)> {
        let sources = loads::identities(self.sources);
        let fields =
            layout.read.columns.iter().map(|c| format!("{} {} {:?} {:?}", c.name, c.data_type, c.origin, c.time));
        let columns = fields.collect::<Vec<_>>().join("\n");
        if let Some((begin, done)) = earlier.filter(|_| !restart) {
            if begin.sources != sources {
                let changed = sources.iter().zip(&begin.sources).find(|(now, then)| now != then);
                let name = changed.map_or("a source", |(now, _)| now.path.as_str());
                return Err(Error::data(format!("'{name}' has changed since this ingest was begun"))
                    .hint("--restart reads the sources from the start, as they are now"));
            }
            if begin.columns == columns {
                return Ok((begin, done));
            }
            self.watch.note(
                "the table's columns have changed since this ingest was interrupted; it starts from the beginning",
            );
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

    /// Reads what is left of the sources into the writer, without what the sample did not show.
    fn read(
        &self,
        heads: &[Head],
        layout: &Layout,
        journal: &mut Journal,
        rejects: &mut Rejects,
        mut done: Done,
        (rows, wider): (&mut u64, &mut Found),
    ) -> Result<(Writer, Unseen)> {
        // The blocks that are being read have a share of the memory: some of each thread, as text and as columns.
        let block = (self.options.memory / 64).clamp(64 << 10, BLOCK);
        let memory = self.options.memory.saturating_sub(self.options.threads * block * 6).max(self.options.memory / 2);
        let runs = std::mem::take(&mut done.runs);
        let staging = journal.folder().to_path_buf();
        let to = self.destination(layout);
        let limits = Limits { memory, threads: self.options.threads };
        let mut writer = if runs.is_empty() {
            Writer::new(to, &staging, limits)?
        } else {
            Writer::resume(to, &staging, limits, runs)?
        };
        let read = Arc::new(AtomicU64::new(0));
        let (sources, threads) = (self.sources, self.options.threads);
        let reading = Sources { sources, heads, layout: &layout.read, threads, block, read: read.clone() };
        let all = self.sources.iter().map(Source::size).sum();
        let mut saved = Instant::now();
        let (mut place, mut unseen) = (done.place, std::mem::take(&mut done.unseen));
        let mut save = |writer: &Writer, rejects: &mut Rejects, unseen: &Unseen, place: Place, rows: u64| {
            rejects.sync()?;
            journal.done(&Done {
                place,
                rows,
                runs: writer.runs().to_vec(),
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
            let mut durable = writer.push(&decoded.batch)?;
            if stopped || (!durable && saved.elapsed() > SAVE_EVERY && self.sources[end.source].file.is_some()) {
                writer.flush()?;
                durable = true;
            }
            if durable {
                save(&writer, rejects, &unseen, end, *rows)?;
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
        if !writer.runs().is_empty() {
            writer.flush()?;
            save(&writer, rejects, &unseen, place, *rows)?;
        }
        Ok((writer, unseen))
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
                    .hint("--restart reads the sources from the start, as they are now"));
            }
        }
        Ok(())
    }

    /// Where the rows go: the table as it is with the columns and settings that this ingest brings.
    fn destination(&self, layout: &Layout) -> Destination {
        let mut settings = Vec::new();
        settings.extend(self.period.map(|period| (PERIOD.to_string(), period.to_string())));
        settings.extend(layout.dedup_key.clone().map(|key| (DEDUP_KEY.to_string(), key)));
        let definition = Definition { schema: layout.read.schema.clone(), roles: Some(layout.roles.clone()), settings };
        Destination::new(&self.options.table, self.log.clone(), definition)
    }

    /// Writes the files and commits them.
    fn commit(&self, writer: Writer, rejects: &mut Rejects, begin: &Begin, rows: u64) -> Result<Step> {
        let table = self.options.table.as_path();
        let progress = |done: u64, all: u64| {
            self.watch.progress(Progress { phase: Phase::Writing, done, all, rows });
            if self.watch.stopped() { Err(interrupted()) } else { Ok(()) }
        };
        self.watch.progress(Progress { phase: Phase::Sorting, done: 0, all: 0, rows });
        let written = match writer.finish(&progress) {
            // A file whose rows these are compared with was replaced, and the old one removed.
            Err(error) if error.is_stale() && self.log.as_ref().is_some_and(|log| !log.is_newest()) => {
                return Ok(Step::StartOver(error.message().to_string()));
            }
            written => written?,
        };
        let counts = written.counts();
        let name = format!("{}-{}", begin.load, begin.attempt);
        let (load, attempt, sources) = (begin.load.clone(), begin.attempt, begin.sources.clone());
        let rejected = rejects.rows();
        // An ingest of the same sources with another mapping has rejects of its own, and one of the two will be refused.
        let rejected_to: Option<PathBuf> = rejects.place(table, &format!("{name}-{}", &self.key[..8]))?;
        Load { load, attempt, sources, rows, rejected }.write(table)?;
        let transaction = Some((begin.load.clone(), begin.attempt));
        let landed = match self.runtime.block_on(written.commit(Operation::Ingest, transaction)) {
            Ok(landed) => landed,
            Err(Refused::Conflict(why)) => return Ok(Step::StartOver(why)),
            Err(Refused::Repeated(_)) => {
                // Its own rejects stand beside the other's.
                rejected_to.iter().for_each(|path| _ = std::fs::remove_file(path));
                return Err(Error::data("these sources were loaded by another ingest meanwhile"));
            }
            Err(Refused::Failed(error)) => return Err(error),
        };
        Ok(Step::Finished(Outcome {
            version: Some(landed.version),
            rows,
            written: counts.rows,
            duplicates: counts.duplicates,
            rejects: rejects.reasons.clone(),
            rejected_to,
            unseen: Unseen::default(),
            files: landed.files,
            bytes: landed.bytes,
        }))
    }
}

fn interrupted() -> Error {
    Error::resources("ingest was stopped; the same command resumes from here")
}

/// What is wrong with columns names the source where there is only one.
fn of_the_source(error: Error, shapes: &[Shape]) -> Error {
    match shapes {
        [only] if error.kind() == Kind::Data && !error.message().contains(&only.source) => {
            error.at(format_args!("'{}'", only.source))
        }
        _ => error,
    }
}
