//! A table over files that may be others at the next statement.
//!
//! Deals with: looking again which files there are, and opening them anew where one is new, gone or changed. Does not deal with: when to
//! look (`engine`: once a statement), or how files are opened (whoever implements [`Opening`]).

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Constraints, Statistics};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;

use super::location::DataFile;
use crate::error::Result;

/// Where the files of a table are, and how they are opened.
#[async_trait]
pub trait Opening: fmt::Debug + Send + Sync {
    /// The files that there are now.
    fn find(&self) -> Result<Vec<DataFile>>;

    /// The table over these files.
    async fn open(&self, state: &dyn Session, files: Vec<DataFile>) -> Result<Arc<dyn TableProvider>>;

    /// The text of the statement that declared it.
    fn definition(&self) -> Option<&str> {
        None
    }
}

/// The table, over the files that were there when it was last looked at.
#[derive(Clone)]
pub struct Followed {
    opening: Arc<dyn Opening>,
    /// What any copy of the table has seen last.
    newest: Arc<Mutex<Arc<Seen>>>,
    seen: Arc<Seen>,
}

struct Seen {
    files: Vec<DataFile>,
    table: Arc<dyn TableProvider>,
}

impl fmt::Debug for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed").field("files", &self.seen.files.len()).field("table", &self.seen.table).finish()
    }
}

impl Followed {
    /// Opens the files that there are now.
    pub async fn open(state: &dyn Session, opening: Arc<dyn Opening>) -> Result<Self> {
        let files = opening.find()?;
        let table = opening.open(state, files.clone()).await?;
        let seen = Arc::new(Seen { files, table });
        Ok(Self { opening, newest: Arc::new(Mutex::new(Arc::clone(&seen))), seen })
    }

    /// This table over the files that there are now, if these have been seen already.
    pub fn unchanged(&self) -> Result<Option<Self>> {
        let files = self.opening.find()?;
        let known = Arc::clone(&*self.newest.lock());
        Ok((known.files == files).then(|| Self { seen: known, ..self.clone() }))
    }

    /// This table over the files that there are now.
    pub async fn reopened(&self, state: &dyn Session) -> Result<Self> {
        let files = self.opening.find()?;
        let table = self.opening.open(state, files.clone()).await?;
        let seen = Arc::new(Seen { files, table });
        *self.newest.lock() = Arc::clone(&seen);
        Ok(Self { seen, ..self.clone() })
    }

    /// Whether both are the same table of a session.
    pub fn follows_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.newest, &other.newest)
    }

    /// Whether both are over the same files.
    pub fn has_seen_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.seen, &other.seen)
    }

    /// The table over the files.
    pub fn table(&self) -> &Arc<dyn TableProvider> {
        &self.seen.table
    }
}

#[async_trait]
impl TableProvider for Followed {
    fn schema(&self) -> SchemaRef {
        self.seen.table.schema()
    }

    fn constraints(&self) -> Option<&Constraints> {
        self.seen.table.constraints()
    }

    fn table_type(&self) -> TableType {
        self.seen.table.table_type()
    }

    fn get_table_definition(&self) -> Option<&str> {
        self.opening.definition()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        self.seen.table.supports_filters_pushdown(filters)
    }

    fn statistics(&self) -> Option<Statistics> {
        self.seen.table.statistics()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        self.seen.table.scan(state, projection, filters, limit).await
    }

    async fn insert_into(
        &self,
        state: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        op: InsertOp,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        self.seen.table.insert_into(state, input, op).await
    }
}
