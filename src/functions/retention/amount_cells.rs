//! `amount_cells(amounts, n, type [, brackets])`: what the cohort of every birth was worth in each period since.
//!
//! Memory: 80 bytes for each cell of each cohort (32 where amounts are no doubles) and what its sums hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};

use super::amounts::{ColumnAmount, amount_of, list_item, list_of_structs, too_large};
use super::cells::{coerced, retained};
use crate::algo::cohort_value::{Cells, TooLarge, Worth};
use crate::algo::retention::Retained;
use crate::error::Error;
use crate::functions::columns::{list_of, passes};
use crate::functions::grouped::{GroupedFunction, aggregate, argument_types};
use crate::functions::single_group::states_of_rows;

const NAME: &str = "amount_cells";

/// The function.
pub fn amount_cells() -> AggregateUDF {
    aggregate(AmountCells)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct AmountCells;

fn cell_fields(amount: &DataType) -> Fields {
    vec![Field::new("amount", amount.clone(), false), Field::new("capped", amount.clone(), false)].into()
}

fn cohort_fields(amount: &DataType) -> Fields {
    vec![
        Field::new("period", DataType::Int64, false),
        Field::new("cells", DataType::List(list_item(cell_fields(amount))), false),
    ]
    .into()
}

impl GroupedFunction for AmountCells {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        let amounts = types.first().filter(|amounts| amount_of(amounts).is_some());
        amounts.and_then(|amounts| coerced(amounts.clone(), types)).ok_or_else(|| {
            Error::user(format!("{NAME}: needs (amounts as from user_amounts, number of periods, type [, brackets])"))
        })
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType, Error> {
        let amount = types.first().and_then(amount_of).unwrap_or(&DataType::Null);
        Ok(DataType::List(list_item(cohort_fields(amount))))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let types = argument_types(args);
        let (retained, cells) = retained(NAME, args.exprs, 1)?;
        if matches!(retained, Retained::OnOrAfter | Retained::Streak) {
            return Err(Error::user(format!("{NAME}: the type must be 'on', 'on_or_before' or 'bracket'")).into());
        }
        let amount = amount_of(&types[0]).cloned().unwrap_or(DataType::Null);
        Ok(match amount {
            DataType::Float64 => Box::new(Cohorts::<f64>::new(amount, retained, cells)),
            _ => Box::new(Cohorts::<i128>::new(amount, retained, cells)),
        })
    }

    fn state_fields(&self, name: &str, types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        let amount = types.first().and_then(amount_of).unwrap_or(&DataType::Null);
        let sums = match amount {
            DataType::Float64 => f64::state_type(amount),
            _ => i128::state_type(amount),
        };
        let list = |part: &str, item| {
            Arc::new(Field::new_list(format!("{name}[{part}]"), Field::new_list_field(item, true), false))
        };
        Ok(vec![list("periods", DataType::Int64), list("sums", sums)])
    }
}

struct Cohorts<V: ColumnAmount> {
    amount: DataType,
    retained: Retained,
    cells: usize,
    /// Of each group the cohorts, by the period of the birth.
    groups: Vec<BTreeMap<i64, Cells<V>>>,
    /// Cohorts of all groups.
    cohorts: usize,
    /// Bytes that their sums hold outside.
    held: usize,
    /// The periods of one user.
    own: Vec<Worth<V>>,
}

impl<V: ColumnAmount> Cohorts<V> {
    fn new(amount: DataType, retained: Retained, cells: usize) -> Self {
        Self { amount, retained, cells, groups: Vec::new(), cohorts: 0, held: 0, own: Vec::new() }
    }

    fn grow(&mut self, groups: usize) {
        if groups > self.groups.len() {
            self.groups.resize_with(groups, BTreeMap::new);
        }
    }

    /// Changes the cohort of a period, perhaps a new one.
    fn change(&mut self, group: usize, period: i64, change: impl FnOnce(&mut Cells<V>, &Retained)) {
        let cohorts = &mut self.groups[group];
        let before = cohorts.len();
        let cohort = cohorts.entry(period).or_insert_with(|| Cells::new(self.cells));
        let held = cohort.held;
        change(cohort, &self.retained);
        self.held = self.held + cohort.held - held;
        self.cohorts += cohorts.len() - before;
    }

    fn take(&mut self, emit_to: EmitTo) -> Result<Vec<BTreeMap<i64, Cells<V>>>> {
        let taken = emit_to.take_needed(&mut self.groups);
        let count: usize = taken.iter().map(BTreeMap::len).sum();
        self.cohorts -= count;
        self.held -= taken.iter().flat_map(BTreeMap::values).map(|cells| cells.held).sum::<usize>();
        let too_many = || Error::resources(format!("{NAME}: more than 2 billion cells in one answer"));
        i32::try_from(count.saturating_mul(2 * self.cells)).map_err(|_| too_many())?;
        Ok(taken)
    }
}

/// Where the cohorts of each group end, `each` elements to one.
fn ends<V: ColumnAmount>(groups: &[BTreeMap<i64, Cells<V>>], each: usize) -> Vec<i32> {
    let mut end = 0;
    let ends = groups.iter().map(|cohorts| {
        end += (cohorts.len() * each) as i32;
        end
    });
    std::iter::once(0).chain(ends).collect()
}

fn periods<V: ColumnAmount>(groups: &[BTreeMap<i64, Cells<V>>]) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(groups.iter().flatten().map(|(period, _)| *period)))
}

impl<V: ColumnAmount> GroupsAccumulator for Cohorts<V> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let lists = values[0].as_list::<i32>();
        let entries = lists.values().as_struct();
        let numbers = entries.column(0).as_primitive::<Int64Type>().values();
        let (amounts, since) = (V::read(entries.column(1)), V::read(entries.column(2)));
        let last = self.retained.last_period(self.cells);
        let mut own = std::mem::take(&mut self.own);
        for (row, group) in group_indices.iter().enumerate() {
            if lists.is_null(row) || !passes(opt_filter, row) {
                continue;
            }
            let range = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
            for at in range.clone().filter(|at| entries.column(2).is_valid(*at)) {
                let later = (at + 1..range.end).take_while(|later| numbers[*later].saturating_sub(numbers[at]) <= last);
                own.clear();
                own.push(Worth { period: numbers[at], amount: amounts[at], since: Some(since[at]) });
                own.extend(later.map(|at| Worth { period: numbers[at], amount: amounts[at], since: None }));
                self.change(*group, numbers[at], |cells, retained| cells.count(retained, &own));
            }
        }
        self.own = own;
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let taken = self.take(emit_to)?;
        let cells = || taken.iter().flat_map(BTreeMap::values);
        let column = |of: fn(&Cells<V>) -> &[V::Sum]| {
            let totals = cells().flat_map(|cells| of(cells).iter().map(V::total));
            let totals: Option<Vec<V>> = totals.collect();
            V::column(totals.ok_or_else(|| too_large(NAME))?, None, &self.amount)
        };
        let sums = StructArray::try_new(
            cell_fields(&self.amount),
            vec![column(|cells| &cells.amounts)?, column(|cells| &cells.capped)?],
            None,
        )?;
        let each = (0..=cells().count()).map(|n| (n * self.cells) as i32).collect();
        let columns = vec![periods(&taken), list_of_structs(sums, each)?];
        list_of_structs(StructArray::try_new(cohort_fields(&self.amount), columns, None)?, ends(&taken, 1))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let taken = self.take(emit_to)?;
        let sums = taken.iter().flat_map(BTreeMap::values).flat_map(|cells| cells.amounts.iter().chain(&cells.capped));
        let sums = V::states(sums, &self.amount).map_err(|TooLarge| too_large(NAME))?;
        Ok(vec![list_of(periods(&taken), ends(&taken, 1)), list_of(sums, ends(&taken, 2 * self.cells))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups);
        let (lists, sums) = (values[0].as_list::<i32>(), values[1].as_list::<i32>());
        let numbers = lists.values().as_primitive::<Int64Type>().values().clone();
        for (row, group) in group_indices.iter().enumerate() {
            let mut from = sums.value_offsets()[row] as usize;
            for at in lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize {
                let mut rows = from..;
                self.change(*group, numbers[at], |cells, _| {
                    let all = cells.amounts.iter_mut().chain(&mut cells.capped);
                    Cells::<V>::change(all, &mut cells.held, |sum| {
                        rows.next().into_iter().for_each(|row| V::add_state(sums.values(), row, sum));
                    });
                });
                from += 2 * self.cells;
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        states_of_rows(Self::new(self.amount.clone(), self.retained.clone(), self.cells), values, opt_filter)
    }

    fn size(&self) -> usize {
        // The map is at least half full.
        let cohort = 2 * (size_of::<Cells<V>>() + size_of::<i64>()) + 2 * self.cells * size_of::<V::Sum>();
        size_of_val(self)
            + self.groups.capacity() * size_of::<BTreeMap<i64, Cells<V>>>()
            + self.cohorts * cohort
            + self.held
            + self.own.capacity() * size_of::<Worth<V>>()
    }
}
