//! `middle(ticks)`: the two values in the middle of each group, whose mean is the median; `spread(ticks)`: from the least to the greatest
//! by percentiles. Both in bounded memory.
//!
//! Deals with: groups, partial states. Does not deal with: where the values are kept (`stores`). A piece of relations' plans:
//! DataFusion's `median` holds 8 bytes for each value, and hands all of a group's on as one list.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, StructArray, UInt32Array, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, UInt32Type, UInt64Type};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};
use parking_lot::RwLock;

use super::columns::{list_of, passes};
use super::grouped::{GroupedFunction, aggregate};
use super::room::Room;
use super::single_group::states_of_rows;
use super::stores::{Store, Stores, set_row};
use crate::algo::value_runs::{Bounds, Summary, hundredths};
use crate::error::Error;

/// The function, which keeps values in this room. Its answer is a STRUCT of `lower` and `upper`, the same value twice where the
/// number of values is odd; NULL where there are none.
pub fn middle(room: Room) -> AggregateUDF {
    aggregate(MiddleFunction { asked: Asked::Middle, stores: Stores::new(room) })
}

/// The function whose answer is a STRUCT of `mean`, `min`, `p10`, `p25`, `median`, `p75`, `p90` and `max`, each DOUBLE; NULL where there
/// are no values. Percentiles are continuous: one between two values lies as far from the lower as its place does.
pub fn spread(room: Room) -> AggregateUDF {
    aggregate(MiddleFunction { asked: Asked::Spread, stores: Stores::new(room) })
}

/// What is asked of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Middle,
    Spread,
}

/// Fields of a spread.
const SPREAD: [&str; 8] = ["mean", "min", "p10", "p25", "median", "p75", "p90", "max"];

impl Asked {
    fn name(self) -> &'static str {
        match self {
            Self::Middle => "middle",
            Self::Spread => "spread",
        }
    }

    fn percents(self) -> &'static [u8] {
        match self {
            Self::Middle => &[50],
            Self::Spread => &[10, 25, 50, 75, 90],
        }
    }

    /// Fields of the answer.
    fn fields(self) -> Fields {
        let field = |name: &&str, kind: DataType| Arc::new(Field::new(*name, kind, true));
        match self {
            Self::Middle => ["lower", "upper"].iter().map(|name| field(name, DataType::UInt64)).collect(),
            Self::Spread => SPREAD.iter().map(|name| field(name, DataType::Float64)).collect(),
        }
    }

    /// The columns of these fields; NULL in them as in the answer: who takes a field looks no further.
    fn columns(self, all: &[Summary], found: &[Option<Bounds>]) -> Vec<ArrayRef> {
        let floats = |of: &dyn Fn(usize) -> f64| -> ArrayRef {
            let known = all.iter().enumerate().map(|(row, summary)| (summary.count > 0).then(|| of(row)));
            Arc::new(Float64Array::from_iter(known))
        };
        match self {
            Self::Middle => {
                let values = |one: fn(Bounds) -> i64| -> ArrayRef {
                    Arc::new(UInt64Array::from_iter(found.iter().map(|bounds| bounds.map(|b| unsigned(one(b))))))
                };
                vec![values(|bounds| bounds.0), values(|bounds| bounds.1)]
            }
            Self::Spread => {
                let percents = self.percents();
                let mean = |row: usize| {
                    let Summary { sum, count, .. } = all[row];
                    (sum + i128::from(count) * (1 << 63)) as f64 / count as f64
                };
                let mut columns = vec![floats(&mean), floats(&|row| unsigned(all[row].min) as f64)];
                columns.extend(percents.iter().enumerate().map(|(at, percent)| {
                    floats(&|row| {
                        let (lower, upper) = found[row * percents.len() + at].unwrap_or_default();
                        let (lower, apart) = (unsigned(lower) as f64, unsigned(upper).abs_diff(unsigned(lower)) as f64);
                        lower + apart * f64::from(hundredths(all[row].count, *percent)) / 100.0
                    })
                }));
                columns.push(floats(&|row| unsigned(all[row].max) as f64));
                columns
            }
        }
    }
}

#[derive(Clone)]
struct MiddleFunction {
    asked: Asked,
    stores: Stores,
}

impl fmt::Debug for MiddleFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.asked.name())
    }
}

/// Where values are kept is not part of what is asked.
impl PartialEq for MiddleFunction {
    fn eq(&self, other: &Self) -> bool {
        self.asked == other.asked
    }
}

impl Eq for MiddleFunction {}

/// Fields of where a group's values are, in a partial state.
fn place_fields() -> Fields {
    ["store", "owner"].map(|name| Arc::new(Field::new(name, DataType::UInt32, false))).into()
}

impl GroupedFunction for MiddleFunction {
    fn name(&self) -> &'static str {
        self.asked.name()
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        match types {
            [DataType::UInt64] => Ok(types.to_vec()),
            _ => Err(Error::user(format!(
                "{}: is a part of relations about lengths of time; use percentile_cont(..)",
                self.name()
            ))),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::Struct(self.asked.fields()))
    }

    fn answer_is_nullable(&self) -> bool {
        true
    }

    fn groups(&self, _args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Middles::new(self.asked, self.stores.clone())))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        let places = DataType::new_list(DataType::Struct(place_fields()), true);
        Ok(vec![Arc::new(Field::new(format!("{name}[places]"), places, false))])
    }

    fn answers_once(&self) -> bool {
        true
    }
}

/// Where the values of a group are.
#[derive(Default)]
struct Places {
    /// In the partition's own store, more by one; 0 is nowhere.
    own: u32,
    elsewhere: Vec<(u32, u32)>,
}

struct Middles {
    asked: Asked,
    stores: Stores,
    own: Option<(u32, Arc<RwLock<Store>>)>,
    groups: Vec<Places>,
    /// Entries of all `elsewhere`.
    elsewhere: usize,
}

/// A number without a sign as one with: in the same order.
fn signed(ticks: u64) -> i64 {
    (ticks ^ (1 << 63)) as i64
}

fn unsigned(value: i64) -> u64 {
    value as u64 ^ (1 << 63)
}

impl Middles {
    fn new(asked: Asked, stores: Stores) -> Self {
        Self { asked, stores, own: None, groups: Vec::new(), elsewhere: 0 }
    }

    fn emit(&mut self, emit_to: EmitTo) -> Result<Vec<Vec<(u32, u32)>>> {
        if let Some((_, store)) = &self.own {
            store.write().seal()?;
        }
        let own = self.own.as_ref().map(|(number, _)| *number);
        let groups = emit_to.take_needed(&mut self.groups);
        self.elsewhere -= groups.iter().map(|places| places.elsewhere.len()).sum::<usize>();
        let places = groups.into_iter().map(|Places { own: owner, mut elsewhere }| {
            elsewhere.extend(own.zip(owner.checked_sub(1)));
            elsewhere
        });
        Ok(places.collect())
    }
}

impl GroupsAccumulator for Middles {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(total_num_groups, Places::default);
        let ticks = values[0].as_primitive::<UInt64Type>();
        let (_, store) = self.own.get_or_insert_with(|| self.stores.open());
        let mut store = store.write();
        for (row, group) in group_indices.iter().enumerate() {
            if ticks.is_null(row) || !passes(opt_filter, row) {
                continue;
            }
            let own = &mut self.groups[*group].own;
            if *own == 0 {
                *own = store.owner() + 1;
            }
            store.value(*own - 1, signed(ticks.value(row)))?;
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.emit(emit_to)?;
        let mut asked: Vec<(u32, Vec<u32>)> = Vec::new();
        for (row, (store, owner)) in
            groups.iter().enumerate().flat_map(|(row, places)| places.iter().map(move |p| (row, *p)))
        {
            let at = match asked.iter().position(|(number, _)| *number == store) {
                Some(at) => at,
                None => {
                    asked.push((store, Vec::new()));
                    asked.len() - 1
                }
            };
            set_row(&mut asked[at].1, owner, row as u32);
        }
        let asked = asked.into_iter().map(|(number, rows)| Ok((self.stores.get(number)?, rows)));
        let asked = asked.collect::<Result<Vec<_>>>()?;
        let (all, found) = self.stores.percentiles(groups.len(), &asked, self.asked.percents())?;
        let known: NullBuffer = all.iter().map(|summary| summary.count > 0).collect();
        let columns = self.asked.columns(&all, &found);
        Ok(Arc::new(StructArray::try_new(self.asked.fields(), columns, Some(known))?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (mut stores, mut owners, mut ends) = (Vec::new(), Vec::new(), vec![0i32]);
        for (store, owner) in
            self.emit(emit_to)?.into_iter().map(|places| places.into_iter().unzip::<_, _, Vec<_>, Vec<_>>())
        {
            stores.extend(store);
            owners.extend(owner);
            ends.push(i32::try_from(stores.len()).map_err(|_| {
                Error::resources(format!(
                    "{}: more than 2 billion groups in one partition; use more partitions",
                    self.asked.name()
                ))
            })?);
        }
        let columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(stores)), Arc::new(UInt32Array::from(owners))];
        Ok(vec![list_of(Arc::new(StructArray::try_new(place_fields(), columns, None)?), ends)])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.resize_with(total_num_groups, Places::default);
        let lists = values[0].as_list::<i32>();
        let places = lists.values().as_struct();
        let [stores, owners] = [0, 1].map(|at| places.column(at).as_primitive::<UInt32Type>().values());
        for (row, group) in group_indices.iter().enumerate() {
            let range = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
            self.elsewhere += range.len();
            self.groups[*group].elsewhere.extend(range.map(|at| (stores[at], owners[at])));
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        states_of_rows(Middles::new(self.asked, self.stores.clone()), values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.groups.capacity() * size_of::<Places>()
            // A short list is allocated for four.
            + self.elsewhere.max(4 * self.groups.len().min(self.elsewhere)) * size_of::<(u32, u32)>()
            + self.own.as_ref().map_or(0, |(_, store)| store.read().size())
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Float64Type;
    use proptest::prelude::*;

    use super::*;

    fn sorted_middle(mut values: Vec<u64>) -> Option<(u64, u64)> {
        values.sort_unstable();
        (!values.is_empty()).then(|| (values[(values.len() - 1) / 2], values[values.len() / 2]))
    }

    proptest! {
        /// Partial states of any number of partitions, merged in two stages, give the middle of all values.
        #[test]
        fn middles_of_merged_parts_are_those_of_the_whole(
            rows in prop::collection::vec((0usize..5, prop::option::weighted(0.9, prop_oneof![0u64..100, any::<u64>()]), 0usize..4), 0..200),
        ) {
            let stores = Stores::new(Room::new("test", None));
            let fresh = || Middles::new(Asked::Middle, stores.clone());
            let mut last = fresh();
            let mut halfway = fresh();
            for part in 0..4 {
                let of_part: Vec<_> = rows.iter().filter(|(.., p)| *p == part).collect();
                let mut groups = fresh();
                let values: ArrayRef = Arc::new(UInt64Array::from_iter(of_part.iter().map(|r| r.1)));
                let owners: Vec<usize> = of_part.iter().map(|r| r.0).collect();
                if part == 3 {
                    let state = groups.convert_to_state(&[values], None).unwrap();
                    last.merge_batch(&state, &owners, 5).unwrap();
                    continue;
                }
                groups.update_batch(&[values], &owners, None, 5).unwrap();
                let into = if part == 0 { &mut last } else { &mut halfway };
                into.merge_batch(&groups.state(EmitTo::All).unwrap(), &[0, 1, 2, 3, 4], 5).unwrap();
            }
            last.merge_batch(&halfway.state(EmitTo::First(2)).unwrap(), &[0, 1], 5).unwrap();
            last.merge_batch(&halfway.state(EmitTo::All).unwrap(), &[2, 3, 4], 5).unwrap();
            let found = last.evaluate(EmitTo::All).unwrap();
            let [lower, upper] = [0, 1].map(|at| found.as_struct().column(at).as_primitive::<UInt64Type>().values());
            let found: Vec<_> = (0..5).map(|g| found.is_valid(g).then(|| (lower[g], upper[g]))).collect();
            let wanted: Vec<_> =
                (0..5).map(|g| sorted_middle(rows.iter().filter(|r| r.0 == g).filter_map(|r| r.1).collect())).collect();
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn a_spread_reaches_from_the_least_to_the_greatest() {
        let mut groups = Middles::new(Asked::Spread, Stores::new(Room::new("test", None)));
        let values: ArrayRef = Arc::new(UInt64Array::from(vec![40, 10, 20, 30, 7, u64::MAX]));
        groups.update_batch(&[values], &[0, 0, 0, 0, 2, 2], None, 3).unwrap();
        let found = groups.evaluate(EmitTo::All).unwrap();
        let of_group = |group: usize| -> Vec<f64> {
            found.as_struct().columns().iter().map(|c| c.as_primitive::<Float64Type>().value(group)).collect()
        };
        // Places .3, .75, 1.5, 2.25 and 2.7 of 10, 20, 30, 40.
        assert_eq!(of_group(0), [25.0, 10.0, 13.0, 17.5, 25.0, 32.5, 37.0, 40.0]);
        assert!(found.is_null(1) && found.as_struct().column(0).is_null(1));
        let most = u64::MAX as f64;
        assert_eq!(of_group(2), [most / 2.0, 7.0, most / 10.0, most / 4.0, most / 2.0, 0.75 * most, 0.9 * most, most]);
    }
}
