//! `user_intervals(time, source, target, anchor, within [, by])`: a LIST of intervals, in the order of their ends.
//!
//! `by` is a STRUCT of the values to break down by; an element is a STRUCT of those of its source, `ticks` (UBIGINT, in the time's unit)
//! and `first`, whether it is the user's first one of these values.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, StructArray, UInt64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, GroupsAccumulator};

use crate::algo::calendar::Clock;
use crate::algo::event::Event;
use crate::algo::interval::{Anchor, each_interval};
use crate::error::{Error, suggest};
use crate::functions::columns::{self, clock_of, list_of};
use crate::functions::event_groups::{EventArguments, EventOrder, Question, event_groups};
use crate::functions::grouped::{GroupedFunction, aggregate, argument_types};
use crate::functions::kept_values::{KeptValues, kept_fields};

const NAME: &str = "user_intervals";
const ANCHOR: usize = 3;
const WITHIN: usize = 4;
const BY: usize = 5;

/// Which source begins an interval, by name.
const ANCHORS: [(&str, Anchor); 2] = [("last", Anchor::Last), ("first", Anchor::First)];

/// The function.
pub fn user_intervals() -> AggregateUDF {
    aggregate(UserIntervals)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct UserIntervals;

fn arguments(types: &[DataType]) -> EventArguments {
    EventArguments { time: 0, conditions: 1..ANCHOR, kept: (types.len() > BY).then_some(BY), every_event: false }
}

/// Fields of an element; those to break down by come first.
fn fields(by: &Fields) -> Fields {
    let own = [Field::new("ticks", DataType::UInt64, false), Field::new("first", DataType::Boolean, false)];
    by.iter().cloned().chain(own.map(Arc::new)).collect()
}

fn by_fields(types: &[DataType]) -> Fields {
    arguments(types).kept_fields(types).map_or_else(Fields::empty, |kept| kept_fields(&kept))
}

impl GroupedFunction for UserIntervals {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        let [time, source, target, _, _, by @ ..] = types else {
            return Err(Error::user(format!("{NAME}: is a part of FROM intervals(..); call it")));
        };
        let mut coerced = vec![columns::coerce_time(NAME, 1, time)?];
        coerced.push(columns::coerce_condition(NAME, 2, source)?);
        coerced.push(columns::coerce_condition(NAME, 3, target)?);
        coerced.extend([DataType::Utf8, columns::interval_type()]);
        coerced.extend(by.iter().cloned());
        Ok(coerced)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::new_list(DataType::Struct(fields(&by_fields(types))), true))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let types = argument_types(args);
        let word = columns::literal_text(NAME, "the anchor", args.exprs, ANCHOR)?;
        let Some((_, anchor)) = ANCHORS.iter().find(|(name, _)| *name == word) else {
            let help = suggest(&word, ANCHORS.map(|(name, _)| name));
            return Err(Error::user(format!("{NAME}: unknown anchor '{word}'; {help}")).into());
        };
        let clock = clock_of(&types[0]).unwrap_or(Clock::Dates);
        let longest = match columns::literal(NAME, "the window", args.exprs, WITHIN)? {
            ScalarValue::IntervalMonthDayNano(None) => u64::MAX,
            within => columns::window_ticks(NAME, "the window", within, clock)? as u64,
        };
        let (by, ends) = (by_fields(&types), vec![0]);
        let question =
            Intervals { anchor: *anchor, longest, by, ticks: vec![], firsts: vec![], tags: vec![], seen: vec![], ends };
        event_groups(NAME, arguments(&types), &types, Box::new(question))
    }

    fn state_fields(&self, name: &str, types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(arguments(types).state_fields(name, types))
    }
}

/// The question put to every user, and the answers so far.
struct Intervals {
    anchor: Anchor,
    /// Longer intervals are not told.
    longest: u64,
    by: Fields,
    ticks: Vec<u64>,
    firsts: Vec<bool>,
    /// The kept values of each interval's source.
    tags: Vec<u32>,
    /// The kept values that the user at hand has had.
    seen: Vec<u32>,
    ends: Vec<i32>,
}

impl Question for Intervals {
    fn order(&self) -> EventOrder {
        if self.by.is_empty() { EventOrder::Time } else { EventOrder::TimeAndValue }
    }

    fn answer(&mut self, events: &[Event], _kept: Option<&KeptValues>) -> Result<()> {
        let Self { anchor, longest, ticks, firsts, tags, seen, .. } = self;
        seen.clear();
        each_interval(events, *anchor, |tag, length| {
            if length > *longest {
                return;
            }
            // A user has few different values.
            let first = !seen.contains(&tag);
            if first {
                seen.push(tag);
            }
            ticks.push(length);
            firsts.push(first);
            tags.push(tag);
        });
        let end = i32::try_from(ticks.len()).map_err(|_| {
            Error::resources(format!("{NAME}: more than 2 billion intervals in one partition; use more partitions"))
        })?;
        self.ends.push(end);
        Ok(())
    }

    fn finish(&mut self, kept: Option<&KeptValues>) -> Result<ArrayRef> {
        let mut columns: Vec<ArrayRef> = match kept {
            Some(kept) => kept.values(std::mem::take(&mut self.tags))?.as_struct().columns().to_vec(),
            None => {
                self.tags.clear();
                Vec::new()
            }
        };
        columns.push(Arc::new(UInt64Array::from(std::mem::take(&mut self.ticks))));
        columns.push(Arc::new(BooleanArray::from(std::mem::take(&mut self.firsts))));
        let elements = StructArray::try_new(fields(&self.by), columns, None)?;
        Ok(list_of(Arc::new(elements), std::mem::replace(&mut self.ends, vec![0])))
    }

    fn bytes_an_event(&self) -> usize {
        size_of::<u64>() + size_of::<bool>() + size_of::<u32>()
    }
}
