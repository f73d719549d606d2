//! Questions to an engine inside the test process: SQL in, rows as text out.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::MemTable;
use datafusion::physical_plan::{ExecutionPlan, collect_partitioned};
use futures::TryStreamExt;
use tenure::engine::{Engine, Params, Settings};
use tenure::error::{Error, Result};

/// An engine and a runtime to wait on it.
pub struct Asked {
    pub engine: Engine,
    runtime: tokio::runtime::Runtime,
}

/// Settings without a workspace of the current folder: tests bring their own tables.
pub fn settings(threads: usize) -> Settings {
    static NOWHERE: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    let nowhere = NOWHERE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tenure.toml"), "").unwrap();
        folder
    });
    Settings {
        workspace: Some(nowhere.path().to_path_buf()),
        threads: Some(threads),
        local_files: true,
        ..Settings::default()
    }
}

/// A folder of `testdata`.
pub fn testdata(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

impl Asked {
    pub fn open(settings: &Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let engine = runtime.block_on(Engine::open(settings)).unwrap();
        Self { engine, runtime }
    }

    pub fn new(threads: usize) -> Self {
        Self::open(&settings(threads))
    }

    /// Over the tables of a folder of `testdata`.
    pub fn workspace(name: &str) -> Self {
        Self::open(&Settings { workspace: Some(testdata(name)), ..settings(2) })
    }

    /// Plans and starts a statement, does something else, and then reads the answer: how many rows it has.
    pub fn rows_after(&self, sql: &str, meanwhile: impl FnOnce()) -> Result<usize> {
        self.runtime.block_on(async {
            let answer = self.engine.run(sql, &Params::new()).await?;
            meanwhile();
            let batches: Vec<RecordBatch> = answer.stream.try_collect().await?;
            Ok(batches.iter().map(RecordBatch::num_rows).sum())
        })
    }

    /// A table in memory with these partitions.
    pub fn table(&self, name: &str, partitions: Vec<Vec<RecordBatch>>) {
        let schema = partitions[0][0].schema();
        let table = MemTable::try_new(schema, partitions).unwrap();
        let _ = self.engine.context().deregister_table(name).unwrap();
        self.engine.context().register_table(name, Arc::new(table)).unwrap();
    }

    pub fn batches(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        self.runtime.block_on(async {
            let answer = self.engine.run(sql, &Params::new()).await?;
            answer.stream.try_collect().await.map_err(Error::from)
        })
    }

    /// A statement's plan as it would be run.
    pub fn physical(&self, sql: &str) -> Arc<dyn ExecutionPlan> {
        let plan = async { self.engine.context().sql(sql).await?.create_physical_plan().await };
        self.runtime.block_on(plan).unwrap_or_else(|e| panic!("{e}\n{sql}"))
    }

    /// What each partition of a plan answers.
    pub fn partitions(&self, plan: Arc<dyn ExecutionPlan>) -> Vec<Vec<RecordBatch>> {
        self.runtime.block_on(collect_partitioned(plan, self.engine.context().task_ctx())).unwrap()
    }

    /// Rows as text in the order they came.
    pub fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        rows(&self.batches(sql).unwrap_or_else(|e| panic!("{e}\n{sql}")))
    }

    /// The only column of the only row.
    pub fn one(&self, sql: &str) -> String {
        let rows = self.rows(sql);
        assert!(rows.len() == 1 && rows[0].len() == 1, "{rows:?}\n{sql}");
        rows[0][0].clone()
    }
}

/// Rows as text; doubles by their bits as well, so that equal text means equal values.
pub fn rows(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<Vec<String>> = batch.columns().iter().map(cells).collect();
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|c| c[row].clone()).collect::<Vec<_>>()));
    }
    rows
}

fn cells(column: &ArrayRef) -> Vec<String> {
    if let (DataType::Float64, Some(numbers)) = (column.data_type(), column.as_primitive_opt::<Float64Type>()) {
        // `{:?}` writes the shortest text that reads back as the same double.
        return numbers.iter().map(|n| n.map_or("NULL".into(), |n| format!("{n:?}"))).collect();
    }
    let options = FormatOptions::new().with_null("NULL");
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options).unwrap();
    (0..column.len()).map(|row| formatter.value(row).to_string()).collect()
}
