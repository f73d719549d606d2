//! Drives an aggregate as a hash aggregation does, without the hash table: arguments and group numbers are made before.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, DictionaryArray, StringArray, StructArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::{col, lit};
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use datafusion::scalar::ScalarValue;

use crate::events::Row;

/// Rows in a batch, as in a session.
pub const BATCH: usize = 8192;

/// How the struct column `kept` holds its country.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Country {
    Dictionary,
    Plain,
}

/// Columns of the batches: `ts`, the conditions `c0`, `c1`, `c2`, and the struct `kept`.
fn schema(country: Country) -> SchemaRef {
    let text = match country {
        Country::Dictionary => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        Country::Plain => DataType::Utf8,
    };
    let mut fields = vec![Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true)];
    fields.extend((0..3).map(|c| Field::new(format!("c{c}"), DataType::Boolean, true)));
    fields.push(Field::new("kept", DataType::Struct(vec![Field::new("country", text, true)].into()), true));
    Arc::new(Schema::new(fields))
}

fn batch(rows: &[Row], schema: &SchemaRef) -> RecordBatch {
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(rows.iter().map(|r| Some(r.time)).collect::<TimestampMicrosecondArray>())];
    for c in 0..3 {
        columns.push(Arc::new(rows.iter().map(|r| Some(r.mask >> c & 1 != 0)).collect::<BooleanArray>()));
    }
    let DataType::Struct(fields) = schema.field(4).data_type() else { unreachable!("kept is a struct") };
    columns.push(Arc::new(StructArray::new(fields.clone(), vec![countries(rows, fields)], None)));
    RecordBatch::try_new(Arc::clone(schema), columns).expect("columns fit the schema")
}

/// As the Parquet reader gives them: one dictionary of all values, whatever rows the batch has.
fn countries(rows: &[Row], fields: &Fields) -> ArrayRef {
    let values: StringArray = (0..20).map(|c| Some(format!("country {c}"))).collect();
    let keys = rows.iter().map(|r| Some(i32::from(r.country))).collect();
    let packed: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(values)));
    cast(&packed, fields[0].data_type()).expect("a dictionary unpacks")
}

/// A call of an aggregate over the columns of the batches.
pub struct Call {
    function: Arc<AggregateFunctionExpr>,
    schema: SchemaRef,
}

impl Call {
    /// `arguments` are column names, or constants where they are given as such.
    pub fn new(function: AggregateUDF, arguments: &[Argument], country: Country) -> Self {
        let schema = schema(country);
        let arguments = arguments.iter().map(|a| -> Arc<dyn PhysicalExpr> {
            match a {
                Argument::Column(name) => col(name, &schema).expect("the column exists"),
                Argument::Constant(value) => lit(value.clone()),
            }
        });
        let built = AggregateExprBuilder::new(Arc::new(function), arguments.collect())
            .schema(Arc::clone(&schema))
            .alias("answer")
            .build();
        Self { function: Arc::new(built.expect("the call is valid")), schema }
    }

    /// Name of the function.
    pub fn name(&self) -> &str {
        self.function.fun().name()
    }

    /// Columns of batches of these rows.
    pub fn batches(&self, rows: &[Row]) -> Vec<RecordBatch> {
        rows.chunks(BATCH).map(|rows| batch(rows, &self.schema)).collect()
    }

    /// The arguments of one batch, constants repeated for each row: what DataFusion hands to an accumulator.
    pub fn arguments(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        let evaluated =
            self.function.expressions().into_iter().map(|e| e.evaluate(batch)?.into_array(batch.num_rows()));
        evaluated.collect::<Result<_, _>>().expect("arguments evaluate")
    }

    /// A fresh native accumulator.
    pub fn native(&self) -> Box<dyn GroupsAccumulator> {
        self.function.create_groups_accumulator().expect("the arguments are valid")
    }

    /// What DataFusion would use without a native one: a row accumulator for each group.
    pub fn generic(&self) -> Box<dyn GroupsAccumulator> {
        let function = Arc::clone(&self.function);
        Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator()))
    }

    /// The input of one partition.
    pub fn input(&self, rows: &[Row]) -> Input {
        // Groups are numbered as a hash table does: by first appearance in the partition.
        let mut numbers = HashMap::new();
        let mut users = Vec::new();
        let mut batches = Vec::new();
        for (rows, batch) in rows.chunks(BATCH).zip(self.batches(rows)) {
            let groups = rows.iter().map(|row| {
                *numbers.entry(row.user).or_insert_with(|| {
                    users.push(row.user);
                    users.len() - 1
                })
            });
            let groups: Vec<usize> = groups.collect();
            batches.push((self.arguments(&batch), groups, users.len()));
        }
        Input { batches, users }
    }
}

/// An argument of a [`Call`].
pub enum Argument {
    Column(&'static str),
    Constant(ScalarValue),
}

/// What one partition feeds to its accumulator.
pub struct Input {
    /// Arguments, group of each row, groups known after the batch.
    batches: Vec<(Vec<ArrayRef>, Vec<usize>, usize)>,
    /// The user behind each group.
    users: Vec<usize>,
}

impl Input {
    fn feed(&self, mut accumulator: Box<dyn GroupsAccumulator>) -> Box<dyn GroupsAccumulator> {
        for (arguments, groups, known) in &self.batches {
            accumulator.update_batch(arguments, groups, None, *known).expect("the batch is valid");
        }
        accumulator
    }

    /// One partition that sees everything.
    pub fn evaluate(&self, accumulator: Box<dyn GroupsAccumulator>) -> ArrayRef {
        self.feed(accumulator).evaluate(EmitTo::All).expect("the state is valid")
    }
}

/// Partial aggregation of each part, then one final one that merges the states batch by batch.
pub fn merge(parts: &[Input], make: impl Fn() -> Box<dyn GroupsAccumulator>) -> ArrayRef {
    let mut last = make();
    let groups = parts.iter().flat_map(|p| &p.users).max().map_or(0, |most| most + 1);
    for part in parts {
        let state = part.feed(make()).state(EmitTo::All).expect("the state is valid");
        for from in (0..part.users.len()).step_by(BATCH) {
            let to = (from + BATCH).min(part.users.len());
            let slice: Vec<ArrayRef> = state.iter().map(|column| column.slice(from, to - from)).collect();
            last.merge_batch(&slice, &part.users[from..to], groups).expect("the state is valid");
        }
    }
    last.evaluate(EmitTo::All).expect("the state is valid")
}

/// Two paths must answer the same, or a bench compares different work.
pub fn assert_same(function: &str, left: &ArrayRef, right: &ArrayRef) {
    assert_eq!(left.data_type(), right.data_type(), "{function}");
    assert!(left == right, "{function}: two paths differ in their answers");
}
