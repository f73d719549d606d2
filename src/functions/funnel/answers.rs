//! The answers of `window_funnel` and `funnel_chain`: from one user's events to a level or a chain.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::error::Result;

use crate::algo::event::Event;
use crate::algo::funnel::{self, Spec};
use crate::error::Error;
use crate::functions::columns::{list_of, times_array};
use crate::functions::event_groups::{EventOrder, Question};
use crate::functions::kept_values::{KeptValues, kept_fields};

/// Type of a chain: what `funnel_chain` answers.
pub fn chain_type(time: &DataType, kept: Option<&Fields>) -> DataType {
    DataType::Struct(chain_fields(time, kept))
}

fn chain_fields(time: &DataType, kept: Option<&Fields>) -> Fields {
    let mut fields = vec![
        Field::new("level", DataType::Int32, false),
        Field::new("times", DataType::new_list(time.clone(), true), false),
        Field::new("indexes", DataType::new_list(DataType::Int64, true), false),
    ];
    if let Some(kept) = kept {
        fields.push(Field::new("kept", DataType::new_list(DataType::Struct(kept_fields(kept)), true), false));
    }
    fields.into()
}

/// The level of each user's longest chain.
pub struct Levels {
    spec: Spec,
    levels: Vec<i32>,
}

impl Levels {
    /// No user yet.
    pub fn new(spec: Spec) -> Self {
        Self { spec, levels: Vec::new() }
    }
}

impl Question for Levels {
    fn order(&self) -> EventOrder {
        EventOrder::Time
    }

    fn answer(&mut self, events: &[Event], _kept: Option<&KeptValues>) -> Result<()> {
        self.levels.push(funnel::level(events, &self.spec) as i32);
        Ok(())
    }

    fn finish(&mut self, _kept: Option<&KeptValues>) -> Result<ArrayRef> {
        Ok(Arc::new(Int32Array::from(std::mem::take(&mut self.levels))))
    }
}

/// Level, times, positions and kept values of each user's canonical chain.
pub struct Chains {
    spec: Spec,
    time_type: DataType,
    levels: Vec<i32>,
    times: Vec<i64>,
    indexes: Vec<i64>,
    numbers: Vec<u32>,
    offsets: Vec<i32>,
    chain: Vec<u32>,
}

impl Chains {
    /// No user yet.
    pub fn new(spec: Spec, time_type: DataType) -> Self {
        let (levels, times, indexes, numbers, chain) = Default::default();
        Self { spec, time_type, levels, times, indexes, numbers, offsets: vec![0], chain }
    }
}

impl Question for Chains {
    fn order(&self) -> EventOrder {
        EventOrder::TimeAndValue
    }

    fn answer(&mut self, events: &[Event], _kept: Option<&KeptValues>) -> Result<()> {
        self.chain.clear();
        self.levels.push(funnel::chain(events, &self.spec, &mut self.chain) as i32);
        for at in &self.chain {
            let event = &events[*at as usize];
            self.times.push(event.time);
            self.indexes.push(i64::from(*at) + 1);
            self.numbers.push(event.tag);
        }
        let end = i32::try_from(self.times.len());
        self.offsets.push(end.map_err(|_| {
            Error::resources("funnel_chain: more than 2 billion chain events in one partition; use more partitions")
        })?);
        Ok(())
    }

    fn finish(&mut self, kept: Option<&KeptValues>) -> Result<ArrayRef> {
        let Self { levels, times, indexes, numbers, offsets, time_type, .. } =
            std::mem::replace(self, Self::new(self.spec, self.time_type.clone()));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(levels)),
            list_of(times_array(times, None, &time_type)?, offsets.clone()),
            list_of(Arc::new(Int64Array::from(indexes)), offsets.clone()),
        ];
        if let Some(kept) = kept {
            columns.push(list_of(kept.values(numbers)?, offsets));
        }
        let fields = chain_fields(&time_type, kept.map(KeptValues::fields));
        Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
    }
}
