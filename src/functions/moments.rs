//! `moments(x)`: how many numbers there are, their mean and their variance, to the same bit whatever the order of the rows.
//!
//! A piece of relations' plans: `var_samp` adds up as rows come, so that a query twice may answer two variances.
//! Does not deal with: how nothing is lost (`algo::moments`).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Float64Builder, Int64Array, ListBuilder, StructArray,
};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Fields, Float64Type, Int64Type, UInt64Type};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};

use super::columns::passes;
use super::exact_sum::parts_type;
use super::grouped::{GroupedFunction, aggregate, argument_types};
use super::single_group::states_of_rows;
use crate::algo::moments::Moments;
use crate::error::Error;

const NAME: &str = "moments";

/// The function. Its answer is a STRUCT of `n`, `mean` and `variance`; mean and variance are NULL where they have no answer.
pub fn moments() -> AggregateUDF {
    aggregate(MomentsFunction)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct MomentsFunction;

fn fields() -> Fields {
    let field = |name, data_type| Field::new(name, data_type, true);
    vec![field("n", DataType::Int64), field("mean", DataType::Float64), field("variance", DataType::Float64)].into()
}

impl GroupedFunction for MomentsFunction {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        match types {
            [DataType::Decimal128(digits, scale)] if *scale >= 0 => Ok(vec![DataType::Decimal128(*digits, *scale)]),
            [DataType::UInt64] => Ok(vec![DataType::UInt64]),
            [whole] if whole.is_integer() => Ok(vec![DataType::Int64]),
            [number] if number.is_numeric() => Ok(vec![DataType::Float64]),
            _ => Err(Error::user(format!(
                "{NAME}: is a part of relations, over one number; use avg(..) and var_samp(..)"
            ))),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::Struct(fields()))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let scale = match argument_types(args).first() {
            Some(DataType::Decimal128(_, scale)) => 10f64.powi(i32::from(*scale)),
            _ => 1.0,
        };
        Ok(Box::new(Groups { scale, ..Groups::default() }))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        let field = |part: &str, data_type| Arc::new(Field::new(format!("{name}[{part}]"), data_type, false));
        Ok(vec![
            field("terms", DataType::Int64),
            field("odd", DataType::Float64),
            field("sum", parts_type()),
            field("squares", parts_type()),
            field("unsquared", DataType::Boolean),
        ])
    }
}

#[derive(Default)]
struct Groups {
    /// What a whole number of the column is divided by.
    scale: f64,
    groups: Vec<Moments>,
    /// Bytes that they hold outside.
    held: usize,
}

impl Groups {
    fn change(&mut self, group: usize, change: impl FnOnce(&mut Moments)) {
        let moments = &mut self.groups[group];
        let before = moments.size();
        change(moments);
        self.held = self.held + moments.size() - before;
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Moments> {
        let taken = emit_to.take_needed(&mut self.groups);
        self.held -= taken.iter().map(Moments::size).sum::<usize>();
        taken
    }
}

/// Lists of what each sum consists of.
fn lists<'a>(sums: impl Iterator<Item = &'a [f64]>) -> ArrayRef {
    let mut lists = ListBuilder::new(Float64Builder::new());
    for parts in sums {
        lists.values().append_slice(parts);
        lists.append(true);
    }
    Arc::new(lists.finish())
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(total_num_groups, Moments::default);
        let column = &values[0];
        let whole: Box<dyn Fn(usize) -> Option<i128> + '_> = match column.data_type() {
            DataType::Int64 => Box::new(|row| Some(column.as_primitive::<Int64Type>().value(row).into())),
            DataType::UInt64 => Box::new(|row| Some(column.as_primitive::<UInt64Type>().value(row).into())),
            DataType::Decimal128(..) => Box::new(|row| Some(column.as_primitive::<Decimal128Type>().value(row))),
            _ => Box::new(|_| None),
        };
        for (row, group) in group_indices.iter().enumerate() {
            if column.is_valid(row) && passes(opt_filter, row) {
                let number = whole(row);
                self.change(*group, |moments| match number {
                    Some(number) => moments.add_whole(number),
                    None => moments.add(column.as_primitive::<Float64Type>().value(row)),
                });
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let scale = self.scale;
        let groups = self.take(emit_to);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(groups.iter().map(|m| m.sum.terms))),
            Arc::new(groups.iter().map(|m| m.mean(scale)).collect::<Float64Array>()),
            Arc::new(groups.iter().map(|m| m.variance(scale)).collect::<Float64Array>()),
        ];
        Ok(Arc::new(StructArray::try_new(fields(), columns, None)?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.take(emit_to);
        Ok(vec![
            Arc::new(Int64Array::from_iter_values(groups.iter().map(|m| m.sum.terms))),
            Arc::new(Float64Array::from_iter_values(groups.iter().map(|m| m.sum.odd))),
            lists(groups.iter().map(|m| m.sum.exact.parts())),
            lists(groups.iter().map(|m| m.squares.parts())),
            Arc::new(groups.iter().map(|m| Some(m.unsquared)).collect::<BooleanArray>()),
        ])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.resize_with(total_num_groups, Moments::default);
        let terms = values[0].as_primitive::<Int64Type>().values();
        let odd = values[1].as_primitive::<Float64Type>().values();
        let [sums, squares] = [2, 3].map(|at| values[at].as_list::<i32>());
        let [sum_parts, square_parts] =
            [sums, squares].map(|list| list.values().as_primitive::<Float64Type>().values());
        let unsquared = values[4].as_boolean();
        for (row, group) in group_indices.iter().enumerate() {
            let range = |offsets: &[i32]| offsets[row] as usize..offsets[row + 1] as usize;
            let (sum, square) = (range(sums.value_offsets()), range(squares.value_offsets()));
            self.change(*group, |moments| {
                moments.merge(terms[row], odd[row], &sum_parts[sum], &square_parts[square], unsquared.value(row));
            });
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        states_of_rows(Self { scale: self.scale, ..Self::default() }, values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.groups.capacity() * size_of::<Moments>() + self.held
    }
}
