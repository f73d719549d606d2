//! `exact_sum(x)`: the sum of doubles, rounded once, so that no order of additions shows in it; `exact_sum_state(x)`, the sum
//! before it is rounded, and `exact_sum_merge(state)`, which adds such sums up.
//!
//! `sum` of doubles rounds at each addition, so that two users who spent the same may get sums that differ in the last bit, and
//! a query twice its answers: a rank or a threshold then tells them apart.
//! Does not deal with: how nothing is lost (`algo::exact_sum`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Float64Builder, Int64Array, ListBuilder};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};

use super::columns::{list_of, passes};
use super::grouped::{GroupedFunction, aggregate};
use super::single_group::states_of_rows;
use super::{ArgumentDoc, FunctionDoc, FunctionKind};
use crate::algo::exact_sum::DoubleSum;
use crate::error::Error;

const NAME: &str = "exact_sum";
const STATE: &str = "exact_sum_state";
const MERGE: &str = "exact_sum_merge";

/// The function.
pub fn exact_sum() -> AggregateUDF {
    aggregate(Exact { name: NAME })
}

/// The function.
pub fn exact_sum_state() -> AggregateUDF {
    aggregate(Exact { name: STATE })
}

/// The function.
pub fn exact_sum_merge() -> AggregateUDF {
    aggregate(Exact { name: MERGE })
}

/// The doubles that a sum consists of.
pub(super) fn parts_type() -> DataType {
    DataType::new_list(DataType::Float64, true)
}

/// What the manual says of it.
pub fn docs() -> Vec<FunctionDoc> {
    vec![
        FunctionDoc {
            name: NAME,
            kind: FunctionKind::Aggregate,
            summary: "The sum of numbers, rounded once",
            syntax: "exact_sum(x)",
            arguments: vec![ArgumentDoc {
                name: "x",
                kind: "DOUBLE",
                default: None,
                text: "The numbers; NULLs are left out.",
            }],
            returns: vec![("DOUBLE", "The double nearest to the sum; NULL without numbers.")],
            text: "The same whatever the order of the rows, the partitions and the machine: 0.1 ten times is 1. `sum` rounds at each \
               addition, so that two users who spent the same need not have equal sums. NaN, infinities and numbers beyond 1e280 \
               add up as in `sum`.\n\nSource: J. Shewchuk, Adaptive Precision Floating-Point Arithmetic, 1997. Memory: 40 bytes a \
               group and 8 to 24 more.",
            example: "SELECT exact_sum(price) AS revenue, exact_sum(price) = 0.1 + 0.2 AS naive\nFROM (VALUES (0.1), (0.2)) AS t(price)",
        },
        FunctionDoc {
            name: STATE,
            kind: FunctionKind::Aggregate,
            summary: "A sum before it is rounded, to be stored and added up later",
            syntax: "exact_sum_state(x)",
            arguments: vec![ArgumentDoc {
                name: "x",
                kind: "DOUBLE",
                default: None,
                text: "The numbers; NULLs are left out.",
            }],
            returns: vec![("LIST of DOUBLE", "Doubles whose sum it is, two or three as a rule; NULL without numbers.")],
            text: "For `exact_sum_merge`.",
            example: "SELECT exact_sum_merge(s) AS revenue FROM (SELECT country, exact_sum_state(price) AS s FROM events GROUP BY country)",
        },
        FunctionDoc {
            name: MERGE,
            kind: FunctionKind::Aggregate,
            summary: "The sum of sums that `exact_sum_state` kept, rounded once",
            syntax: "exact_sum_merge(state)",
            arguments: vec![ArgumentDoc {
                name: "state",
                kind: "LIST of DOUBLE",
                default: None,
                text: "From `exact_sum_state`; NULLs are left out.",
            }],
            returns: vec![("DOUBLE", "What `exact_sum` over all their rows answers; NULL without any.")],
            text: "",
            example: "SELECT exact_sum_merge(s) = exact_sum(0.3) AS same FROM (SELECT exact_sum_state(x) AS s FROM (VALUES (0.1), (0.2)) AS t(x) GROUP BY x)",
        },
    ]
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Exact {
    name: &'static str,
}

impl GroupedFunction for Exact {
    fn name(&self) -> &'static str {
        self.name
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        let name = self.name;
        let wanted = if name == MERGE { "a list of DOUBLE, as from exact_sum_state" } else { "a number" };
        match types {
            [DataType::List(item)] if name == MERGE && item.data_type().is_floating() => Ok(vec![parts_type()]),
            [number] if name != MERGE && (number.is_numeric() || number.is_null()) => Ok(vec![DataType::Float64]),
            [other] => Err(Error::user(format!("{name}: needs {wanted}, got {other}"))),
            _ => Err(Error::user(format!("{name}: needs one argument, got {}", types.len()))),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(if self.name == STATE { parts_type() } else { DataType::Float64 })
    }

    fn answer_is_nullable(&self) -> bool {
        true
    }

    fn groups(&self, _args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Sums { answers_parts: self.name == STATE, ..Sums::default() }))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        let field = |part: &str, data_type| Arc::new(Field::new(format!("{name}[{part}]"), data_type, false));
        Ok(vec![field("terms", DataType::Int64), field("odd", DataType::Float64), field("parts", parts_type())])
    }
}

#[derive(Default)]
struct Sums {
    /// Whether the answer is the sum before it is rounded.
    answers_parts: bool,
    sums: Vec<DoubleSum>,
    /// Bytes that the sums hold outside.
    held: usize,
}

impl Sums {
    fn grow(&mut self, groups: usize) {
        if groups > self.sums.len() {
            self.sums.resize(groups, DoubleSum::default());
        }
    }

    fn change(&mut self, group: usize, change: impl FnOnce(&mut DoubleSum)) {
        let sum = &mut self.sums[group];
        let before = sum.exact.size();
        change(sum);
        self.held = self.held + sum.exact.size() - before;
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<DoubleSum> {
        let taken = emit_to.take_needed(&mut self.sums);
        self.held -= taken.iter().map(|sum| sum.exact.size()).sum::<usize>();
        taken
    }
}

impl GroupsAccumulator for Sums {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        if let Some(lists) = values[0].as_list_opt::<i32>() {
            let parts = lists.values().as_primitive::<Float64Type>();
            for (row, group) in group_indices.iter().enumerate() {
                let range = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
                if lists.is_valid(row) && passes(opt_filter, row) {
                    self.change(*group, |sum| {
                        sum.terms += 1;
                        range.filter(|at| parts.is_valid(*at)).for_each(|at| sum.add(parts.value(at)));
                    });
                }
            }
            return Ok(());
        }
        let numbers = values[0].as_primitive::<Float64Type>();
        for (row, group) in group_indices.iter().enumerate() {
            if numbers.is_valid(row) && passes(opt_filter, row) {
                self.change(*group, |sum| {
                    sum.terms += 1;
                    sum.add(numbers.value(row));
                });
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = self.take(emit_to);
        if !self.answers_parts {
            return Ok(Arc::new(sums.iter().map(DoubleSum::value).collect::<Float64Array>()));
        }
        let mut lists = ListBuilder::new(Float64Builder::new());
        for sum in &sums {
            sum.parts().for_each(|part| lists.values().append_value(part));
            lists.append(sum.terms > 0);
        }
        Ok(Arc::new(lists.finish()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums = self.take(emit_to);
        let mut offsets = vec![0i32];
        let mut parts: Vec<f64> = Vec::with_capacity(2 * sums.len());
        for sum in &sums {
            parts.extend_from_slice(sum.exact.parts());
            let end = i32::try_from(parts.len());
            offsets.push(
                end.map_err(|_| Error::resources(format!("{NAME}: more than 2 billion parts in one partition")))?,
            );
        }
        Ok(vec![
            Arc::new(Int64Array::from_iter_values(sums.iter().map(|sum| sum.terms))),
            Arc::new(Float64Array::from_iter_values(sums.iter().map(|sum| sum.odd))),
            list_of(Arc::new(Float64Array::from(parts)), offsets),
        ])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups);
        let terms = values[0].as_primitive::<Int64Type>().values();
        let odd = values[1].as_primitive::<Float64Type>().values();
        let lists = values[2].as_list::<i32>();
        let parts = lists.values().as_primitive::<Float64Type>().values();
        for (row, group) in group_indices.iter().enumerate() {
            let range = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
            self.change(*group, |sum| {
                sum.terms += terms[row];
                sum.odd += odd[row];
                parts[range].iter().for_each(|part| sum.exact.add(*part));
            });
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        states_of_rows(Self { answers_parts: self.answers_parts, ..Self::default() }, values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sums.capacity() * size_of::<DoubleSum>() + self.held
    }
}
