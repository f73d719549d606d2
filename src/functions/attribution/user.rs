//! `user_attribution`: what one user's touches and conversions add up to.
//!
//! Arguments: `(time, conversion, touch, direct, lookback, half-life, models, reset, first, middle, last, kept)`, where `kept`
//! is a struct of `order_key` (perhaps), `channel`, `value` (perhaps) and the columns to break down by.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Expr, GroupsAccumulator};
use datafusion::physical_plan::PhysicalExpr;
use hashbrown::HashMap;

use super::items::{Items, item_fields, kind, offset};
use super::models::{Model, rules};
use crate::algo::attribution::{Attribution, Conversion, Credit, Move, SegmentTotal, Spec, Touch, UserCredits};
use crate::algo::calendar::Clock;
use crate::algo::event::Event;
use crate::error::Error;
use crate::functions::columns::{self, clock_of, interval_type, list_of, literal, literal_text};
use crate::functions::event_groups::{EventArguments, EventOrder, Question, event_groups};
use crate::functions::grouped::{GroupedFunction, argument_types};
use crate::functions::kept_values::{KeptValues, kept_fields};

const NAME: &str = "user_attribution";
const ARGUMENTS: usize = 12;

/// The channel of conversions without a touch.
pub const UNTOUCHED: &str = "(direct)";

/// Values whose sums and products with credits stay far from infinity.
const LARGEST_VALUE: f64 = 1e280;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserAttribution;

fn arguments() -> EventArguments {
    EventArguments { time: 0, conditions: 1..4, kept: Some(ARGUMENTS - 1), every_event: false }
}

impl GroupedFunction for UserAttribution {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        let wrong = || {
            Error::user(format!(
                "{NAME}: needs (time, conversion, touch, direct, lookback, half-life, models, reset, first, middle, last, kept)"
            ))
        };
        let [time, conditions @ .., DataType::Struct(kept)] = types else { return Err(wrong()) };
        if types.len() != ARGUMENTS {
            return Err(wrong());
        }
        let mut coerced = vec![columns::coerce_time(NAME, 1, time)?];
        for (at, condition) in conditions[..3].iter().enumerate() {
            coerced.push(columns::coerce_condition(NAME, at + 2, condition)?);
        }
        coerced.extend([interval_type(), interval_type(), DataType::Utf8, DataType::Boolean]);
        coerced.extend([DataType::Float64, DataType::Float64, DataType::Float64]);
        coerced.push(DataType::Struct(kept.clone()));
        Ok(coerced)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType, Error> {
        let kept = arguments().kept_fields(types).unwrap_or_else(Fields::empty);
        Ok(DataType::new_list(DataType::Struct(answer_fields(&Kept::of(&kept)?.by)), true))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let types = argument_types(args);
        let kept = Kept::of(&arguments().kept_fields(&types).unwrap_or_else(Fields::empty))?;
        let clock = clock_of(&types[0]).unwrap_or(Clock::Dates);
        let question = Credits::new(spec(args.exprs, clock)?, kept)?;
        event_groups(NAME, arguments(), &types, Box::new(question))
    }

    fn state_fields(&self, name: &str, types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(arguments().state_fields(name, types))
    }

    fn check(&self, _arguments: &[Expr]) -> Result<(), Error> {
        // The relation has checked them, where they have names.
        Ok(())
    }
}

/// A half-life in ticks, which may be less than one; `what` is what messages call it.
pub fn half_life_ticks(function: &str, what: &str, half_life: &ScalarValue, clock: Clock) -> Result<f64, Error> {
    let nanos = columns::window_ticks(function, what, half_life, Clock::Instants(1_000_000_000))? as f64;
    Ok(match clock {
        Clock::Instants(per_second) => nanos / 1e9 * per_second as f64,
        Clock::Dates => nanos / 86_400e9,
    })
}

fn spec(expressions: &[Arc<dyn PhysicalExpr>], clock: Clock) -> Result<Spec, Error> {
    let models = Model::parse_list(NAME, &literal_text(NAME, "the models", expressions, 6)?)?;
    let number = |at| match literal(NAME, "a weight", expressions, at)? {
        ScalarValue::Float64(Some(number)) => Ok(*number),
        other => Err(Error::user(format!("{NAME}: a weight must be a number, got {other}"))),
    };
    Ok(Spec {
        lookback: columns::window_ticks(NAME, "the lookback", literal(NAME, "the lookback", expressions, 4)?, clock)?,
        reset: *literal(NAME, "the reset", expressions, 7)? == ScalarValue::Boolean(Some(true)),
        rules: rules(&models),
        weights: [number(8)?, number(9)?, number(10)?],
        half_life: half_life_ticks(NAME, "the half-life", literal(NAME, "the half-life", expressions, 5)?, clock)?,
        moves: models.contains(&Model::Markov),
        coalitions: models.contains(&Model::Shapley),
    })
}

/// Where the kept values stand in their struct.
#[derive(Debug, Clone)]
struct Kept {
    channel: usize,
    value: Option<usize>,
    /// Fields to break down by; they come last.
    by: Fields,
}

impl Kept {
    fn of(fields: &Fields) -> Result<Self, Error> {
        let fields = kept_fields(fields);
        let channel = usize::from(fields.first().is_some_and(|f| f.name() == "order_key"));
        if fields.get(channel).is_none_or(|f| f.name() != "channel") {
            return Err(Error::user(format!("{NAME}: the kept struct must have a field 'channel'")));
        }
        let value = fields.get(channel + 1).is_some_and(|f| f.name() == "value").then_some(channel + 1);
        let by = fields[value.unwrap_or(channel) + 1..].iter().cloned().collect();
        Ok(Self { channel, value, by })
    }
}

/// An answer's fields: a row of credits, and the segment where there are any.
fn answer_fields(by: &Fields) -> Fields {
    let segment = Arc::new(Field::new("by", DataType::Struct(by.clone()), false));
    item_fields().iter().cloned().chain((!by.is_empty()).then_some(segment)).collect()
}

/// What stands behind the number of a kept value.
#[derive(Debug, Clone, Copy)]
struct Told {
    channel: Option<u32>,
    value: f64,
    segment: u32,
}

/// The question put to every user.
struct Credits {
    kernel: Attribution,
    kept: Kept,
    /// Channels by number; the first is [`UNTOUCHED`].
    channels: Vec<String>,
    numbers: HashMap<String, u32>,
    /// Segments by number.
    segments: Option<KeptValues>,
    told: Vec<Told>,
    touches: Vec<Touch>,
    conversions: Vec<Conversion>,
    sums: UserCredits,
    items: Items,
    item_segments: Vec<u32>,
    ends: Vec<i32>,
}

impl Credits {
    fn new(spec: Spec, kept: Kept) -> Result<Self> {
        let segments = if kept.by.is_empty() { None } else { Some(KeptValues::new(&kept.by)?) };
        Ok(Self {
            kernel: Attribution::new(spec, 0),
            kept,
            channels: vec![UNTOUCHED.to_string()],
            numbers: HashMap::from([(UNTOUCHED.to_string(), 0)]),
            segments,
            told: Vec::new(),
            touches: Vec::new(),
            conversions: Vec::new(),
            sums: UserCredits::default(),
            items: Items::default(),
            item_segments: Vec::new(),
            ends: vec![0],
        })
    }

    /// Looks up the kept values that are new since the last time.
    fn learn(&mut self, kept: &KeptValues) -> Result<()> {
        let known = self.told.len();
        if kept.count() == known {
            return Ok(());
        }
        let values = kept.values((known as u32..kept.count() as u32).collect())?;
        let values = values.as_struct();
        let rows = values.len();
        let channels = cast(values.column(self.kept.channel), &DataType::Utf8)?;
        let channels: &StringArray = channels.as_string();
        let amounts = match self.kept.value {
            Some(at) => cast(values.column(at), &DataType::Float64)?,
            None => Arc::new(Float64Array::new_null(rows)),
        };
        let amounts = amounts.as_primitive::<Float64Type>();
        let mut segment_numbers = vec![0; rows];
        if let Some(segments) = &mut self.segments {
            let by = values.columns()[values.num_columns() - self.kept.by.len()..].to_vec();
            let by: ArrayRef = Arc::new(StructArray::try_new(self.kept.by.clone(), by, None)?);
            segments.number(&by, &(0..rows as u32).collect::<Vec<_>>(), &mut segment_numbers)?;
        }
        for (row, segment) in segment_numbers.into_iter().enumerate() {
            let channel = channels.is_valid(row).then(|| channels.value(row));
            let channel = channel.map(|name| match self.numbers.get(name) {
                Some(number) => *number,
                None => {
                    let number = self.channels.len() as u32;
                    self.channels.push(name.to_string());
                    self.numbers.insert(name.to_string(), number);
                    number
                }
            });
            let value = if amounts.is_valid(row) { amounts.value(row) } else { 0.0 };
            // NaN is not within the bounds either.
            if !(-LARGEST_VALUE..=LARGEST_VALUE).contains(&value) {
                return Err(Error::data(format!(
                    "attribution: the value of a conversion is {value:?}; it must be a number up to 1e280"
                ))
                .into());
            }
            self.told.push(Told { channel, value, segment });
        }
        Ok(())
    }

    /// Writes the sums of one user.
    fn write(&mut self) -> Result<()> {
        let Self { sums, items, item_segments, channels, segments, .. } = self;
        let name = |channel: &u32| channels[*channel as usize].as_str();
        let mut segment_of = |items: &Items, segment: u32| {
            if segments.is_some() {
                item_segments.resize(items.len(), segment);
            }
        };
        for (segment, total) in &sums.totals {
            let SegmentTotal { conversions, value, magnitude, untouched, untouched_value, gained, taken } = total;
            let total = Credit { parts: i128::from(*conversions), value: value.clone() };
            items.credit(kind::TOTAL, std::iter::empty(), &total)?;
            let untouched = Credit { parts: i128::from(*untouched), value: untouched_value.clone() };
            if untouched.parts > 0 {
                items.credit(kind::UNTOUCHED, std::iter::empty(), &untouched)?;
            }
            for (kind, value) in [(kind::MAGNITUDE, magnitude), (kind::GAINED, gained), (kind::LOSSES, taken)] {
                if !value.parts().is_empty() {
                    items.credit(kind, std::iter::empty(), &Credit { parts: 0, value: value.clone() })?;
                }
            }
            segment_of(items, *segment);
        }
        for sum in &sums.channels {
            let channel = || [name(&sum.channel)].into_iter();
            items.count(kind::TOUCHES, channel(), i128::from(sum.touches))?;
            items.count(kind::USERS, channel(), 1)?;
            for (rule, credit) in sum.credits.iter().enumerate().filter(|(_, credit)| credit.parts != 0) {
                items.credit(kind::RULE + rule as u8, channel(), credit)?;
            }
            segment_of(items, sum.segment);
        }
        for ((segment, step), flow) in &sums.moves {
            let (kind, from, to) = match step {
                Move::Start(c) => (kind::START, c, None),
                Move::To(a, b) => (kind::TO, a, Some(b)),
                Move::Converted(c) => (kind::CONVERTED, c, None),
                Move::LostStart(c) => (kind::LOST_START, c, None),
                Move::LostTo(a, b) => (kind::LOST_TO, a, Some(b)),
                Move::Lost(c) => (kind::LOST, c, None),
            };
            let channels = || std::iter::once(from).chain(to).map(name);
            let gained = Credit { parts: i128::from(flow.times), value: flow.gained.clone() };
            items.credit(kind, channels(), &gained)?;
            if !flow.taken.parts().is_empty() {
                items.credit(kind + kind::TAKEN, channels(), &Credit { parts: 0, value: flow.taken.clone() })?;
            }
            segment_of(items, *segment);
        }
        for ((segment, members), credit) in &sums.coalitions {
            items.credit(kind::COALITION, members.iter().map(name), credit)?;
            segment_of(items, *segment);
        }
        self.ends.push(offset(self.items.len())?);
        Ok(())
    }
}

impl Question for Credits {
    fn order(&self) -> EventOrder {
        EventOrder::TimeAndValue
    }

    fn forget_numbers(&mut self) -> Result<()> {
        self.told.clear();
        Ok(())
    }

    fn answer(&mut self, events: &[Event], kept: Option<&KeptValues>) -> Result<()> {
        if let Some(kept) = kept {
            self.learn(kept)?;
        }
        self.touches.clear();
        self.conversions.clear();
        for event in events {
            let told = self.told[event.tag as usize];
            let segment = told.segment;
            if let (Some(channel), true) = (told.channel, event.mask & 2 != 0) {
                self.touches.push(Touch { time: event.time, channel, direct: event.mask & 4 != 0, segment });
            }
            if event.mask & 1 != 0 {
                self.conversions.push(Conversion { time: event.time, value: told.value, segment });
            }
        }
        self.kernel.user(&self.touches, &self.conversions, &mut self.sums);
        self.write()
    }

    fn finish(&mut self, _kept: Option<&KeptValues>) -> Result<ArrayRef> {
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        let mut columns = std::mem::take(&mut self.items).columns()?;
        let segments = std::mem::take(&mut self.item_segments);
        if let Some(by) = &self.segments {
            columns.push(by.values(segments)?);
        }
        let items = StructArray::try_new(answer_fields(&self.kept.by), columns, None)?;
        Ok(list_of(Arc::new(items), ends))
    }
}
