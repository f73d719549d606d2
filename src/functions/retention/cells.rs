//! `retention_cells(periods, n, type [, brackets])`: how many groups came back in each period, 0 to n, or in each bracket.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};
use datafusion::physical_plan::PhysicalExpr;

use crate::algo::retention::Retained;
use crate::error::{Error, suggest};
use crate::functions::columns::{literal, literal_integer, literal_text, passes};
use crate::functions::grouped::{GroupedFunction, aggregate};
use crate::functions::single_group::states_of_rows;

const NAME: &str = "retention_cells";

/// What counts as retained in period n.
pub const TYPES: [&str; 5] = ["on", "on_or_after", "on_or_before", "bracket", "streak"];
/// The most periods a table may have: beyond it a mistake is likelier than a wish.
pub const MAX_PERIODS: i64 = 10_000;

/// The function.
pub fn retention_cells() -> AggregateUDF {
    aggregate(RetentionCells)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct RetentionCells;

impl GroupedFunction for RetentionCells {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        let of_numbers = matches!(types.first(), Some(DataType::List(item)) if item.data_type().is_integer() || item.data_type().is_null());
        let list = of_numbers.then(|| DataType::new_list(DataType::Int64, true));
        list.and_then(|list| coerced(list, types)).ok_or_else(|| {
            Error::user(format!("{NAME}: needs (list of periods, number of periods, type [, brackets])"))
        })
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::new_list(DataType::Int64, true))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let (retained, cells) = retained(NAME, args.exprs, 1)?;
        Ok(Box::new(CellGroups { cells, retained, own: Vec::new(), counts: Vec::new() }))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(vec![Arc::new(Field::new(format!("{name}[counts]"), DataType::new_list(DataType::Int64, true), false))])
    }
}

/// Types of periods that are told apart by the first argument, n, type and brackets; `None` where there are too few or too many.
pub fn coerced(first: DataType, given: &[DataType]) -> Option<Vec<DataType>> {
    let [_, _, _, brackets @ ..] = given else { return None };
    let mut types = vec![first, DataType::Int64, DataType::Utf8];
    types.extend(brackets.iter().map(|_| DataType::new_list(DataType::Int64, true)));
    (brackets.len() < 2).then_some(types)
}

/// What the constants `n`, `type` and `brackets` ask for, and how many cells there are.
pub fn retained(function: &str, expressions: &[Arc<dyn PhysicalExpr>], from: usize) -> Result<(Retained, usize)> {
    let refuse = |text: String| Err(Error::user(format!("{function}: {text}")).into());
    let periods = literal_integer(function, "the number of periods", expressions, from)?;
    if !(0..=MAX_PERIODS).contains(&periods) {
        return refuse(format!("{periods} periods; 0 to {MAX_PERIODS} are allowed"));
    }
    let kind = literal_text(function, "the type", expressions, from + 1)?;
    let given = match expressions.get(from + 2) {
        Some(_) => brackets(function, literal(function, "brackets", expressions, from + 2)?)?,
        None => Vec::new(),
    };
    let retained = match kind.as_str() {
        "on" => Retained::On,
        "on_or_after" => Retained::OnOrAfter,
        "on_or_before" => Retained::OnOrBefore,
        "streak" => Retained::Streak,
        "bracket" if given.is_empty() => return refuse("type 'bracket' needs brackets".to_string()),
        "bracket" => Retained::Bracket(given.clone()),
        other => return refuse(format!("unknown type '{other}'; {}", suggest(other, TYPES))),
    };
    match retained {
        Retained::Bracket(_) => Ok((retained, given.len())),
        _ if given.is_empty() => Ok((retained, periods as usize + 1)),
        _ => refuse("brackets go with the type 'bracket' alone".to_string()),
    }
}

/// Ranges from the list of their ends.
fn brackets(function: &str, value: &ScalarValue) -> Result<Vec<(i64, i64)>> {
    let wrong =
        || Error::user(format!("{function}: brackets must be pairs of periods such as [1, 3, 4, 7], got {value}"));
    let ScalarValue::List(list) = value else { return Err(wrong().into()) };
    let ends = list.values().as_primitive_opt::<Int64Type>().filter(|ends| ends.null_count() == 0);
    let ends = ends.filter(|ends| list.is_valid(0) && ends.len() % 2 == 0).ok_or_else(wrong)?;
    Ok(ends.values().chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

struct CellGroups {
    cells: usize,
    retained: Retained,
    /// The periods of one user.
    own: Vec<i64>,
    /// `counts[group * cells + period]`.
    counts: Vec<i64>,
}

impl CellGroups {
    fn take(&mut self, emit_to: EmitTo) -> ArrayRef {
        let groups = match emit_to {
            EmitTo::All => self.counts.len() / self.cells,
            EmitTo::First(n) => n,
        };
        let rest = self.counts.split_off(groups * self.cells);
        let counts = Int64Array::from(std::mem::replace(&mut self.counts, rest));
        let offsets = OffsetBuffer::from_repeated_length(self.cells, groups);
        Arc::new(ListArray::new(
            Arc::new(Field::new_list_field(DataType::Int64, true)),
            offsets,
            Arc::new(counts),
            None,
        ))
    }
}

impl GroupsAccumulator for CellGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.counts.resize(total_num_groups * self.cells, 0);
        let lists = values[0].as_list::<i32>();
        let elements = lists.values().as_primitive::<Int64Type>();
        for (row, group) in group_indices.iter().enumerate() {
            if lists.is_null(row) || !passes(opt_filter, row) {
                continue;
            }
            let counts = &mut self.counts[group * self.cells..(group + 1) * self.cells];
            let came = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
            self.own.clear();
            self.own.extend(came.filter(|at| elements.is_valid(*at)).map(|at| elements.value(at)));
            if !self.own.is_sorted_by(|a, b| a < b) {
                self.own.sort_unstable();
                self.own.dedup();
            }
            self.retained.count(&self.own, counts);
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(self.take(emit_to))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.take(emit_to)])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.counts.resize(total_num_groups * self.cells, 0);
        let lists = values[0].as_list::<i32>();
        let counts = lists.values().as_primitive::<Int64Type>().values();
        for (row, group) in group_indices.iter().enumerate() {
            let from = lists.value_offsets()[row] as usize;
            for cell in 0..self.cells {
                self.counts[group * self.cells + cell] += counts[from + cell];
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let (retained, own) = (self.retained.clone(), Vec::new());
        let single = CellGroups { cells: self.cells, retained, own, counts: Vec::new() };
        states_of_rows(single, values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + (self.counts.capacity() + self.own.capacity()) * size_of::<i64>()
    }
}
