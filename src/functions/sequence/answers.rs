//! The answers of the sequence aggregates: from one user's events to a boolean, a count, times or a value.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, make_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use datafusion::error::Result;

use crate::algo::event::Event;
use crate::algo::pattern::next_event::{Base, Direction, next_event};
use crate::algo::pattern::search::Search;
use crate::error::Error;
use crate::functions::columns::{list_of, times_array};
use crate::functions::event_groups::{EventOrder, Question};
use crate::functions::kept_values::KeptValues;

/// Whether the pattern occurs.
pub struct Matches {
    search: Search,
    found: Vec<bool>,
}

impl Matches {
    /// No user yet.
    pub fn new(search: Search) -> Self {
        Self { search, found: Vec::new() }
    }
}

impl Question for Matches {
    fn order(&self) -> EventOrder {
        EventOrder::Time
    }

    fn answer(&mut self, events: &[Event], _kept: Option<&KeptValues>) -> Result<()> {
        self.found.push(self.search.occurs(events));
        Ok(())
    }

    fn finish(&mut self, _kept: Option<&KeptValues>) -> Result<ArrayRef> {
        Ok(Arc::new(BooleanArray::from(std::mem::take(&mut self.found))))
    }
}

/// How often the pattern occurs.
pub struct Counts {
    search: Search,
    counts: Vec<i64>,
}

impl Counts {
    /// No user yet.
    pub fn new(search: Search) -> Self {
        Self { search, counts: Vec::new() }
    }
}

impl Question for Counts {
    fn order(&self) -> EventOrder {
        EventOrder::Time
    }

    fn answer(&mut self, events: &[Event], _kept: Option<&KeptValues>) -> Result<()> {
        self.counts.push(i64::try_from(self.search.count(events)).unwrap_or(i64::MAX));
        Ok(())
    }

    fn finish(&mut self, _kept: Option<&KeptValues>) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(std::mem::take(&mut self.counts))))
    }
}

/// The times of the first match.
pub struct FirstTimes {
    search: Search,
    time_type: DataType,
    times: Vec<i64>,
    offsets: Vec<i32>,
}

impl FirstTimes {
    /// No user yet.
    pub fn new(search: Search, time_type: DataType) -> Self {
        Self { search, time_type, times: Vec::new(), offsets: vec![0] }
    }
}

impl Question for FirstTimes {
    fn order(&self) -> EventOrder {
        EventOrder::Time
    }

    fn answer(&mut self, events: &[Event], _kept: Option<&KeptValues>) -> Result<()> {
        self.search.first(events, &mut self.times);
        let end = i32::try_from(self.times.len());
        self.offsets.push(end.map_err(|_| {
            Error::resources("sequence_match_events: more than 2 billion times in one partition; use more partitions")
        })?);
        Ok(())
    }

    fn finish(&mut self, _kept: Option<&KeptValues>) -> Result<ArrayRef> {
        let times = std::mem::take(&mut self.times);
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        Ok(list_of(times_array(times, None, &self.time_type)?, offsets))
    }
}

/// The value of the event after a run.
pub struct NextValues {
    base: Base,
    direction: Direction,
    conditions: usize,
    /// Whether the value argument is a STRUCT, and not the only field of one.
    is_struct: bool,
    numbers: Vec<Option<u32>>,
}

impl NextValues {
    /// No user yet.
    pub fn new(base: Base, direction: Direction, conditions: usize, is_struct: bool) -> Self {
        Self { base, direction, conditions, is_struct, numbers: Vec::new() }
    }
}

impl Question for NextValues {
    fn order(&self) -> EventOrder {
        EventOrder::TimeAndValue
    }

    fn answer(&mut self, events: &[Event], _kept: Option<&KeptValues>) -> Result<()> {
        let next = next_event(events, self.base, self.direction, self.conditions);
        self.numbers.push(next.map(|at| events[at].tag));
        Ok(())
    }

    fn finish(&mut self, kept: Option<&KeptValues>) -> Result<ArrayRef> {
        let kept = kept.ok_or_else(|| Error::internal("no values were kept for sequence_next_event"))?;
        let numbers = std::mem::take(&mut self.numbers);
        let values = kept.values(numbers.iter().map(|number| number.unwrap_or(0)).collect())?;
        let values = if self.is_struct { values } else { Arc::clone(values.as_struct().column(0)) };
        let followed: NullBuffer = numbers.iter().map(Option::is_some).collect();
        let nulls = NullBuffer::union(values.nulls(), Some(&followed));
        Ok(make_array(values.to_data().into_builder().nulls(nulls).build()?))
    }
}
