//! Changing a managed table: one commit is visible whole or not at all.
//!
//! Deals with: making a table, adding and taking out files, new columns, what happens when somebody else commits at the same
//! time. Does not deal with: writing the files, which are there before they are committed, or removing them (`vacuum`).
//!
//! Version n is the file `n.json` of the log, made by whoever creates it first. A commit reads the newest version, checks that what
//! it wants still makes sense, and tries to create the next entry; where another was faster it reads that one and starts anew.
//! Appends always make sense; so two of them both land.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Field, Fields, SchemaRef};
use chrono::Utc;
use deltalake_core::checkpoints::create_checkpoint_from_table_url_and_cleanup;
use deltalake_core::kernel::transaction::{PROTOCOL, TransactionError};
use deltalake_core::kernel::{
    Action, Add, CommitInfo, Metadata, MetadataExt, Protocol, Remove, StructField, StructType, Transaction,
    contains_timestampntz, new_metadata,
};
use deltalake_core::logstore::{CommitOrBytes, LogStoreRef};
use serde_json::{Value, json};
use uuid::Uuid;

use super::checksum::{self, Sum, VersionSum};
use super::log::{At, FOOTER_TAG, ORDER, ORDER_TAG, OURS, TableLog, UNORDERED, connect_new, failed, order_of};
use super::{LOG_FOLDER, Roles, StoredFile, schema, versions};
use crate::error::{Error, Result};
use crate::store::layout::sync_folder;

/// Every so many versions the log is summed up in a checkpoint, so that opening a table reads few entries.
const CHECKPOINT_EVERY: u64 = 10;

/// A commit that loses this many races in a row gives up: something else is wrong.
const ATTEMPTS: u32 = 200;

/// What a new table is.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its columns (see [`schema::to_delta`] for the types).
    pub schema: SchemaRef,
    /// Which of them are user, time and event; `None` for a table whose rows have no order.
    pub roles: Option<Roles>,
    /// Whatever else is to be remembered (the period of its slices, the column that tells duplicates), by a name without `tenure.`.
    pub settings: Vec<(String, String)>,
}

/// What a commit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// New rows.
    Ingest,
    /// New rows, by a statement.
    Insert,
    /// The same rows in other files.
    Compact,
    /// Rows of some users are gone.
    Erase,
}

/// One commit.
#[derive(Debug, Clone)]
pub struct Change {
    /// Files that come in. They exist and are durable.
    pub add: Vec<StoredFile>,
    /// Files that go, by [`StoredFile::path`].
    pub remove: Vec<String>,
    /// Columns that the table gets, unless it has them by now.
    pub new_columns: Vec<Field>,
    /// Columns of the table that have these types from now on; all files hold, or lack, values of them.
    pub retyped: Vec<Field>,
    /// Settings that the table gets, by a name without `tenure.`, unless it has them by now.
    pub new_settings: Vec<(String, String)>,
    /// What it is for.
    pub operation: Operation,
    /// An application and a number of its own that grows with each commit: a commit that was already made is recognised.
    pub transaction: Option<(String, i64)>,
    /// Give up if rows came in or went after this version: for whoever has compared new rows with all there were.
    pub unless_data_since: Option<u64>,
}

impl Change {
    /// A change of nothing yet.
    pub fn new(operation: Operation) -> Self {
        Self {
            add: Vec::new(),
            remove: Vec::new(),
            new_columns: Vec::new(),
            retyped: Vec::new(),
            new_settings: Vec::new(),
            operation,
            transaction: None,
            unless_data_since: None,
        }
    }
}

/// Why a commit did not land.
#[derive(Debug)]
pub enum Refused {
    /// Another commit came first and changed what this one relies on: read the table again and start anew.
    Conflict(String),
    /// This very commit has landed before, says its transaction; the application's newest number is given.
    Repeated(i64),
    /// It failed. Whether the entry became visible may be unknown (a disk that breaks), so the files that were to come in stay
    /// where they are; `vacuum` removes what no version refers to.
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Refused::Failed(error)
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Conflict(why) => Error::data(format!("another commit came first: {why}")).hint("run it again"),
            Refused::Repeated(number) => Error::data(format!("this was committed before (as number {number})")),
            Refused::Failed(error) => error,
        }
    }
}

impl TableLog {
    /// Makes a table in a folder (which is made, too), with the first files in its version 0. `Conflict` where somebody has just
    /// made one there.
    pub async fn create(folder: &Path, definition: &Definition, first: &Change) -> Result<Self, Refused> {
        let fields = definition.schema.fields();
        if let Some(roles) = &definition.roles {
            schema::check_roles(fields, roles)?;
        }
        let stored = schema::to_delta(fields)?;
        if TableLog::exists(folder) {
            return Err(Refused::Conflict(format!("'{}' is a managed table already", folder.display())));
        }
        let log = folder.join(LOG_FOLDER);
        std::fs::create_dir_all(&log).map_err(|e| Error::io("make the folder", &log, &e))?;
        let table = connect_new(folder)?;
        let settings = settings(definition);
        let fail = |e: deltalake_core::kernel::Error| Error::internal(format!("cannot describe the table: {e}"));
        let metadata = new_metadata(&stored, Vec::<String>::new(), settings).map_err(fail)?;
        let mut actions = vec![Action::CommitInfo(info(first, None, 0))];
        actions.push(Action::Protocol(protocol(&stored)?));
        actions.push(Action::Metadata(metadata));
        actions.extend(added(first, definition.roles.as_ref()));
        actions.extend(transaction(first));
        let sum = match write(&table.log_store(), 0, &actions).await {
            Ok(entry) => totals(&actions, (0, 0), None, entry)?,
            Err(TransactionError::VersionAlreadyExists(_)) => {
                return Err(Refused::Conflict(format!("'{}' was made by another", folder.display())));
            }
            Err(e) => return Err(failed("commit to", folder, &e.into()).into()),
        };
        settled(folder, 0, sync(folder, 0).and_then(|()| sum.write(folder, 0, false)))?;
        Ok(Self::open(folder, At::Latest).await?)
    }

    /// Commits a change on top of the newest version, and returns the version it made. `self` is then that version.
    pub async fn commit(&mut self, change: &Change) -> Result<u64, Refused> {
        let seen = self.clone();
        for attempt in 0..ATTEMPTS {
            if !self.is_newest() {
                *self = self.newest().await?;
            }
            self.check(&seen, change).await?;
            let actions = self.actions(change)?;
            let version = self.version() + 1;
            match write(&self.table.log_store(), version, &actions).await {
                Ok(entry) => {
                    let before = (self.files().len(), self.files().iter().map(|f| f.size).sum());
                    let known = Some((self.metadata()?, self.protocol()?.clone()));
                    let sum = totals(&actions, before, known, entry)?;
                    let landed = self.landed(version, sum).await;
                    settled(self.folder(), version, landed)?;
                    return Ok(version);
                }
                Err(TransactionError::VersionAlreadyExists(_)) => {
                    // Those who lost the race do not all run again at the same moment.
                    let longest = 1u64 << attempt.min(7);
                    let pause = u64::from(std::process::id()).wrapping_add(version).wrapping_mul(7919) % longest;
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    *self = self.newest().await?;
                }
                Err(e) => return Err(failed("commit to", self.folder(), &e.into()).into()),
            }
        }
        Err(Refused::Conflict(format!("{ATTEMPTS} commits of others were faster")))
    }

    /// Whether the change still makes sense on this version.
    async fn check(&self, seen: &TableLog, change: &Change) -> Result<(), Refused> {
        let folder = self.folder().display();
        if let Some(why) = self.only_read() {
            let message = format!("'{folder}' {why}: tenure reads such tables but does not write them");
            return Err(Error::data(message).into());
        }
        if self.version() < seen.version() || self.identity()? != seen.identity()? {
            return Err(Refused::Conflict("the table was removed and made again".into()));
        }
        if let Some((application, number)) = &change.transaction
            && let Some(last) = self.transaction_version(application).await?
            && last >= *number
        {
            return Err(Refused::Repeated(last));
        }
        let live: HashSet<&str> = self.files().iter().map(|f| f.path.as_str()).collect();
        if let Some(gone) = change.remove.iter().find(|path| !live.contains(path.as_str())) {
            return Err(Refused::Conflict(format!("file '{gone}' is no longer part of '{folder}'")));
        }
        if let Some(twice) = change.add.iter().find(|file| live.contains(file.path.as_str())) {
            return Err(Error::data(format!("file '{}' is part of '{folder}' already", twice.path)).into());
        }
        for field in seen.schema().fields() {
            let now = self.schema().field_with_name(field.name()).map(Field::data_type);
            if now.ok() != Some(field.data_type()) {
                return Err(Refused::Conflict(format!("column '{}' of '{folder}' has changed", field.name())));
            }
        }
        if let Some(since) = change.unless_data_since {
            for version in since + 1..=self.version() {
                if versions::changed_data(self.folder(), version)? {
                    return Err(Refused::Conflict(format!("version {version} of '{folder}' brought other rows")));
                }
            }
        }
        Ok(())
    }

    fn actions(&self, change: &Change) -> Result<Vec<Action>, Refused> {
        let fail = |e: deltalake_core::DeltaTableError| failed("commit to", self.folder(), &e);
        let state = self.table.snapshot().map_err(fail)?;
        let foreign =
            |e: TransactionError| Error::data(format!("'{}' cannot be written: {e}", self.folder().display()));
        PROTOCOL.can_write_to(state).map_err(foreign)?;
        let append_only = state.metadata().configuration().get("delta.appendOnly").is_some_and(|v| v == "true");
        if append_only && change.operation == Operation::Erase {
            let message =
                format!("'{}' is append-only (delta.appendOnly): no row can be taken out", self.folder().display());
            return Err(Error::data(message).into());
        }
        let gone: HashSet<&str> = change.remove.iter().map(String::as_str).collect();
        let removed: Vec<&StoredFile> = self.files().iter().filter(|f| gone.contains(f.path.as_str())).collect();
        let rows = removed.iter().map(|f| f.rows).sum();
        let mut actions = vec![Action::CommitInfo(info(change, Some(self.version()), rows))];
        let described = |e| Error::internal(format!("cannot describe the table: {e}"));
        let mut metadata = None;
        if let Some(schema) = self.widened(&change.new_columns, &change.retyped)? {
            metadata = Some(state.metadata().clone().with_schema(&schema).map_err(described)?);
            actions.extend(self.needed_protocol(&schema)?.map(Action::Protocol));
        }
        for (name, value) in &change.new_settings {
            match self.setting(name) {
                Some(has) if has == value => {}
                Some(has) => return Err(Refused::Conflict(format!("the table's {name} is '{has}' by now"))),
                None => {
                    let before = metadata.take().unwrap_or_else(|| state.metadata().clone());
                    let after = before.add_config_key(format!("{OURS}{name}"), value.clone());
                    metadata = Some(after.map_err(described)?);
                }
            }
        }
        actions.extend(metadata.map(Action::Metadata));
        let now = Utc::now().timestamp_millis();
        actions.extend(removed.into_iter().map(|file| {
            Action::Remove(Remove {
                path: file.path.clone(),
                data_change: change.operation != Operation::Compact,
                deletion_timestamp: Some(now),
                extended_file_metadata: Some(true),
                partition_values: Some(HashMap::new()),
                size: Some(signed(file.size)),
                ..Remove::default()
            })
        }));
        actions.extend(added(change, self.roles()));
        actions.extend(transaction(change));
        Ok(actions)
    }

    /// The columns with those of `new` that are not there yet, and `retyped` ones as they are now; `None` where nothing changes.
    fn widened(&self, new: &[Field], retyped: &[Field]) -> Result<Option<StructType>, Refused> {
        let mut more: Vec<Arc<Field>> = Vec::new();
        for field in new {
            let same = |f: &&Arc<Field>| f.name().eq_ignore_ascii_case(field.name());
            match self.schema().fields().iter().find(same) {
                None => more.push(Arc::new(field.clone())),
                Some(there) if there.name() == field.name() && *there.data_type() == schema::read_type(field)? => {}
                Some(there) => {
                    let what = format!("column '{}' is there by now, as {}", there.name(), there.data_type());
                    return Err(Refused::Conflict(what));
                }
            }
        }
        if more.is_empty() && retyped.is_empty() {
            return Ok(None);
        }
        let state = self.table.snapshot().map_err(|e| failed("read the log of", self.folder(), &e))?;
        // What is there stays as it is written, whatever it says that we do not know.
        let more = schema::to_delta(&Fields::from(more))?;
        let wider = schema::to_delta(&Fields::from(retyped.to_vec()))?;
        let now = state.schema();
        let there = now.fields().cloned().map(|field| match wider.field(field.name()) {
            Some(wider) => wider.clone().with_metadata(field.metadata().clone()),
            None => field,
        });
        let all: Vec<StructField> = there.chain(more.fields().cloned()).collect();
        let all = StructType::try_new(all).map_err(|e| Error::data(format!("the new columns do not fit: {e}")))?;
        Ok(Some(all))
    }

    /// The protocol that a widened schema needs beyond the table's.
    fn needed_protocol(&self, schema: &StructType) -> Result<Option<Protocol>> {
        let has = self.protocol()?.writer_features().unwrap_or_default().iter().any(|f| f.to_string() == LOCAL_TIMES);
        match contains_timestampntz(schema.fields()) && !has {
            true if self.protocol()?.min_writer_version() < 7 => protocol(schema).map(Some),
            true => {
                Err(Error::data("a time without zone cannot be added to this table: it would need another protocol"))
            }
            false => Ok(None),
        }
    }

    /// What follows a commit that has landed. Nothing of this can undo it.
    async fn landed(&mut self, version: u64, sum: VersionSum) -> Result<()> {
        sync(self.folder(), version)?;
        sum.write(self.folder(), version, false)?;
        if (version + 1).is_multiple_of(CHECKPOINT_EVERY) {
            let url = self.table.table_url().clone();
            // A log without its checkpoint is only slower to read; the next one will be tried.
            if create_checkpoint_from_table_url_and_cleanup(url, version, None, None).await.is_ok() {
                checksum::sync_checkpoint(self.folder(), version)?;
                sum.write(self.folder(), version, true)?;
            }
        }
        if let Ok(newest) = self.newest().await {
            *self = newest;
        }
        Ok(())
    }

    /// Sums the log up to this version in a checkpoint, unless there is one.
    pub(super) async fn checkpoint(&self) -> Result<()> {
        let (folder, version) = (self.folder(), self.version());
        if checksum::listed(folder)?.checkpoints.contains(&version) {
            return Ok(());
        }
        let url = self.table.table_url().clone();
        let made = create_checkpoint_from_table_url_and_cleanup(url, version, Some(false), None).await;
        made.map_err(|e| failed("sum up the log of", folder, &e))?;
        checksum::sync_checkpoint(folder, version)?;
        match checksum::existing(folder, version, self.metadata()?, self.protocol()?.clone())? {
            Some(sum) => sum.write(folder, version, true),
            None => Ok(()),
        }
    }
}

/// An error that comes after the commit has landed.
fn settled(folder: &Path, version: u64, done: Result<()>) -> Result<(), Refused> {
    done.map_err(|error| {
        let place =
            format!("version {version} of '{}' is committed, but the disk did not confirm it: ", folder.display());
        Refused::Failed(error.within(&place).hint("look at the disk; run again, the command finds its commit"))
    })
}

/// What a version amounts to: `before` are the files of the version below and their bytes, `known` is what holds unless the
/// entry says otherwise.
fn totals(
    actions: &[Action],
    before: (usize, u64),
    known: Option<(Metadata, Protocol)>,
    entry: Sum,
) -> Result<VersionSum, Refused> {
    let (mut files, mut bytes) = (before.0 as i64, signed(before.1));
    let (mut metadata, mut protocol) = known.unzip();
    for action in actions {
        match action {
            Action::Add(add) => (files, bytes) = (files + 1, bytes + add.size),
            Action::Remove(gone) => (files, bytes) = (files - 1, bytes - gone.size.unwrap_or(0)),
            Action::Metadata(new) => metadata = Some(new.clone()),
            Action::Protocol(new) => protocol = Some(new.clone()),
            _ => {}
        }
    }
    let (Some(metadata), Some(protocol)) = (metadata, protocol) else {
        return Err(Error::internal("a version without metadata").into());
    };
    Ok(VersionSum { files, bytes, metadata, protocol, entry })
}

const LOCAL_TIMES: &str = "timestampNtz";

fn settings(definition: &Definition) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    match &definition.roles {
        Some(roles) => {
            settings.push((format!("{OURS}user"), roles.user.clone()));
            settings.push((format!("{OURS}time"), roles.time.clone()));
            settings.push((format!("{OURS}{ORDER}"), order_of(roles)));
            settings.extend(roles.event.iter().map(|event| (format!("{OURS}event"), event.clone())));
        }
        None => settings.push((format!("{OURS}{ORDER}"), UNORDERED.to_string())),
    }
    settings.extend(definition.settings.iter().map(|(name, value)| (format!("{OURS}{name}"), value.clone())));
    settings
}

/// What a reader and a writer must know: little, unless the table holds times without a zone.
fn protocol(schema: &StructType) -> Result<Protocol> {
    let value = match contains_timestampntz(schema.fields()) {
        false => json!({"minReaderVersion": 1, "minWriterVersion": 2}),
        true => json!({
            "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": [LOCAL_TIMES], "writerFeatures": [LOCAL_TIMES, "appendOnly", "invariants"],
        }),
    };
    serde_json::from_value(value).map_err(|e| Error::internal(format!("cannot describe the protocol: {e}")))
}

fn info(change: &Change, read: Option<u64>, rows_removed: u64) -> CommitInfo {
    let (delta, ours) = match change.operation {
        Operation::Ingest => ("WRITE", "ingest"),
        Operation::Insert => ("WRITE", "insert"),
        Operation::Compact => ("OPTIMIZE", "compact"),
        Operation::Erase => ("DELETE", "erase"),
    };
    let rows_added: u64 = change.add.iter().map(|f| f.rows).sum();
    let mode = HashMap::from([("mode".to_string(), Value::from("Append"))]);
    CommitInfo {
        timestamp: Some(Utc::now().timestamp_millis()),
        operation: Some(delta.to_string()),
        operation_parameters: Some(if delta == "WRITE" { mode } else { HashMap::new() }),
        read_version: read,
        is_blind_append: Some(
            matches!(change.operation, Operation::Ingest | Operation::Insert) && change.unless_data_since.is_none(),
        ),
        engine_info: Some(concat!("tenure/", env!("CARGO_PKG_VERSION")).to_string()),
        info: HashMap::from([
            ("tenureOperation".to_string(), Value::from(ours)),
            ("tenureRowsRemoved".to_string(), Value::from(rows_removed)),
            (
                "operationMetrics".to_string(),
                json!({
                    "numFiles": change.add.len().to_string(), "numRemovedFiles": change.remove.len().to_string(),
                    "numOutputRows": rows_added.to_string(),
                }),
            ),
        ]),
        ..CommitInfo::default()
    }
}

fn added<'a>(change: &'a Change, roles: Option<&Roles>) -> impl Iterator<Item = Action> + use<'a> {
    let order = roles.map(order_of);
    change.add.iter().map(move |file| Action::Add(add(file, change, order.as_deref())))
}

fn add(file: &StoredFile, change: &Change, order: Option<&str>) -> Add {
    let mut tags: HashMap<String, Option<String>> = HashMap::new();
    tags.extend(order.filter(|_| file.ordered).map(|order| (ORDER_TAG.to_string(), Some(order.to_string()))));
    tags.extend(file.checksum.map(|sum| (FOOTER_TAG.to_string(), Some(sum.to_string()))));
    Add {
        path: file.path.clone(),
        partition_values: HashMap::new(),
        size: signed(file.size),
        modification_time: file.modified,
        data_change: change.operation != Operation::Compact,
        stats: (!file.statistics.is_empty()).then(|| file.statistics.clone()),
        tags: (!tags.is_empty()).then_some(tags),
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    }
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn transaction(change: &Change) -> Option<Action> {
    let (application, number) = change.transaction.as_ref()?;
    let now = Utc::now().timestamp_millis();
    Some(Action::Txn(Transaction::new_with_last_update(application, *number, Some(now))))
}

/// Creates the entry of a version, if there is none yet, and gives its checksum.
async fn write(log: &LogStoreRef, version: u64, actions: &[Action]) -> Result<Sum, TransactionError> {
    let lines = actions.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
    let lines = lines.map_err(|json_err| TransactionError::SerializeLogJson { json_err })?;
    let text = lines.join("\n") + "\n";
    let sum = Sum::of(text.as_bytes());
    log.write_commit_entry(version, CommitOrBytes::LogBytes(text.into()), Uuid::new_v4()).await?;
    Ok(sum)
}

/// Makes an entry durable: until then a power cut could take it back, although it is visible already.
fn sync(folder: &Path, version: u64) -> Result<()> {
    let entry = versions::entry(folder, version);
    let synced = std::fs::File::open(&entry).and_then(|file| file.sync_all());
    synced.map_err(|e| Error::io("write", &entry, &e))?;
    sync_folder(&folder.join(LOG_FOLDER))
}
