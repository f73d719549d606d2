//! `sum(integer)` that says where the sum is too large, in place of DataFusion's, which begins again at the smallest number.
//!
//! Whole numbers are summed as decimals of 38 digits, exactly and in any order, and the sum is given back as a BIGINT. Sums of everything else, and
//! what plans ask of a sum, are DataFusion's.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type, UInt64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
    StatisticsArgs,
};

use crate::error::Error;

/// 38 digits hold the sum of 2^64 numbers.
const EXACT: DataType = DataType::Decimal128(38, 0);

/// The function.
pub fn sum() -> AggregateUDF {
    Sum { inner: sum_udaf() }.into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sum {
    inner: Arc<AggregateUDF>,
}

/// Whether a sum is of whole numbers.
fn is_whole(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::UInt64)
}

fn exact<'a>(args: &AccumulatorArgs<'a>) -> AccumulatorArgs<'a> {
    let field = args.return_field.as_ref().clone().with_data_type(EXACT);
    AccumulatorArgs { return_field: Arc::new(field), ..args.clone() }
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !is_whole(args.return_field.data_type()) {
            return self.inner.accumulator(args);
        }
        let inner = self.inner.accumulator(exact(&args))?;
        Ok(Box::new(Checked { inner, gives: args.return_field.data_type().clone() }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !is_whole(args.return_field.data_type()) {
            return self.inner.state_fields(args);
        }
        let field: FieldRef = Arc::new(Field::clone(&args.return_field).with_data_type(EXACT));
        self.inner.state_fields(StateFieldsArgs { return_field: field, ..args })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if !is_whole(args.return_field.data_type()) {
            return self.inner.create_groups_accumulator(args);
        }
        let inner = self.inner.create_groups_accumulator(exact(&args))?;
        Ok(Box::new(Checked { inner, gives: args.return_field.data_type().clone() }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct || !is_whole(args.return_field.data_type()) {
            return self.inner.create_sliding_accumulator(args);
        }
        let inner = self.inner.create_sliding_accumulator(exact(&args))?;
        Ok(Box::new(Checked { inner, gives: args.return_field.data_type().clone() }))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(data_type)
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs) -> Option<ScalarValue> {
        self.inner.value_from_stats(statistics)
    }
}

/// A sum of decimals, asked for whole numbers.
struct Checked<T> {
    inner: T,
    gives: DataType,
}

impl<T> std::fmt::Debug for Checked<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checked").field("gives", &self.gives).finish_non_exhaustive()
    }
}

/// The summed column as decimals, the others as they are.
fn as_exact(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    values.iter().map(decimals).collect()
}

fn decimals(values: &ArrayRef) -> Result<ArrayRef> {
    fn of<T: ArrowPrimitiveType<Native: Into<i128>>>(values: &PrimitiveArray<T>) -> ArrayRef {
        let exact: Decimal128Array = values.unary::<_, Decimal128Type>(Into::into);
        Arc::new(exact.with_data_type(EXACT))
    }
    Ok(match values.data_type() {
        DataType::Int64 => of(values.as_primitive::<Int64Type>()),
        DataType::UInt64 => of(values.as_primitive::<UInt64Type>()),
        DataType::Boolean => Arc::clone(values),
        _ => cast(values, &EXACT)?,
    })
}

fn too_large(sum: i128) -> Error {
    Error::data(format!("sum(..): {sum} is too large for a BIGINT"))
        .hint("sum(CAST(x AS DOUBLE)) is rounded and holds it; sum(CAST(x AS DECIMAL(38, 0))) is exact")
}

impl<T> Checked<T> {
    fn whole(&self, sum: i128) -> Result<ScalarValue> {
        Ok(match self.gives {
            DataType::UInt64 => ScalarValue::UInt64(Some(u64::try_from(sum).map_err(|_| too_large(sum))?)),
            _ => ScalarValue::Int64(Some(i64::try_from(sum).map_err(|_| too_large(sum))?)),
        })
    }
}

impl Accumulator for Checked<Box<dyn Accumulator>> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&as_exact(values)?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match self.inner.evaluate()? {
            ScalarValue::Decimal128(Some(sum), ..) => self.whole(sum),
            _ => ScalarValue::try_from(&self.gives),
        }
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&as_exact(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

impl GroupsAccumulator for Checked<Box<dyn GroupsAccumulator>> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.inner.update_batch(&as_exact(values)?, group_indices, opt_filter, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = self.inner.evaluate(emit_to)?;
        let sums = sums.as_primitive::<Decimal128Type>();
        Ok(match self.gives {
            DataType::UInt64 => {
                Arc::new(sums.try_unary::<_, UInt64Type, Error>(|sum| u64::try_from(sum).map_err(|_| too_large(sum)))?)
            }
            _ => Arc::new(sums.try_unary::<_, Int64Type, Error>(|sum| i64::try_from(sum).map_err(|_| too_large(sum)))?),
        })
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.inner.merge_batch(values, group_indices, total_num_groups)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(&as_exact(values)?, opt_filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}
