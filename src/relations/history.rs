//! `FROM history(events)`: the versions of a managed table.
//!
//! Deals with: a row for each commit. Does not deal with: reading one of them (`as_of`).

use std::any::Any;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::common::TableReference;
use datafusion::datasource::{MemTable, source_as_provider};
use datafusion::logical_expr::{LogicalPlan, col};

use super::Relation;
use super::argument::{Argument, Kind, docs};
use super::call::{Call, scan};
use crate::error::{Error, Result};
use crate::functions::{FunctionDoc, FunctionKind};
use crate::store::managed::provider::ManagedTable;
use crate::store::managed::versions::{self, Commit};

/// The relation.
#[derive(Debug)]
pub struct History;

const TEXT: &str = "\
Each load, INSERT, compaction and erasure of a managed table makes a version; `FROM events VERSION AS OF 3` and \
`FROM events TIMESTAMP AS OF '2026-11-01 12:00:00'` read an old one, as long as `tenure vacuum` has not removed its files.

Compaction rewrites rows without changing any: its `rows_added` and `rows_removed` are the same. \
`rows_removed` is NULL where another program took files out and did not say how many rows were in them. \
The log forgets commits after 30 days once a later checkpoint stands for them (`delta.logRetentionDuration`).

Cost: reads the log, no data file.";

impl Relation for History {
    fn arguments(&self) -> Vec<Argument> {
        vec![Argument::needed("table", Kind::ManagedTable, "A managed table: its name, or its folder in quotes.")]
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "history",
            kind: FunctionKind::Relation,
            summary: "The versions of a managed table",
            syntax: "history(table)",
            arguments: docs(&self.arguments()),
            returns: vec![
                ("version BIGINT", "0, 1, ..: what `VERSION AS OF` takes."),
                ("committed_at TIMESTAMP", "When, in UTC."),
                (
                    "operation TEXT",
                    "`ingest`, `insert`, `compact`, `erase`; or what another program calls its own, such as `merge`.",
                ),
                ("files_added, files_removed BIGINT", "Data files that came in and went."),
                ("rows_added, rows_removed BIGINT", "Rows in these files; NULL where the log does not tell."),
            ],
            text: TEXT,
            example: "SELECT version, operation, rows_added FROM history(events) ORDER BY version",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let provider = match call.input() {
            LogicalPlan::TableScan(found) => source_as_provider(&found.source).ok(),
            _ => None,
        };
        let managed = provider.as_ref().and_then(|p| (p.as_ref() as &dyn Any).downcast_ref::<ManagedTable>());
        let Some(managed) = managed else {
            return Err(call
                .error("the table is not a managed table, it has no history")
                .hint("tenure ingest makes managed tables"));
        };
        let newest = managed.log().version();
        let mut commits = versions::history(managed.log().folder())?;
        commits.retain(|commit| commit.version <= newest);
        let batch = rows(&commits)?;
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
        let plan = scan(TableReference::bare(self.doc().name), Arc::new(table))?;
        Ok(datafusion::logical_expr::LogicalPlanBuilder::from(plan)
            .sort([col("version").sort(true, false)])?
            .build()?)
    }
}

fn rows(commits: &[Commit]) -> Result<RecordBatch> {
    let count = |of: fn(&Commit) -> Option<u64>| -> ArrayRef {
        let counts = commits.iter().map(|c| of(c).map(|n| i64::try_from(n).unwrap_or(i64::MAX)));
        Arc::new(counts.collect::<Int64Array>())
    };
    let times = TimestampMicrosecondArray::from_iter_values(commits.iter().map(|c| c.time)).with_timezone("UTC");
    RecordBatch::try_from_iter([
        ("version", count(|c| Some(c.version))),
        ("committed_at", Arc::new(times) as ArrayRef),
        ("operation", Arc::new(StringArray::from_iter_values(commits.iter().map(|c| &c.operation)))),
        ("files_added", count(|c| Some(c.added))),
        ("files_removed", count(|c| Some(c.removed))),
        ("rows_added", count(|c| c.rows_added)),
        ("rows_removed", count(|c| c.rows_removed)),
    ])
    .map_err(Error::from)
}
