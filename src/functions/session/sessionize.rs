//! `sessionize(time, gap [, options]) OVER (PARTITION BY user ORDER BY time)`: the number of each event's session.
//!
//! Deals with: reading one partition (a user) as events, and numbering its rows. A partition is evaluated as a whole: an
//! event may open a session for others of the same time that came before it.
//! Does not deal with: the cuts (`algo::session`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowFunctionSimplification, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    Documentation, Expr, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};

use super::arguments::beyond_calendar;
use super::parts::{campaign_ranks, ranks};
use super::rules::{Constants, limit_ticks, parse_boundary};
use crate::algo::calendar::{Clock, Unit};
use crate::algo::event::{Event, tie_end};
use crate::algo::session::{BeyondCalendar, Cutter, Ranks, role};
use crate::error::{Error, suggest};
use crate::functions::columns::{Times, clock_of, coerce_condition, coerce_time, interval_type, literal};
use crate::functions::documentation::documentation;

const NAME: &str = "sessionize";

/// Options that are the same for all rows.
const CONSTANTS: [&str; 4] = ["boundary", "cut_midnight", "tz", "max_length"];
/// Options that each row gives.
const CONDITIONS: [&str; 3] = ["start_when", "end_when", "exclude"];
const VALUES: [&str; 2] = ["cut_campaign", "order_key"];

/// The function.
pub fn sessionize() -> WindowUDF {
    Sessionize { signature: Signature::user_defined(Volatility::Immutable) }.into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sessionize {
    signature: Signature,
}

impl WindowUDFImpl for Sessionize {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (time, gap) = match types {
            [time, gap] | [time, gap, DataType::Struct(_)] => (time, gap),
            [_, _, other] => {
                let text = format!(
                    "{NAME}: argument 3 (options) must be a STRUCT such as {{'cut_midnight': true}}, got {other}"
                );
                return Err(Error::user(text).into());
            }
            _ => {
                return Err(Error::user(format!(
                    "{NAME}: needs (time, gap [, options]), got {} arguments",
                    types.len()
                ))
                .into());
            }
        };
        let mut coerced = types.to_vec();
        coerced[0] = coerce_time(NAME, 1, time)?;
        if !matches!(gap, DataType::Interval(_)) {
            let text =
                format!("{NAME}: argument 2 (gap) must be an INTERVAL, such as INTERVAL '30 minutes'; got {gap}");
            return Err(Error::user(text).into());
        }
        coerced[1] = interval_type();
        if let Some(DataType::Struct(options)) = types.get(2) {
            options.iter().try_for_each(|field| check_option(field))?;
        }
        Ok(coerced)
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), DataType::Int64, true)))
    }

    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        Some(Box::new(|call, _| {
            check_constants(&call.params.args)?;
            Ok(Expr::from(call))
        }))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let gap = literal(NAME, "the gap", args.input_exprs(), 1)?.clone();
        let clock = args.input_fields().first().and_then(|f| clock_of(f.data_type())).unwrap_or(Clock::Dates);
        Ok(Box::new(Numbering { gap, clock }))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(documentation(NAME))
    }
}

/// Name and type of an option.
fn check_option(field: &Field) -> Result<(), Error> {
    let name = field.name().as_str();
    if CONDITIONS.contains(&name) {
        return match coerce_condition(NAME, 3, field.data_type()) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::user(format!(
                "{NAME}: option '{name}' must be a condition (BOOLEAN), such as event = 'login'; got {}",
                field.data_type()
            ))),
        };
    }
    if CONSTANTS.contains(&name) || VALUES.contains(&name) {
        return Ok(());
    }
    let known: Vec<&str> = CONSTANTS.iter().chain(&CONDITIONS).chain(&VALUES).copied().collect();
    Err(Error::user(format!("{NAME}: unknown option '{name}'; {}", suggest(name, known))))
}

/// What is known of the constants while the query is planned.
fn check_constants(arguments: &[Expr]) -> Result<(), Error> {
    let gap = match arguments.get(1) {
        Some(Expr::Literal(gap, _)) => gap,
        _ => return Err(Error::user(format!("{NAME}: the gap must be a constant, not a column or expression"))),
    };
    let mut options = Options::default();
    match arguments.get(2) {
        Some(Expr::Literal(ScalarValue::Struct(given), _)) => options = Options::of_struct(given)?,
        Some(Expr::ScalarFunction(call)) if call.name() == "named_struct" => {
            for pair in call.args.chunks(2) {
                if let [Expr::Literal(name, _), value] = pair
                    && let Some(Some(name)) = name.try_as_str()
                    && CONSTANTS.contains(&name)
                {
                    match value {
                        Expr::Literal(value, _) => options.set(name, value)?,
                        other => return Err(not_constant(name, &other.to_string())),
                    }
                }
            }
        }
        _ => {}
    }
    options.constants(gap, Clock::Dates).map(|_| ())
}

fn not_constant(option: &str, got: &str) -> Error {
    Error::user(format!("{NAME}: option '{option}' must be a constant, got {got}"))
}

/// The constant options as they were given.
#[derive(Debug, Default)]
struct Options {
    inclusive: bool,
    midnight: bool,
    zone: Option<String>,
    max_length: Option<ScalarValue>,
}

impl Options {
    /// Of a partition: every row must say the same.
    fn of_struct(given: &StructArray) -> Result<Self, Error> {
        let mut options = Self::default();
        for name in CONSTANTS {
            let Some(column) = given.column_by_name(name) else { continue };
            if column.is_empty() {
                continue;
            }
            let value = ScalarValue::try_from_array(column, 0)?;
            let distinct = arrow::compute::kernels::cmp::distinct(column, &value.to_scalar()?)?;
            if distinct.true_count() > 0 {
                return Err(not_constant(name, "different values"));
            }
            options.set(name, &value)?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &ScalarValue) -> Result<(), Error> {
        let wrong = |what: &str| Error::user(format!("{NAME}: option '{name}' must be {what}, got {value}"));
        let text = || match value.try_as_str() {
            Some(Some(text)) => Ok(text),
            _ => Err(wrong("a string")),
        };
        match name {
            "boundary" => self.inclusive = parse_boundary(NAME, text()?)?,
            "tz" => self.zone = Some(text()?.to_string()),
            "max_length" => self.max_length = Some(value.clone()),
            _ => match value {
                ScalarValue::Boolean(Some(flag)) => self.midnight = *flag,
                _ => return Err(wrong("true or false")),
            },
        }
        Ok(())
    }

    fn constants(self, gap: &ScalarValue, clock: Clock) -> Result<Constants, Error> {
        let mut constants = Constants::of_gap(limit_ticks(NAME, "gap", gap, clock, self.inclusive)?);
        if let Some(length) = &self.max_length {
            constants.max_length = Some(limit_ticks(NAME, "max_length", length, clock, false)?);
        }
        constants.midnight = self.midnight;
        if let Some(zone) = self.zone {
            if !self.midnight {
                return Err(Error::user(format!("{NAME}: option 'tz' has no use without 'cut_midnight': true")));
            }
            constants.zone = zone;
            constants.calendar(NAME, Unit::Day, clock)?;
        }
        Ok(constants)
    }
}

/// Numbers the rows of one partition after another.
#[derive(Debug)]
struct Numbering {
    gap: ScalarValue,
    clock: Clock,
}

impl PartitionEvaluator for Numbering {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let options = values.get(2).map(|options| options.as_struct());
        let constants = options.map(Options::of_struct).transpose()?.unwrap_or_default();
        let mut rules = constants.constants(&self.gap, self.clock)?.rules(NAME, self.clock)?;
        let times = Times::read(&values[0])?;
        let condition = |name| condition(options, name);
        let (start, end, exclude) = (condition("start_when"), condition("end_when"), condition("exclude"));
        let holds = |condition: Option<&BooleanArray>, row: usize| {
            condition.is_some_and(|condition| condition.is_valid(row) && condition.value(row))
        };
        let mut events: Vec<Event> = (0..rows)
            .filter(|row| !times.is_null(*row) && !holds(exclude, *row))
            .map(|row| {
                let mask =
                    if holds(start, row) { role::START } else { 0 } | if holds(end, row) { role::END } else { 0 };
                Event { time: times.values()[row], mask, tag: row as u32 }
            })
            .collect();
        if !events.is_sorted_by_key(|event| event.time) {
            events.sort_unstable_by_key(|event| event.time);
        }
        let column = |name| options.and_then(|options| options.column_by_name(name));
        let campaign = column("cut_campaign").map_or(Ok(Vec::new()), campaign_ranks)?;
        let order = column("order_key").map_or(Ok(Vec::new()), |column| ranks(std::slice::from_ref(column)))?;
        let ranks = Ranks { campaign: &campaign, order: &order, ..Ranks::default() };
        Ok(Arc::new(number(&events, Cutter::new(&mut rules), &ranks, rows)?))
    }
}

fn condition<'a>(options: Option<&'a StructArray>, name: &str) -> Option<&'a BooleanArray> {
    // A NULL literal is a column of another type: it is never true.
    options?.column_by_name(name)?.as_boolean_opt()
}

/// The number of each row's session; NULL where it takes no part.
fn number(events: &[Event], mut cutter: Cutter, ranks: &Ranks, rows: usize) -> Result<Int64Array, Error> {
    let mut numbers: Vec<Option<i64>> = vec![None; rows];
    let (mut number, mut at) = (0, 0);
    while at < events.len() {
        let to = tie_end(events, at);
        let opens = cutter.opens(&events[at..to], ranks);
        number += i64::from(opens.map_err(|BeyondCalendar(time)| beyond_calendar(NAME, time))?);
        events[at..to].iter().for_each(|event| numbers[event.tag as usize] = Some(number));
        at = to;
    }
    Ok(Int64Array::from(numbers))
}
