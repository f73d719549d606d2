//! `sequence_next_event(value, time, base, direction, condition, ..)`.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, Expr, GroupsAccumulator};

use super::answers::NextValues;
use super::arguments::{check_condition_count, value_type};
use crate::algo::pattern::next_event::{Base, Direction};
use crate::error::{Error, suggest};
use crate::functions::columns;
use crate::functions::event_groups::{EventArguments, event_groups};
use crate::functions::grouped::{GroupedFunction, aggregate, argument_types};
use crate::functions::kept_values::kept_fields;

const NAME: &str = "sequence_next_event";
const VALUE: usize = 0;
const TIME: usize = 1;
const BASE: usize = 2;
const DIRECTION: usize = 3;
const CONDITIONS: usize = 4;

const BASES: [(&str, Base); 4] =
    [("head", Base::Head), ("tail", Base::Tail), ("first_match", Base::FirstMatch), ("last_match", Base::LastMatch)];
const DIRECTIONS: [(&str, Direction); 2] = [("forward", Direction::Forward), ("backward", Direction::Backward)];

/// The function.
pub fn sequence_next_event() -> AggregateUDF {
    aggregate(NextEvent)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct NextEvent;

fn events(types: &[DataType]) -> Result<EventArguments, Error> {
    if types.len() <= CONDITIONS {
        return Err(Error::user(format!(
            "{NAME}: needs (value, time, base, direction, condition, ..), got {} arguments",
            types.len()
        )));
    }
    let conditions = CONDITIONS..types.len();
    check_condition_count(NAME, conditions.len())?;
    Ok(EventArguments { time: TIME, conditions, kept: Some(VALUE), every_event: true })
}

fn choice<T: Copy>(what: &str, word: &str, allowed: &[(&'static str, T)]) -> Result<T, Error> {
    let found = allowed.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let names: Vec<&str> = allowed.iter().map(|(name, _)| *name).collect();
        Error::user(format!("{NAME}: unknown {what} '{word}'; {}", suggest(word, names)))
    })
}

impl GroupedFunction for NextEvent {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        let events = events(types)?;
        let mut coerced = types.to_vec();
        coerced[VALUE] = value_type(&types[VALUE]);
        coerced[TIME] = columns::coerce_time(NAME, TIME + 1, &types[TIME])?;
        for (at, name) in [(BASE, "base"), (DIRECTION, "direction")] {
            match &types[at] {
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => coerced[at] = DataType::Utf8,
                other => {
                    return Err(Error::user(format!(
                        "{NAME}: argument {} ({name}) must be a string, got {other}",
                        at + 1
                    )));
                }
            }
        }
        for at in events.conditions {
            coerced[at] = columns::coerce_condition(NAME, at + 1, &types[at])?;
        }
        Ok(coerced)
    }

    fn answer_type(&self, types: &[DataType]) -> Result<DataType, Error> {
        let fields = events(types)?.kept_fields(types).map(|fields| kept_fields(&fields)).unwrap_or_default();
        Ok(match &types[VALUE] {
            DataType::Struct(_) => DataType::Struct(fields),
            _ => fields[0].data_type().clone(),
        })
    }

    fn answer_is_nullable(&self) -> bool {
        true
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let types = argument_types(args);
        let events = events(&types)?;
        let base = choice("base", &columns::literal_text(NAME, "the base", args.exprs, BASE)?, &BASES)?;
        let direction = columns::literal_text(NAME, "the direction", args.exprs, DIRECTION)?;
        let direction = choice("direction", &direction, &DIRECTIONS)?;
        let is_struct = matches!(types[VALUE], DataType::Struct(_));
        let question = NextValues::new(base, direction, events.conditions.len(), is_struct);
        event_groups(NAME, events, &types, Box::new(question))
    }

    fn state_fields(&self, name: &str, types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(events(types)?.state_fields(name, types))
    }

    fn check(&self, arguments: &[Expr]) -> Result<(), Error> {
        let text = |at: usize| match arguments.get(at) {
            Some(Expr::Literal(text, _)) => text.try_as_str().flatten(),
            _ => None,
        };
        text(BASE).map(|word| choice("base", word, &BASES)).transpose()?;
        text(DIRECTION).map(|word| choice("direction", word, &DIRECTIONS)).transpose()?;
        Ok(())
    }
}
