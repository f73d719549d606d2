//! The grouped state of every question about one user's sequence of events: a log of the events that take part.
//!
//! Deals with: logging, partial states, merging, handing each user's events to the question in order, memory.
//! Does not deal with: what the question asks ([`Question`]) or what its arguments are.
//!
//! Memory: 16 bytes an event (24 with more than 32 conditions or kept values) and 4 for reading it back, 24 more for those of
//! the one user that is being answered; events that
//! satisfy no condition cost nothing where the question does not ask for them. Partial states are the same events as lists:
//! exact, whatever their order or how they are split. A user's events share few kept values, and each
//! one read from a state must be hashed, so a distinct value travels once for each user.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, PrimitiveArray, StructArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, FieldRef, Fields, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::error::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::columns::{Times, each_event, list_of};
use super::kept_values::{KeptValues, MANY_VALUES, kept_fields};
use super::single_group::states_of_rows;
use crate::algo::event::Event;
use crate::algo::event_log::{ByGroup, EventLog, Grouped};
use crate::error::Error;

/// What an aggregate makes of one user's events: the events go in user by user, a column comes out.
pub trait Question: Send {
    /// How the events of a user must be sorted.
    fn order(&self) -> EventOrder;
    /// Answers for the next user, whose events (perhaps none) are sorted as asked, by appending to what
    /// [`Question::finish`] gives. An event's `tag` is the number of its kept value, 0 where nothing is kept.
    fn answer(&mut self, events: &[Event], kept: Option<&KeptValues>) -> Result<()>;
    /// The answers since the last call, one row a user.
    fn finish(&mut self, kept: Option<&KeptValues>) -> Result<ArrayRef>;
    /// Kept values get new numbers: what was remembered by the old ones must go.
    fn forget_numbers(&mut self) -> Result<()> {
        Ok(())
    }
    /// Bytes of the answer for each event at the most, where answers grow with events.
    fn bytes_an_event(&self) -> usize {
        0
    }
}

/// The order of a user's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventOrder {
    /// By time; ties as they come, for questions that treat them as unordered.
    Time,
    /// By time, then by the kept value (NULL first), then by conditions: nothing of arrival is left.
    TimeAndValue,
}

/// Where the arguments of an aggregate over events stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventArguments {
    /// Position of the time column.
    pub time: usize,
    /// Positions of the conditions, at most 64.
    pub conditions: Range<usize>,
    /// Position of what is kept with each event: a STRUCT of values, or one value, which is then the only field of one.
    pub kept: Option<usize>,
    /// Whether events that satisfy no condition take part too.
    pub every_event: bool,
}

impl EventArguments {
    /// Fields of what is kept.
    pub fn kept_fields(&self, types: &[DataType]) -> Option<Fields> {
        self.kept.map(|at| match &types[at] {
            DataType::Struct(fields) => fields.clone(),
            other => Fields::from(vec![Field::new("value", other.clone(), true)]),
        })
    }

    /// The fields of a partial state: times and masks, one list element an event. Where values are kept: which of the
    /// group's distinct values each event has, and these values.
    pub fn state_fields(&self, name: &str, types: &[DataType]) -> Vec<FieldRef> {
        let list = |part: &str, item: DataType| {
            Arc::new(Field::new(format!("{name}[{part}]"), DataType::new_list(item, true), false))
        };
        let mut fields = vec![list("times", DataType::Int64), list("masks", mask_type(self.conditions.len()))];
        if let Some(kept) = self.kept_fields(types) {
            fields.push(list("places", DataType::UInt32));
            fields.push(list("kept", DataType::Struct(kept_fields(&kept))));
        }
        fields
    }
}

/// Whether a partial state of these fields is a log of events, as long as what was aggregated.
pub fn is_log(state: &[FieldRef]) -> bool {
    state.first().is_some_and(|f| f.name().ends_with("[times]"))
}

/// A grouped accumulator with the smallest entries that hold the query. `name` is the function's, for messages.
pub fn event_groups(
    name: &'static str,
    arguments: EventArguments,
    types: &[DataType],
    question: Box<dyn Question>,
) -> Result<Box<dyn GroupsAccumulator>> {
    groups_of(name, arguments, types, question, false)
}

/// The same where a row takes no part if any of its conditions is NULL.
pub fn known_event_groups(
    name: &'static str,
    arguments: EventArguments,
    types: &[DataType],
    question: Box<dyn Question>,
) -> Result<Box<dyn GroupsAccumulator>> {
    groups_of(name, arguments, types, question, true)
}

fn groups_of(
    name: &'static str,
    arguments: EventArguments,
    types: &[DataType],
    question: Box<dyn Question>,
    known: bool,
) -> Result<Box<dyn GroupsAccumulator>> {
    let kept = arguments.kept_fields(types).as_ref().map(KeptValues::new).transpose()?;
    Ok(match kept.is_none() && arguments.conditions.len() <= 32 {
        true => Box::new(EventGroups::<Narrow> { known, ..EventGroups::new(name, arguments, kept, question) }),
        false => Box::new(EventGroups::<Wide> { known, ..EventGroups::new(name, arguments, kept, question) }),
    })
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

/// One logged event: as small as the query allows.
trait Entry: Grouped + Send + 'static {
    /// Packs an event; `kept` is 0 where nothing is kept.
    fn pack(group: u32, time: i64, mask: u64, kept: u32) -> Self;
    /// The event, tagged with its kept value.
    fn event(&self) -> Event;
}

/// Up to 32 conditions and nothing kept: 16 bytes.
#[derive(Clone, Copy)]
struct Narrow {
    time: i64,
    group: u32,
    mask: u32,
}

/// Everything: 24 bytes.
#[derive(Clone, Copy)]
struct Wide {
    time: i64,
    mask: u64,
    group: u32,
    kept: u32,
}

impl Grouped for Narrow {
    #[inline]
    fn group(&self) -> u32 {
        self.group
    }
    fn with_group(self, group: u32) -> Self {
        Self { group, ..self }
    }
}

impl Grouped for Wide {
    #[inline]
    fn group(&self) -> u32 {
        self.group
    }
    fn with_group(self, group: u32) -> Self {
        Self { group, ..self }
    }
}

impl Entry for Narrow {
    #[inline]
    fn pack(group: u32, time: i64, mask: u64, _kept: u32) -> Self {
        Self { time, group, mask: mask as u32 }
    }
    #[inline]
    fn event(&self) -> Event {
        Event { time: self.time, mask: u64::from(self.mask), tag: 0 }
    }
}

impl Entry for Wide {
    #[inline]
    fn pack(group: u32, time: i64, mask: u64, kept: u32) -> Self {
        Self { time, mask, group, kept }
    }
    #[inline]
    fn event(&self) -> Event {
        Event { time: self.time, mask: self.mask, tag: self.kept }
    }
}

/// Grouped state.
struct EventGroups<E> {
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

fn mask_type(conditions: usize) -> DataType {
    match conditions {
        0..=8 => DataType::UInt8,
        9..=16 => DataType::UInt16,
        17..=32 => DataType::UInt32,
        _ => DataType::UInt64,
    }
}

/// Times and masks of all entries, group by group, in one pass over the log.
fn split<E: Entry, M: ArrowPrimitiveType>(
    entries: &EventLog<E>,
    by_group: &ByGroup,
    narrow: impl Fn(u64) -> M::Native,
) -> (ArrayRef, ArrayRef) {
    let (mut times, mut masks) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
    for at in by_group.all() {
        let event = entries.get(*at).event();
        times.push(event.time);
        masks.push(narrow(event.mask));
    }
    let masks = PrimitiveArray::<M>::new(masks.into(), None);
    (Arc::new(Int64Array::from(times)), Arc::new(masks))
}

/// The kept values of many groups, each distinct one of a group once.
struct DistinctKept {
    /// Which of its group's values each entry has, group by group.
    places: Vec<u32>,
    /// The values' numbers, group by group.
    numbers: Vec<u32>,
    /// Where each group's values begin among `numbers`.
    offsets: Vec<i32>,
}

fn distinct_kept<E: Entry>(entries: &EventLog<E>, by_group: &ByGroup, groups: usize, values: usize) -> DistinctKept {
    let (mut places, mut numbers) = (Vec::with_capacity(entries.len()), Vec::new());
    let mut offsets = vec![0i32];
    // Which group met a value last (counted from 1), and at which place.
    let mut met: Vec<(u32, u32)> = vec![(0, 0); values];
    for group in 0..groups {
        let begin = numbers.len();
        for at in by_group.group(group) {
            let number = entries.get(*at).event().tag;
            let (last, place) = &mut met[number as usize];
            if *last != group as u32 + 1 {
                (*last, *place) = (group as u32 + 1, (numbers.len() - begin) as u32);
                numbers.push(number);
            }
            places.push(*place);
        }
        // There are no more values than entries, of which 31 bits count.
        offsets.push(numbers.len() as i32);
    }
    DistinctKept { places, numbers, offsets }
}

fn mask_values(masks: &ArrayRef) -> Vec<u64> {
    match masks.data_type() {
        DataType::UInt8 => masks.as_primitive::<UInt8Type>().values().iter().map(|m| u64::from(*m)).collect(),
        DataType::UInt16 => masks.as_primitive::<UInt16Type>().values().iter().map(|m| u64::from(*m)).collect(),
        DataType::UInt32 => masks.as_primitive::<UInt32Type>().values().iter().map(|m| u64::from(*m)).collect(),
        _ => masks.as_primitive::<UInt64Type>().values().to_vec(),
    }
}

impl<E: Entry> EventGroups<E> {
    fn new(
        name: &'static str,
        arguments: EventArguments,
        kept: Option<KeptValues>,
        question: Box<dyn Question>,
    ) -> Self {
        Self {
            name,
            arguments,
            known: false,
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

fn too_many(function: &str) -> Error {
    Error::resources(format!("{function}: more than 2 billion events in one partition; use more partitions"))
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
        let by_group = ByGroup::new(&entries, groups).ok_or_else(|| too_many(self.name))?;
        i32::try_from(entries.len()).map_err(|_| too_many(self.name))?;
        let offsets: Vec<i32> = by_group.starts(groups).map(|start| start as i32).collect();
        let (times, masks) = match mask_type(self.arguments.conditions.len()) {
            DataType::UInt8 => split::<E, UInt8Type>(&entries, &by_group, |mask| mask as u8),
            DataType::UInt16 => split::<E, UInt16Type>(&entries, &by_group, |mask| mask as u16),
            DataType::UInt32 => split::<E, UInt32Type>(&entries, &by_group, |mask| mask as u32),
            _ => split::<E, UInt64Type>(&entries, &by_group, |mask| mask),
        };
        let mut state = vec![list_of(times, offsets.clone()), list_of(masks, offsets.clone())];
        if let Some(kept) = &self.kept {
            let distinct = distinct_kept(&entries, &by_group, groups, kept.count());
            state.push(list_of(Arc::new(UInt32Array::from(distinct.places)), offsets));
            state.push(list_of(kept.values(distinct.numbers)?, distinct.offsets));
        }
        Ok(state)
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
        let single = EventGroups::<Wide>::new(self.name, self.arguments.clone(), kept, Box::new(Unasked));
        let single = EventGroups { known: self.known, ..single };
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
