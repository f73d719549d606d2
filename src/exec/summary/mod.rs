//! `SUMMARIZE`: what is in each column of a query, in one pass over its rows.
//!
//! Deals with: running every partition beside the others, the memory they hold, the table that comes of it. Does not deal with: one column's
//! values (`column`), which query it is (`engine`).

mod column;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::StreamExt;
use futures::future::try_join_all;

use column::{Column, Told};

/// Distinct values that all columns together may have counted one by one; see [`counted_values`].
const COUNTED_VALUES: usize = 10_000_000;

/// Distinct values of one column that are counted one by one, the most and the least.
const OF_A_COLUMN: (usize, usize) = (1_000, 100_000);

/// Up to how many distinct values the figures of a column are exact.
fn counted_values(columns: usize) -> usize {
    (COUNTED_VALUES / columns.max(1)).clamp(OF_A_COLUMN.0, OF_A_COLUMN.1)
}

/// The columns of the answer.
pub fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let double = |name: &str| Field::new(name, DataType::Float64, true);
    Arc::new(Schema::new(vec![
        Field::new("column_name", DataType::Utf8, false),
        Field::new("data_type", DataType::Utf8, false),
        Field::new("rows", DataType::Int64, false),
        double("null_share"),
        Field::new("distinct_values", DataType::Int64, true),
        Field::new("exact", DataType::Boolean, false),
        text("min"),
        text("max"),
        double("mean"),
        double("p25"),
        double("p50"),
        double("p75"),
        text("top"),
        double("top_share"),
    ]))
}

/// Summarises what a plan gives: one row a column, whose types are called `types`.
pub fn summarised(
    plan: &Arc<dyn ExecutionPlan>,
    types: Vec<String>,
    task: &Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let columns = plan.schema();
    let partitions = plan.output_partitioning().partition_count();
    let streams = (0..partitions).map(|partition| plan.execute(partition, Arc::clone(task)));
    let streams = streams.collect::<Result<Vec<_>>>()?;
    let pool = Arc::clone(task.memory_pool());
    let summary = async move {
        let parts = streams.into_iter().enumerate().map(|(at, stream)| {
            let held = MemoryConsumer::new(format!("Summary[{at}]")).register(&pool);
            // Of its own, so that partitions run beside each other; it ends with the stream that waits for it.
            let part = datafusion::common::runtime::SpawnedTask::spawn(summary_of(stream, held));
            async move { part.join().await.map_err(|e| datafusion::error::DataFusionError::External(Box::new(e)))? }
        });
        let mut parts = try_join_all(parts).await?.into_iter();
        let (mut whole, held) = match parts.next() {
            Some(first) => first,
            None => (self::columns(&columns)?, MemoryConsumer::new("Summary").register(&pool)),
        };
        for (part, other) in parts {
            for (column, more) in whole.iter_mut().zip(part) {
                column.merge(more)?;
            }
            held.try_resize(whole.iter().map(Column::size).sum())?;
            drop(other);
        }
        table(&columns, &types, whole)
    };
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema(), futures::stream::once(summary))))
}

fn columns(schema: &Schema) -> Result<Vec<Column>> {
    let limit = counted_values(schema.fields().len());
    schema.fields().iter().map(|field| Column::new(field.data_type(), limit)).collect()
}

async fn summary_of(
    mut stream: SendableRecordBatchStream,
    held: MemoryReservation,
) -> Result<(Vec<Column>, MemoryReservation)> {
    let mut columns = columns(&stream.schema())?;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        for (column, values) in columns.iter_mut().zip(batch.columns()) {
            column.add(values)?;
        }
        held.try_resize(columns.iter().map(Column::size).sum())?;
    }
    Ok((columns, held))
}

fn table(schema: &Schema, types: &[String], columns: Vec<Column>) -> Result<RecordBatch> {
    let told = columns.into_iter().map(Column::told).collect::<Result<Vec<Told>>>()?;
    let text =
        |of: &dyn Fn(&Told) -> Option<String>| Arc::new(told.iter().map(of).collect::<StringArray>()) as ArrayRef;
    let double =
        |of: &dyn Fn(&Told) -> Option<f64>| Arc::new(told.iter().map(of).collect::<Float64Array>()) as ArrayRef;
    let whole = |of: &dyn Fn(&Told) -> Option<i64>| Arc::new(told.iter().map(of).collect::<Int64Array>()) as ArrayRef;
    let names: StringArray = schema.fields().iter().map(|field| Some(field.name().as_str())).collect();
    let types: StringArray = types.iter().map(Some).collect();
    let exact: BooleanArray = told.iter().map(|t| Some(t.exact)).collect();
    let share = |part: i64, of: i64| (of > 0).then(|| part as f64 / of as f64);
    let batch = RecordBatch::try_new(
        self::schema(),
        vec![
            Arc::new(names),
            Arc::new(types),
            whole(&|t| Some(t.rows)),
            double(&|t| share(t.nulls, t.rows)),
            whole(&|t| t.distinct),
            Arc::new(exact),
            text(&|t| t.min.clone()),
            text(&|t| t.max.clone()),
            double(&|t| t.mean),
            double(&|t| t.quantiles[0]),
            double(&|t| t.quantiles[1]),
            double(&|t| t.quantiles[2]),
            text(&|t| t.top.as_ref().map(|(value, _)| value.clone())),
            double(&|t| t.top.as_ref().and_then(|(_, times)| share(*times, t.rows))),
        ],
    )?;
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_columns_count_fewer_values_each() {
        assert_eq!(counted_values(0), 100_000);
        assert_eq!(counted_values(100), 100_000);
        assert_eq!(counted_values(1_000), 10_000);
        assert_eq!(counted_values(1_000_000), 1_000);
    }
}
