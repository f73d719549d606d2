//! The answers of `window_funnel`, `funnel_chain` and `funnel_chains`: from one user's events to columns.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Date32Array, Int32Array, Int64Array, StructArray, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::error::Result;

use super::arguments::{Asked, ChainShape};
use crate::algo::calendar::Calendar;
use crate::algo::event::Event;
use crate::algo::funnel::{Chain, Chains, Funnel, Order, Place, Values};
use crate::error::Error;
use crate::functions::columns::{list_of, times_array};
use crate::functions::event_groups::{EventOrder, Question};
use crate::functions::kept_values::{KeptValues, kept_fields};

/// Type of a chain: what `funnel_chain` answers, and an item of what `funnel_chains` answers.
pub fn chain_type(time: &DataType, kept: &Fields, shape: ChainShape) -> DataType {
    DataType::Struct(chain_fields(time, kept, shape))
}

fn chain_fields(time: &DataType, kept: &Fields, shape: ChainShape) -> Fields {
    let list = |name: &str, item: DataType| Field::new(name, DataType::new_list(item, true), false);
    let mut fields = Vec::new();
    if shape.several {
        fields.push(Field::new("period", DataType::Date32, true));
        fields.push(Field::new("last_entry", time.clone(), true));
    }
    fields.extend([
        Field::new("level", DataType::Int32, false),
        list("times", time.clone()),
        list("indexes", DataType::Int64),
        list("steps", DataType::Int32),
        Field::new("met", DataType::UInt64, false),
        Field::new("dropped", DataType::Boolean, false),
    ]);
    if shape.by {
        fields.push(Field::new("by", DataType::Struct(kept_fields(kept)), true));
    }
    if shape.kept {
        fields.push(list("kept", DataType::Struct(kept_fields(kept))));
    }
    fields.into()
}

/// The values that distinguish chains: some of the kept fields, or all of them.
struct Apart {
    fields: Vec<usize>,
    /// The class of each kept value by these fields; none where these are all, and each value is a class of its own.
    classes: Vec<u32>,
}

/// One look at them.
struct Told<'a> {
    kept: &'a KeptValues,
    /// As in [`Apart`].
    classes: Option<&'a [u32]>,
}

impl Apart {
    fn told<'a>(&'a mut self, kept: Option<&'a KeptValues>) -> Result<Option<Told<'a>>> {
        let (Some(kept), false) = (kept, self.fields.is_empty()) else { return Ok(None) };
        if self.fields.iter().copied().eq(0..kept.fields().len()) {
            return Ok(Some(Told { kept, classes: None }));
        }
        if self.classes.len() != kept.count() {
            self.classes = kept.ranks(&self.fields)?;
        }
        Ok(Some(Told { kept, classes: Some(&self.classes) }))
    }
}

impl Values for Told<'_> {
    #[inline]
    fn class(&self, tag: u32) -> u32 {
        self.classes.map_or(tag, |classes| classes[tag as usize])
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        match self.classes {
            Some(classes) => classes[a as usize].cmp(&classes[b as usize]),
            None => self.kept.compare(a, b),
        }
    }
}

/// The classes of kept values by what is held, renewed as values come.
struct Held {
    fields: Vec<usize>,
    classes: Vec<u32>,
}

impl Held {
    fn classes(&mut self, kept: Option<&KeptValues>) -> Result<Option<&[u32]>> {
        let (Some(kept), false) = (kept, self.fields.is_empty()) else { return Ok(None) };
        if self.classes.len() != kept.count() {
            self.classes = kept.classes(&self.fields)?;
        }
        Ok(Some(&self.classes))
    }
}

/// The level of each user's longest chain.
pub struct Levels {
    funnel: Funnel,
    held: Held,
    levels: Vec<i32>,
}

impl Levels {
    /// No user yet.
    pub fn new(asked: Asked) -> Self {
        let held = Held { fields: asked.hold, classes: Vec::new() };
        Self { funnel: Funnel::new(asked.spec), held, levels: Vec::new() }
    }
}

impl Question for Levels {
    fn order(&self) -> EventOrder {
        EventOrder::Time
    }

    fn forget_numbers(&mut self) -> Result<()> {
        self.held.classes.clear();
        Ok(())
    }

    fn answer(&mut self, events: &[Event], kept: Option<&KeptValues>) -> Result<()> {
        let held = self.held.classes(kept)?;
        self.levels.push(self.funnel.level(events, held).level as i32);
        Ok(())
    }

    fn finish(&mut self, _kept: Option<&KeptValues>) -> Result<ArrayRef> {
        Ok(Arc::new(Int32Array::from(std::mem::take(&mut self.levels))))
    }
}

/// The chains of each user: one (perhaps of no events) or a list.
pub struct ChainAnswers {
    funnel: Funnel,
    held: Held,
    apart: Apart,
    /// Numbers of periods as dates.
    calendar: Option<Calendar>,
    /// Steps have no order: the places of a chain are those of its events.
    any_order: bool,
    time_type: DataType,
    shape: ChainShape,
    /// Chains of the user at hand.
    chains: Chains,
    rows: Rows,
    /// Where each user's chains end.
    users: Vec<i32>,
}

/// Columns of chains, as they grow.
#[derive(Default)]
struct Rows {
    periods: Vec<Option<i32>>,
    last_entries: Vec<i64>,
    /// The kept value that distinguishes each chain.
    values: Vec<Option<u32>>,
    levels: Vec<i32>,
    met: Vec<u64>,
    dropped: Vec<bool>,
    /// Where each chain's places end.
    ends: Vec<i32>,
    times: Vec<i64>,
    indexes: Vec<i64>,
    steps: Vec<i32>,
    numbers: Vec<u32>,
    /// Whether a place has an event; kept only once one has none.
    present: Option<Vec<bool>>,
}

impl Rows {
    fn place(&mut self, place: &Place, event: &Event) {
        self.times.push(event.time);
        self.indexes.push(i64::from(place.at) + 1);
        self.steps.push(place.step as i32 + 1);
        self.numbers.push(event.tag);
        if let Some(present) = &mut self.present {
            present.push(true);
        }
    }

    fn gap(&mut self) {
        let places = self.times.len();
        self.present.get_or_insert_with(|| vec![true; places]).push(false);
        self.times.push(0);
        self.indexes.push(0);
        self.steps.push(0);
        self.numbers.push(0);
    }

    fn chain(&mut self, period: Option<i32>, chain: Option<&Chain>, met: u64) -> Result<()> {
        self.periods.push(period);
        self.last_entries.push(chain.map_or(0, |c| c.last_entry));
        self.values.push(chain.and_then(|c| c.value));
        self.levels.push(chain.map_or(0, |c| c.reached.level as i32));
        self.dropped.push(chain.is_some_and(|c| c.reached.dropped));
        self.met.push(met);
        self.ends.push(end(self.times.len())?);
        Ok(())
    }
}

fn end(length: usize) -> Result<i32> {
    Ok(i32::try_from(length).map_err(|_| {
        Error::resources("funnel_chain: more than 2 billion chain events in one partition; use more partitions")
    })?)
}

fn offsets(ends: Vec<i32>) -> Vec<i32> {
    std::iter::once(0).chain(ends).collect()
}

impl ChainAnswers {
    /// No user yet.
    pub fn new(asked: Asked, time_type: DataType, shape: ChainShape) -> Self {
        Self {
            apart: Apart { fields: asked.by, classes: Vec::new() },
            held: Held { fields: asked.hold, classes: Vec::new() },
            calendar: asked.spec.period.clone(),
            any_order: asked.spec.order == Order::AnyOrder,
            funnel: Funnel::new(asked.spec),
            time_type,
            shape,
            chains: Chains::default(),
            rows: Rows::default(),
            users: Vec::new(),
        }
    }
}

impl Question for ChainAnswers {
    fn order(&self) -> EventOrder {
        EventOrder::TimeAndValue
    }

    fn forget_numbers(&mut self) -> Result<()> {
        self.held.classes.clear();
        self.apart.classes.clear();
        Ok(())
    }

    fn answer(&mut self, events: &[Event], kept: Option<&KeptValues>) -> Result<()> {
        self.chains.chains.clear();
        self.chains.places.clear();
        let held = self.held.classes(kept)?;
        let told = self.apart.told(kept)?;
        self.funnel.chains(events, held, told.as_ref().map(|t| t as &dyn Values), &mut self.chains);
        let mut from = 0;
        for chain in &self.chains.chains {
            let mut met = 0u64;
            for (at, place) in self.chains.places[from..chain.end].iter().enumerate() {
                let next = if self.any_order { at } else { met.checked_ilog2().map_or(0, |step| step as usize + 1) };
                let skipped = if self.any_order { 0 } else { place.step as usize - next };
                (0..skipped).for_each(|_| self.rows.gap());
                self.rows.place(place, &events[place.at as usize]);
                met |= 1 << place.step;
            }
            from = chain.end;
            let day = chain.period.and_then(|number| self.calendar.as_ref()?.first_day(number));
            self.rows.chain(day.and_then(|day| i32::try_from(day).ok()), Some(chain), met)?;
        }
        if !self.shape.several && self.chains.chains.is_empty() {
            self.rows.chain(None, None, 0)?;
        }
        self.users.push(end(self.rows.levels.len())?);
        Ok(())
    }

    fn finish(&mut self, kept: Option<&KeptValues>) -> Result<ArrayRef> {
        let rows = std::mem::take(&mut self.rows);
        let present = rows.present.map(NullBuffer::from);
        let ends = offsets(rows.ends);
        let mut columns: Vec<ArrayRef> = Vec::new();
        if self.shape.several {
            let known = NullBuffer::from_iter(rows.periods.iter().map(Option::is_some));
            columns.push(Arc::new(Date32Array::from(rows.periods)));
            columns.push(times_array(rows.last_entries, Some(known), &self.time_type)?);
        }
        columns.extend([
            Arc::new(Int32Array::from(rows.levels)) as ArrayRef,
            list_of(times_array(rows.times, present.clone(), &self.time_type)?, ends.clone()),
            list_of(Arc::new(Int64Array::new(rows.indexes.into(), present.clone())), ends.clone()),
            list_of(Arc::new(Int32Array::new(rows.steps.into(), present.clone())), ends.clone()),
            Arc::new(UInt64Array::from(rows.met)),
            Arc::new(BooleanArray::from(rows.dropped)),
        ]);
        if let Some(kept) = kept.filter(|_| self.shape.by) {
            let known = NullBuffer::from_iter(rows.values.iter().map(Option::is_some));
            let numbers = rows.values.into_iter().map(Option::unwrap_or_default).collect();
            columns.push(only_where(kept.values(numbers)?, Some(&known).filter(|known| known.null_count() > 0))?);
        }
        if let Some(kept) = kept.filter(|_| self.shape.kept) {
            columns.push(list_of(only_where(kept.values(rows.numbers)?, present.as_ref())?, ends));
        }
        let no_fields = Fields::empty();
        let fields = chain_fields(&self.time_type, kept.map_or(&no_fields, KeptValues::fields), self.shape);
        let chains: ArrayRef = Arc::new(StructArray::try_new(fields, columns, None)?);
        let users = offsets(std::mem::take(&mut self.users));
        debug_assert!(self.shape.several || chains.len() + 1 == users.len());
        Ok(if self.shape.several { list_of(chains, users) } else { chains })
    }
}

/// A column of STRUCTs that is NULL elsewhere.
fn only_where(values: ArrayRef, places: Option<&NullBuffer>) -> Result<ArrayRef> {
    let Some(places) = places else { return Ok(values) };
    let (fields, columns, _) = arrow::array::AsArray::as_struct(&values).clone().into_parts();
    // A field of a STRUCT that is NULL is read without asking the STRUCT: it must be NULL itself.
    let gaps = BooleanArray::new(!places.inner(), None);
    let columns = columns.iter().map(|c| arrow::compute::nullif(c, &gaps)).collect::<Result<_, _>>()?;
    Ok(Arc::new(StructArray::try_new(fields, columns, Some(places.clone()))?))
}
