//! The accumulator: a log of events, read back user by user.
//!
//! Deals with: which rows are logged, the order of a user's events, forgetting kept values, memory. Does not deal with: partial
//! states (`state`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Int64Type, UInt32Type};
use datafusion::error::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::entry::{Entry, Wide};
use super::state::{mask_type, mask_values, state_of, too_many};
use super::{EventArguments, EventOrder, Question};
use crate::algo::event::Event;
use crate::algo::event_log::{ByGroup, EventLog};
use crate::error::Error;
use crate::functions::columns::{Times, each_event};
use crate::functions::kept_values::{KeptValues, MANY_VALUES};
use crate::functions::single_group::states_of_rows;

/// Grouped state.
pub struct EventGroups<E> {
    name: &'static str,
    arguments: EventArguments,
    /// Rows with an unknown condition take no part.
    known: bool,
    question: Box<dyn Question>,
    log: EventLog<E>,
    kept: Option<KeptValues>,
    groups: usize,
    /// The rows of a batch that take part, where values are kept, and their masks and values.
    rows: Vec<u32>,
    row_masks: Vec<u64>,
    row_numbers: Vec<u32>,
    scratch: Vec<u64>,
}

/// A filter that also drops the rows in which a condition is NULL; `None` where there is none.
fn known_rows(conditions: &[ArrayRef], filter: Option<&BooleanArray>) -> Option<BooleanArray> {
    let nulls = conditions.iter().map(|c| c.logical_nulls());
    let known = nulls.fold(None, |known, nulls| NullBuffer::union(known.as_ref(), nulls.as_ref()))?;
    let mut passes = known.into_inner();
    if let Some(filter) = filter {
        passes = &passes & filter.values();
        if let Some(nulls) = filter.nulls() {
            passes = &passes & nulls.inner();
        }
    }
    Some(BooleanArray::new(passes, None))
}

impl<E: Entry> EventGroups<E> {
    /// With `known` a row takes no part if any of its conditions is NULL.
    pub fn new(
        name: &'static str,
        arguments: EventArguments,
        known: bool,
        kept: Option<KeptValues>,
        question: Box<dyn Question>,
    ) -> Self {
        Self {
            name,
            arguments,
            known,
            question,
            log: EventLog::default(),
            kept,
            groups: 0,
            rows: Vec::new(),
            row_masks: Vec::new(),
            row_numbers: Vec::new(),
            scratch: Vec::new(),
        }
    }

    fn group_number(&self, group: usize) -> Result<u32> {
        u32::try_from(group)
            .map_err(|_| Error::resources(format!("{}: more than 4 billion groups in one partition", self.name)).into())
    }

    /// Drops kept values that no logged event has any more: over ordered input, where users come and go, they would
    /// otherwise pile up to all the values there are.
    fn forget_values(&mut self) -> Result<()> {
        let Some(kept) = &self.kept else { return Ok(()) };
        if kept.count() < MANY_VALUES || kept.count() < 4 * self.log.len() {
            return Ok(());
        }
        let entries = self.log.take(None);
        let values = kept.values(entries.iter().map(|e| e.event().tag).collect())?;
        let mut fresh = KeptValues::new(kept.fields())?;
        let rows: Vec<u32> = (0..entries.len() as u32).collect();
        fresh.number(&values, &rows, &mut self.row_numbers)?;
        for (entry, number) in entries.iter().zip(&self.row_numbers) {
            let event = entry.event();
            self.log.push(E::pack(entry.group(), event.time, event.mask, *number));
        }
        self.log.recycle(entries);
        self.kept = Some(fresh);
        self.question.forget_numbers()
    }

    /// Takes groups out of the log: their number and their entries.
    fn take(&mut self, emit_to: EmitTo) -> Result<(usize, EventLog<E>)> {
        match emit_to {
            EmitTo::All => Ok((std::mem::take(&mut self.groups), self.log.take(None))),
            EmitTo::First(n) => {
                let first = self.group_number(n)?;
                self.groups -= n;
                Ok((n, self.log.take(Some(first))))
            }
        }
    }
}

/// A column of structs as it is, any other as the only field of one.
fn struct_of(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Struct(_) => Arc::clone(column),
        other => {
            let field = Arc::new(Field::new("value", other.clone(), true));
            Arc::new(StructArray::from(vec![(field, Arc::clone(column))]))
        }
    }
}

/// Sorts a user's events; those that come in order by time alone cost one look.
fn sort(events: &mut [Event], order: EventOrder, kept: Option<&KeptValues>) {
    match (order, kept) {
        (EventOrder::Time, _) => {
            if !events.is_sorted_by_key(|e| e.time) {
                events.sort_unstable_by_key(|e| e.time);
            }
        }
        (EventOrder::TimeAndValue, None) => {
            if !events.is_sorted_by_key(|e| (e.time, e.mask)) {
                events.sort_unstable_by_key(|e| (e.time, e.mask));
            }
        }
        (EventOrder::TimeAndValue, Some(kept)) => {
            // Most users have no two events at the same time.
            if !events.is_sorted_by(|a, b| a.time < b.time) {
                events.sort_unstable_by(|a, b| {
                    (a.time.cmp(&b.time)).then_with(|| kept.compare(a.tag, b.tag)).then(a.mask.cmp(&b.mask))
                });
            }
        }
    }
}

impl<E: Entry> GroupsAccumulator for EventGroups<E> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups = total_num_groups;
        self.group_number(total_num_groups)?;
        let times = Times::read(&values[self.arguments.time])?;
        let conditions = &values[self.arguments.conditions.clone()];
        let known = self.known.then(|| known_rows(conditions, opt_filter)).flatten();
        let opt_filter = known.as_ref().or(opt_filter);
        let (ticks, every) = (times.values(), self.arguments.every_event);
        let Self { log, scratch, .. } = self;
        let (Some(kept), Some(at)) = (&mut self.kept, self.arguments.kept) else {
            each_event(conditions, &times, opt_filter, every, scratch, |row, mask| {
                log.push(E::pack(group_indices[row] as u32, ticks[row], mask, 0));
            });
            return Ok(());
        };
        let (rows, row_masks) = (&mut self.rows, &mut self.row_masks);
        rows.clear();
        row_masks.clear();
        each_event(conditions, &times, opt_filter, every, scratch, |row, mask| {
            rows.push(row as u32);
            row_masks.push(mask);
        });
        kept.number(&struct_of(&values[at]), rows, &mut self.row_numbers)?;
        for ((row, mask), number) in rows.iter().zip(row_masks).zip(&self.row_numbers) {
            let row = *row as usize;
            log.push(E::pack(group_indices[row] as u32, ticks[row], *mask, *number));
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (groups, entries) = self.take(emit_to)?;
        let (order, kept) = (self.question.order(), self.kept.as_ref());
        let mut events: Vec<Event> = Vec::new();
        let mut answer = |events: &mut Vec<Event>| {
            sort(events, order, kept);
            self.question.answer(events, kept)
        };
        if entries.in_order() {
            let mut entries = entries.iter().peekable();
            for group in 0..groups {
                events.clear();
                while let Some(entry) = entries.next_if(|e| e.group() as usize == group) {
                    events.push(entry.event());
                }
                answer(&mut events)?;
            }
        } else {
            let by_group = ByGroup::new(&entries, groups).ok_or_else(|| too_many(self.name))?;
            for group in 0..groups {
                events.clear();
                events.extend(by_group.group(group).iter().map(|at| entries.get(*at).event()));
                answer(&mut events)?;
            }
        }
        let answers = self.question.finish(self.kept.as_ref())?;
        if let EmitTo::First(_) = emit_to {
            self.log.recycle(entries);
            self.forget_values()?;
        }
        Ok(answers)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (groups, entries) = self.take(emit_to)?;
        state_of(self.name, &entries, groups, self.arguments.conditions.len(), self.kept.as_ref())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups = total_num_groups;
        self.group_number(total_num_groups)?;
        let times = values[0].as_list::<i32>();
        let offsets = times.value_offsets();
        let (first, last) = (offsets[0] as usize, offsets[offsets.len() - 1] as usize);
        let ticks = times.values().as_primitive::<Int64Type>().values();
        let masks = values[1].as_list::<i32>();
        let mask_shift = masks.value_offsets()[0] as usize;
        let mask_values = mask_values(&masks.values().slice(mask_shift, last - first));
        let Some(kept) = &mut self.kept else {
            for (row, group) in group_indices.iter().enumerate() {
                for at in offsets[row] as usize..offsets[row + 1] as usize {
                    self.log.push(E::pack(*group as u32, ticks[at], mask_values[at - first], 0));
                }
            }
            return Ok(());
        };
        let (places, distinct) = (values[2].as_list::<i32>(), values[3].as_list::<i32>());
        let (place_offsets, distinct_offsets) = (places.value_offsets(), distinct.value_offsets());
        let place_values = places.values().as_primitive::<UInt32Type>().values();
        let first_distinct = distinct_offsets[0] as usize;
        let count = distinct_offsets[distinct_offsets.len() - 1] as usize - first_distinct;
        let rows: Vec<u32> = (0..count as u32).collect();
        kept.number(&distinct.values().slice(first_distinct, count), &rows, &mut self.row_numbers)?;
        for (row, group) in group_indices.iter().enumerate() {
            let numbers = &self.row_numbers[distinct_offsets[row] as usize - first_distinct..];
            let places = &place_values[place_offsets[row] as usize..place_offsets[row + 1] as usize];
            for (at, place) in (offsets[row] as usize..offsets[row + 1] as usize).zip(places) {
                let number = numbers[*place as usize];
                self.log.push(E::pack(*group as u32, ticks[at], mask_values[at - first], number));
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        // Each row is a group of its own: the lists have one element, or none where it takes no part.
        let kept = self.kept.as_ref().map(|kept| KeptValues::new(kept.fields())).transpose()?;
        let single = EventGroups::<Wide>::new(self.name, self.arguments.clone(), self.known, kept, Box::new(Unasked));
        states_of_rows(single, values, opt_filter)
    }

    fn size(&self) -> usize {
        // Whether the groups are answered or written as partial states, that stands beside the log for a while. Entries in order are
        // those of a few users, and no state is made of them but at the edges of partitions.
        let mask = mask_type(self.arguments.conditions.len()).primitive_width().unwrap_or(8);
        let state = size_of::<i64>() + mask + if self.kept.is_some() { size_of::<u32>() } else { 0 };
        let state = if self.log.in_order() { 0 } else { state };
        size_of_val(self)
            + self.log.size()
            + self.log.len() * self.question.bytes_an_event().max(state)
            // A user's events are copied out to be sorted.
            + self.log.last_len() * size_of::<Event>()
            + self.groups * 2 * size_of::<u32>()
            + (self.row_masks.capacity() + self.scratch.capacity()) * size_of::<u64>()
            + (self.rows.capacity() + self.row_numbers.capacity()) * size_of::<u32>()
            + self.kept.as_ref().map_or(0, KeptValues::size)
    }
}

/// The question of a state that is only written, never answered.
struct Unasked;

impl Question for Unasked {
    fn order(&self) -> EventOrder {
        EventOrder::Time
    }
    fn answer(&mut self, _events: &[Event], _kept: Option<&KeptValues>) -> Result<()> {
        Ok(())
    }
    fn finish(&mut self, _kept: Option<&KeptValues>) -> Result<ArrayRef> {
        Err(Error::internal("a state that is only written was asked for an answer").into())
    }
}
