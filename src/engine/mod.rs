//! The one place that assembles a session from configuration, store, functions, relations and plan rules.
//!
//! Deals with: opening a session, running one statement, telling what tables there are.
//! Does not deal with: printing, files of results, the command line (`cli`, `output`).

mod script;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::error::Result;

pub use script::{Script, Statement, split};

/// What a session is opened with.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Folder that holds `tenure.toml`; without it the current folder's file is used where there is one.
    pub workspace: Option<PathBuf>,
    /// Tables to register: name and location (a file, a folder, a glob).
    pub tables: Vec<(String, String)>,
    /// Bytes that queries may hold; `None` is no limit.
    pub memory: Option<usize>,
    /// Threads and partitions; `None` is one for each core.
    pub threads: Option<usize>,
    /// Whether `SELECT * FROM 'file.parquet'` may read files that were not registered.
    pub local_files: bool,
    /// `SET key = value` pairs applied when the session opens.
    pub options: Vec<(String, String)>,
}

/// Named query parameters (`$name`), as typed by the user.
pub type Params = std::collections::BTreeMap<String, String>;

/// A session.
#[derive(Clone)]
pub struct Engine {
    context: SessionContext,
}

/// What a statement answers: batches that arrive while it runs. Dropping it stops the query.
pub struct Answer {
    /// Columns of the result; none for a statement such as `SET` or `CREATE`.
    pub schema: SchemaRef,
    /// The batches.
    pub stream: SendableRecordBatchStream,
    plan: Arc<dyn ExecutionPlan>,
}

/// How far a running query is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows read from files so far.
    pub rows_read: u64,
    /// Rows that the files hold, where their statistics tell.
    pub rows_total: Option<u64>,
}

/// A poller of [`Progress`] that outlives the stream.
#[derive(Clone)]
pub struct ProgressMeter(Arc<dyn ExecutionPlan>);

/// A registered table, for `\d` and completion.
#[derive(Debug, Clone)]
pub struct TableInfo {
    /// Name as written in SQL.
    pub name: String,
    /// What the workspace file says of it.
    pub description: Option<String>,
    /// Columns: name, type as SQL shows it, role (`user`, `time`, `event`) where it has one.
    pub columns: Vec<ColumnInfo>,
}

/// A column of a [`TableInfo`].
#[derive(Debug, Clone)]
pub struct ColumnInfo {
    /// Name.
    pub name: String,
    /// Arrow type.
    pub data_type: String,
    /// `user`, `time` or `event`.
    pub role: Option<String>,
}

impl Engine {
    /// Opens a session.
    pub async fn open(settings: &Settings) -> Result<Self> {
        let mut config = SessionConfig::new();
        if let Some(threads) = settings.threads {
            config = config.with_target_partitions(threads);
        }
        let context = SessionContext::new_with_config(config);
        let context = if settings.local_files { context.enable_url_table() } else { context };
        for (name, location) in &settings.tables {
            context.register_parquet(name, location, Default::default()).await?;
        }
        Ok(Self { context })
    }

    /// The session below, for callers that build plans themselves.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Plans exactly one statement and starts it.
    pub async fn run(&self, statement: &str, params: &Params) -> Result<Answer> {
        let _ = params;
        let frame = self.context.sql(statement).await?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let task = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await?;
        let stream = execute_stream(Arc::clone(&plan), task)?;
        Ok(Answer { schema, stream, plan })
    }

    /// The registered tables, by name.
    pub async fn tables(&self) -> Result<Vec<TableInfo>> {
        Ok(Vec::new())
    }
}

impl Answer {
    /// Tells how far the query is while its stream is being read.
    pub fn meter(&self) -> ProgressMeter {
        ProgressMeter(Arc::clone(&self.plan))
    }
}

impl ProgressMeter {
    /// Rows read so far, from the scans' own counters.
    pub fn now(&self) -> Progress {
        Progress::default()
    }
}
