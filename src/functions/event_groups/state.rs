//! Partial states of logged events: lists of times, masks and kept values, one list a group.
//!
//! Deals with: writing them group by group, reading masks back. Does not deal with: the log.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, PrimitiveArray, UInt32Array};
use arrow::datatypes::{ArrowPrimitiveType, DataType, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use datafusion::error::Result;

use super::entry::Entry;
use crate::algo::event_log::{ByGroup, EventLog};
use crate::error::Error;
use crate::functions::columns::list_of;
use crate::functions::kept_values::KeptValues;

/// The narrowest type that holds a bit for each condition.
pub fn mask_type(conditions: usize) -> DataType {
    match conditions {
        0..=8 => DataType::UInt8,
        9..=16 => DataType::UInt16,
        17..=32 => DataType::UInt32,
        _ => DataType::UInt64,
    }
}

/// The state of so many groups.
pub fn state_of<E: Entry>(
    function: &str,
    entries: &EventLog<E>,
    groups: usize,
    conditions: usize,
    kept: Option<&KeptValues>,
) -> Result<Vec<ArrayRef>> {
    let by_group = ByGroup::new(entries, groups).ok_or_else(|| too_many(function))?;
    i32::try_from(entries.len()).map_err(|_| too_many(function))?;
    let offsets: Vec<i32> = by_group.starts(groups).map(|start| start as i32).collect();
    let (times, masks) = match mask_type(conditions) {
        DataType::UInt8 => split::<E, UInt8Type>(entries, &by_group, |mask| mask as u8),
        DataType::UInt16 => split::<E, UInt16Type>(entries, &by_group, |mask| mask as u16),
        DataType::UInt32 => split::<E, UInt32Type>(entries, &by_group, |mask| mask as u32),
        _ => split::<E, UInt64Type>(entries, &by_group, |mask| mask),
    };
    let mut state = vec![list_of(times, offsets.clone()), list_of(masks, offsets.clone())];
    if let Some(kept) = kept {
        let distinct = distinct_kept(entries, &by_group, groups, kept.count());
        state.push(list_of(Arc::new(UInt32Array::from(distinct.places)), offsets));
        state.push(list_of(kept.values(distinct.numbers)?, distinct.offsets));
    }
    Ok(state)
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

/// Masks of whatever width.
pub fn mask_values(masks: &ArrayRef) -> Vec<u64> {
    match masks.data_type() {
        DataType::UInt8 => masks.as_primitive::<UInt8Type>().values().iter().map(|m| u64::from(*m)).collect(),
        DataType::UInt16 => masks.as_primitive::<UInt16Type>().values().iter().map(|m| u64::from(*m)).collect(),
        DataType::UInt32 => masks.as_primitive::<UInt32Type>().values().iter().map(|m| u64::from(*m)).collect(),
        _ => masks.as_primitive::<UInt64Type>().values().to_vec(),
    }
}

/// The error of a log that 31 bits do not count.
pub fn too_many(function: &str) -> Error {
    Error::resources(format!("{function}: more than 2 billion events in one partition; use more partitions"))
}
