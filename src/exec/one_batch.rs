//! `OneBatchExec`: all rows of its input as one batch, in the memory of the rows and of one column more.
//!
//! A join keeps its build side as one batch. By itself it reads all batches and copies them together, so that for a moment every row is there twice, while
//! the memory pool knows of one. Here the columns are put together one after the other, and what a column was made of is
//! dropped before the next begins; the join finds one batch and copies nothing.
//!
//! A hash join accounts for the batch and for its table, but not for what else it keeps for each row. That is accounted for here, for as long as
//! the rows are there: the reservation is part of the batch.
//!
//! Deals with: gathering, and accounting for these. Does not deal with: which inputs are gathered (`plan/gathered_joins`).

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, make_array};
use arrow::buffer::Buffer;
use arrow::compute::concat;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use futures::StreamExt;

use crate::error::Error;

/// What a hash join keeps for each row of its build side beside the row and its entry of the table: the row before it with the same hash, and,
/// while it makes the table, the hash.
pub const BYTES_OF_ROW: usize = size_of::<u32>() + size_of::<u64>();

/// The operator.
#[derive(Debug)]
pub struct OneBatchExec {
    input: Arc<dyn ExecutionPlan>,
    bytes_of_row: usize,
}

impl OneBatchExec {
    /// Above this input of a join that keeps so many bytes for each row that it does not account for.
    pub fn new(input: Arc<dyn ExecutionPlan>, bytes_of_row: usize) -> Self {
        Self { input, bytes_of_row }
    }
}

impl DisplayAs for OneBatchExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("OneBatchExec")
    }
}

impl ExecutionPlan for OneBatchExec {
    fn name(&self) -> &'static str {
        "OneBatchExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = <[_; 1]>::try_from(children)
            .map_err(|c| Error::internal(format!("OneBatchExec has one input, got {}", c.len())))?;
        Ok(Arc::new(Self::new(input, self.bytes_of_row)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let schema = input.schema();
        let held = MemoryConsumer::new(format!("HashJoinInput[{partition}]")).register(context.memory_pool());
        let gathered = futures::stream::once(gather(input, Arc::clone(&schema), held, self.bytes_of_row));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, gathered)))
    }
}

async fn gather(
    mut input: SendableRecordBatchStream,
    schema: SchemaRef,
    held: MemoryReservation,
    bytes_of_row: usize,
) -> Result<RecordBatch> {
    // Batches may be slices of one allocation, which counts once.
    let mut counter = RecordBatchMemoryCounter::new();
    let mut batches = Vec::new();
    while let Some(batch) = input.next().await.transpose()? {
        held.try_grow(counter.count_batch(&batch))?;
        batches.push(batch);
    }
    drop(input);
    let batch = together(batches, schema, &held)?;
    // The join accounts for the batch from here on.
    held.try_resize(batch.num_rows().saturating_mul(bytes_of_row))?;
    with_reservation(batch, held)
}

/// Bytes, and a reservation that is given back when they are dropped.
struct Held {
    bytes: Buffer,
    _reservation: MemoryReservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The batch, which holds the reservation until it is dropped.
fn with_reservation(batch: RecordBatch, reservation: MemoryReservation) -> Result<RecordBatch> {
    let has_values = |column: &ArrayRef| column.to_data().buffers().first().is_some_and(|buffer| !buffer.is_empty());
    // Numbers first: of other columns every value is checked once more.
    let numbers = |column: &ArrayRef| column.data_type().is_primitive() && has_values(column);
    let columns = batch.columns();
    let at = columns.iter().position(numbers).or_else(|| columns.iter().position(has_values));
    let Some((at, column)) = at.and_then(|at| Some((at, columns.get(at)?.to_data()))) else { return Ok(batch) };
    if reservation.size() == 0 {
        return Ok(batch);
    }
    let mut buffers = column.buffers().to_vec();
    if let Some(first) = buffers.first_mut() {
        let held = Held { bytes: first.clone(), _reservation: reservation };
        *first = Buffer::from(Bytes::from_owner(held));
    }
    let column = make_array(column.into_builder().buffers(buffers).build()?);
    let (schema, mut columns, rows) = batch.into_parts();
    if let Some(place) = columns.get_mut(at) {
        *place = column;
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

/// Puts batches together column by column.
fn together(batches: Vec<RecordBatch>, schema: SchemaRef, held: &MemoryReservation) -> Result<RecordBatch> {
    if batches.len() == 1 {
        return Ok(batches.into_iter().next().unwrap_or_else(|| RecordBatch::new_empty(schema)));
    }
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let mut parts: Vec<Vec<ArrayRef>> = schema.fields().iter().map(|_| Vec::with_capacity(batches.len())).collect();
    for batch in batches {
        let (_, columns, _) = batch.into_parts();
        parts.iter_mut().zip(columns).for_each(|(parts, column)| parts.push(column));
    }
    let mut columns = Vec::with_capacity(parts.len());
    for (parts, field) in parts.into_iter().zip(schema.fields()) {
        let bytes = parts.iter().map(|part| part.to_data().get_slice_memory_size()).sum::<Result<usize, _>>()?;
        held.try_grow(bytes)?;
        let arrays: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        columns.push(if arrays.is_empty() {
            arrow::array::new_empty_array(field.data_type())
        } else {
            concat(&arrays)?
        });
        drop(parts);
        held.shrink(bytes);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
    use datafusion::physical_plan::spill::get_record_batch_memory_size;

    use super::*;

    fn batch(from: i64, rows: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((from..from + rows).map(|n| format!("text {n}"))));
        RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).unwrap()
    }

    #[test]
    fn batches_become_one_and_one_column_more_is_asked_for() {
        let batches = vec![batch(0, 1_000), batch(1_000, 1), batch(1_001, 0), batch(1_001, 999)];
        let bytes: usize = batches.iter().map(get_record_batch_memory_size).sum();
        let schema = batches[0].schema();
        for (more, fits) in [(bytes, true), (100, false)] {
            let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(bytes + more));
            let held = MemoryConsumer::new("test").register(&pool);
            held.try_grow(bytes).unwrap();
            match together(batches.clone(), Arc::clone(&schema), &held) {
                Ok(one) => assert_eq!((one, fits), (batch(0, 2_000), true)),
                Err(error) => assert!(!fits, "{error}"),
            }
            drop(held);
            assert_eq!(pool.reserved(), 0);
        }
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(0));
        let held = MemoryConsumer::new("test").register(&pool);
        assert_eq!(together(Vec::new(), schema, &held).unwrap().num_rows(), 0);
    }

    #[tokio::test]
    async fn what_is_gathered_holds_what_is_kept_for_its_rows() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(100_000));
        let schema = batch(0, 0).schema();
        let input = futures::stream::iter([Ok(batch(0, 60)), Ok(batch(60, 40))]);
        let input = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), input));
        let held = MemoryConsumer::new("test").register(&pool);
        let gathered = gather(input, schema, held, 12).await.unwrap();
        assert_eq!((gathered.num_rows(), pool.reserved()), (100, 1_200));
        drop(gathered);
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn a_batch_holds_what_is_kept_for_its_rows() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(10_000));
        let reserve = |bytes| {
            let held = MemoryConsumer::new("test").register(&pool);
            held.try_grow(bytes).unwrap();
            held
        };
        let (rows, sliced) = (batch(3, 100), batch(0, 100).slice(3, 50));
        let texts = rows.project(&[1]).unwrap();
        for rows in [rows, sliced, texts] {
            let held = with_reservation(rows.clone(), reserve(1_200)).unwrap();
            assert_eq!((&held, pool.reserved()), (&rows, 1_200));
            let one = held.slice(1, 1);
            drop(held);
            assert_eq!((&one, pool.reserved()), (&rows.slice(1, 1), 1_200));
            drop(one);
            assert_eq!(pool.reserved(), 0);
        }
        // Nothing holds it where there are no rows.
        assert_eq!(with_reservation(batch(0, 0), reserve(0)).unwrap().num_rows(), 0);
        assert_eq!(pool.reserved(), 0);
    }
}
