//! `percentile_cont(p) WITHIN GROUP (ORDER BY x)`, also called `quantile_cont`, exact: DataFusion's rounds the place between two values to a millionth.
//!
//! Cost: 8 bytes a value; a selection at the end, no sort.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::common::cast::as_list_array;
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::error::Result;
use datafusion::functions_aggregate::percentile_cont::percentile_cont_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Documentation, Signature};

use crate::error::Error;

/// The function.
pub fn percentile_cont() -> AggregateUDF {
    PercentileCont { inner: percentile_cont_udaf() }.into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PercentileCont {
    inner: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for PercentileCont {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let descending = args.order_bys.first().is_some_and(|by| by.options.descending);
        let share = match args.exprs[1]
            .evaluate(&arrow::array::RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty())))
        {
            Ok(ColumnarValue::Scalar(value)) => value.cast_to(&DataType::Float64)?,
            _ => return Err(Error::user("percentile_cont: the share must be a constant from 0 to 1").into()),
        };
        let share = match share {
            ScalarValue::Float64(Some(share)) if (0.0..=1.0).contains(&share) => share,
            other => {
                return Err(Error::user(format!("percentile_cont: the share must be from 0 to 1, got {other}")).into());
            }
        };
        Ok(Box::new(Values {
            values: Vec::new(),
            share: if descending { 1.0 - share } else { share },
            distinct: args.is_distinct,
            gives: args.return_field.data_type().clone(),
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = Field::new_list_field(DataType::Float64, true);
        Ok(vec![Arc::new(Field::new_list(format!("{}[values]", args.name), item, true))])
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct Values {
    values: Vec<f64>,
    share: f64,
    distinct: bool,
    gives: DataType,
}

impl Values {
    fn add(&mut self, values: &ArrayRef) -> Result<()> {
        let values = cast(values, &DataType::Float64)?;
        self.values.extend(values.as_primitive::<Float64Type>().iter().flatten());
        Ok(())
    }
}

/// The value at a share of the way from the least to the greatest.
fn at(values: &mut [f64], share: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let place = share * last as f64;
    let below = place.floor() as usize;
    let (_, lower, above) = values.select_nth_unstable_by(below.min(last), f64::total_cmp);
    let lower = *lower;
    let upper = above.iter().copied().min_by(f64::total_cmp).unwrap_or(lower);
    // What the product lost to rounding belongs to the way between the two values.
    let way = ((place - below as f64) + share.mul_add(last as f64, -place)).max(0.0);
    let apart = upper - lower;
    Some(match way {
        0.0 => lower,
        _ if lower.is_finite() && upper.is_finite() && apart.is_infinite() => lower * (1.0 - way) + upper * way,
        _ => apart.mul_add(way, lower),
    })
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.distinct {
            self.values.sort_unstable_by(f64::total_cmp);
            self.values.dedup();
        }
        let found = at(&mut self.values, self.share);
        ScalarValue::Float64(found).cast_to(&self.gives)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: ArrayRef = Arc::new(Float64Array::from(std::mem::take(&mut self.values)));
        Ok(vec![SingleRowListArrayBuilder::new(values).build_list_scalar()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = as_list_array(&states[0])?;
        lists.iter().flatten().try_for_each(|values| self.add(&values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_between_values_are_exact() {
        let mut values: Vec<f64> = (0..=26).rev().map(|n| f64::from(n) * 1e6).collect();
        assert_eq!(at(&mut values, 0.9), Some(23.4 * 1e6));
        assert_eq!(at(&mut values, 0.0), Some(0.0));
        assert_eq!(at(&mut values, 1.0), Some(26e6));
        assert_eq!(at(&mut [2.0, 1.0], 0.5), Some(1.5));
        assert_eq!(at(&mut [-f64::MAX, f64::MAX], 0.5), Some(0.0));
        assert_eq!(at(&mut [], 0.5), None);
    }
}
