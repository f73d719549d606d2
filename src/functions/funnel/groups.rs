//! The grouped state of `window_funnel` and `funnel_chain`: a log of the events that satisfy any step.
//!
//! Memory: 16 bytes an event (24 with more than 32 steps or kept values) and 4 for reading it back; events that satisfy
//! no step cost nothing. Partial states are the same events as lists: exact, whatever their order or how they are split.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, PrimitiveArray, StructArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, FieldRef, Fields, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::error::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::arguments::Layout;
use crate::algo::event_log::{ByGroup, EventLog, Grouped};
use crate::algo::funnel::{self, Event, Spec};
use crate::error::Error;
use crate::functions::columns::{Times, list_of, masks, times_array};
use crate::functions::kept_values::{KeptValues, kept_fields};
use crate::functions::single_group::states_of_rows;

/// One logged event: as small as the query allows.
pub trait FunnelEntry: Grouped + Send + 'static {
    /// Packs an event; `kept` is 0 where nothing is kept.
    fn pack(group: u32, time: i64, mask: u64, kept: u32) -> Self;
    /// The event, tagged with its kept value.
    fn event(&self) -> Event;
}

/// Up to 32 steps and nothing kept: 16 bytes.
#[derive(Clone, Copy)]
pub struct Narrow {
    time: i64,
    group: u32,
    mask: u32,
}

/// Everything: 24 bytes.
#[derive(Clone, Copy)]
pub struct Wide {
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

impl FunnelEntry for Narrow {
    #[inline]
    fn pack(group: u32, time: i64, mask: u64, _kept: u32) -> Self {
        Self { time, group, mask: mask as u32 }
    }
    #[inline]
    fn event(&self) -> Event {
        Event { time: self.time, mask: u64::from(self.mask), tag: 0 }
    }
}

impl FunnelEntry for Wide {
    #[inline]
    fn pack(group: u32, time: i64, mask: u64, kept: u32) -> Self {
        Self { time, mask, group, kept }
    }
    #[inline]
    fn event(&self) -> Event {
        Event { time: self.time, mask: self.mask, tag: self.kept }
    }
}

/// What the aggregate answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The level alone.
    Level,
    /// Level, times, positions and kept values of the canonical chain.
    Chain,
}

/// Grouped state.
pub struct FunnelGroups<E> {
    answer: Answer,
    spec: Spec,
    layout: Layout,
    time_type: DataType,
    log: EventLog<E>,
    kept: Option<KeptValues>,
    groups: usize,
    row_masks: Vec<u64>,
    row_numbers: Vec<u32>,
}

/// A grouped accumulator with the smallest entries that hold the query.
pub fn funnel_groups(
    answer: Answer,
    spec: Spec,
    layout: Layout,
    time_type: DataType,
    kept: Option<&Fields>,
) -> Result<Box<dyn GroupsAccumulator>> {
    let kept = kept.map(KeptValues::new).transpose()?;
    Ok(match kept.is_none() && spec.steps <= 32 {
        true => Box::new(FunnelGroups::<Narrow>::new(answer, spec, layout, time_type, kept)),
        false => Box::new(FunnelGroups::<Wide>::new(answer, spec, layout, time_type, kept)),
    })
}

/// The fields of a partial state: times, masks, and kept values where there are any, one list element an event.
pub fn state_fields(name: &str, steps: usize, kept: Option<&Fields>) -> Vec<FieldRef> {
    let list = |part: &str, item: DataType| {
        Arc::new(Field::new(format!("{name}[{part}]"), DataType::new_list(item, true), false))
    };
    let mut fields = vec![list("times", DataType::Int64), list("masks", mask_type(steps))];
    if let Some(kept) = kept {
        fields.push(list("kept", DataType::Struct(kept_fields(kept))));
    }
    fields
}

fn mask_type(steps: usize) -> DataType {
    match steps {
        0..=8 => DataType::UInt8,
        9..=16 => DataType::UInt16,
        17..=32 => DataType::UInt32,
        _ => DataType::UInt64,
    }
}

/// Times and masks of all entries, group by group, in one pass over the log.
fn split<E: FunnelEntry, M: ArrowPrimitiveType>(
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

fn mask_values(masks: &ArrayRef) -> Vec<u64> {
    match masks.data_type() {
        DataType::UInt8 => masks.as_primitive::<UInt8Type>().values().iter().map(|m| u64::from(*m)).collect(),
        DataType::UInt16 => masks.as_primitive::<UInt16Type>().values().iter().map(|m| u64::from(*m)).collect(),
        DataType::UInt32 => masks.as_primitive::<UInt32Type>().values().iter().map(|m| u64::from(*m)).collect(),
        _ => masks.as_primitive::<UInt64Type>().values().to_vec(),
    }
}

/// Type of a chain: what `funnel_chain` answers.
pub fn chain_type(time: &DataType, kept: Option<&Fields>) -> DataType {
    let mut fields = vec![
        Field::new("level", DataType::Int32, false),
        Field::new("times", DataType::new_list(time.clone(), true), false),
        Field::new("indexes", DataType::new_list(DataType::Int64, true), false),
    ];
    if let Some(kept) = kept {
        fields.push(Field::new("kept", DataType::new_list(DataType::Struct(kept_fields(kept)), true), false));
    }
    DataType::Struct(fields.into())
}

fn group_number(group: usize) -> Result<u32> {
    u32::try_from(group).map_err(|_| Error::resources("funnel: more than 4 billion groups in one partition").into())
}

fn too_many() -> Error {
    Error::resources("funnel: more than 2 billion events in one partition; use more partitions")
}

impl<E: FunnelEntry> FunnelGroups<E> {
    fn new(answer: Answer, spec: Spec, layout: Layout, time_type: DataType, kept: Option<KeptValues>) -> Self {
        Self {
            answer,
            spec,
            layout,
            time_type,
            log: EventLog::default(),
            kept,
            groups: 0,
            row_masks: Vec::new(),
            row_numbers: Vec::new(),
        }
    }

    /// Takes groups out of the log: their number, their entries, and the entries' order by group.
    fn emit(&mut self, emit_to: EmitTo) -> Result<(usize, EventLog<E>, ByGroup)> {
        let (groups, entries) = match emit_to {
            EmitTo::All => (std::mem::take(&mut self.groups), self.log.take(None)),
            EmitTo::First(n) => {
                self.groups -= n;
                (n, self.log.take(Some(group_number(n)?)))
            }
        };
        let by_group = ByGroup::new(&entries, groups).ok_or_else(too_many)?;
        i32::try_from(entries.len()).map_err(|_| too_many())?;
        Ok((groups, entries, by_group))
    }

    fn levels(&self, groups: usize, entries: &EventLog<E>, by_group: &ByGroup) -> ArrayRef {
        let mut events: Vec<Event> = Vec::new();
        let levels = (0..groups).map(|group| {
            read_group(entries, by_group.group(group), &mut events);
            if !events.is_sorted_by_key(|e| e.time) {
                events.sort_unstable_by_key(|e| e.time);
            }
            funnel::level(&events, &self.spec) as i32
        });
        Arc::new(levels.collect::<Int32Array>())
    }

    fn chains(&self, groups: usize, entries: &EventLog<E>, by_group: &ByGroup) -> Result<ArrayRef> {
        let mut events: Vec<Event> = Vec::new();
        let mut chain: Vec<u32> = Vec::new();
        let mut levels = Vec::with_capacity(groups);
        let (mut times, mut indexes, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        let mut offsets = vec![0i32];
        for group in 0..groups {
            read_group(entries, by_group.group(group), &mut events);
            // Ties stand in the order of their kept value, then of their conditions: nothing of arrival is left.
            match &self.kept {
                Some(kept) => events.sort_unstable_by(|a, b| {
                    (a.time.cmp(&b.time)).then_with(|| kept.compare(a.tag, b.tag)).then(a.mask.cmp(&b.mask))
                }),
                None => events.sort_unstable_by_key(|e| (e.time, e.mask)),
            }
            chain.clear();
            levels.push(funnel::chain(&events, &self.spec, &mut chain) as i32);
            for at in &chain {
                let event = &events[*at as usize];
                times.push(event.time);
                indexes.push(i64::from(*at) + 1);
                numbers.push(event.tag);
            }
            offsets.push(i32::try_from(times.len()).map_err(|_| too_many())?);
        }
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(levels)),
            list_of(times_array(times, None, &self.time_type)?, offsets.clone()),
            list_of(Arc::new(Int64Array::from(indexes)), offsets.clone()),
        ];
        if let Some(kept) = &self.kept {
            columns.push(list_of(kept.values(numbers)?, offsets));
        }
        let DataType::Struct(fields) = chain_type(&self.time_type, self.kept.as_ref().map(KeptValues::fields)) else {
            return Err(Error::internal("funnel_chain: a chain is a struct").into());
        };
        Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
    }
}

fn read_group<E: FunnelEntry>(entries: &EventLog<E>, positions: &[u32], events: &mut Vec<Event>) {
    events.clear();
    events.extend(positions.iter().map(|at| entries.get(*at).event()));
}

impl<E: FunnelEntry> GroupsAccumulator for FunnelGroups<E> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups = total_num_groups;
        group_number(total_num_groups)?;
        let times = Times::read(&values[self.layout.time])?;
        masks(&values[self.layout.conditions.clone()], &times, opt_filter, &mut self.row_masks);
        let ticks = times.values();
        match (&mut self.kept, self.layout.kept) {
            (Some(kept), Some(at)) => {
                let rows: Vec<u32> =
                    (0u32..).zip(&self.row_masks).filter(|(_, m)| **m != 0).map(|(row, _)| row).collect();
                kept.number(&values[at], &rows, &mut self.row_numbers)?;
                for (row, number) in rows.iter().zip(&self.row_numbers) {
                    let row = *row as usize;
                    self.log.push(E::pack(group_indices[row] as u32, ticks[row], self.row_masks[row], *number));
                }
            }
            _ => {
                for ((mask, group), time) in self.row_masks.iter().zip(group_indices).zip(ticks) {
                    if *mask != 0 {
                        self.log.push(E::pack(*group as u32, *time, *mask, 0));
                    }
                }
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (groups, entries, by_group) = self.emit(emit_to)?;
        match self.answer {
            Answer::Level => Ok(self.levels(groups, &entries, &by_group)),
            Answer::Chain => self.chains(groups, &entries, &by_group),
        }
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (groups, entries, by_group) = self.emit(emit_to)?;
        let offsets: Vec<i32> = by_group.starts(groups).map(|start| start as i32).collect();
        let (times, masks) = match mask_type(self.spec.steps) {
            DataType::UInt8 => split::<E, UInt8Type>(&entries, &by_group, |mask| mask as u8),
            DataType::UInt16 => split::<E, UInt16Type>(&entries, &by_group, |mask| mask as u16),
            DataType::UInt32 => split::<E, UInt32Type>(&entries, &by_group, |mask| mask as u32),
            _ => split::<E, UInt64Type>(&entries, &by_group, |mask| mask),
        };
        let mut state = vec![list_of(times, offsets.clone()), list_of(masks, offsets.clone())];
        if let Some(kept) = &self.kept {
            state.push(list_of(
                kept.values(by_group.all().iter().map(|at| entries.get(*at).event().tag).collect())?,
                offsets,
            ));
        }
        Ok(state)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups = total_num_groups;
        group_number(total_num_groups)?;
        let times = values[0].as_list::<i32>();
        let offsets = times.value_offsets();
        let (first, last) = (offsets[0] as usize, offsets[offsets.len() - 1] as usize);
        let ticks = times.values().as_primitive::<Int64Type>().values();
        let masks = values[1].as_list::<i32>();
        let mask_shift = masks.value_offsets()[0] as usize;
        let mask_values = mask_values(&masks.values().slice(mask_shift, last - first));
        if let Some(kept) = &mut self.kept {
            let list = values[2].as_list::<i32>();
            let column = list.values().slice(list.value_offsets()[0] as usize, last - first);
            let rows: Vec<u32> = (0..(last - first) as u32).collect();
            kept.number(&column, &rows, &mut self.row_numbers)?;
        } else {
            self.row_numbers.clear();
            self.row_numbers.resize(last - first, 0);
        }
        for (row, group) in group_indices.iter().enumerate() {
            for at in offsets[row] as usize..offsets[row + 1] as usize {
                let number = self.row_numbers[at - first];
                self.log.push(E::pack(*group as u32, ticks[at], mask_values[at - first], number));
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        // Each row is a group of its own: the lists have one element, or none where no step is satisfied.
        let kept = match (&self.kept, self.layout.kept) {
            (Some(kept), Some(_)) => Some(KeptValues::new(kept.fields())?),
            _ => None,
        };
        let single =
            FunnelGroups::<Wide>::new(self.answer, self.spec, self.layout.clone(), self.time_type.clone(), kept);
        states_of_rows(single, values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.log.size()
            + self.groups * 2 * size_of::<u32>()
            + self.row_masks.capacity() * size_of::<u64>()
            + self.row_numbers.capacity() * size_of::<u32>()
            + self.kept.as_ref().map_or(0, KeptValues::size)
    }
}
