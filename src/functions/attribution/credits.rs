//! `attribution_credits`: the report of an attribution, one row a model and channel, from what users add up to.
//!
//! Arguments: `(kind, channels, parts, value, models)`. Memory depends on the distinct channels, moves and sets of channels,
//! not on users, conversions or paths.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use hashbrown::HashMap;

use super::items::{ItemRows, Items, item_fields, kind, offset};
use super::models::Model;
use super::report::{Report, Sums};
use crate::algo::attribution::Credit;
use crate::error::Error;
use crate::functions::columns::{list_of, literal_text, passes};
use crate::functions::grouped::GroupedFunction;
use crate::functions::single_group::states_of_rows;

const NAME: &str = "attribution_credits";

/// The columns of the report, in order; `position` sorts it.
pub fn credit_fields() -> Fields {
    let number = |name: &str| Field::new(name, DataType::Float64, false);
    vec![
        Field::new("position", DataType::Int64, false),
        Field::new("model", DataType::Utf8, false),
        Field::new("channel", DataType::Utf8, false),
        number("credit"),
        number("share"),
        number("value"),
        Field::new("touches", DataType::Int64, false),
        Field::new("users", DataType::Int64, false),
    ]
    .into()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributionCredits;

impl GroupedFunction for AttributionCredits {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        if types.len() != 5 {
            return Err(Error::user(format!("{NAME}: needs (kind, channels, parts, value, models)")));
        }
        let item = item_fields();
        Ok(item.iter().map(|f| f.data_type().clone()).chain([DataType::Utf8]).collect())
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::new_list(DataType::Struct(credit_fields()), true))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let models = Model::parse_list(NAME, &literal_text(NAME, "the models", args.exprs, 4)?)?;
        Ok(Box::new(CreditGroups::new(models)))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        let items = DataType::new_list(DataType::Struct(item_fields()), true);
        Ok(vec![Arc::new(Field::new(format!("{name}[items]"), items, false))])
    }
}

/// Sums by group; channels are numbered once for all groups.
struct CreditGroups {
    models: Vec<Model>,
    channels: Vec<String>,
    numbers: HashMap<String, u32>,
    groups: Vec<Sums>,
    key: Vec<u32>,
    /// Bytes of channels, keys and sums.
    held: usize,
}

impl CreditGroups {
    fn new(models: Vec<Model>) -> Self {
        let (channels, numbers, groups, key) = Default::default();
        Self { models, channels, numbers, groups, key, held: 0 }
    }

    fn number(&mut self, channel: &str) -> u32 {
        if let Some(number) = self.numbers.get(channel) {
            return *number;
        }
        let number = self.channels.len() as u32;
        self.channels.push(channel.to_string());
        self.numbers.insert(channel.to_string(), number);
        self.held += 2 * (channel.len() + size_of::<String>()) + 2 * size_of::<u32>();
        number
    }

    fn add(&mut self, rows: &ItemRows, row: usize, group: usize) {
        let (kind, channels, parts, value) = rows.row(row);
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        key.push(u32::from(kind));
        for channel in channels {
            key.push(self.number(channel));
        }
        if kind == kind::COALITION {
            key[1..].sort_unstable();
        }
        let sums = &mut self.groups[group];
        if !sums.contains_key(key.as_slice()) {
            self.held += entry_size(&key);
            sums.insert(key.as_slice().into(), Credit::default());
        }
        if let Some(sum) = sums.get_mut(key.as_slice()) {
            sum.parts += parts;
            let before = sum.value.size();
            sum.value.add(value);
            self.held += sum.value.size() - before;
        }
        self.key = key;
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Sums> {
        let taken = match emit_to {
            EmitTo::All => std::mem::take(&mut self.groups),
            EmitTo::First(n) => {
                let rest = self.groups.split_off(n);
                std::mem::replace(&mut self.groups, rest)
            }
        };
        let bytes: usize = taken.iter().flatten().map(|(key, sum)| entry_size(key) + sum.value.size()).sum();
        self.held = self.held.saturating_sub(bytes);
        taken
    }
}

/// Bytes of an entry without its value; a table is half empty at worst.
fn entry_size(key: &[u32]) -> usize {
    size_of_val(key) + 2 * (size_of::<Box<[u32]>>() + size_of::<Credit>())
}

impl GroupsAccumulator for CreditGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(total_num_groups, Sums::default);
        let rows = ItemRows::read(&values[..4])?;
        for (row, group) in group_indices.iter().enumerate() {
            let known = values[0].is_valid(row);
            if known && passes(opt_filter, row) {
                self.add(&rows, row, *group);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.take(emit_to);
        let mut ends = vec![0];
        let mut rows = Rows::default();
        for sums in &groups {
            let report = Report::new(sums, &self.channels);
            for (position, row) in report.rows(&self.models)?.into_iter().enumerate() {
                rows.positions.push(position as i64);
                rows.models.push(row.model);
                rows.channels.push(row.channel);
                rows.numbers[0].push(row.credit);
                rows.numbers[1].push(row.share);
                rows.numbers[2].push(row.value);
                rows.touches.push(row.touches);
                rows.users.push(row.users);
            }
            ends.push(offset(rows.positions.len())?);
        }
        let [credit, share, value] = rows.numbers.map(|n| Arc::new(Float64Array::from(n)) as ArrayRef);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(rows.positions)),
            Arc::new(StringArray::from(rows.models)),
            Arc::new(StringArray::from(rows.channels)),
            credit,
            share,
            value,
            Arc::new(Int64Array::from(rows.touches)),
            Arc::new(Int64Array::from(rows.users)),
        ];
        Ok(list_of(Arc::new(StructArray::try_new(credit_fields(), columns, None)?), ends))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.take(emit_to);
        let mut ends = vec![0];
        let mut items = Items::default();
        for sums in &groups {
            for (key, sum) in sums {
                let channels = key[1..].iter().map(|c| self.channels[*c as usize].as_str());
                items.credit(key[0] as u8, channels, sum)?;
            }
            ends.push(offset(items.len())?);
        }
        Ok(vec![list_of(items.structs()?, ends)])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.resize_with(total_num_groups, Sums::default);
        let lists = values[0].as_list::<i32>();
        let rows = ItemRows::read(lists.values().as_struct().columns())?;
        let offsets = lists.value_offsets();
        for (at, group) in group_indices.iter().enumerate() {
            for row in offsets[at] as usize..offsets[at + 1] as usize {
                self.add(&rows, row, *group);
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        states_of_rows(Self::new(self.models.clone()), values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.held + self.groups.capacity() * size_of::<Sums>()
    }
}

/// The report's columns being written.
#[derive(Default)]
struct Rows {
    positions: Vec<i64>,
    models: Vec<&'static str>,
    channels: Vec<String>,
    numbers: [Vec<f64>; 3],
    touches: Vec<i64>,
    users: Vec<i64>,
}
