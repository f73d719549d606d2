//! `funnel_state(window [, modes], time, c1, ..)`, `funnel_merge(state)` and `funnel_level(state)`: a funnel whose events come in
//! parts, such as a day at a time.
//!
//! Deals with: the options of a state, merging. Does not deal with: bytes (`algo::states::funnel_events`), what a funnel is
//! (`algo::funnel`). The state is made of the events that `window_funnel` logs, and its level is that function's.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, BooleanArray, Int32Array};
use arrow::datatypes::{DataType, FieldRef, IntervalMonthDayNanoType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, ColumnarValue, Expr, GroupsAccumulator, ScalarFunctionArgs, ScalarUDF};

use super::activity::sorted;
use super::arguments::{apart, coerce_state, refused, state_rows};
use super::groups::{Fold, Groups, Held, append, merging};
use crate::algo::event::Event;
use crate::algo::funnel::{Funnel, Spec, Window};
use crate::algo::states::funnel_events::{Asked, Ticks, read, write};
use crate::error::Error;
use crate::functions::columns::{self, ticks_per_second};
use crate::functions::event_groups::{EventOrder, Question, event_groups};
use crate::functions::funnel::arguments::{Answer, Layout, check};
use crate::functions::funnel::options::FunnelOptions;
use crate::functions::grouped::{GroupedFunction, aggregate, argument_types};
use crate::functions::kept_values::KeptValues;
use crate::functions::row_function::{RowFunction, row_function};

const STATE: &str = "funnel_state";
const MERGE: &str = "funnel_merge";
const LEVEL: &str = "funnel_level";

/// The function.
pub fn funnel_state() -> AggregateUDF {
    aggregate(MakeState)
}

/// The function.
pub fn funnel_merge() -> AggregateUDF {
    merging(MERGE, STATE, || Merge { last: None, read: Vec::new() })
}

/// The function.
pub fn funnel_level() -> ScalarUDF {
    row_function(Level)
}

/// What a state's times are, from the type of the column.
pub fn ticks_of(time: &DataType) -> Ticks {
    match time {
        DataType::Timestamp(unit, _) => Ticks::PerSecond(ticks_per_second(*unit)),
        _ => Ticks::Dates,
    }
}

/// A type whose times are these.
fn time_type(ticks: Ticks) -> DataType {
    let instant = |unit| DataType::Timestamp(unit, None);
    match ticks {
        Ticks::Dates => DataType::Date32,
        Ticks::PerSecond(1) => instant(TimeUnit::Second),
        Ticks::PerSecond(1_000) => instant(TimeUnit::Millisecond),
        Ticks::PerSecond(1_000_000) => instant(TimeUnit::Microsecond),
        Ticks::PerSecond(_) => instant(TimeUnit::Nanosecond),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct MakeState;

fn layout(types: &[DataType]) -> Result<Layout, Error> {
    if let Some(DataType::Struct(_)) = types.get(1) {
        return Err(Error::user(format!(
            "{STATE}: options are mode words in a text, such as 'increase'; got a STRUCT"
        ))
        .hint("what a STRUCT can ask beyond modes is not kept in states: use window_funnel over the events"));
    }
    Layout::of(STATE, types, Answer::Level)
}

/// Mode words in the order of the alphabet, each once.
fn canonical(words: &str) -> String {
    let mut words: Vec<&str> = words.split(',').map(str::trim).filter(|w| !w.is_empty() && *w != "ordered").collect();
    words.sort_unstable();
    words.dedup();
    words.join(",")
}

/// The funnel that a state's options ask for.
fn spec(function: &str, asked: &Asked) -> Result<Spec, Error> {
    let options = FunnelOptions::read(function, &ScalarValue::from(asked.modes.as_str()))?;
    // Any window will do while the options are checked.
    let second = ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNanoType::make_value(0, 1, 0)));
    let spec = options.spec(function, &second, &time_type(asked.ticks), usize::from(asked.steps))?;
    Ok(Spec { window: Window::Ticks(asked.window), ..spec })
}

impl GroupedFunction for MakeState {
    fn name(&self) -> &'static str {
        STATE
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        layout(types)?.coerce(STATE, types)
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::Binary)
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let types = argument_types(args);
        let mut layout = layout(&types)?;
        let modes = match layout.options {
            Some(at) => canonical(&columns::literal_text(STATE, "the modes", args.exprs, at)?),
            None => String::new(),
        };
        let spec = layout.asked(STATE, Answer::Level, args.exprs, &types)?.spec;
        let Window::Ticks(window) = spec.window else {
            return Err(Error::user(format!("{STATE}: the window must be a length of time")).into());
        };
        layout.events.every_event = spec.every_event();
        let ticks = ticks_of(&types[layout.events.time]);
        let asked = Asked { ticks, steps: layout.events.conditions.len() as u8, window, modes };
        let states = Box::new(States { asked, states: BinaryBuilder::new() });
        event_groups(STATE, layout.events, &types, states)
    }

    fn state_fields(&self, name: &str, types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(layout(types)?.events.state_fields(name, types))
    }

    fn check(&self, arguments: &[Expr]) -> Result<(), Error> {
        // As for a chain: the levels of ClickHouse are not kept.
        check(STATE, Answer::Chain, arguments)
    }
}

/// The events of each user as a state.
struct States {
    asked: Asked,
    states: BinaryBuilder,
}

impl Question for States {
    fn order(&self) -> EventOrder {
        EventOrder::Time
    }

    fn answer(&mut self, events: &[Event], _kept: Option<&KeptValues>) -> Result<()> {
        let bytes = write(&self.asked, &mut events.to_vec());
        append(&mut self.states, STATE, Some(&bytes))
    }

    fn finish(&mut self, _kept: Option<&KeptValues>) -> Result<ArrayRef> {
        Ok(Arc::new(self.states.finish()))
    }

    fn bytes_an_event(&self) -> usize {
        // A time seldom takes more than 5 bytes, and a mask one.
        8
    }
}

/// What was merged of a group.
#[derive(Default)]
struct Merged {
    /// Options of its states; none before any came.
    asked: Option<Arc<Asked>>,
    /// Times and masks of its events.
    events: Vec<(i64, u64)>,
}

impl Held for Merged {
    fn bytes(&self) -> usize {
        self.events.capacity() * size_of::<(i64, u64)>()
    }
}

struct Merge {
    /// Options of the state that came last: groups share them.
    last: Option<Arc<Asked>>,
    read: Vec<Event>,
}

impl Fold for Merge {
    type State = Merged;

    fn name(&self) -> &'static str {
        MERGE
    }

    fn twin(&self) -> Self {
        Self { last: None, read: Vec::new() }
    }

    fn fresh(&self) -> Merged {
        Merged::default()
    }

    fn update(
        &mut self,
        _groups: &mut Groups<Self>,
        _values: &[ArrayRef],
        _group_indices: &[usize],
        _filter: Option<&BooleanArray>,
    ) -> Result<()> {
        Err(Error::internal(format!("{MERGE}: rows that are no states")).into())
    }

    fn merge(&mut self, merged: &mut Merged, bytes: &[u8]) -> Result<()> {
        self.read.clear();
        let asked = read(bytes, &mut self.read).map_err(|fault| refused(MERGE, &fault))?;
        let asked = match &self.last {
            Some(last) if **last == asked => Arc::clone(last),
            _ => Arc::new(asked),
        };
        match &merged.asked {
            Some(known) if *known != asked => {
                let [one, other] = sorted(known.told(), asked.told());
                return Err(apart(MERGE, &one, &other).into());
            }
            Some(_) => {}
            None => merged.asked = Some(Arc::clone(&asked)),
        }
        self.last = Some(asked);
        merged.events.extend(self.read.iter().map(|event| (event.time, event.mask)));
        Ok(())
    }

    fn write(&mut self, merged: Merged) -> Result<Vec<u8>> {
        let Some(asked) = merged.asked else {
            return Err(Error::internal(format!("{MERGE}: a state without options")).into());
        };
        self.read.clear();
        self.read.extend(merged.events.iter().map(|(time, mask)| Event { time: *time, mask: *mask, tag: 0 }));
        Ok(write(&asked, &mut self.read))
    }

    fn bytes(&self) -> usize {
        self.read.capacity() * size_of::<Event>()
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Level;

impl RowFunction for Level {
    fn name(&self) -> &'static str {
        LEVEL
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [state] => Ok(vec![coerce_state(LEVEL, 1, state, STATE)?]),
            _ => Err(Error::user(format!("{LEVEL}: needs (state), got {} arguments", types.len())).into()),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn call(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let states = state_rows(&args.args[0], args.number_rows)?;
        let mut events = Vec::new();
        let mut last: Option<(Asked, Funnel)> = None;
        let mut level = |state: &[u8]| {
            events.clear();
            let asked = read(state, &mut events).map_err(|fault| refused(LEVEL, &fault))?;
            let funnel = match &mut last {
                Some((known, funnel)) if *known == asked => funnel,
                other => {
                    let funnel = Funnel::new(spec(LEVEL, &asked)?);
                    &mut other.insert((asked, funnel)).1
                }
            };
            Ok(funnel.level(&events, None).level as i32)
        };
        let levels = states.iter().map(|state| state.map(&mut level).transpose());
        Ok(ColumnarValue::Array(Arc::new(levels.collect::<Result<Int32Array, Error>>()?)))
    }
}
