//! The last result of a prompt, as the table `_`.
//!
//! Deals with: gathering the batches of an answer within bounds, and finding them by the name `_`. Does not deal with: showing them
//! (`cli`). A table that the user calls `_` comes before it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayData, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};

use super::{ColumnInfo, Engine, TableInfo};
use crate::error::{Error, Result};
use crate::functions::plain_sql::sql_type;
use crate::store::table::ROLE_KEY;

/// The name of the last result in SQL.
pub const LAST_RESULT: &str = "_";

/// Bytes that are kept of a result at most, and the part of a memory limit.
const MOST: (usize, usize) = (64 << 20, 8);

/// What there is of the last result.
#[derive(Debug)]
pub enum LastResult {
    /// All of it.
    Kept(Kept),
    /// Nothing, for this reason.
    Lost(String),
}

/// A result that is held in memory.
#[derive(Debug)]
pub struct Kept {
    /// Its columns as they were answered.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
    table: Arc<MemTable>,
    /// Gives the memory back when the next result takes its place.
    _reservation: MemoryReservation,
}

/// Gathers an answer while it arrives.
pub struct Keeper {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    /// Buffers that are counted: batches may be parts of the same ones.
    seen: HashSet<usize>,
    most: usize,
    reservation: MemoryReservation,
    lost: Option<String>,
}

impl Keeper {
    /// Takes the next batch; gives `false` from the batch on with which there is too much, which is the caller's alone.
    pub fn take(&mut self, batch: &RecordBatch) -> bool {
        if self.lost.is_some() {
            return false;
        }
        let bytes = batch.columns().iter().map(|column| self.new_bytes(&column.to_data())).sum::<usize>();
        if self.reservation.size() + bytes > self.most {
            self.lost = Some(format!("it holds more than {} MB", self.most >> 20));
            return false;
        }
        if self.reservation.try_grow(bytes).is_err() {
            self.lost = Some("it does not fit into the memory that is left".into());
            return false;
        }
        self.batches.push(batch.clone());
        true
    }

    /// What was taken so far, where it is used up otherwise.
    pub fn give_up(&mut self) -> Vec<RecordBatch> {
        self.reservation.free();
        self.seen.clear();
        std::mem::take(&mut self.batches)
    }

    /// What was taken.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    fn new_bytes(&mut self, data: &ArrayData) -> usize {
        let nulls = data.nulls().map(|nulls| nulls.buffer());
        let mut bytes = 0;
        for buffer in data.buffers().iter().chain(nulls) {
            if self.seen.insert(buffer.data_ptr().as_ptr() as usize) {
                bytes += buffer.capacity();
            }
        }
        bytes + data.child_data().iter().map(|child| self.new_bytes(child)).sum::<usize>()
    }
}

impl Kept {
    /// As a table of a statement.
    pub fn table(&self) -> Arc<dyn TableProvider> {
        Arc::clone(&self.table) as Arc<dyn TableProvider>
    }
}

impl LastResult {
    /// What a statement that reads it gets.
    pub fn kept(&self) -> Result<&Kept> {
        match self {
            Self::Kept(kept) => Ok(kept),
            Self::Lost(why) => Err(Error::user(format!("the last result was not kept: {why}"))
                .hint("CREATE TABLE name AS SELECT .. keeps what a statement answers")),
        }
    }
}

impl Engine {
    /// What gathers the rows of an answer with these columns.
    pub fn keeper(&self, schema: &SchemaRef) -> Keeper {
        let pool = Arc::clone(&self.context.state().runtime_env().memory_pool);
        let most = match pool.memory_limit() {
            MemoryLimit::Finite(limit) => MOST.0.min(limit / MOST.1),
            _ => MOST.0,
        };
        Keeper {
            schema: Arc::clone(schema),
            batches: Vec::new(),
            seen: HashSet::new(),
            most,
            reservation: MemoryConsumer::new("LastResult").register(&pool),
            lost: None,
        }
    }

    /// Makes what was gathered the last result.
    pub fn keep(&self, keeper: Keeper) {
        let Keeper { schema, batches, reservation, lost, .. } = keeper;
        let table = |batches: &[RecordBatch]| -> Result<Arc<MemTable>> {
            let named = with_names_of_their_own(&schema);
            let renamed = batches.iter().map(|batch| {
                let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                RecordBatch::try_new_with_options(Arc::clone(&named), batch.columns().to_vec(), &rows)
            });
            let renamed = renamed.collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(MemTable::try_new(named, vec![renamed])?))
        };
        let last = match (lost, table(&batches)) {
            (Some(why), _) => LastResult::Lost(why),
            // The result itself is well.
            (None, Err(error)) => LastResult::Lost(error.message().to_string()),
            (None, Ok(table)) => LastResult::Kept(Kept { schema, batches, table, _reservation: reservation }),
        };
        *self.files.last_result.write() = Some(Arc::new(last));
    }

    /// The last result.
    pub fn last_result(&self) -> Option<Arc<LastResult>> {
        self.files.last_result.read().clone()
    }

    /// The last result as a table, for `\d` and completion.
    pub fn last_result_table(&self) -> Option<TableInfo> {
        let last = self.last_result()?;
        let schema = last.kept().ok()?.table.schema();
        let columns = schema.fields().iter().map(|field| ColumnInfo {
            name: field.name().clone(),
            data_type: sql_type(field.data_type()),
            role: field.metadata().get(ROLE_KEY).cloned(),
        });
        Some(TableInfo {
            name: LAST_RESULT.into(),
            description: Some("the last result".into()),
            columns: columns.collect(),
        })
    }
}

/// A join may answer two columns of one name, which a table cannot have: the later one gets a number. Any of them may hold NULL: some
/// answers do where their columns say that there is none.
fn with_names_of_their_own(schema: &SchemaRef) -> SchemaRef {
    let mut taken: BTreeSet<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let mut seen = BTreeSet::new();
    let named = schema.fields().iter().map(|field| {
        let mut name = field.name().clone();
        let mut number = 2;
        if !seen.insert(name.clone()) {
            while !taken.insert(format!("{}_{number}", field.name())) {
                number += 1;
            }
            name = format!("{}_{number}", field.name());
        }
        field.as_ref().clone().with_name(name).with_nullable(true)
    });
    Arc::new(Schema::new(named.collect::<Vec<Field>>()))
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::DataType;
    use futures::TryStreamExt;

    use super::*;
    use crate::engine::{Params, Settings};

    fn numbers(rows: i64) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(0..rows)) as _)]).unwrap()
    }

    async fn sum(engine: &Engine) -> Result<String> {
        let answer = engine.run("SELECT sum(n) AS s FROM _", &Params::new()).await?;
        let batches: Vec<RecordBatch> = answer.stream.try_collect().await?;
        Ok(arrow::util::display::array_value_to_string(batches[0].column(0), 0)?)
    }

    #[tokio::test]
    async fn a_result_is_kept_until_the_next_or_says_why_not() {
        let engine = Engine::open(&Settings { memory: Some(8 << 20), ..Settings::default() }).await.unwrap();
        assert!(sum(&engine).await.unwrap_err().message().contains("table '_' not found"));
        let mut keeper = engine.keeper(&numbers(1).schema());
        assert!(keeper.take(&numbers(4)) && keeper.take(&numbers(3)));
        engine.keep(keeper);
        assert_eq!(sum(&engine).await.unwrap(), "9");
        assert_eq!(sum(&engine).await.unwrap(), "9", "a statement alone changes nothing");
        // An eighth of the limit is a million bytes.
        let mut keeper = engine.keeper(&numbers(1).schema());
        assert!(keeper.take(&numbers(100_000)) && !keeper.take(&numbers(100_000)) && !keeper.take(&numbers(1)));
        assert_eq!(keeper.give_up().len(), 1);
        engine.keep(keeper);
        assert_eq!(sum(&engine).await.unwrap_err().message(), "the last result was not kept: it holds more than 1 MB");
    }

    #[tokio::test]
    async fn parts_of_one_batch_count_once() {
        let engine = Engine::open(&Settings { memory: Some(8 << 20), ..Settings::default() }).await.unwrap();
        let whole = numbers(100_000);
        let mut keeper = engine.keeper(&whole.schema());
        assert!((0..100).all(|part| keeper.take(&whole.slice(part * 1_000, 1_000))));
        let pool = Arc::clone(&engine.context.state().runtime_env().memory_pool);
        assert!((800_000..900_000).contains(&pool.reserved()), "{}", pool.reserved());
        engine.keep(keeper);
        let keeper = engine.keeper(&whole.schema());
        engine.keep(keeper);
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn columns_of_one_name_get_numbers() {
        let schema = |names: &[&str]| -> SchemaRef {
            Arc::new(Schema::new(names.iter().map(|n| Field::new(*n, DataType::Int64, true)).collect::<Vec<_>>()))
        };
        let named = with_names_of_their_own(&schema(&["a", "b", "a", "a_2", "a"]));
        let names: Vec<&str> = named.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, ["a", "b", "a_3", "a_2", "a_4"]);
    }
}
