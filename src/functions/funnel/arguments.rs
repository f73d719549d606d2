//! The arguments of the funnel aggregates: which is which, and what their types must be.
//!
//! Shape: `(window INTERVAL [, options TEXT or STRUCT], time, steps .., exclusions .. [, kept STRUCT])`.
//! Does not deal with: what options mean or which of them go together ([`FunnelOptions`]).

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::PhysicalExpr;

use super::clickhouse;
use super::options::FunnelOptions;
use crate::algo::calendar::Clock;
use crate::algo::clickhouse_funnel::Modes;
use crate::algo::funnel::{Entry, Spec};
use crate::error::{Error, Result, suggest};
use crate::functions::columns;
use crate::functions::event_groups::EventArguments;

/// What messages call the window.
pub const WINDOW: &str = "argument 1 (window)";

/// What an aggregate of this family answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The level.
    Level,
    /// One chain.
    Chain,
    /// All chains.
    Chains,
}

/// Where each argument stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Position of the options.
    pub options: Option<usize>,
    /// Positions of time, conditions and the kept struct.
    pub events: EventArguments,
}

/// What a chain tells beyond its events, as the types of the arguments say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainShape {
    /// It stands in a list: its period and that one's latest entry.
    pub several: bool,
    /// The value that distinguishes it.
    pub by: bool,
    /// The kept values of all its events.
    pub kept: bool,
}

/// What is asked of each user's events.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The funnel.
    pub spec: Spec,
    /// Positions, in the kept struct, of the fields that all events of a chain share; empty where nothing is held.
    pub hold: Vec<usize>,
    /// Positions of the fields that distinguish chains.
    pub by: Vec<usize>,
}

fn is_options(argument: &DataType) -> bool {
    matches!(argument, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Struct(_))
}

/// Whether a STRUCT of options names one.
fn has_option(types: &[DataType], options: Option<usize>, name: &str) -> bool {
    options.is_some_and(|at| matches!(&types[at], DataType::Struct(fields) if fields.iter().any(|f| f.name() == name)))
}

impl Layout {
    /// Reads the layout off the argument types.
    pub fn of(function: &str, types: &[DataType], answer: Answer) -> Result<Self> {
        let options = types.get(1).is_some_and(is_options).then_some(1);
        let time = 1 + usize::from(options.is_some());
        if types.len() <= time {
            return Err(Error::user(format!(
                "{function}: needs (window, [options,] time, condition, ..), got {} arguments",
                types.len()
            )));
        }
        let kept = matches!(types.last(), Some(DataType::Struct(_))).then(|| types.len() - 1);
        let holds = has_option(types, options, "hold");
        if kept.is_some() && answer == Answer::Level && !holds {
            return Err(Error::user(format!(
                "{function}: the last argument must be a condition, got a STRUCT; it may be one where option 'hold' \
                 names its fields"
            )));
        }
        // A text where the time should be was taken for the options: then the time is what is wrong.
        columns::coerce_time(function, time + 1, &types[time])?;
        let conditions = time + 1..kept.unwrap_or(types.len());
        columns::check_step_count(function, conditions.len())?;
        Ok(Self { options, events: EventArguments { time, conditions, kept, every_event: false } })
    }

    /// What chains tell.
    pub fn shape(&self, types: &[DataType], answer: Answer) -> ChainShape {
        let given = |name| has_option(types, self.options, name);
        ChainShape {
            several: answer == Answer::Chains,
            by: given("by") && self.events.kept.is_some(),
            kept: !given("kept") && self.events.kept.is_some(),
        }
    }

    /// The types the arguments are coerced to.
    pub fn coerce(&self, function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        match &types[0] {
            DataType::Interval(_) => coerced[0] = columns::interval_type(),
            other => {
                return Err(Error::user(format!(
                    "{function}: argument 1 (window) must be an INTERVAL, such as INTERVAL '7 days'; got {other}"
                )));
            }
        }
        if let Some(options) = self.options
            && !matches!(types[options], DataType::Struct(_))
        {
            coerced[options] = DataType::Utf8;
        }
        let time = self.events.time;
        coerced[time] = columns::coerce_time(function, time + 1, &types[time])?;
        for at in self.events.conditions.clone() {
            coerced[at] = columns::coerce_condition(function, at + 1, &types[at])?;
        }
        Ok(coerced)
    }

    /// ClickHouse's modes and the window in ticks, where the mode words ask for its answers.
    pub fn clickhouse(
        &self,
        function: &str,
        answer: Answer,
        expressions: &[Arc<dyn PhysicalExpr>],
        types: &[DataType],
    ) -> Result<Option<(Modes, i64)>> {
        let (Answer::Level, Some(at)) = (answer, self.options) else { return Ok(None) };
        let options = columns::literal(function, "the options", expressions, at)?;
        let Some(modes) = clickhouse::modes(function, options.try_as_str().flatten().unwrap_or_default())? else {
            return Ok(None);
        };
        let window = columns::literal(function, "the window", expressions, 0)?;
        let clock = columns::clock_of(&types[self.events.time]).unwrap_or(Clock::Dates);
        Ok(Some((modes, columns::window_ticks(function, WINDOW, window, clock)?)))
    }

    /// What the planned expressions' constants ask.
    pub fn asked(
        &self,
        function: &str,
        answer: Answer,
        expressions: &[Arc<dyn PhysicalExpr>],
        types: &[DataType],
    ) -> Result<Asked> {
        let window = columns::literal(function, "the window", expressions, 0)?;
        let options = match self.options {
            Some(at) => FunnelOptions::read(function, columns::literal(function, "the options", expressions, at)?)?,
            None => FunnelOptions::default(),
        };
        check_answer(function, answer, &options)?;
        let spec = options.spec(function, window, &types[self.events.time], self.events.conditions.len())?;
        let fields = self.events.kept_fields(types).unwrap_or_default();
        let names: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
        let position = |option: &str, name: &String| {
            names.iter().position(|n| n == name).ok_or_else(|| {
                let help = match names.as_slice() {
                    [] => "give it as the last argument, as in named_struct('name', column)".to_string(),
                    names => suggest(name, names.iter().copied()),
                };
                Error::user(format!("{function}: option '{option}' names '{name}', which is no kept field; {help}"))
            })
        };
        let hold = options.hold.iter().map(|name| position("hold", name)).collect::<Result<_>>()?;
        let by = options.by.iter().map(|name| position("by", name)).collect::<Result<_>>()?;
        Ok(Asked { hold, by, spec })
    }
}

/// Refuses options whose answer is a list of chains where one is answered.
fn check_answer(function: &str, answer: Answer, options: &FunnelOptions) -> Result<()> {
    let lists = match (options.entry, options.period) {
        (Entry::All, _) => "option 'entry' 'all'",
        (_, Some(_)) => "option 'period'",
        _ if !options.by.is_empty() => "option 'by'",
        _ => return Ok(()),
    };
    match answer {
        Answer::Chains => Ok(()),
        _ => Err(Error::user(format!("{function}: {lists} gives several chains: ask funnel_chains"))),
    }
}

/// Checks the constants among the arguments while the query is planned, before their types are known.
pub fn check(function: &str, answer: Answer, arguments: &[Expr]) -> Result<()> {
    let constant = |at: usize| match arguments.get(at) {
        Some(Expr::Literal(value, _)) => Some(value),
        _ => None,
    };
    let Some(window) = constant(0) else { return Ok(()) };
    let given = constant(1).filter(|value| is_options(&value.data_type()));
    if let (Answer::Level, Some(words)) = (answer, given.and_then(|value| value.try_as_str().flatten()))
        && clickhouse::modes(function, words)?.is_some()
    {
        return columns::window_ticks(function, WINDOW, window, Clock::Instants(1_000_000_000)).map(drop);
    }
    let options = given.map(|value| FunnelOptions::read(function, value)).transpose()?;
    let conditions = arguments.len().saturating_sub(2 + usize::from(options.is_some()));
    let options = options.unwrap_or_default();
    check_answer(function, answer, &options)?;
    // Nanoseconds: the time column's own ticks decide when the query runs.
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let spec = |conditions| options.spec(function, window, &time, conditions).map(drop);
    match (arguments.last(), options.hold.is_empty() && options.by.is_empty()) {
        (Some(Expr::ScalarFunction(f)), _) if matches!(f.name(), "named_struct" | "struct") => spec(conditions - 1),
        (Some(Expr::Literal(ScalarValue::Struct(_), _)), _) | (_, false) => spec(conditions - 1),
        // A column at the end may be a condition or a STRUCT.
        (Some(Expr::Column(_)), _) => spec(conditions).or_else(|e| spec(conditions.max(2) - 1).map_err(|_| e)),
        _ => spec(conditions),
    }
}
