//! One ingest from its sources to its commit.
//!
//! Deals with: trying again when another commit came first or a column was too narrow, and what a try finds: nothing to load, a load
//! that was committed before it was interrupted, columns that must change first, rows to read. Does not deal with: how rows are read
//! and committed (`work`), or what is there before (`target`).

use std::collections::BTreeMap;

use arrow::datatypes::DataType;

use super::columns::Layout;
use super::journal::{self, Begin, Done, Journal};
use super::left::tell_left;
use super::mapping::Mapping;
use super::order::{Options, Outcome, Watch};
use super::preset;
use super::target::{key, open_table, period};
use super::work::Work;
use crate::error::{Error, Result};
use crate::files::source::{self, Said, Source};
use crate::files::types::type_name;
use crate::store::loads;
use crate::store::managed::log::TableLog;
use crate::store::retype::retype;
use crate::store::staging;

/// How often an ingest starts over because others committed first.
const TRIES: usize = 20;

/// How a try ended.
pub(super) enum Step {
    Finished(Outcome),
    /// Another commit came first.
    StartOver(String),
    /// Values behind the sample do not fit columns that nothing is written of yet: these types hold them, for a reason.
    Wider(Found),
}

/// Columns that are too narrow for values behind the sample: the types that hold them, and why.
pub(super) type Found = BTreeMap<String, (DataType, String)>;

/// Types of columns that an earlier try has found too narrow.
type Wider = BTreeMap<String, DataType>;

/// What a journal says of an earlier run of the same command.
pub(super) type Earlier = Option<(Begin, Done)>;

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
            Step::StartOver(why)
                if options.sources.iter().any(|source| source == "-") && !why.starts_with("column ") =>
            {
                return Err(Error::data(format!("another commit came first ({why}); nothing was loaded"))
                    .hint("standard input cannot be read again: run the command once more with the same input"));
            }
            Step::StartOver(why) => watch.note(&format!("starting anew: {why}")),
        }
        restart = false;
    }
    Err(Error::data(format!("{TRIES} commits of others came first")).hint("run the same command again"))
}

/// One try.
fn once(
    options: &Options,
    restart: bool,
    wider: &Wider,
    watch: &dyn Watch,
    runtime: &tokio::runtime::Runtime,
) -> Result<Step> {
    let (mapping, mapping_text) = mapping(options, wider)?;
    let mut sources = sources(options, &mapping, watch)?;
    let log = open_table(&options.table, runtime)?;
    let period = period(options, log.as_ref())?;
    let loaded = match &log {
        Some(log) => runtime.block_on(loads::loaded(&options.table, log))?,
        None => Default::default(),
    };
    let known = |source: &Source| source.file.as_ref().is_some_and(|(_, identity)| loaded.contains(identity));
    if !options.again {
        loads::check_unchanged(sources.iter().filter(|source| !known(source)), &loaded)?;
    }
    if options.only_new {
        sources.retain(|source| !known(source));
        if sources.is_empty() {
            watch.note("all sources were loaded before");
            return Ok(Step::Finished(Outcome::default()));
        }
    }
    let own = key(options, &sources, &mapping_text);
    let work = Work { options, key: &own, sources: &sources, mapping: &mapping, log, period, watch, runtime };
    if options.dry_run {
        let (_, layout) = work.prepare(&known)?;
        return work.plan_only(&layout);
    }
    clear_up(&work);
    std::fs::create_dir_all(&options.table).map_err(|e| Error::io("create", &options.table, &e))?;
    let (mut journal, earlier) = Journal::open(&options.table, &own)?;
    let earlier = match earlier {
        // Another ingest of the same sources was faster: what this one has put aside is of no use.
        Some((begin, _)) if is_committed(&work, &begin) && !journal.has_landed() => {
            journal.clear()?;
            None
        }
        // A kill came between commit and clean-up.
        Some((begin, done)) if is_committed(&work, &begin) => {
            if begin.sources == loads::identities(&sources) {
                return committed_before(&work, journal, done);
            }
            // Other contents of the same files: another ingest.
            None
        }
        earlier => earlier,
    };
    load(&work, &known, journal, earlier, restart)
}

/// The mapping of the command, with the types that earlier tries have found.
fn mapping(options: &Options, wider: &Wider) -> Result<(Mapping, String)> {
    let (mut mapping, mut text) = match (&options.preset, &options.mapping) {
        (Some(preset), _) => preset::read(preset, options.tz.as_deref())?,
        (None, Some(path)) => Mapping::read(path)?,
        (None, None) => Default::default(),
    };
    if let Some(tz) = &options.tz {
        mapping.tz = Some(tz.clone());
        text.push_str(&format!("\ntz {tz}"));
    }
    for (column, data_type) in wider {
        let entry = mapping.columns.entry(column.clone()).or_default();
        entry.data_type.get_or_insert_with(|| data_type.clone());
    }
    Ok((mapping, text))
}

/// The sources that the command names.
fn sources(options: &Options, mapping: &Mapping, watch: &dyn Watch) -> Result<Vec<Source>> {
    let said = Said { format: options.format, encoding: mapping.read.said.encoding };
    let sources = source::find(&options.sources, said)?;
    for source in &sources {
        if let Some(encoding) = source.told_encoding().filter(|_| said.encoding.is_none()) {
            watch.warn(&format!("'{}' is read as {encoding}, as its byte order mark says", source.name));
        }
    }
    Ok(sources)
}

/// Whether a load is part of the table.
fn is_committed(work: &Work<'_>, begin: &Begin) -> bool {
    work.log.as_ref().is_some_and(|log| {
        let committed = work.runtime.block_on(log.transaction_version(&begin.load));
        matches!(committed, Ok(Some(number)) if number >= begin.attempt)
    })
}

/// Removes what earlier ingests left and nobody can use, and names what others may want to resume.
fn clear_up(work: &Work<'_>) {
    let table = &work.options.table;
    staging::sweep(table);
    // What was read of standard input cannot be resumed, and what was committed need not be.
    journal::sweep(table, work.key, |begin| begin.sources.is_empty() || is_committed(work, begin));
    tell_left(table, work.key, work.watch);
}

/// What was loaded is there, and only the clean-up is left.
fn committed_before(work: &Work<'_>, journal: Journal, done: Done) -> Result<Step> {
    journal.remove()?;
    work.watch.note("this ingest was committed before it was interrupted; nothing was left to do");
    Ok(Step::Finished(Outcome {
        version: work.log.as_ref().map(TableLog::version),
        rows: done.rows,
        rejects: done.rejects,
        unseen: done.unseen,
        ..Outcome::default()
    }))
}

/// Reads the sources and commits their rows.
fn load(
    work: &Work<'_>,
    known: &dyn Fn(&Source) -> bool,
    journal: Journal,
    earlier: Earlier,
    restart: bool,
) -> Result<Step> {
    let mut journal = Some(journal);
    let result = work.prepare(known).and_then(|(heads, layout)| match widen_table(work, &layout)? {
        Some(step) => Ok(step),
        None => work.run(&heads, &layout, &mut journal, earlier, restart),
    });
    // A folder without a run in it is of no use to anybody.
    if let Some(journal) = journal
        && result.is_err()
        && (!journal.worth_keeping() || work.sources.iter().any(|source| source.file.is_none()))
    {
        let _ = journal.remove();
        // Only where it is empty, which is where this ingest made it.
        let _ = std::fs::remove_dir(&work.options.table);
    }
    result
}

/// Gives columns of the table the types that the rows need; the ingest then starts over.
fn widen_table(work: &Work<'_>, layout: &Layout) -> Result<Option<Step>> {
    let Some(log) = work.log.as_ref().filter(|_| !layout.retyped.is_empty()) else { return Ok(None) };
    let names: Vec<String> =
        layout.retyped.iter().map(|f| format!("'{}' becomes {}", f.name(), type_name(f.data_type()))).collect();
    let count = work.runtime.block_on(retype(log, &layout.retyped))?;
    let files = if count == 0 { String::new() } else { format!("; {count} files were rewritten") };
    Ok(Some(Step::StartOver(format!("column {}{files}", names.join(", ")))))
}
